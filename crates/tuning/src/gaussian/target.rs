//! The objective as the process sees it: smaller is better, wild values cut off, skew taken out, mean
//! 0 and variance 1.

use crate::limits::TRIALS;

/// Values this many times as far above the median as the best lies below it carry no more
/// information than "bad"; a diverged training would otherwise be all that the model sees.
const CUT: f64 = 5.0;

/// Powers of the Yeo-Johnson transform that are tried: 1 changes nothing.
const POWERS: std::ops::RangeInclusive<i32> = -10..=20;

/// A monotone map of objectives, fitted to some of them.
#[derive(Debug, Clone)]
pub struct Target {
    cut: f64,
    center: f64,
    width: f64,
    power: f64,
    mean: f64,
    deviation: f64,
}

impl Target {
    /// The map for these objectives (smaller is better).
    pub fn fit(values: &[f64]) -> Self {
        let mut sorted: Vec<f64> = values.iter().copied().take(TRIALS).collect();
        sorted.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let index = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
            sorted.get(index).copied().unwrap_or_default()
        };
        let (best, median) = (quantile(0.0), quantile(0.5));
        let reach = (median - best).max(quantile(0.75) - median);
        let cut = if reach > 0.0 { median + CUT * reach } else { f64::INFINITY };
        let kept: Vec<f64> = sorted.iter().map(|value| value.min(cut)).collect();
        let (center, width) = moments(&kept);
        let plain: Vec<f64> = kept.iter().map(|value| (value - center) / width).collect();
        let power = if plain.len() < 5 { 1.0 } else { best_power(&plain) };
        let bent: Vec<f64> = plain.iter().map(|value| bend(*value, power)).collect();
        let (mean, deviation) = moments(&bent);
        Self { cut, center, width, power, mean, deviation }
    }

    /// The map at one objective.
    pub fn of(&self, value: f64) -> f64 {
        let plain = (value.min(self.cut) - self.center) / self.width;
        (bend(plain, self.power) - self.mean) / self.deviation
    }
}

/// Mean and standard deviation, the latter never 0.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt();
    (mean, if deviation > 1e-12 * mean.abs().max(1e-300) { deviation } else { 1.0 })
}

/// The transform of Yeo and Johnson (2000).
fn bend(value: f64, power: f64) -> f64 {
    if value >= 0.0 {
        if power.abs() < 1e-9 { value.ln_1p() } else { ((power * value.ln_1p()).exp() - 1.0) / power }
    } else {
        let other = 2.0 - power;
        if other.abs() < 1e-9 { -(-value).ln_1p() } else { -((other * (-value).ln_1p()).exp() - 1.0) / other }
    }
}

/// The power under which the values look most normal.
fn best_power(values: &[f64]) -> f64 {
    let log_jacobian: f64 = values.iter().map(|value| value.signum() * value.abs().ln_1p()).sum();
    let score = |power: f64| {
        let bent: Vec<f64> = values.iter().map(|value| bend(*value, power)).collect();
        -(values.len() as f64) * moments(&bent).1.ln() + (power - 1.0) * log_jacobian
    };
    POWERS
        .map(|tenth| f64::from(tenth) / 10.0)
        .map(|power| (score(power), power))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(1.0, |(_, power)| power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_wild_values_are_cut() {
        let values = [0.75, 0.8, 0.78, 1e9, 0.9, 0.77, 1.1, 15.0];
        let target = Target::fit(&values);
        assert!(target.of(0.75) < target.of(0.77) && target.of(0.77) < target.of(0.9));
        assert_eq!(target.of(1e9), target.of(15.0));
        let mapped: Vec<f64> = values.iter().map(|value| target.of(*value)).collect();
        let (mean, deviation) = moments(&mapped);
        assert!(mean.abs() < 1e-9 && (deviation - 1.0).abs() < 1e-9);
    }

    #[test]
    fn equal_and_single_values_are_no_trouble() {
        for values in [&[3.0][..], &[2.0; 9], &[0.0; 2], &[]] {
            assert!(Target::fit(values).of(2.0).is_finite());
        }
    }

    #[test]
    fn skew_is_taken_out() {
        let values: Vec<f64> = (1..60).map(|step| (f64::from(step) / 10.0).exp()).collect();
        let target = Target::fit(&values);
        let skew = |values: &[f64]| {
            let (mean, deviation) = moments(values);
            values.iter().map(|value| ((value - mean) / deviation).powi(3)).sum::<f64>() / values.len() as f64
        };
        let mapped: Vec<f64> = values.iter().map(|value| target.of(*value)).collect();
        assert!(skew(&mapped).abs() < 0.5 * skew(&values));
    }
}
