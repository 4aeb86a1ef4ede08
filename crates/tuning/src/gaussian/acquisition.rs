//! Expected improvement, averaged over processes, as a logarithm: its differences stay visible where
//! the improvement itself is smaller than the smallest number.

use super::kernel::Features;
use super::normal::Improvement;
use super::process::Process;

/// Processes with different hyperparameters (and fantasies) that count alike.
#[derive(Debug, Clone)]
pub struct Ensemble {
    /// The features that all of them use.
    pub features: Features,
    /// The processes; at least one.
    pub processes: Vec<Process>,
}

/// `ln` of the expected improvement of a normal below `best`.
fn log_improvement(mean: f64, variance: f64, best: f64) -> f64 {
    let deviation = variance.sqrt();
    deviation.ln() + Improvement::at((best - mean) / deviation).log
}

fn log_mean(values: &[f64]) -> f64 {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + (values.iter().map(|value| (value - top).exp()).sum::<f64>() / values.len() as f64).ln()
}

impl Ensemble {
    /// The logarithm of the expected improvement at many points.
    pub fn log_improvements(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let mut parts = vec![Vec::with_capacity(self.processes.len()); points.len()];
        for process in &self.processes {
            for (part, (mean, variance)) in parts.iter_mut().zip(process.predict(&self.features, points)) {
                part.push(log_improvement(mean, variance, process.best()));
            }
        }
        parts.iter().map(|part| log_mean(part)).collect()
    }

    /// The same at one point, with its gradient by the numeric coordinates.
    pub fn log_improvement_slope(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let mut logs = Vec::with_capacity(self.processes.len());
        let mut gradients = Vec::with_capacity(self.processes.len());
        for process in &self.processes {
            let slope = process.slope(&self.features, point);
            let deviation = slope.variance.sqrt();
            let improvement = Improvement::at((process.best() - slope.mean) / deviation);
            logs.push(deviation.ln() + improvement.log);
            let gradient: Vec<f64> = slope
                .mean_gradient
                .iter()
                .zip(&slope.variance_gradient)
                .map(|(mean, variance)| {
                    let of_deviation = variance / (2.0 * deviation);
                    (improvement.density_ratio * of_deviation - improvement.cumulative_ratio * mean)
                        / deviation
                })
                .collect();
            gradients.push(gradient);
        }
        let total = log_mean(&logs);
        let mut gradient = vec![0.0; point.len()];
        for (log, part) in logs.iter().zip(&gradients) {
            let weight = (log - total).exp() / logs.len() as f64;
            for (sum, value) in gradient.iter_mut().zip(part) {
                *sum += weight * value;
            }
        }
        (total, gradient)
    }

    /// Posterior means at many points, averaged over the processes.
    pub fn means(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let mut sums = vec![0.0; points.len()];
        for process in &self.processes {
            for (sum, mean) in sums.iter_mut().zip(process.means(&self.features, points)) {
                *sum += mean / self.processes.len() as f64;
            }
        }
        sums
    }
}
