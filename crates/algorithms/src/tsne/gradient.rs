//! The gradient of the divergence between similarities in the space of the points and on the map.
//!
//! With `q(i, j) = 1 / (1 + |y_i - y_j|^2)` and Z the sum of all q over i != j, the divergence is
//! `C = sum of p ln p + sum of p ln(1 + |y_i - y_j|^2) + ln Z`, and its gradient
//! `dC/dy_i = 4 (sum over j of p q (y_i - y_j) - 1/Z sum over j of q^2 (y_i - y_j))`.
//! The first sum runs over the neighbours; the second over all points, or over cells of a quadtree.

use super::affinities::Affinities;
use super::quadtree::{Bounds, Quadtree};
use crate::kernels::{GROUP, Group, Pool, attract, repel};

/// Up to so many points the sums over all points are exact: they take no longer then.
pub(super) const FEW: usize = 512;
/// Groups of one piece of work.
const PIECE: usize = 4;

/// A group of points with both sums.
#[derive(Clone, Copy, Default)]
struct Work {
    group: Group,
    pull: [[f32; 2]; GROUP],
}

/// Computes gradients; holds what is used again in every iteration.
pub(super) struct Gradient<'a> {
    pool: &'a Pool,
    affinities: &'a Affinities,
    /// 0 for exact sums.
    theta: f32,
    tree: Quadtree,
    work: Vec<Work>,
}

impl<'a> Gradient<'a> {
    /// For a map of as many points as `affinities` has rows.
    pub(super) fn new(pool: &'a Pool, affinities: &'a Affinities, theta: f32) -> Self {
        let points = affinities.starts.len() - 1;
        let theta = if points <= FEW { 0.0 } else { theta };
        let work = vec![Work::default(); points.div_ceil(GROUP)];
        Self { pool, affinities, theta, tree: Quadtree::default(), work }
    }

    /// Writes the gradient at `points`, with the p multiplied by `exaggeration`; returns Z.
    pub(super) fn evaluate(
        &mut self,
        points: &[[f32; 2]],
        exaggeration: f32,
        gradient: &mut [[f32; 2]],
    ) -> f64 {
        self.tree.build(self.pool, points, self.theta > 0.0);
        let (tree, affinities, theta) = (&self.tree, self.affinities, self.theta);
        let all: Vec<[f32; 3]> = match theta > 0.0 {
            true => Vec::new(),
            false => tree.points.iter().map(|point| [point[0], point[1], 1.0]).collect(),
        };
        self.pool.chunks_mut(&mut self.work, PIECE, |piece, work| {
            let mut near = Vec::new();
            for (index, work) in work.iter_mut().enumerate() {
                let first = (piece * PIECE + index) * GROUP;
                let own = &tree.points[first..(first + GROUP).min(points.len())];
                for (i, point) in own.iter().enumerate() {
                    (work.group.x[i], work.group.y[i]) = (point[0], point[1]);
                    let (columns, weights) = affinities.row(tree.order[first + i] as usize);
                    work.pull[i] = attract(points, columns, weights, *point);
                }
                if theta > 0.0 {
                    tree.sources(&Bounds::of(own), theta, &mut near);
                    repel(&mut work.group, &near);
                } else {
                    repel(&mut work.group, &all);
                }
            }
        });
        self.collect(exaggeration, gradient)
    }

    /// Puts the two sums together.
    fn collect(&self, exaggeration: f32, gradient: &mut [[f32; 2]]) -> f64 {
        let order = &self.tree.order;
        let sums =
            |work: &Work, size: usize| work.group.sum[..size].iter().map(|&s| f64::from(s)).sum::<f64>();
        let sizes = order.chunks(GROUP).map(<[u32]>::len);
        // Every point was a source of its own group too, at distance 0: with q = 1 and without a push.
        let z = self.work.iter().zip(sizes).map(|(work, size)| sums(work, size)).sum::<f64>()
            - order.len() as f64;
        let z = z.max(f64::MIN_POSITIVE);
        let share = (1.0 / z) as f32;
        for (work, places) in self.work.iter().zip(order.chunks(GROUP)) {
            for (i, &place) in places.iter().enumerate() {
                let [pull_x, pull_y] = work.pull[i];
                gradient[place as usize] = [
                    4.0 * (exaggeration * pull_x - share * work.group.push_x[i]),
                    4.0 * (exaggeration * pull_y - share * work.group.push_y[i]),
                ];
            }
        }
        z
    }

    /// The divergence at `points`, with the Z that belongs to them.
    pub(super) fn divergence(&self, points: &[[f32; 2]], z: f64) -> f64 {
        let mut sum = 0.0;
        for (i, at) in points.iter().enumerate() {
            let (columns, weights) = self.affinities.row(i);
            for (&j, &p) in columns.iter().zip(weights) {
                let other = points[j as usize];
                let (dx, dy) = (f64::from(at[0] - other[0]), f64::from(at[1] - other[1]));
                sum += f64::from(p) * (dx * dx + dy * dy).ln_1p();
            }
        }
        self.affinities.negative_entropy + sum + z.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Matrix;
    use crate::random::Random;
    use crate::tsne::neighbors::Neighbors;

    fn problem(count: usize, spread: f32) -> (Affinities, Vec<[f32; 2]>) {
        let mut random = Random::new(count as u64, 9);
        let mut points = Matrix::zeroed(count, 6);
        (0..count).for_each(|i| points.row_mut(i).iter_mut().for_each(|v| *v = random.normal()));
        let neighbors = Neighbors::exact(&Pool::new(1), &points, 15);
        let map = (0..count).map(|_| [random.normal() * spread, random.normal() * spread]).collect();
        (Affinities::new(&Pool::new(1), &neighbors, 5.0), map)
    }

    /// The divergence by its definition, in double precision.
    fn divergence(p: &Affinities, map: &[[f64; 2]], exaggeration: f64) -> f64 {
        let squared =
            |i: usize, j: usize| (0..2).map(|axis| (map[i][axis] - map[j][axis]).powi(2)).sum::<f64>();
        let count = map.len();
        let pairs = || (0..count).flat_map(|i| (0..count).map(move |j| (i, j))).filter(|(i, j)| i != j);
        let z: f64 = pairs().map(|(i, j)| 1.0 / (1.0 + squared(i, j))).sum();
        let mut sum = p.negative_entropy + z.ln();
        for i in 0..count {
            let (columns, weights) = p.row(i);
            for (&j, &weight) in columns.iter().zip(weights) {
                sum += exaggeration * f64::from(weight) * squared(i, j as usize).ln_1p();
            }
        }
        sum
    }

    #[test]
    fn the_gradient_equals_finite_differences() {
        for (count, spread, exaggeration) in [(20, 0.5, 1.0), (37, 2.0, 1.0), (37, 1.0, 4.0)] {
            let (p, map) = problem(count, spread);
            let pool = Pool::new(2);
            let mut work = Gradient::new(&pool, &p, 0.5);
            let mut gradient = vec![[0.0; 2]; count];
            let z = work.evaluate(&map, exaggeration as f32, &mut gradient);
            let exact: Vec<[f64; 2]> = map.iter().map(|point| point.map(f64::from)).collect();
            if exaggeration == 1.0 {
                assert!((work.divergence(&map, z) - divergence(&p, &exact, 1.0)).abs() < 1e-6);
            }
            for i in 0..count {
                for axis in 0..2 {
                    let moved = |by: f64| {
                        let mut map = exact.clone();
                        map[i][axis] += by;
                        divergence(&p, &map, exaggeration)
                    };
                    let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    let got = f64::from(gradient[i][axis]);
                    assert!((got - want).abs() < 1e-5 + 1e-4 * want.abs(), "{count} {i}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn cells_change_the_gradient_little_and_without_theta_not_at_all() {
        let (p, map) = problem(2 * FEW, 6.0);
        let pool = Pool::new(2);
        let evaluate = |theta: f32| {
            let mut gradient = vec![[0.0; 2]; map.len()];
            let z = Gradient::new(&pool, &p, theta).evaluate(&map, 1.0, &mut gradient);
            (z, gradient)
        };
        let (z, exact) = evaluate(0.0);
        let length = |g: &[[f32; 2]]| g.iter().flatten().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
        for (theta, most) in [(1e-4, 1e-5), (0.2, 3e-3), (0.5, 2e-2)] {
            let (about, close) = evaluate(theta);
            let off: Vec<[f32; 2]> =
                exact.iter().zip(&close).map(|(a, b)| [a[0] - b[0], a[1] - b[1]]).collect();
            let error = length(&off) / length(&exact);
            assert!(error < most, "theta {theta}: {error}");
            assert!((about - z).abs() < most * z, "theta {theta}: {about} {z}");
        }
    }

    #[test]
    fn threads_change_nothing() {
        let (p, map) = problem(1500, 3.0);
        let evaluate = |threads: usize| {
            let mut gradient = vec![[0.0; 2]; map.len()];
            let z = Gradient::new(&Pool::new(threads), &p, 0.5).evaluate(&map, 2.0, &mut gradient);
            (z, gradient)
        };
        assert_eq!(evaluate(1), evaluate(3));
    }
}
