//! Ratings of items by users: a sparse table, by rows.
//!
//! Promises: rows and columns are in the order of their [`Labels`]; a pair that was rated several times has the
//! arithmetic mean. Never: holds a rating that is not finite.

mod labels;
mod values;

pub(crate) use labels::{Interner, Labels};
pub(crate) use values::Values;

/// Most ratings: their places are 32 bits wide.
pub(crate) const MAX_RATINGS: usize = u32::MAX as usize;

/// Ratings as they come, one by one.
pub(crate) struct Collected {
    /// Names of users.
    pub users: Interner,
    /// Names of items.
    pub items: Interner,
    rows: Vec<u32>,
    columns: Vec<u32>,
    values: Values,
}

impl Collected {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            users: Interner::default(),
            items: Interner::default(),
            rows: Vec::new(),
            columns: Vec::new(),
            values: Values::new(),
        }
    }

    /// How many came.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a rating.
    ///
    /// # Errors
    /// A sentence when it is not finite, or one too many.
    pub(crate) fn push(&mut self, user: &str, item: &str, rating: f64) -> Result<(), String> {
        if !rating.is_finite() {
            return Err(format!("the rating {rating} is not a number"));
        }
        let full = || format!("there may be at most {MAX_RATINGS} ratings");
        if self.len() == MAX_RATINGS {
            return Err(full());
        }
        self.rows.push(self.users.intern(user).ok_or_else(full)?);
        self.columns.push(self.items.intern(item).ok_or_else(full)?);
        // Zero has one sign: equal ratings are equal in bits.
        self.values.push(rating + 0.0);
        Ok(())
    }

    /// The table, the names of its rows and those of its columns.
    pub(crate) fn finish(self) -> (Ratings, Labels, Labels) {
        let (users, row_of) = self.users.finish();
        let (items, column_of) = self.items.finish();
        // By column and then, keeping that order, by row: every row is sorted.
        let order: Vec<u32> = (0..self.rows.len() as u32).collect();
        let order = ordered(&order, items.len(), |at| column_of[self.columns[at] as usize]).0;
        let (order, starts) = ordered(&order, users.len(), |at| row_of[self.rows[at] as usize]);
        let mut table = Ratings::new(items.len());
        let mut row = Vec::new();
        for bounds in starts.windows(2) {
            let entries = order[bounds[0] as usize..bounds[1] as usize].iter().map(|&at| at as usize);
            row.clear();
            row.extend(entries.map(|at| (column_of[self.columns[at] as usize], self.values.get(at))));
            table.push(row.chunk_by(|a, b| a.0 == b.0).map(|same| (same[0].0, mean(same))));
        }
        (table, users, items)
    }
}

/// The entries of `order` by their keys, which are below `keys`, those with the same key in the order they had; and
/// where each key begins.
fn ordered(order: &[u32], keys: usize, key: impl Fn(usize) -> u32) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; keys + 1];
    order.iter().for_each(|&at| starts[key(at as usize) as usize + 1] += 1);
    (1..starts.len()).for_each(|place| starts[place] += starts[place - 1]);
    let (mut next, mut sorted) = (starts.clone(), vec![0; order.len()]);
    for &at in order {
        let place = &mut next[key(at as usize) as usize];
        sorted[*place as usize] = at;
        *place += 1;
    }
    (sorted, starts)
}

/// Mean of the ratings of one pair, in the order in which they came.
fn mean(same: &[(u32, f64)]) -> f64 {
    let sum: f64 = same.iter().map(|&(_, rating)| rating).sum();
    sum / same.len() as f64
}

/// A sparse table of ratings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ratings {
    /// Where each row begins, and where the last ends.
    starts: Vec<u32>,
    /// Columns of the ratings of all rows, in each row ascending.
    items: Vec<u32>,
    values: Values,
    columns: usize,
}

impl Ratings {
    /// Without rows.
    pub(crate) fn new(columns: usize) -> Self {
        Self { starts: vec![0], items: Vec::new(), values: Values::new(), columns }
    }

    /// Adds a row: columns, ascending, with their ratings.
    pub(crate) fn push(&mut self, row: impl Iterator<Item = (u32, f64)>) {
        for (item, rating) in row {
            self.items.push(item);
            self.values.push(rating);
        }
        self.starts.push(self.items.len() as u32);
    }

    /// Number of users.
    pub(crate) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of items.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Number of ratings.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The values of all ratings, row by row.
    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// Columns and ratings of a row.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (u32, f64)> + Clone + '_ {
        let places = self.places(row);
        self.items[places.clone()].iter().copied().zip(places.map(|at| self.values.get(at)))
    }

    /// Where the ratings of a row are.
    pub(crate) fn places(&self, row: usize) -> std::ops::Range<usize> {
        self.starts[row] as usize..self.starts[row + 1] as usize
    }

    /// The column of the rating at a place.
    pub(crate) fn item(&self, place: usize) -> u32 {
        self.items[place]
    }

    /// The first so many rows, and all columns.
    pub(crate) fn first_rows(&self, count: usize) -> Self {
        let mut table = Self::new(self.columns);
        (0..count.min(self.rows())).for_each(|row| table.push(self.row(row)));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(triples: &[(&str, &str, f64)]) -> (Ratings, Labels, Labels) {
        let mut collected = Collected::new();
        triples.iter().for_each(|(user, item, rating)| collected.push(user, item, *rating).unwrap());
        collected.finish()
    }

    #[test]
    fn a_table_is_sorted_and_repeated_pairs_are_averaged() {
        let (table, users, items) = collect(&[
            ("10", "b", 4.0),
            ("2", "a", 1.0),
            ("10", "a", 5.0),
            ("2", "a", 2.0),
            ("2", "c", 3.0),
            ("2", "a", 2.0),
        ]);
        assert_eq!((users.get(0), users.get(1)), ("2".into(), "10".into()));
        assert_eq!((table.rows(), table.columns(), table.len()), (2, 3, 4));
        assert_eq!(items.find("c"), Some(2));
        assert_eq!(table.row(0).collect::<Vec<_>>(), [(0, 5.0 / 3.0), (2, 3.0)]);
        assert_eq!(table.row(1).collect::<Vec<_>>(), [(0, 5.0), (1, 4.0)]);
        let first = table.first_rows(1);
        assert_eq!((first.rows(), first.columns(), first.len()), (1, 3, 2));
        assert_eq!(first.row(0).collect::<Vec<_>>(), table.row(0).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        let mut collected = Collected::new();
        for rating in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(collected.push("1", "1", rating).unwrap_err().ends_with("is not a number"));
        }
        assert_eq!(collected.len(), 0);
    }
}
