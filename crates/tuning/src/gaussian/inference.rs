//! Slice sampling of the process's hyperparameters along random directions (Neal 2003; Murray and
//! Adams 2010), as the published description of SageMaker's tuner does it.

use serde::{Deserialize, Serialize};

use super::kernel::{Features, Hyperparameters};
use super::process::{Data, log_likelihood};
use crate::limits::INFERENCE_TRIALS;
use crate::random::Random;

/// Initial width of a slice, in the prior's standard deviations.
const WIDTH: f64 = 1.5;
/// Steps that a slice may be widened by on each side.
const WIDENINGS: usize = 3;
/// Shrinkages after which the chain stays where it is.
const SHRINKAGES: usize = 20;

/// Where the chain stands, kept between suggestions so that it need not find its way again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Chain(pub Option<Hyperparameters>);

/// The prior of each hyperparameter: normal in its logarithm.
#[derive(Debug, Clone, Copy)]
struct Prior {
    mean: f64,
    deviation: f64,
    low: f64,
    high: f64,
}

/// Length scales grow with the square root of the number of parameters, as distances in the cube do
/// (Hvarfner et al., "Vanilla Bayesian Optimization Performs Great in High Dimensions", 2024).
fn priors(scales: usize) -> Vec<Prior> {
    let length =
        Prior { mean: (0.5 * (scales.max(1) as f64).sqrt()).ln(), deviation: 1.0, low: -3.5, high: 5.0 };
    let amplitude = Prior { mean: 0.2, deviation: 0.6, low: -3.0, high: 4.0 };
    let noise = Prior { mean: -4.0, deviation: 1.6, low: -8.0, high: 1.0 };
    let mut priors = vec![length; scales];
    priors.extend([amplitude, noise]);
    priors
}

fn log_posterior(features: &Features, data: &Data, priors: &[Prior], hyper: &Hyperparameters) -> f64 {
    let mut prior = 0.0;
    for (value, Prior { mean, deviation, low, high }) in hyper.0.iter().zip(priors) {
        if !(*low..=*high).contains(value) {
            return f64::NEG_INFINITY;
        }
        prior -= 0.5 * ((value - mean) / deviation).powi(2);
    }
    log_likelihood(features, data, hyper).map_or(f64::NEG_INFINITY, |likelihood| likelihood + prior)
}

/// Evaluations of the posterior that one suggestion may cost, from the size of the problem: a constant
/// amount of arithmetic.
fn budget(trials: usize, columns: usize) -> usize {
    let n = trials as f64;
    // Factor, product and the kernel function, in floating-point operations or as slow as some.
    let one = n.powi(3) / 3.0 + n * n * (columns as f64 + 12.0) + 2_000.0 + 200.0 * n;
    ((1.2e8 / one) as usize).clamp(60, 1_200)
}

/// The part of the data that the inference looks at: the better half of its share, the rest spread
/// evenly over the remaining ranks.
fn excerpt(data: &Data) -> Data {
    let count = data.values.len();
    if count <= INFERENCE_TRIALS {
        return data.clone();
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| data.values[*a].total_cmp(&data.values[*b]));
    let half = INFERENCE_TRIALS / 2;
    let rest = INFERENCE_TRIALS - half;
    let chosen = (0..half).chain((0..rest).map(|step| half + step * (count - half) / rest));
    let mut part = Data::default();
    for index in chosen.map(|rank| order[rank]) {
        part.points.push(data.points[index].clone());
        part.values.push(data.values[index]);
        part.own.push(data.own[index]);
    }
    part
}

/// `count` hyperparameters from their posterior; the chain goes on from where it stood and is moved.
pub fn sample(
    features: &Features,
    data: &Data,
    chain: &mut Chain,
    count: usize,
    random: &mut Random,
) -> Vec<Hyperparameters> {
    let data = excerpt(data);
    let priors = priors(features.scales());
    let mut left = budget(data.values.len(), features.columns());
    let start = chain.0.take().filter(|hyper| hyper.0.len() == priors.len());
    // A fresh chain spends half of its time on getting away from the prior's mean.
    let share = if start.is_some() { 4 } else { 2 };
    let burn_in = left / share;
    let measure = |hyper: &Hyperparameters| log_posterior(features, &data, &priors, hyper);
    let hyper = start.unwrap_or_else(|| Hyperparameters(priors.iter().map(|prior| prior.mean).collect()));
    let height = log_posterior(features, &data, &priors, &hyper);
    let mut walker = Walker { hyper, height };
    let every = (left - burn_in) / count.max(1);
    let mut samples = Vec::with_capacity(count);
    let mut due = left - burn_in;
    while samples.len() < count {
        while left > due {
            let used = walker.step(&measure, &priors, random);
            left = left.saturating_sub(used);
        }
        samples.push(walker.hyper.clone());
        due = due.saturating_sub(every);
        if left <= due {
            // The last step took more than its share: at least one more for the next sample.
            left = left.max(due + 1);
        }
    }
    chain.0 = Some(walker.hyper);
    samples
}

struct Walker {
    hyper: Hyperparameters,
    height: f64,
}

impl Walker {
    /// One move along a random direction; returns the evaluations it took.
    fn step(
        &mut self,
        measure: &impl Fn(&Hyperparameters) -> f64,
        priors: &[Prior],
        random: &mut Random,
    ) -> usize {
        let mut direction: Vec<f64> = priors.iter().map(|_| random.normal()).collect();
        let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-12);
        for (value, prior) in direction.iter_mut().zip(priors) {
            *value *= prior.deviation / length;
        }
        let at = |distance: f64| {
            let moved = self.hyper.0.iter().zip(&direction).map(|(value, step)| value + distance * step);
            Hyperparameters(moved.collect())
        };
        let level = self.height + (1.0 - random.unit()).ln();
        let mut used = 0;
        let mut low = -WIDTH * random.unit();
        let mut high = low + WIDTH;
        for (end, step) in [(&mut low, -WIDTH), (&mut high, WIDTH)] {
            for _ in 0..WIDENINGS {
                used += 1;
                if measure(&at(*end)) <= level {
                    break;
                }
                *end += step;
            }
        }
        for _ in 0..SHRINKAGES {
            let distance = low + (high - low) * random.unit();
            let candidate = at(distance);
            let height = measure(&candidate);
            used += 1;
            if height > level {
                (self.hyper, self.height) = (candidate, height);
                break;
            }
            if distance < 0.0 { low = distance } else { high = distance }
        }
        used.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Parameter, Range, Scaling, Space};

    #[test]
    fn the_chain_finds_out_which_parameter_matters() {
        let real = |name: &str| Parameter {
            name: name.into(),
            range: Range::Continuous { min: 0.0, max: 1.0, scaling: Scaling::Linear },
        };
        let space = Space::new(vec![real("matters"), real("idle")]).unwrap();
        let features = Features::new(&space, 1);
        let mut random = Random::new(2, 0);
        let mut data = Data::default();
        for _ in 0..40 {
            let point = vec![random.unit(), random.unit()];
            data.values.push(1.4 * (9.0 * point[0]).sin());
            data.points.push(point);
            data.own.push(true);
        }
        let mut chain = Chain::default();
        let samples = sample(&features, &data, &mut chain, 20, &mut random);
        assert_eq!(samples.len(), 20);
        let mean = |index: usize| samples.iter().map(|hyper| hyper.0[index]).sum::<f64>() / 20.0;
        assert!(mean(0) + 0.7 < mean(1), "{} {}", mean(0), mean(1));
        assert!(mean(3) < -2.0, "noise {}", mean(3));
        assert_eq!(chain.0.as_ref(), samples.last());
    }
}
