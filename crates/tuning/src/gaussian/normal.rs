//! The normal distribution's functions in a form that keeps its precision far in the tail.

use libm::erfc;

const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_7;

/// `Phi(z)`.
pub fn cumulative(z: f64) -> f64 {
    0.5 * erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// `phi(z)`.
pub fn density(z: f64) -> f64 {
    (-0.5 * z * z - LN_SQRT_TAU).exp()
}

/// `h(z) = phi(z) + z Phi(z)`, the expected improvement of a unit normal over `-z`: its logarithm, and
/// the ratios `Phi/h` and `phi/h` that its derivatives need.
#[derive(Debug, Clone, Copy)]
pub struct Improvement {
    /// `ln h(z)`.
    pub log: f64,
    /// `Phi(z) / h(z)`.
    pub cumulative_ratio: f64,
    /// `phi(z) / h(z)`.
    pub density_ratio: f64,
}

/// Below this the asymptotic series of the tail has 7 digits and the direct form has lost as many.
const TAIL: f64 = -10.0;

impl Improvement {
    /// At `z`.
    pub fn at(z: f64) -> Self {
        if z > -1.0 {
            let (phi, cumulative) = (density(z), cumulative(z));
            let h = phi + z * cumulative;
            return Self { log: h.ln(), cumulative_ratio: cumulative / h, density_ratio: phi / h };
        }
        // 1 + z m with the Mills ratio m = Phi/phi.
        let (mills, rest) = if z > TAIL {
            let mills = cumulative(z) / density(z);
            (mills, 1.0 + z * mills)
        } else {
            let inverse = 1.0 / (z * z);
            let rest = inverse * (1.0 - inverse * (3.0 - inverse * (15.0 - 105.0 * inverse)));
            ((rest - 1.0) / z, rest)
        };
        let log = -0.5 * z * z - LN_SQRT_TAU + rest.ln();
        Self { log, cumulative_ratio: mills / rest, density_ratio: 1.0 / rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_meet_and_the_ratios_are_the_derivative() {
        for border in [-1.0, TAIL] {
            let (left, right) = (Improvement::at(border - 1e-9), Improvement::at(border + 1e-9));
            assert!((left.log - right.log).abs() < 1e-5 * left.log.abs(), "{border}");
            assert!((left.density_ratio / right.density_ratio - 1.0).abs() < 1e-4, "{border}");
        }
        for z in [-60.0, -12.0, -9.0, -3.0, 0.0, 2.0, 20.0] {
            // h' = Phi, so (ln h)' = Phi / h.
            let step = 1e-5;
            let slope = (Improvement::at(z + step).log - Improvement::at(z - step).log) / (2.0 * step);
            let ratio = Improvement::at(z).cumulative_ratio;
            assert!((slope / ratio - 1.0).abs() < 1e-4, "{z}: {slope} {ratio}");
        }
        assert!((Improvement::at(0.0).log - density(0.0).ln()).abs() < 1e-12);
    }
}
