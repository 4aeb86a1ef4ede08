//! The ratings of the training users by item, so that a request touches only ratings of items it is about.
//!
//! Users come in tiles whose sums stay in the processor's cache; within a tile the raters of every item are listed in
//! ascending order, in two bytes each. Ratings of few different values are kept as bytes, and the deviation is
//! computed when it is needed, which costs less than reading it.
//!
//! Promises: what is summed for a pair of users is summed in the order of items, whatever the tiles.

use std::ops::Range;

use crate::ubcf::normalization::Scale;
use crate::ubcf::ratings::{Ratings, Values};

/// Users whose sums are kept at a time: 512 KiB of them. Places within a tile must fit 16 bits.
const TILE: usize = 1 << 14;

/// Sums over the items that two users share.
pub(super) trait Cell: Copy + Default {
    /// A deviation of the asking user, prepared.
    type Probe: Copy;

    /// Prepares a deviation of the asking user.
    fn probe(x: f64) -> Self::Probe;

    /// Adds an item: the deviations of both.
    fn add(&mut self, probe: Self::Probe, y: f64);

    /// How many items were added.
    fn shared(&self) -> u64;

    /// Cosine or correlation; NaN where it is not defined.
    fn likeness(&self) -> f64;

    /// Whether the likeness is defined and certainly below `bar`, as far as that is cheaper to say than the likeness.
    fn below(&self, bar: f64) -> bool;
}

/// The ratings of all training users, by tile and item.
pub(crate) struct Index {
    tiles: Vec<Tile>,
    /// The different ratings, when they are kept as codes.
    table: Vec<f64>,
}

struct Tile {
    /// The first user.
    first: usize,
    /// Means of the users' ratings.
    means: Vec<f64>,
    /// Where the raters of each item begin, and where those of the last end.
    starts: Vec<u32>,
    /// Raters of all items, as places in the tile.
    raters: Vec<u16>,
    entries: Entries,
}

enum Entries {
    /// Ratings as places in the table of values.
    Coded(Vec<u8>),
    /// Deviations.
    Plain(Vec<f64>),
}

impl Index {
    /// The index of a table whose rows have these scales.
    pub(crate) fn new(ratings: &Ratings, scales: &[Scale]) -> Self {
        Self::with_tiles(ratings, scales, TILE)
    }

    /// As [`Index::new`], with so many users in a tile.
    fn with_tiles(ratings: &Ratings, scales: &[Scale], tile: usize) -> Self {
        let unscaled = scales.iter().all(|scale| scale.deviation == 1.0);
        let table = match ratings.values() {
            Values::Coded { table, .. } if unscaled => table.clone(),
            _ => Vec::new(),
        };
        let users = |first: usize| {
            let rows = first..(first + tile).min(ratings.rows());
            Tile::new(ratings, scales, rows, unscaled)
        };
        Self { tiles: (0..ratings.rows()).step_by(tile).map(users).collect(), table }
    }

    /// Goes through the training users in ascending order and calls `found` with each one's place and sums.
    /// `query` has columns, ascending, with the asking user's deviations.
    pub(super) fn compare<C: Cell>(
        &self,
        query: &[(u32, f64)],
        cells: &mut Vec<C>,
        mut found: impl FnMut(u32, &C),
    ) {
        for tile in &self.tiles {
            cells.clear();
            cells.resize(tile.means.len(), C::default());
            match &tile.entries {
                Entries::Coded(codes) => {
                    tile.sum(query, cells, codes, |&code, mean| self.table[usize::from(code)] - mean)
                }
                Entries::Plain(deviations) => tile.sum(query, cells, deviations, |&deviation, _| deviation),
            }
            for (place, cell) in cells.iter().enumerate() {
                found((tile.first + place) as u32, cell);
            }
        }
    }
}

impl Tile {
    fn new(ratings: &Ratings, scales: &[Scale], rows: Range<usize>, unscaled: bool) -> Self {
        let places = ratings.places(rows.start).start..ratings.places(rows.end - 1).end;
        let mut starts = vec![0u32; ratings.columns() + 1];
        for place in places.clone() {
            starts[ratings.item(place) as usize + 1] += 1;
        }
        for item in 1..starts.len() {
            starts[item] += starts[item - 1];
        }
        let mut next = starts.clone();
        let mut raters = vec![0u16; places.len()];
        let mut entries = match ratings.values() {
            Values::Coded { .. } if unscaled => Entries::Coded(vec![0; places.len()]),
            _ => Entries::Plain(vec![0.0; places.len()]),
        };
        for row in rows.clone() {
            for place in ratings.places(row) {
                let to = &mut next[ratings.item(place) as usize];
                let at = *to as usize;
                *to += 1;
                raters[at] = (row - rows.start) as u16;
                match (&mut entries, ratings.values()) {
                    (Entries::Coded(to), Values::Coded { codes, .. }) => to[at] = codes[place],
                    // Entries are coded only where values are.
                    (Entries::Coded(_), Values::Plain(_)) => {}
                    (Entries::Plain(to), values) => to[at] = scales[row].apply(values.get(place)),
                }
            }
        }
        let means = scales[rows.clone()].iter().map(|scale| scale.mean).collect();
        Self { first: rows.start, means, starts, raters, entries }
    }

    /// Adds what the asking user and the tile's users share to their cells.
    fn sum<C: Cell, E>(
        &self,
        query: &[(u32, f64)],
        cells: &mut [C],
        entries: &[E],
        deviation: impl Fn(&E, f64) -> f64,
    ) {
        for &(item, x) in query {
            let probe = C::probe(x);
            let places = self.starts[item as usize] as usize..self.starts[item as usize + 1] as usize;
            for (&rater, entry) in self.raters[places.clone()].iter().zip(&entries[places]) {
                let rater = usize::from(rater);
                cells[rater].add(probe, deviation(entry, self.means[rater]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cosine::Cosine;
    use super::*;
    use crate::ubcf::hyperparameters::Normalize;
    use crate::ubcf::ratings::Collected;

    #[test]
    fn tiles_change_nothing() {
        for (normalize, different) in [
            (Normalize::Center, 5u32),
            (Normalize::ZScore, 5),
            (Normalize::Center, 300),
            (Normalize::None, 3),
        ] {
            let mut collected = Collected::new();
            for i in 0..1200u32 {
                let (user, item) = (i % 61, i * i % 37);
                collected
                    .push(&user.to_string(), &item.to_string(), f64::from(i * 7 % different) / 3.0)
                    .unwrap();
            }
            let (ratings, _, _) = collected.finish();
            let row = |row| ratings.row(row).map(|(_, rating)| rating);
            let scales: Vec<Scale> =
                (0..ratings.rows()).map(|user| Scale::of(normalize, row(user))).collect();
            let query: Vec<_> =
                ratings.row(5).map(|(item, rating)| (item, scales[5].apply(rating))).collect();
            let found = |tile| {
                let mut list = Vec::new();
                Index::with_tiles(&ratings, &scales, tile).compare(
                    &query,
                    &mut Vec::new(),
                    |user, cell: &Cosine| {
                        list.push((user, cell.shared(), cell.likeness().to_bits()));
                    },
                );
                list
            };
            let whole = found(TILE);
            assert_eq!(whole.len(), 61);
            assert!(whole.iter().any(|&(_, shared, _)| shared > 1));
            assert_eq!(found(7), whole);
            assert_eq!(found(61), whole);
        }
    }
}
