//! The correlation of two users over the items that both rated.

use super::double::Double;
use super::index::Cell;

/// Sums over the items that the asking user (x) and one training user (y) both rated, to twice the precision of a
/// double: correlations that are equal must be equal in bits, since ties are decided by the order of users.
#[derive(Clone, Copy, Default)]
pub(super) struct Pearson {
    x: Double,
    y: Double,
    xy: Double,
    xx: Double,
    yy: Double,
    first: [f64; 2],
    count: u32,
    /// Whether values other than the first came.
    varied: [bool; 2],
}

/// A deviation of the asking user, and its square.
#[derive(Clone, Copy)]
pub(super) struct Probe {
    x: f64,
    xx: Double,
}

impl Cell for Pearson {
    type Probe = Probe;

    fn probe(x: f64) -> Probe {
        Probe { x, xx: Double::product(x, x) }
    }

    #[inline(always)]
    fn add(&mut self, Probe { x, xx }: Probe, y: f64) {
        if self.count == 0 {
            self.first = [x, y];
        }
        self.varied[0] |= x != self.first[0];
        self.varied[1] |= y != self.first[1];
        self.count += 1;
        self.x.add(x);
        self.y.add(y);
        self.xy.add_double(Double::product(x, y));
        self.xx.add_double(xx);
        self.yy.add_double(Double::product(y, y));
    }

    fn shared(&self) -> u64 {
        u64::from(self.count)
    }

    /// `(n xy - x y) / (sqrt(n xx - x x) sqrt(n yy - y y))`, within [-1, 1]; none of a constant.
    fn likeness(&self) -> f64 {
        if self.varied != [true; 2] {
            return f64::NAN;
        }
        let n = f64::from(self.count);
        let moment = |sum: Double, a: Double, b: Double| sum.times(n).minus(a.multiplied(b));
        let (xx, yy) = (moment(self.xx, self.x, self.x), moment(self.yy, self.y, self.y));
        if xx.value() <= 0.0 || yy.value() <= 0.0 {
            return f64::NAN;
        }
        let spread = xx.sqrt().multiplied(yy.sqrt());
        moment(self.xy, self.x, self.y).divided(spread).value().clamp(-1.0, 1.0)
    }

    fn below(&self, _: f64) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pearson(pairs: &[(f64, f64)]) -> f64 {
        let mut cell = Pearson::default();
        pairs.iter().for_each(|&(x, y)| cell.add(Pearson::probe(x), y));
        cell.likeness()
    }

    #[test]
    fn correlations_and_their_limits() {
        assert!(pearson(&[(1.0, 2.0)]).is_nan());
        assert!(pearson(&[(0.1, 1.0), (0.1, 2.0), (0.1, 4.0)]).is_nan());
        assert!(pearson(&[(1.0, 0.3), (2.0, 0.3), (4.0, 0.3)]).is_nan());
        assert_eq!(pearson(&[(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)]), 0.5);
    }

    proptest! {
        #[test]
        fn two_items_give_exactly_one(x in prop::array::uniform2(-5.0f64..5.0), y in prop::array::uniform2(-5.0f64..5.0)) {
            prop_assume!(x[0] != x[1] && y[0] != y[1]);
            let sign = ((x[0] - x[1]) * (y[0] - y[1])).signum();
            prop_assert_eq!(pearson(&[(x[0], y[0]), (x[1], y[1])]), sign);
        }

        #[test]
        fn lines_give_exactly_one(x in prop::collection::vec(1u8..6, 3..20), mean in 1.0f64..5.0) {
            prop_assume!(x.iter().any(|&a| a != x[0]));
            let pairs: Vec<_> = x.iter().map(|&a| (f64::from(a) - 2.5, 2.0 * f64::from(a) - 3.0)).collect();
            prop_assert_eq!(pearson(&pairs), 1.0);
            let shifted: Vec<_> = x.iter().map(|&a| (f64::from(a) - mean, f64::from(a) - mean)).collect();
            prop_assert_eq!(pearson(&shifted), 1.0);
        }
    }
}
