//! How far a map can be trusted.
//!
//! Trustworthiness (Venna and Kaski 2001, as scikit-learn counts it): with the k nearest neighbours j of i on the map
//! and their ranks r(i, j) among all others in the space of the points,
//! `1 - 2 / (n k (2n - 3k - 1)) sum over i, j of max(0, r(i, j) - k)`. Of many points, evenly chosen ones stand for all.

use crate::kernels::{Matrix, Pool, squared_distance};

/// Multiplications that are spent at most: a second or so.
const MOST_WORK: usize = 20_000_000_000;
/// Points of one piece of work.
const PIECE: usize = 16;

/// Trustworthiness of a map with `k` neighbours; 1 when there are too few points to ask.
pub(super) fn trustworthiness(pool: &Pool, points: &Matrix, map: &[[f32; 2]], k: usize) -> f64 {
    let n = map.len();
    if k == 0 || n < 2 * k + 2 {
        return 1.0;
    }
    let every = (n * n * points.columns()).div_ceil(MOST_WORK).max(1);
    let asked: Vec<usize> = (0..n).step_by(every).collect();
    let mut excess = vec![0u64; asked.len()];
    pool.chunks_mut(&mut excess, PIECE, |piece, excess| {
        for (&i, excess) in asked[piece * PIECE..].iter().zip(excess) {
            *excess = excess_of(points, map, i, k);
        }
    });
    let share = excess.iter().sum::<u64>() as f64 / asked.len() as f64;
    1.0 - 2.0 * share / (k as f64 * (2 * n - 3 * k - 1) as f64)
}

/// Sum of what the ranks of a point's neighbours are above k.
fn excess_of(points: &Matrix, map: &[[f32; 2]], i: usize, k: usize) -> u64 {
    let on_map = |j: usize| {
        let (dx, dy) = (map[i][0] - map[j][0], map[i][1] - map[j][1]);
        dx * dx + dy * dy
    };
    let others = || (0..map.len()).filter(|&j| j != i);
    let mut near: Vec<(f32, usize)> = others().map(|j| (on_map(j), j)).collect();
    near.select_nth_unstable_by(k - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let distances: Vec<f32> =
        (0..map.len()).map(|j| squared_distance(points.row(i), points.row(j))).collect();
    let rank = |j: usize| 1 + others().filter(|&l| distances[l] < distances[j]).count();
    near[..k].iter().map(|&(_, j)| rank(j).saturating_sub(k) as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_faithful_map_is_trusted_and_a_shuffled_one_is_not() {
        let mut line = Matrix::zeroed(50, 1);
        (0..50).for_each(|i| line.row_mut(i)[0] = (i * i) as f32);
        let faithful: Vec<[f32; 2]> = (0..50).map(|i| [(i * i) as f32, 0.0]).collect();
        assert_eq!(trustworthiness(&Pool::new(2), &line, &faithful, 5), 1.0);
        let mut shuffled = faithful.clone();
        Random::new(1, 1).shuffle(&mut shuffled);
        let trust = trustworthiness(&Pool::new(1), &line, &shuffled, 5);
        assert!(trust < 0.7, "{trust}");
        assert_eq!(trustworthiness(&Pool::new(1), &line, &shuffled, 30), 1.0, "too few points to ask");
    }

    #[test]
    fn the_number_is_scikit_learns() {
        // sklearn.manifold.trustworthiness([[0], [1], [2.5], [4.5], [7]], [[0, 0], [3, 0], [1, 0], [2.1, 0], [9, 0]],
        // n_neighbors=1), scikit-learn 1.9.1.
        let mut line = Matrix::zeroed(5, 1);
        (0..5).for_each(|i| line.row_mut(i)[0] = [0.0, 1.0, 2.5, 4.5, 7.0][i]);
        let map = [[0.0, 0.0], [3.0, 0.0], [1.0, 0.0], [2.1, 0.0], [9.0, 0.0]];
        assert!((trustworthiness(&Pool::new(1), &line, &map, 1) - 0.4).abs() < 1e-12);
    }
}
