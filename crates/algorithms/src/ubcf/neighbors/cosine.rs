//! The cosine of two users over the items that both rated.

use super::index::Cell;

/// Below this a sum of squares is zero.
const TINY: f64 = f64::MIN_POSITIVE;
/// More than rounding can add to the square of a cosine.
const MARGIN: f64 = 1.0 - 1e-9;

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

    /// `xy^2 < bar^2 xx yy`, without roots and divisions; also says so of the cosine without its sign.
    #[inline(always)]
    fn below(&self, bar: f64) -> bool {
        let square = bar * bar * MARGIN * (self.xx * self.yy);
        bar > 0.0 && self.xy * self.xy < square && square <= f64::MAX
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

    #[test]
    fn what_is_certainly_below_is() {
        let cell = |pairs: &[(f64, f64)]| {
            let mut cell = Cosine::default();
            pairs.iter().for_each(|&(x, y)| cell.add(Cosine::probe(x), y));
            cell
        };
        let some = cell(&[(3.0, 4.0), (4.0, 3.0)]);
        assert!(some.below(0.961) && !some.below(0.96) && !some.below(0.5) && !some.below(0.0));
        assert!(!some.below(f64::NEG_INFINITY));
        let opposite = cell(&[(3.0, -4.0), (4.0, -3.0)]);
        assert!(opposite.below(0.97) && !opposite.below(0.9));
        for undefined in [cell(&[]), cell(&[(0.0, 0.0)]), cell(&[(0.0, 1.0)]), cell(&[(1e100, 1e100)])] {
            assert!(!undefined.below(0.999));
        }
    }
}
