//! Numbers of twice a double's precision, as unevaluated sums of two doubles.
//!
//! The error-free sum is Knuth's (The Art of Computer Programming 2, 4.2.2), splitting and error-free product are
//! Dekker's ("A floating-point technique for extending the available precision", 1971), sums of products those of
//! Ogita, Rump and Oishi ("Accurate sum and dot product", 2005).
//!
//! Promises: relative errors of some 1e-31 for numbers whose squares neither overflow nor vanish. Never: is right beside
//! the ends of the range of doubles.

/// `high + low`, where `low` is what `high` rounds away.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Double {
    high: f64,
    low: f64,
}

/// 2^27 + 1: splits 53 bits into two halves.
const SPLITTER: f64 = 134_217_729.0;

/// `a + b` without error.
#[inline(always)]
fn sum(a: f64, b: f64) -> Double {
    let high = a + b;
    let part = high - a;
    Double { high, low: (a - (high - part)) + (b - part) }
}

/// `a + b` without error where `a` is not smaller in magnitude.
#[inline(always)]
fn quick_sum(a: f64, b: f64) -> Double {
    let high = a + b;
    Double { high, low: b - (high - a) }
}

#[inline(always)]
fn split(a: f64) -> (f64, f64) {
    let shifted = SPLITTER * a;
    let high = shifted - (shifted - a);
    (high, a - high)
}

impl From<f64> for Double {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

impl Double {
    /// `a b` without error.
    #[inline(always)]
    pub(crate) fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        let ((a1, a2), (b1, b2)) = (split(a), split(b));
        Self { high, low: ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2 }
    }

    /// Adds a number.
    #[inline(always)]
    pub(crate) fn add(&mut self, value: f64) {
        let exact = sum(self.high, value);
        *self = Self { high: exact.high, low: self.low + exact.low };
    }

    /// Adds a number of twice the precision.
    #[inline(always)]
    pub(crate) fn add_double(&mut self, other: Self) {
        let exact = sum(self.high, other.high);
        *self = Self { high: exact.high, low: self.low + (exact.low + other.low) };
    }

    /// The nearest double.
    pub(crate) fn value(self) -> f64 {
        self.high + self.low
    }

    fn normal(self) -> Self {
        sum(self.high, self.low)
    }

    /// `self factor`.
    pub(crate) fn times(self, factor: f64) -> Self {
        let product = Self::product(self.high, factor);
        quick_sum(product.high, product.low + self.low * factor)
    }

    /// `self other`.
    pub(crate) fn multiplied(self, other: Self) -> Self {
        let (a, b) = (self.normal(), other.normal());
        let product = Self::product(a.high, b.high);
        quick_sum(product.high, product.low + (a.high * b.low + a.low * b.high))
    }

    /// `self - other`.
    pub(crate) fn minus(self, other: Self) -> Self {
        let (high, low) = (sum(self.high, -other.high), sum(self.low, -other.low));
        let first = sum(high.high, high.low + low.high);
        sum(first.high, first.low + low.low)
    }

    /// `self / other`: the quotient of doubles, and a step that corrects it.
    pub(crate) fn divided(self, other: Self) -> Self {
        let first = self.value() / other.value();
        let rest = self.minus(other.times(first)).value();
        quick_sum(first, rest / other.value())
    }

    /// The square root of a positive number: that of the double, and a step of Newton's.
    pub(crate) fn sqrt(self) -> Self {
        let first = self.value().sqrt();
        let rest = self.minus(Self::product(first, first)).value();
        quick_sum(first, rest / (2.0 * first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(high: f64, low: f64) -> Double {
        sum(high, low)
    }

    #[test]
    fn small_parts_survive() {
        let mut total = Double::default();
        let small = 2f64.powi(-40);
        [1e16, 1.0, small, -1e16, -1.0].iter().for_each(|&part| total.add(part));
        assert_eq!(total.value(), small);
        assert_eq!(Double::product(0.1, 0.1).minus(Double::product(0.1, 0.1)).value(), 0.0);
        assert_ne!(Double::product(0.1, 0.1).low, 0.0);
    }

    #[test]
    fn operations_undo_each_other_to_thirty_digits() {
        let (a, b) = (double(3.7, 1.3e-17), double(-0.021, 4.4e-19));
        let near = |x: Double, y: Double| (x.minus(y).value() / y.value()).abs() < 1e-30;
        assert!(near(a.multiplied(b).divided(b), a));
        assert!(near(a.sqrt().multiplied(a.sqrt()), a));
        assert!(near(a.times(7.0), a.multiplied(Double::from(7.0))));
        assert_eq!(a.minus(a).value(), 0.0);
    }
}
