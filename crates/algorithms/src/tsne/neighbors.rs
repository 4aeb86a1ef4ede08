//! The nearest neighbours of every point, exactly.
//!
//! With lengths known, `|a - b|^2 = |a|^2 + |b|^2 - 2 a.b`, and all products `a.b` of a block of points are one matrix
//! product. Subtracting large numbers loses digits, so a few more candidates than neighbours are kept and their
//! distances computed from the differences.

use crate::kernels::{Matrix, Pool, dot, forward, squared_distance};

/// Points of one piece of work.
const BLOCK: usize = 128;
/// Points that a block is compared with at a time: their numbers stay in the second-level cache.
const PANEL: usize = 512;
/// Candidates beside the neighbours.
const MORE: usize = 8;

/// For every point its nearest others, nearest first.
pub(super) struct Neighbors {
    /// Neighbours per point.
    pub count: usize,
    /// `count` places per point.
    pub places: Vec<u32>,
    /// Squared distances to them.
    pub squared: Vec<f32>,
}

impl Neighbors {
    /// The `count` nearest neighbours of every row; at most all others. Of equally far ones those with lower places.
    pub(super) fn exact(pool: &Pool, points: &Matrix, count: usize) -> Self {
        let rows = points.rows();
        let count = count.min(rows.saturating_sub(1));
        let panels: Vec<Matrix> = (0..rows).step_by(PANEL).map(|first| panel(points, first)).collect();
        let lengths: Vec<f32> = (0..rows).map(|row| dot(points.row(row), points.row(row))).collect();
        let mut found = vec![(0.0f32, 0u32); rows * count];
        pool.chunks_mut(&mut found, (BLOCK * count).max(1), |block, found| {
            let first = block * BLOCK;
            let size = found.len() / count;
            let mut own = Matrix::zeroed(size, points.columns());
            (0..size).for_each(|i| own.row_mut(i).copy_from_slice(points.row(first + i)));
            let mut nearest: Vec<Nearest> = (0..size).map(|_| Nearest::new(count + 1 + MORE)).collect();
            for (index, panel) in panels.iter().enumerate() {
                let mut products = Matrix::zeroed(size, panel.columns());
                forward(pool, &own, size, panel, &mut products, |_, _, _| {});
                let at = index * PANEL;
                for (i, nearest) in nearest.iter_mut().enumerate() {
                    nearest.offer(at, products.row(i), &lengths[at..at + panel.columns()]);
                }
            }
            for (i, (nearest, into)) in nearest.into_iter().zip(found.chunks_exact_mut(count)).enumerate() {
                let exact = nearest.finish(points, first + i);
                into.copy_from_slice(&exact[..count]);
            }
        });
        let places = found.iter().map(|&(_, place)| place).collect();
        Self { count, places, squared: found.into_iter().map(|(squared, _)| squared).collect() }
    }
}

/// Up to [`PANEL`] rows from `first` on, as columns.
fn panel(points: &Matrix, first: usize) -> Matrix {
    let width = PANEL.min(points.rows() - first);
    let mut panel = Matrix::zeroed(points.columns(), width);
    let stride = panel.stride();
    let data = panel.data_mut();
    for column in 0..width {
        for (row, &value) in points.row(first + column).iter().enumerate() {
            data[row * stride + column] = value;
        }
    }
    panel
}

/// The nearest so far; up to twice as many are held before the farther half is thrown away.
struct Nearest {
    keep: usize,
    held: Vec<(f32, u32)>,
    /// What is not nearer than this is none of them.
    limit: f32,
}

impl Nearest {
    fn new(keep: usize) -> Self {
        Self { keep, held: Vec::with_capacity(2 * keep), limit: f32::INFINITY }
    }

    /// Takes points from place `first` on, of which the products and the squared lengths are given. The length of the
    /// point itself is left out: it changes no order.
    fn offer(&mut self, first: usize, products: &[f32], lengths: &[f32]) {
        for (i, (&product, &length)) in products.iter().zip(lengths).enumerate() {
            let distance = length - 2.0 * product;
            if distance < self.limit {
                self.held.push((distance, (first + i) as u32));
                if self.held.len() == 2 * self.keep {
                    self.cut();
                }
            }
        }
    }

    fn cut(&mut self) {
        if self.held.len() > self.keep {
            self.held.select_nth_unstable_by(self.keep - 1, order);
            self.held.truncate(self.keep);
            self.limit = self.held[self.keep - 1].0;
        }
    }

    /// The exact squared distances of those that are left, without the point itself, in order.
    fn finish(mut self, points: &Matrix, own: usize) -> Vec<(f32, u32)> {
        self.cut();
        self.held.retain(|&(_, place)| place as usize != own);
        for (distance, place) in &mut self.held {
            *distance = squared_distance(points.row(own), points.row(*place as usize));
        }
        self.held.sort_unstable_by(order);
        self.held
    }
}

fn order(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn they_are_those_of_plain_loops() {
        for (rows, columns, count) in [(2, 3, 5), (40, 1, 39), (700, 7, 10), (1100, 20, 3)] {
            let mut random = Random::new(rows as u64, 1);
            let mut points = Matrix::zeroed(rows, columns);
            (0..rows).for_each(|i| points.row_mut(i).iter_mut().for_each(|v| *v = 5.0 + random.uniform(1.0)));
            // A point that is there twice.
            let twin = points.row(0).to_vec();
            points.row_mut(1).copy_from_slice(&twin);
            let found = Neighbors::exact(&Pool::new(2), &points, count);
            assert_eq!(found.count, count.min(rows - 1));
            for i in 0..rows {
                let mut all: Vec<(f32, u32)> = (0..rows)
                    .filter(|&j| j != i)
                    .map(|j| (squared_distance(points.row(i), points.row(j)), j as u32))
                    .collect();
                all.sort_by(order);
                let range = i * found.count..(i + 1) * found.count;
                let want: Vec<u32> = all.iter().take(found.count).map(|&(_, j)| j).collect();
                assert_eq!(found.places[range.clone()], want, "{rows} {i}");
                assert_eq!(found.squared[range.start], all[0].0);
            }
            assert_eq!((found.places[0], found.squared[0]), (1, 0.0));
        }
    }
}
