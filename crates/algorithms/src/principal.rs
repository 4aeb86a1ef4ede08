//! Principal components of many rows by subspace iteration: the directions of largest spread, without a matrix of
//! columns by columns.
//!
//! With the centred rows X, `Q <- orthonormal(Xᵀ X Q)` is repeated on a few more directions than are asked for
//! (Halko, Martinsson and Tropp 2011), and the small symmetric matrix `Qᵀ Xᵀ X Q` says which combinations are the
//! components.
//!
//! Promises: the same rows give the same components, whatever the number of threads; each is of length 1, and its
//! largest number (by size) is positive. Never: changes the rows.

use crate::kernels::{Matrix, Pool, add, add_scaled, dot};
use crate::random::Random;

/// Directions beside those that are asked for.
const MORE: usize = 6;
/// Rounds at most; well separated components need ten.
const ROUNDS: usize = 40;
/// The iteration ends when no direction turns by more than this.
const TOLERANCE: f64 = 1e-5;
/// Rows of one piece of work.
const PIECE: usize = 256;

/// The first `count` components of the rows of `rows` after `mean` is taken off; fewer when there are fewer columns.
pub(crate) fn components(pool: &Pool, rows: &Matrix, mean: &[f32], count: usize) -> Vec<Vec<f32>> {
    let columns = rows.columns();
    let width = (count + MORE).min(columns);
    let mut random = Random::new(0, 7);
    let mut basis: Vec<Vec<f32>> =
        (0..width).map(|_| (0..columns).map(|_| random.uniform(1.0)).collect()).collect();
    orthonormalise(&mut basis);
    for _ in 0..ROUNDS {
        let mut next = spread(pool, rows, mean, &basis);
        orthonormalise(&mut next);
        let turned = basis.iter().zip(&next).take(count).map(|(a, b)| 1.0 - f64::from(dot(a, b)).abs());
        let most = turned.fold(0.0, f64::max);
        basis = next;
        if most < TOLERANCE * TOLERANCE {
            break;
        }
    }
    let image = spread(pool, rows, mean, &basis);
    let small: Vec<Vec<f64>> =
        basis.iter().map(|a| image.iter().map(|b| f64::from(dot(a, b))).collect()).collect();
    let turns = eigenvectors(small);
    turns.into_iter().take(count.min(width)).map(|turn| combine(&basis, &turn)).collect()
}

/// The mean of all rows.
pub(crate) fn mean(rows: &Matrix) -> Vec<f32> {
    let mut sum = vec![0.0f64; rows.columns()];
    for row in 0..rows.rows() {
        sum.iter_mut().zip(rows.row(row)).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let share = 1.0 / rows.rows().max(1) as f64;
    sum.into_iter().map(|sum| (sum * share) as f32).collect()
}

/// `Xᵀ X q` for every direction q.
fn spread(pool: &Pool, rows: &Matrix, mean: &[f32], basis: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let (columns, width) = (rows.columns(), basis.len());
    let centre: Vec<f32> = basis.iter().map(|q| dot(q, mean)).collect();
    let pieces = rows.rows().div_ceil(PIECE);
    let mut partial = vec![0.0f32; pieces * (columns + 1) * width];
    pool.chunks_mut(&mut partial, (columns + 1) * width, |piece, sums| {
        let (sums, totals) = sums.split_at_mut(columns * width);
        for row in piece * PIECE..((piece + 1) * PIECE).min(rows.rows()) {
            let row = rows.row(row);
            for (k, q) in basis.iter().enumerate() {
                let along = dot(row, q) - centre[k];
                add_scaled(&mut sums[k * columns..(k + 1) * columns], row, along);
                totals[k] += along;
            }
        }
    });
    let mut image = vec![vec![0.0f32; columns]; width];
    for sums in partial.chunks_exact((columns + 1) * width) {
        for (k, into) in image.iter_mut().enumerate() {
            add(into, &sums[k * columns..(k + 1) * columns]);
            add_scaled(into, mean, -sums[columns * width + k]);
        }
    }
    image
}

/// Gram and Schmidt, twice; a direction that depends on those before becomes zero.
fn orthonormalise(basis: &mut [Vec<f32>]) {
    for k in 0..basis.len() {
        let (before, rest) = basis.split_at_mut(k);
        let Some(direction) = rest.first_mut() else { return };
        let length = dot(direction, direction).sqrt();
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(direction, other);
                add_scaled(direction, other, -along);
            }
        }
        let left = dot(direction, direction).sqrt();
        let scale = if left > 1e-6 * length { 1.0 / left } else { 0.0 };
        direction.iter_mut().for_each(|value| *value *= scale);
    }
}

/// A combination of the basis, of length 1 and with its largest number positive.
fn combine(basis: &[Vec<f32>], turn: &[f64]) -> Vec<f32> {
    let mut out = vec![0.0f32; basis.first().map_or(0, Vec::len)];
    basis.iter().zip(turn).for_each(|(direction, &share)| add_scaled(&mut out, direction, share as f32));
    let largest = out.iter().copied().fold(0.0f32, |most, v| if v.abs() > most.abs() { v } else { most });
    let length = dot(&out, &out).sqrt();
    let scale = if length > 0.0 { largest.signum() / length } else { 0.0 };
    out.iter_mut().for_each(|value| *value *= scale);
    out
}

/// Eigenvectors of a symmetric matrix, that of the largest eigenvalue first, by Jacobi's rotations.
fn eigenvectors(mut a: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..30 {
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q].abs() <= 1e-15 * (a[p][p] * a[q][q]).abs().sqrt() {
                    continue;
                }
                let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = t * c;
                for row in &mut a {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                for k in 0..n {
                    (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]);
                    (vectors[p][k], vectors[q][k]) =
                        (c * vectors[p][k] - s * vectors[q][k], s * vectors[p][k] + c * vectors[q][k]);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j][j].total_cmp(&a[i][i]));
    order.into_iter().map(|i| vectors[i].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with spread 5, 3 and 1 along three directions that are at right angles, around a mean.
    fn rows(count: usize) -> (Matrix, [Vec<f32>; 2]) {
        let mut random = Random::new(3, 1);
        let directions = [[0.6f32, 0.8, 0.0, 0.0], [-0.8, 0.6, 0.0, 0.0], [0.0, 0.0, 0.6, 0.8]];
        let mut rows = Matrix::zeroed(count, 4);
        for row in 0..count {
            let row = rows.row_mut(row);
            row.copy_from_slice(&[7.0, -2.0, 1.0, 4.0]);
            for (direction, spread) in directions.iter().zip([5.0, 3.0, 1.0]) {
                add_scaled(row, direction, random.uniform(spread));
            }
        }
        (rows, [directions[0].to_vec(), vec![0.8, -0.6, 0.0, 0.0]])
    }

    #[test]
    fn directions_of_largest_spread_are_found_for_any_number_of_threads() {
        let (rows, want) = rows(2000);
        let middle = mean(&rows);
        assert!(middle.iter().zip([7.0, -2.0, 1.0, 4.0]).all(|(a, b)| (a - b).abs() < 0.3), "{middle:?}");
        let found = components(&Pool::new(1), &rows, &middle, 2);
        for (found, want) in found.iter().zip(&want) {
            assert!(dot(found, want).abs() > 0.998, "{found:?} {want:?}");
            assert!(found.iter().fold(0.0f32, |m, &v| if v.abs() > m.abs() { v } else { m }) > 0.0);
        }
        assert_eq!(components(&Pool::new(3), &rows, &middle, 2), found);
    }

    #[test]
    fn without_spread_there_is_no_direction() {
        let rows = Matrix::zeroed(5, 3);
        let found = components(&Pool::new(1), &rows, &[0.0; 3], 2);
        assert_eq!(found.len(), 2);
        assert!(found.iter().flatten().all(|value| value.is_finite()));
        assert_eq!(components(&Pool::new(1), &Matrix::zeroed(4, 1), &[0.0], 2).len(), 1);
    }
}
