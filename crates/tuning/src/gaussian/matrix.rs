//! Dense positive definite systems: Cholesky factor and triangular solves, cut into blocks so that
//! the bulk of the work is matrix products.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut2, Axis, s};

/// Rows of a block: small enough that the part without matrix products is cheap, large enough that
/// the products are efficient.
const BLOCK: usize = 32;

/// Sum of products, in eight running sums so that it can be vectorised.
pub fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut sums = [0.0f64; 8];
    let (left_chunks, right_chunks) = (left.chunks_exact(8), right.chunks_exact(8));
    let rest: f64 = left_chunks.remainder().iter().zip(right_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left_chunks.zip(right_chunks) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    rest + sums.iter().sum::<f64>()
}

/// `target -= factor * source`.
fn subtract(target: &mut [f64], factor: f64, source: &[f64]) {
    for (value, other) in target.iter_mut().zip(source) {
        *value -= factor * other;
    }
}

/// The lower factor `L` of `L L' = A`, row by row. Above its diagonal stands what was in `A`.
#[derive(Debug, Clone)]
pub struct Cholesky(Array2<f64>);

impl Cholesky {
    /// Factors a symmetric matrix whose lower triangle is filled; `None` when it is not positive
    /// definite.
    pub fn of(mut matrix: Array2<f64>) -> Option<Self> {
        let n = matrix.nrows();
        let mut start = 0;
        while start < n {
            let end = (start + BLOCK).min(n);
            factor_diagonal(matrix.slice_mut(s![start..end, start..end]))?;
            let (top, mut below) = matrix.view_mut().split_at(Axis(0), end);
            let diagonal = top.slice(s![start..end, start..end]);
            for mut row in below.rows_mut() {
                let row = row.as_slice_mut()?;
                for column in 0..end - start {
                    let lower = diagonal.row(column);
                    let lower = lower.as_slice()?;
                    let known = dot(&row[start..start + column], &lower[..column]);
                    row[start + column] = (row[start + column] - known) / lower[column];
                }
            }
            update_trailing(&mut matrix, start, end);
            start = end;
        }
        Some(Self(matrix))
    }

    /// Order of the matrix.
    pub fn order(&self) -> usize {
        self.0.nrows()
    }

    /// The factor of the matrix with one more row and column: `row` holds the covariances with the
    /// others, `diagonal` the new diagonal entry. `None` when it would not be positive definite.
    pub fn extended(&self, mut row: Vec<f64>, diagonal: f64) -> Option<Self> {
        let n = self.order();
        self.forward(&mut row);
        let pivot = diagonal - dot(&row, &row);
        if !pivot.is_finite() || pivot <= 0.0 {
            return None;
        }
        let mut larger = Array2::zeros((n + 1, n + 1));
        larger.slice_mut(s![..n, ..n]).assign(&self.0);
        row.push(pivot.sqrt());
        larger.row_mut(n).assign(&ndarray::ArrayView1::from(&row));
        Some(Self(larger))
    }

    /// Half the logarithm of the determinant of `A`.
    pub fn half_log_determinant(&self) -> f64 {
        self.0.diag().iter().map(|value| value.ln()).sum()
    }

    fn row(&self, index: usize) -> &[f64] {
        let n = self.order();
        self.0.as_slice().map_or(&[], |all| &all[index * n..index * n + index + 1])
    }

    /// Solves `L x = b` in place.
    pub fn forward(&self, vector: &mut [f64]) {
        for index in 0..self.order() {
            let row = self.row(index);
            let known = dot(&row[..index], &vector[..index]);
            vector[index] = (vector[index] - known) / row[index];
        }
    }

    /// Solves `L' x = b` in place.
    pub fn backward(&self, vector: &mut [f64]) {
        for index in (0..self.order()).rev() {
            let row = self.row(index);
            vector[index] /= row[index];
            let value = vector[index];
            subtract(&mut vector[..index], value, &row[..index]);
        }
    }

    /// Solves `L X = B` in place for many right-hand sides, one a column.
    pub fn forward_all(&self, sides: &mut Array2<f64>) {
        let n = self.order();
        let width = sides.ncols();
        let mut start = 0;
        while start < n {
            let end = (start + BLOCK).min(n);
            let (mut done, mut below) = sides.view_mut().split_at(Axis(0), end);
            if let Some(block) = done.slice_mut(s![start..end, ..]).as_slice_mut() {
                for index in 0..end - start {
                    let row = self.row(start + index);
                    let (solved, rest) = block.split_at_mut(index * width);
                    let target = &mut rest[..width];
                    for (earlier, values) in solved.chunks_exact(width).enumerate() {
                        subtract(target, row[start + earlier], values);
                    }
                    let diagonal = row[start + index];
                    target.iter_mut().for_each(|value| *value /= diagonal);
                }
            }
            if end < n {
                let lower = self.0.slice(s![end.., start..end]);
                general_mat_mul(-1.0, &lower, &done.slice(s![start..end, ..]), 1.0, &mut below);
            }
            start = end;
        }
    }
}

fn factor_diagonal(mut block: ArrayViewMut2<'_, f64>) -> Option<()> {
    for index in 0..block.nrows() {
        let (above, mut from) = block.view_mut().split_at(Axis(0), index);
        let mut row = from.row_mut(0);
        let row = row.as_slice_mut()?;
        for (column, upper) in above.rows().into_iter().enumerate() {
            let upper = upper.to_slice()?;
            row[column] = (row[column] - dot(&row[..column], &upper[..column])) / upper[column];
        }
        let pivot = row[index] - dot(&row[..index], &row[..index]);
        if !pivot.is_finite() || pivot <= 0.0 {
            return None;
        }
        row[index] = pivot.sqrt();
    }
    Some(())
}

/// Takes the product of the block column `start..end` off the lower triangle behind it.
fn update_trailing(matrix: &mut Array2<f64>, start: usize, end: usize) {
    let n = matrix.nrows();
    let panel = matrix.slice(s![end.., start..end]).to_owned();
    let mut column = end;
    while column < n {
        let next = (column + 2 * BLOCK).min(n);
        let left = panel.slice(s![column - end.., ..]);
        let right = panel.slice(s![column - end..next - end, ..]);
        general_mat_mul(-1.0, &left, &right.t(), 1.0, &mut matrix.slice_mut(s![column.., column..next]));
        column = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn positive(n: usize) -> Array2<f64> {
        let mut random = Random::new(n as u64, 0);
        let half = Array2::from_shape_fn((n, n), |_| random.normal());
        half.dot(&half.t()) + Array2::<f64>::eye(n) * 0.5
    }

    #[test]
    fn every_size_around_the_blocks_factors_and_solves() {
        for n in [1, 2, 7, 31, 32, 33, 63, 64, 65, 96, 130] {
            let matrix = positive(n);
            let factor = Cholesky::of(matrix.clone()).unwrap();
            let lower = Array2::from_shape_fn((n, n), |(i, j)| if j <= i { factor.0[(i, j)] } else { 0.0 });
            let difference = &lower.dot(&lower.t()) - &matrix;
            assert!(difference.iter().all(|value| value.abs() < 1e-9), "{n}");
            let right = Array2::from_shape_fn((n, 3), |(i, j)| (i * 3 + j) as f64 - 4.0);
            let mut all = right.clone();
            factor.forward_all(&mut all);
            for column in 0..3 {
                let mut one = right.column(column).to_vec();
                factor.forward(&mut one);
                for (a, b) in one.iter().zip(all.column(column)) {
                    assert!((a - b).abs() < 1e-9, "{n}");
                }
                factor.backward(&mut one);
                let product = matrix.dot(&ndarray::Array1::from(one));
                for (a, b) in product.iter().zip(right.column(column)) {
                    assert!((a - b).abs() < 1e-6, "{n}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn a_factor_grows_by_a_row() {
        let matrix = positive(40);
        let part = Cholesky::of(matrix.slice(s![..39, ..39]).to_owned()).unwrap();
        let row = matrix.row(39).to_vec();
        let grown = part.extended(row[..39].to_vec(), row[39]).unwrap();
        let whole = Cholesky::of(matrix).unwrap();
        assert!((grown.half_log_determinant() - whole.half_log_determinant()).abs() < 1e-9);
        assert!(part.extended(vec![100.0; 39], 1.0).is_none());
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let mut matrix = positive(40);
        matrix[(35, 35)] = -1.0;
        assert!(Cholesky::of(matrix).is_none());
        assert!(Cholesky::of(Array2::from_elem((1, 1), f64::NAN)).is_none());
    }
}
