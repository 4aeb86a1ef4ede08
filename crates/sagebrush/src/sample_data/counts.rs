//! How many ratings each user gives and each book gets.
//!
//! Promises: counts follow a given quantile curve and add up to exactly the wanted total, or the shape is refused.

use std::io;

/// A quantile curve: points (share of the items, count), and the segment whose form is free, by the index of its
/// first point. That segment is bent until the total is right.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    /// From share 0 to share 1, both rising.
    pub points: &'static [(f64, f64)],
    /// Index of the first point of the free segment.
    pub free: usize,
}

impl Curve {
    /// The count at a share of the items. In the free segment the share is bent by the hyperbola
    /// t / (t + bend (1 - t)), which needs no powers and so comes out the same on every machine.
    fn at(&self, share: f64, bend: f64) -> f64 {
        let after = self.points.iter().position(|(point, _)| *point > share);
        let index = after.unwrap_or(self.points.len()).clamp(1, self.points.len().max(2) - 1) - 1;
        let (Some((from, low)), Some((to, high))) = (self.points.get(index), self.points.get(index + 1))
        else {
            return 1.0;
        };
        let mut t = ((share - from) / (to - from)).clamp(0.0, 1.0);
        if index == self.free {
            t /= t + bend * (1.0 - t);
        }
        low + (high - low) * t
    }

    fn counts(&self, items: usize, bend: f64) -> Vec<u32> {
        let last = items.saturating_sub(1).max(1) as f64;
        (0..items).map(|item| (self.at(item as f64 / last, bend) + 0.5) as u32).collect()
    }

    /// Rising counts for `items` items that add up to `total`, none above `most`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when no form of the free segment gives that total.
    pub fn fit(&self, items: usize, total: u64, most: usize) -> io::Result<Vec<u32>> {
        let sum = |counts: &[u32]| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        let (mut low, mut high) = (1e-6_f64, 1e6_f64);
        for _ in 0..80 {
            let middle = (low * high).sqrt();
            // The larger the bend, the lower the curve.
            if sum(&self.counts(items, middle)) > total {
                low = middle;
            } else {
                high = middle;
            }
        }
        let mut counts = self.counts(items, high);
        let first = self.points.get(self.free).map_or(0.0, |point| point.0);
        let end = self.points.get(self.free + 1).map_or(1.0, |point| point.0);
        let last = items.saturating_sub(1) as f64;
        // One more for as many items inside the free segment as ratings are missing.
        let inside = ((first * last) as usize + 1)..((end * last) as usize).min(items);
        let missing = total.saturating_sub(sum(&counts)) as usize;
        let places = inside.len();
        if missing > 0 && places > 0 {
            for (index, count) in counts.get_mut(inside).unwrap_or_default().iter_mut().enumerate() {
                // Spread evenly: the number of ratings given out before this place and after it.
                let before = index * missing / places;
                *count += ((index + 1) * missing / places - before) as u32;
            }
        }
        let fits = counts.iter().all(|count| *count as usize <= most && *count > 0);
        if sum(&counts) != total || !fits {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{items} items of this shape cannot have {total} ratings"),
            ));
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CURVE: Curve = Curve { points: &[(0.0, 2.0), (0.5, 10.0), (1.0, 50.0)], free: 1 };

    #[test]
    fn counts_follow_the_curve_and_add_up() {
        for total in [9_000, 12_345, 25_000] {
            let counts = CURVE.fit(1001, total, 60).unwrap();
            assert_eq!(counts.iter().map(|count| u64::from(*count)).sum::<u64>(), total);
            assert_eq!((counts[0], counts[500], counts[1000]), (2, 10, 50));
        }
    }

    #[test]
    fn an_impossible_total_is_refused() {
        assert!(CURVE.fit(1001, 1_000, 60).is_err());
        assert!(CURVE.fit(1001, 100_000, 60).is_err());
        assert!(CURVE.fit(1001, 12_345, 40).is_err());
    }
}
