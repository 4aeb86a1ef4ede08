//! What is taken away from a user's ratings before users are compared, and given back to predictions.

use super::hyperparameters::Normalize;
use super::neighbors::Double;

/// Location and spread of one user's ratings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    /// Mean of the ratings; 0 without normalisation, NaN without ratings.
    pub mean: f64,
    /// Sample standard deviation for the Z-score, where it is defined and not 0; otherwise 1.
    pub deviation: f64,
}

impl Scale {
    /// The scale of a user with these ratings.
    pub(crate) fn of(normalize: Normalize, ratings: impl Iterator<Item = f64> + Clone) -> Self {
        if normalize == Normalize::None {
            return Self { mean: 0.0, deviation: 1.0 };
        }
        // To twice the precision and rounded once: ties between neighbours depend on the last bit.
        let (mut count, mut sum, mut squares) = (0.0, Double::default(), Double::default());
        for rating in ratings.clone() {
            count += 1.0;
            sum.add(rating);
        }
        let mean = sum.divided(Double::from(count)).value();
        if normalize == Normalize::Center {
            return Self { mean, deviation: 1.0 };
        }
        for rating in ratings {
            squares.add_double(Double::product(rating - mean, rating - mean));
        }
        let deviation = squares.divided(Double::from(count - 1.0)).value().sqrt();
        let defined = deviation > 0.0 && deviation.is_finite();
        Self { mean, deviation: if defined { deviation } else { 1.0 } }
    }

    /// A rating as a deviation.
    pub(crate) fn apply(self, rating: f64) -> f64 {
        (rating - self.mean) / self.deviation
    }

    /// A deviation as a rating.
    pub(crate) fn restore(self, deviation: f64) -> f64 {
        deviation * self.deviation + self.mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(normalize: Normalize, ratings: &[f64]) -> Scale {
        Scale::of(normalize, ratings.iter().copied())
    }

    #[test]
    fn scales_are_mean_and_sample_deviation() {
        let ratings = [1.0, 2.0, 4.0, 5.0];
        assert_eq!(scale(Normalize::Center, &ratings), Scale { mean: 3.0, deviation: 1.0 });
        let z = scale(Normalize::ZScore, &ratings);
        assert_eq!(z, Scale { mean: 3.0, deviation: (10.0f64 / 3.0).sqrt() });
        assert_eq!(z.restore(z.apply(4.5)), 4.5);
        assert_eq!(scale(Normalize::None, &ratings), Scale { mean: 0.0, deviation: 1.0 });
    }

    #[test]
    fn a_spread_that_is_zero_or_undefined_is_one() {
        assert_eq!(scale(Normalize::ZScore, &[4.0, 4.0]), Scale { mean: 4.0, deviation: 1.0 });
        assert_eq!(scale(Normalize::ZScore, &[3.0]), Scale { mean: 3.0, deviation: 1.0 });
        assert!(scale(Normalize::Center, &[]).mean.is_nan());
    }
}
