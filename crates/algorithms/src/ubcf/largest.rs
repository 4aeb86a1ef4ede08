//! The largest of many numbers, without sorting all of them.

use std::cmp::Ordering;

/// Candidates beyond the limit that are collected before the smaller ones are thrown out.
const SLACK: usize = 64;

/// Keeps the largest numbers offered, with their places; of equal ones those with lower places.
///
/// Every candidate costs a comparison with the smallest that is sure to stay; only those above it are collected, and a
/// selection in linear time throws out the surplus.
pub(crate) struct Largest {
    limit: usize,
    kept: Vec<(f64, u32)>,
    /// Nothing up to this value can stay any more.
    floor: f64,
}

impl Largest {
    /// At most `limit`, which is at least 1.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: Vec::new(), floor: f64::NEG_INFINITY }
    }

    /// Offers a number, which is finite, or NaN and then passed over. Places come in ascending order.
    pub(crate) fn offer(&mut self, value: f64, place: u32) {
        if value > self.floor {
            self.kept.push((value, place));
            if self.kept.len() == self.limit.saturating_mul(2).saturating_add(SLACK) {
                self.cut();
            }
        }
    }

    /// What is not above this is passed over.
    pub(crate) fn floor(&self) -> f64 {
        self.floor
    }

    fn cut(&mut self) {
        if self.kept.len() > self.limit {
            let (_, last, _) = self.kept.select_nth_unstable_by(self.limit - 1, before);
            self.floor = last.0;
            self.kept.truncate(self.limit);
        }
    }

    /// The largest, first the largest of all.
    pub(crate) fn finish(mut self) -> Vec<(f64, u32)> {
        self.cut();
        self.kept.sort_unstable_by(before);
        self.kept
    }
}

/// Larger values first, of equal ones the lower place. No value is NaN.
fn before(a: &(f64, u32), b: &(f64, u32)) -> Ordering {
    b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_same_as_a_stable_sort(values in prop::collection::vec(-3i8..3, 0..600), limit in 1usize..80) {
            let mut largest = Largest::new(limit);
            let number = |value: i8| if value == -3 { f64::NAN } else { f64::from(value) / 4.0 };
            let mut all = Vec::new();
            for (place, &value) in values.iter().enumerate() {
                largest.offer(number(value), place as u32);
                all.extend((value != -3).then_some((number(value), place as u32)));
            }
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            all.truncate(limit);
            prop_assert_eq!(largest.finish(), all);
        }
    }
}
