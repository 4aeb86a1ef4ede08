//! How similar points are in their own space: p of van der Maaten and Hinton (2008).
//!
//! `p(j|i)` falls with `exp(-beta_i d(i, j)^2)` over the nearest neighbours j of i, where beta_i is such that the entropy
//! of `p(.|i)` is the logarithm of the perplexity; `p(i, j) = (p(j|i) + p(i|j)) / 2n`.

use super::neighbors::Neighbors;
use crate::kernels::{GROUP, Pool, round_up};

/// Halvings of the interval of beta at most.
const HALVINGS: usize = 100;
/// Error of the entropy that is let be.
const TOLERANCE: f64 = 1e-5;
/// Rows of one piece of work.
const PIECE: usize = 64;

/// A symmetric matrix p with few entries, which sum up to 1; row by row, each filled up with entries of weight 0 to a
/// multiple of 16.
pub(super) struct Affinities {
    /// Where each row begins, and the end.
    pub starts: Vec<usize>,
    pub columns: Vec<u32>,
    pub weights: Vec<f32>,
    /// Sum of `p ln p`: what the divergence takes from p alone.
    pub negative_entropy: f64,
}

impl Affinities {
    /// The similarities for a perplexity, which the number of neighbours limits.
    pub(super) fn new(pool: &Pool, neighbors: &Neighbors, perplexity: f64) -> Self {
        let (count, points) = (neighbors.count, neighbors.places.len() / neighbors.count.max(1));
        let mut conditional = neighbors.squared.clone();
        pool.chunks_mut(&mut conditional, (PIECE * count).max(1), |_, rows| {
            rows.chunks_exact_mut(count).for_each(|row| distribution(row, perplexity));
        });
        let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::with_capacity(2 * count); points];
        let share = 1.0 / (2.0 * points as f32);
        for i in 0..points {
            let range = i * count..(i + 1) * count;
            for (&j, &p) in neighbors.places[range.clone()].iter().zip(&conditional[range]) {
                let weight = p * share;
                rows[i].push((j, weight));
                rows[j as usize].push((i as u32, weight));
            }
        }
        pool.chunks_mut(&mut rows, PIECE, |_, rows| rows.iter_mut().for_each(merge));
        let mut all =
            Self { starts: vec![0], columns: Vec::new(), weights: Vec::new(), negative_entropy: 0.0 };
        for (i, row) in rows.iter().enumerate() {
            all.columns.extend(row.iter().map(|&(column, _)| column));
            all.weights.extend(row.iter().map(|&(_, weight)| weight));
            let end = round_up(all.columns.len(), GROUP);
            all.columns.resize(end, i as u32);
            all.weights.resize(end, 0.0);
            all.starts.push(end);
        }
        let weights = all.weights.iter().map(|&p| f64::from(p));
        all.negative_entropy = weights.filter(|&p| p > 0.0).map(|p| p * p.ln()).sum();
        all
    }

    /// Columns and weights of a row.
    pub(super) fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.columns[range.clone()], &self.weights[range])
    }
}

/// Makes of squared distances the probabilities with the wanted perplexity.
fn distribution(row: &mut [f32], perplexity: f64) {
    let nearest = row.first().copied().unwrap_or_default();
    let distances: Vec<f64> = row.iter().map(|&d| f64::from(d - nearest)).collect();
    let want = perplexity.ln();
    let mean = distances.iter().sum::<f64>() / distances.len().max(1) as f64;
    let mut beta = if mean > 0.0 { 1.0 / mean } else { 1.0 };
    let (mut low, mut high) = (0.0, f64::INFINITY);
    for _ in 0..HALVINGS {
        let (mut sum, mut moment) = (0.0, 0.0);
        for &d in &distances {
            let p = (-beta * d).exp();
            sum += p;
            moment += p * d;
        }
        let error = sum.ln() + beta * moment / sum - want;
        if error.abs() < TOLERANCE {
            break;
        }
        if error > 0.0 {
            low = beta;
            beta = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * beta };
        } else {
            high = beta;
            beta = 0.5 * (low + high);
        }
        if !beta.is_finite() || beta > 1e300 {
            beta = low;
            break;
        }
    }
    let weights: Vec<f64> = distances.iter().map(|d| (-beta * d).exp()).collect();
    let sum: f64 = weights.iter().sum();
    row.iter_mut().zip(weights).for_each(|(p, weight)| *p = (weight / sum) as f32);
}

/// Sorts a row by column and adds up what stands for the same.
fn merge(row: &mut Vec<(u32, f32)>) {
    row.sort_unstable_by_key(|&(column, _)| column);
    row.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        kept.1 += if same { later.1 } else { 0.0 };
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Matrix;
    use crate::random::Random;

    #[test]
    fn every_distribution_has_the_perplexity() {
        for (count, perplexity) in [(90, 30.0), (20, 5.0), (10, 9.9)] {
            let mut random = Random::new(count, 2);
            let mut row: Vec<f32> = (0..count).map(|_| 100.0 + random.uniform(3.0)).collect();
            row.sort_by(f32::total_cmp);
            distribution(&mut row, perplexity);
            let entropy: f64 = row.iter().map(|&p| f64::from(p)).map(|p| -p * p.ln()).sum();
            assert!((entropy.exp() - perplexity).abs() < 1e-3 * perplexity, "{}", entropy.exp());
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let mut equal = [4.0; 6];
        distribution(&mut equal, 3.0);
        assert!(equal.iter().all(|p| (p - 1.0 / 6.0).abs() < 1e-6), "equally far points are equally likely");
    }

    #[test]
    fn the_matrix_is_symmetric_and_sums_up_to_one() {
        let mut random = Random::new(4, 2);
        let mut points = Matrix::zeroed(60, 4);
        (0..60).for_each(|i| points.row_mut(i).iter_mut().for_each(|v| *v = random.uniform(1.0)));
        let neighbors = Neighbors::exact(&Pool::new(1), &points, 15);
        let p = Affinities::new(&Pool::new(2), &neighbors, 5.0);
        let mut dense = vec![0.0f32; 3600];
        for i in 0..60 {
            let (columns, weights) = p.row(i);
            assert!(columns.len().is_multiple_of(GROUP) && columns.len() >= 15);
            for (&j, &weight) in columns.iter().zip(weights) {
                dense[i * 60 + j as usize] += weight;
            }
            assert_eq!(dense[i * 61], 0.0, "no point is its own neighbour");
        }
        assert!((dense.iter().map(|&p| f64::from(p)).sum::<f64>() - 1.0).abs() < 1e-5);
        assert!((0..60).all(|i| (0..60).all(|j| dense[i * 60 + j] == dense[j * 60 + i])));
        let entropy: f64 =
            dense.iter().filter(|&&p| p > 0.0).map(|&p| f64::from(p) * f64::from(p).ln()).sum();
        assert!((entropy - p.negative_entropy).abs() < 1e-9);
    }
}
