//! One fitted process: posterior mean and variance, their gradients, and fantasies of running trials.

use ndarray::{Array2, Axis};

use super::kernel::{self, Features, Hyperparameters};
use super::matrix::{Cholesky, dot};
use crate::random::Random;

/// Added to the diagonal, doubled tenfold until the matrix factors.
const JITTER: [f64; 5] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-3];

/// What the process is fitted to.
#[derive(Debug, Clone, Default)]
pub struct Data {
    /// Points, in the space's coordinates; with several sources the source is the last coordinate.
    pub points: Vec<Vec<f64>>,
    /// The target at each point, standardised.
    pub values: Vec<f64>,
    /// Whether a point counts as a result of this search (not of a warm start from other data).
    pub own: Vec<bool>,
}

/// A fitted process.
#[derive(Debug, Clone)]
pub struct Process {
    hyper: Hyperparameters,
    amplitude: f64,
    noise: f64,
    rows: Array2<f64>,
    squares: Vec<f64>,
    values: Vec<f64>,
    own: Vec<bool>,
    factor: Cholesky,
    weights: Vec<f64>,
    best: f64,
}

/// Mean and variance of the function value at a point, with their gradients by the columns' scaled
/// features.
#[derive(Debug, Clone)]
pub struct Slope {
    /// Posterior mean.
    pub mean: f64,
    /// Posterior variance.
    pub variance: f64,
    /// Gradient of the mean by the point's coordinates that are numbers; 0 at categories.
    pub mean_gradient: Vec<f64>,
    /// Gradient of the variance likewise.
    pub variance_gradient: Vec<f64>,
}

/// The log likelihood of the values, without its constant; `None` where the matrix does not factor.
pub fn log_likelihood(features: &Features, data: &Data, hyper: &Hyperparameters) -> Option<f64> {
    let rows = features.scaled(&data.points, hyper);
    let factor = Cholesky::of(kernel::own(&rows, hyper.amplitude(), hyper.noise() + JITTER[0]))?;
    let mut solved = data.values.clone();
    factor.forward(&mut solved);
    Some(-0.5 * dot(&solved, &solved) - factor.half_log_determinant())
}

impl Process {
    /// Fits the process; `None` where the matrix does not factor whatever is added to it.
    pub fn fit(features: &Features, data: &Data, hyper: &Hyperparameters) -> Option<Self> {
        let rows = features.scaled(&data.points, hyper);
        let amplitude = hyper.amplitude();
        let (factor, noise) = JITTER.iter().find_map(|jitter| {
            let noise = hyper.noise() + jitter;
            Cholesky::of(kernel::own(&rows, amplitude, noise)).map(|factor| (factor, noise))
        })?;
        let squares = kernel::squares(&rows);
        let mut process = Self {
            hyper: hyper.clone(),
            amplitude,
            noise,
            rows,
            squares,
            values: data.values.clone(),
            own: data.own.clone(),
            factor,
            weights: Vec::new(),
            best: f64::INFINITY,
        };
        process.weigh();
        Some(process)
    }

    /// Sets what follows from the factor and the values.
    fn weigh(&mut self) {
        self.weights.clone_from(&self.values);
        self.factor.forward(&mut self.weights);
        self.factor.backward(&mut self.weights);
        // The posterior mean at a point of the data: its value less the noise's share.
        let means = self.values.iter().zip(&self.weights).map(|(value, weight)| value - self.noise * weight);
        let any = !self.own.contains(&true);
        self.best = means
            .zip(&self.own)
            .filter(|(_, own)| any || **own)
            .map(|(mean, _)| mean)
            .fold(f64::INFINITY, f64::min);
    }

    /// The lowest posterior mean at a point of the data that counts.
    pub const fn best(&self) -> f64 {
        self.best
    }

    /// Posterior mean and variance at many points.
    pub fn predict(&self, features: &Features, points: &[Vec<f64>]) -> Vec<(f64, f64)> {
        let rows = features.scaled(points, &self.hyper);
        let covariances = kernel::cross(&rows, &self.rows, &self.squares, self.amplitude);
        let means: Vec<f64> = covariances
            .rows()
            .into_iter()
            .map(|row| row.iter().zip(&self.weights).map(|(a, b)| a * b).sum())
            .collect();
        // Columns of one batch stay in the cache while the factor passes over them.
        let mut solved = covariances.t().as_standard_layout().into_owned();
        self.factor.forward_all(&mut solved);
        let mut variances = vec![kernel::variance(self.amplitude); points.len()];
        for row in solved.rows() {
            for (variance, value) in variances.iter_mut().zip(row) {
                *variance -= value * value;
            }
        }
        means.into_iter().zip(variances.into_iter().map(|variance| variance.max(1e-12))).collect()
    }

    /// Posterior means alone, at many points.
    pub fn means(&self, features: &Features, points: &[Vec<f64>]) -> Vec<f64> {
        let rows = features.scaled(points, &self.hyper);
        let covariances = kernel::cross(&rows, &self.rows, &self.squares, self.amplitude);
        covariances
            .rows()
            .into_iter()
            .map(|row| row.iter().zip(&self.weights).map(|(a, b)| a * b).sum())
            .collect()
    }

    /// Mean and variance at one point with their gradients.
    pub fn slope(&self, features: &Features, point: &[f64]) -> Slope {
        let place = features.scaled(std::slice::from_ref(&point.to_vec()), &self.hyper);
        let place = place.row(0);
        let (mut covariances, mut slopes) = (Vec::with_capacity(self.squares.len()), Vec::new());
        for row in self.rows.rows() {
            let square: f64 = row.iter().zip(place).map(|(a, b)| (a - b) * (a - b)).sum();
            covariances.push(kernel::covariance(square, self.amplitude));
            slopes.push(kernel::slope(square, self.amplitude));
        }
        let mean = dot(&covariances, &self.weights);
        let mut solved = covariances;
        self.factor.forward(&mut solved);
        let variance = (kernel::variance(self.amplitude) - dot(&solved, &solved)).max(1e-12);
        self.factor.backward(&mut solved);
        let mut mean_gradient = vec![0.0; point.len()];
        let mut variance_gradient = vec![0.0; point.len()];
        for column in 0..features.columns() {
            let Some(parameter) = features.number(column) else { continue };
            let (mut of_mean, mut of_variance) = (0.0, 0.0);
            for (index, row) in self.rows.rows().into_iter().enumerate() {
                let change = slopes[index] * 2.0 * (place[column] - row[column]);
                of_mean += change * self.weights[index];
                of_variance -= 2.0 * change * solved[index];
            }
            let length = self.hyper.length(parameter);
            mean_gradient[parameter] = of_mean / length;
            variance_gradient[parameter] = of_variance / length;
        }
        Slope { mean, variance, mean_gradient, variance_gradient }
    }

    /// The process with a value drawn for each running trial: from the posterior given all trials
    /// before it, noise included. `None` where a process cannot be fitted.
    pub fn imagine(
        features: &Features,
        data: &Data,
        running: &[Vec<f64>],
        hyper: &Hyperparameters,
        random: &mut Random,
    ) -> Option<Self> {
        let mut process = Self::fit(features, data, hyper)?;
        for point in running {
            let points = std::slice::from_ref(point);
            let rows = features.scaled(points, hyper);
            let covariances = kernel::cross(&rows, &process.rows, &process.squares, process.amplitude);
            let covariances = covariances.row(0).to_vec();
            let (mean, variance) = process.predict(features, points)[0];
            let diagonal = kernel::variance(process.amplitude) + process.noise;
            process.factor = process.factor.extended(covariances, diagonal)?;
            process.rows.append(Axis(0), rows.view()).ok()?;
            process.squares.extend(kernel::squares(&rows));
            process.values.push(mean + (variance + process.noise).sqrt() * random.normal());
            process.own.push(true);
            process.weigh();
        }
        Some(process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Parameter, Range, Scaling, Space};

    fn space() -> Space {
        let real = |name: &str| Parameter {
            name: name.into(),
            range: Range::Continuous { min: 0.0, max: 1.0, scaling: Scaling::Linear },
        };
        let choice = Parameter {
            name: "c".into(),
            range: Range::Categorical { values: vec!["a".into(), "b".into()] },
        };
        Space::new(vec![real("x"), choice, real("y")]).unwrap()
    }

    fn fitted(noise: f64) -> (Features, Data, Process) {
        let features = Features::new(&space(), 1);
        let mut random = Random::new(5, 0);
        let mut data = Data::default();
        for _ in 0..20 {
            let point = vec![random.unit(), random.below(2) as f64, random.unit()];
            data.values.push((6.0 * point[0]).sin() + point[1] + point[2] * point[2]);
            data.points.push(point);
            data.own.push(true);
        }
        let hyper = Hyperparameters(vec![-0.5, 0.5, 0.2, 0.3, noise.ln()]);
        let process = Process::fit(&features, &data, &hyper).unwrap();
        (features, data, process)
    }

    #[test]
    fn without_noise_the_data_are_met_and_variance_grows_between() {
        let (features, data, process) = fitted(1e-4);
        for (index, (mean, variance)) in process.predict(&features, &data.points).into_iter().enumerate() {
            assert!((mean - data.values[index]).abs() < 1e-3);
            assert!(variance < 1e-5);
        }
        let (_, variance) = process.predict(&features, &[vec![0.5, 0.0, 0.5]])[0];
        assert!(variance > 1e-4);
        let least = data.values.iter().copied().fold(f64::INFINITY, f64::min);
        assert!((process.best() - least).abs() < 1e-3);
    }

    #[test]
    fn gradients_are_finite_differences() {
        let (features, _, process) = fitted(0.1);
        let point = vec![0.31, 1.0, 0.77];
        let slope = process.slope(&features, &point);
        let step = 1e-6;
        for coordinate in [0, 2] {
            let at = |change: f64| {
                let mut moved = point.clone();
                moved[coordinate] += change;
                process.predict(&features, &[moved])[0]
            };
            let (up, down) = (at(step), at(-step));
            let mean = (up.0 - down.0) / (2.0 * step);
            let variance = (up.1 - down.1) / (2.0 * step);
            assert!((mean - slope.mean_gradient[coordinate]).abs() < 1e-5);
            assert!((variance - slope.variance_gradient[coordinate]).abs() < 1e-5);
        }
        assert_eq!(slope.mean_gradient[1], 0.0);
    }

    #[test]
    fn a_fantasy_takes_the_uncertainty_away_where_it_is() {
        let (features, data, process) = fitted(0.01);
        let point = vec![0.05, 0.0, 0.05];
        let before = process.predict(&features, std::slice::from_ref(&point))[0].1;
        let hyper = process.hyper.clone();
        let mut random = Random::new(1, 1);
        let after =
            Process::imagine(&features, &data, std::slice::from_ref(&point), &hyper, &mut random).unwrap();
        assert!(after.predict(&features, &[point])[0].1 < 0.1 * before);
    }
}
