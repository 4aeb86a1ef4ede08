//! The covariance: Matern 5/2 over scaled distances, one length scale a parameter. Two values of a
//! categorical parameter are one apart whichever they are.

use ndarray::Array2;
use ndarray::linalg::general_mat_mul;
use serde::{Deserialize, Serialize};

use crate::space::Space;

/// Variance of the constant that is added to every function value: the mean of the standardised
/// objective, integrated over.
const MEAN_VARIANCE: f64 = 0.25;

const SQRT_5: f64 = 2.236_067_977_499_79;

/// Hyperparameters in the order: logarithms of the length scales, of the amplitude, of the noise (both
/// standard deviations, in units of the standardised objective).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hyperparameters(#[serde(with = "crate::exact::list")] pub Vec<f64>);

impl Hyperparameters {
    /// Number of length scales.
    pub fn scales(&self) -> usize {
        self.0.len().saturating_sub(2)
    }

    /// Signal variance.
    pub fn amplitude(&self) -> f64 {
        (2.0 * self.0[self.scales()]).exp()
    }

    /// Noise variance.
    pub fn noise(&self) -> f64 {
        (2.0 * self.0[self.scales() + 1]).exp()
    }

    /// Length scale of a parameter.
    pub fn length(&self, parameter: usize) -> f64 {
        self.0[parameter].exp()
    }
}

/// How coordinates become the columns of the feature matrix: a number is itself, a category is a row of
/// zeros with one `1/sqrt(2)`, so that two different ones are at distance 1.
#[derive(Debug, Clone)]
pub struct Features {
    /// The parameter of each column.
    parameter: Vec<usize>,
    /// The category of each column; `None` for a number.
    category: Vec<Option<f64>>,
}

impl Features {
    /// The columns of a space, and one more categorical parameter with `sources` values when there are
    /// results of several sources.
    pub fn new(space: &Space, sources: usize) -> Self {
        let mut features = Self { parameter: Vec::new(), category: Vec::new() };
        for (index, parameter) in space.parameters().iter().enumerate() {
            if parameter.range.is_categorical() {
                features.add_categories(index, parameter.range.count().unwrap_or(1));
            } else {
                features.parameter.push(index);
                features.category.push(None);
            }
        }
        if sources > 1 {
            features.add_categories(space.dimensions(), sources);
        }
        features
    }

    fn add_categories(&mut self, parameter: usize, count: usize) {
        for category in 0..count {
            self.parameter.push(parameter);
            self.category.push(Some(category as f64));
        }
    }

    /// Number of length scales.
    pub fn scales(&self) -> usize {
        self.parameter.last().map_or(0, |last| last + 1)
    }

    /// The parameter of a column when it holds a number.
    pub fn number(&self, column: usize) -> Option<usize> {
        self.category[column].is_none().then_some(self.parameter[column])
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.parameter.len()
    }

    /// Rows of scaled features.
    pub fn scaled(&self, points: &[Vec<f64>], hyper: &Hyperparameters) -> Array2<f64> {
        let inverse: Vec<f64> =
            self.parameter.iter().map(|parameter| 1.0 / hyper.length(*parameter)).collect();
        Array2::from_shape_fn((points.len(), self.columns()), |(row, column)| {
            let place = points[row][self.parameter[column]];
            let value = match self.category[column] {
                // Centred, which keeps differences of squares precise.
                None => place - 0.5,
                Some(category) if category == place => std::f64::consts::FRAC_1_SQRT_2,
                Some(_) => 0.0,
            };
            value * inverse[column]
        })
    }
}

/// Squared lengths of the rows.
pub fn squares(rows: &Array2<f64>) -> Vec<f64> {
    rows.rows().into_iter().map(|row| row.iter().map(|value| value * value).sum()).collect()
}

/// Covariance of two function values at the squared scaled distance `square`.
pub fn covariance(square: f64, amplitude: f64) -> f64 {
    let square = square.max(0.0);
    let r = SQRT_5 * square.sqrt();
    MEAN_VARIANCE + amplitude * (1.0 + r + r * r / 3.0) * (-r).exp()
}

/// Derivative of [`covariance`] by the squared distance.
pub fn slope(square: f64, amplitude: f64) -> f64 {
    let r = SQRT_5 * square.max(0.0).sqrt();
    -5.0 / 6.0 * amplitude * (1.0 + r) * (-r).exp()
}

/// Variance of one function value.
pub fn variance(amplitude: f64) -> f64 {
    MEAN_VARIANCE + amplitude
}

/// Covariances between the rows of two scaled feature matrices.
pub fn cross(left: &Array2<f64>, right: &Array2<f64>, right_squares: &[f64], amplitude: f64) -> Array2<f64> {
    let mut result = Array2::zeros((left.nrows(), right.nrows()));
    general_mat_mul(-2.0, left, &right.t(), 0.0, &mut result);
    for ((mut row, features), square) in result.rows_mut().into_iter().zip(left.rows()).zip(squares(left)) {
        debug_assert_eq!(features.len(), right.ncols());
        for (value, other) in row.iter_mut().zip(right_squares) {
            *value = covariance(*value + square + other, amplitude);
        }
    }
    result
}

/// The lower triangle of the covariance of the rows with themselves, with `noise` on its diagonal.
pub fn own(rows: &Array2<f64>, amplitude: f64, noise: f64) -> Array2<f64> {
    let n = rows.nrows();
    let squares = squares(rows);
    let mut result = Array2::zeros((n, n));
    general_mat_mul(-2.0, rows, &rows.t(), 0.0, &mut result);
    for (index, mut row) in result.rows_mut().into_iter().enumerate() {
        for (value, other) in row.iter_mut().zip(&squares[..index]) {
            *value = covariance(*value + squares[index] + other, amplitude);
        }
        row[index] = variance(amplitude) + noise;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_the_derivative() {
        for square in [1e-4, 0.1, 1.0, 9.0] {
            let step = 1e-6 * square;
            let measured = (covariance(square + step, 2.0) - covariance(square - step, 2.0)) / (2.0 * step);
            assert!((measured / slope(square, 2.0) - 1.0).abs() < 1e-4, "{square}");
        }
    }

    #[test]
    fn covariances_agree_with_themselves() {
        let rows = Array2::from_shape_fn((5, 2), |(i, j)| (i as f64 * 0.7 + j as f64).sin());
        let (all, lower) = (cross(&rows, &rows, &squares(&rows), 1.5), own(&rows, 1.5, 0.1));
        for i in 0..5 {
            for j in 0..i {
                assert!((all[(i, j)] - lower[(i, j)]).abs() < 1e-12);
            }
            assert!((lower[(i, i)] - all[(i, i)] - 0.1).abs() < 1e-7);
        }
    }
}
