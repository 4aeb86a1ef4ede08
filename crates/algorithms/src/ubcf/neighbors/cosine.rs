//! The cosine of two users over the items that both rated.

use super::index::Cell;

/// Below this a sum of squares is zero.
const TINY: f64 = f64::MIN_POSITIVE;

/// Sums over the items that the asking user (x) and one training user (y) both rated, added in the order of items.
#[derive(Clone, Copy, Default)]
pub(super) struct Cosine {
    xy: f64,
    xx: f64,
    yy: f64,
    count: u64,
}

/// A deviation of the asking user.
#[derive(Clone, Copy)]
pub(super) struct Probe {
    x: f64,
    xx: f64,
}

impl Cell for Cosine {
    type Probe = Probe;

    fn probe(x: f64) -> Probe {
        Probe { x, xx: x * x }
    }

    #[inline(always)]
    fn add(&mut self, probe: Probe, y: f64) {
        self.xy += probe.x * y;
        self.xx += probe.xx;
        self.yy += y * y;
        self.count += 1;
    }

    fn shared(&self) -> u64 {
        self.count
    }

    /// `xy / (sqrt(xx) sqrt(yy))`. Two users without any deviation are alike, one of them and another are not related.
    fn likeness(&self) -> f64 {
        if self.count == 0 {
            return f64::NAN;
        }
        let cosine = self.xy / (self.xx.sqrt() * self.yy.sqrt());
        match (cosine.is_nan(), self.xx < TINY, self.yy < TINY) {
            (true, true, true) => 1.0,
            (true, true, false) | (true, false, true) => 0.0,
            _ => cosine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(pairs: &[(f64, f64)]) -> f64 {
        let mut cell = Cosine::default();
        pairs.iter().for_each(|&(x, y)| cell.add(Cosine::probe(x), y));
        cell.likeness()
    }

    #[test]
    fn cosines_and_their_limits() {
        assert!(cosine(&[]).is_nan());
        assert_eq!(cosine(&[(0.5, -2.0)]), -1.0);
        assert_eq!(cosine(&[(0.0, 0.0), (0.0, 0.0)]), 1.0);
        assert_eq!(cosine(&[(0.0, 0.5)]), 0.0);
        assert_eq!(cosine(&[(3.0, 0.0), (0.0, 4.0)]), 0.0);
        assert_eq!(cosine(&[(3.0, 4.0), (4.0, 3.0)]), 0.96);
    }
}
