//! Points of the plane in the order of a Hilbert curve, and a quadtree over that order.
//!
//! Neighbours on the curve are neighbours in the plane, so sixteen points in a row make a small group, and every cell of
//! the tree is a range of the order. The tree is an array in the order of a walk in depth first: what is below a cell
//! follows it, and each cell knows where the walk goes on if nothing below it is wanted.

use crate::kernels::Pool;

/// Bits of a coordinate on the curve: cells of a 65,536th of the width are not divided any more.
const BITS: u32 = 16;
/// Points of a cell that is not divided.
const LEAF: usize = 8;
/// Points whose codes one piece of work computes.
const PIECE: usize = 4096;

/// A cell.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// Mean of its points.
    x: f32,
    y: f32,
    /// Number of its points.
    mass: f32,
    /// Square of the longer side of the smallest box around its points.
    squared_size: f32,
    /// The first cell that is not below this one.
    skip: u32,
    /// Its points, when it is not divided.
    leaf: Option<(u32, u32)>,
}

/// A box around points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    low: [f32; 2],
    high: [f32; 2],
}

impl Bounds {
    /// The smallest box around points.
    pub(super) fn of(points: &[[f32; 2]]) -> Self {
        let nothing = Self { low: [f32::INFINITY; 2], high: [f32::NEG_INFINITY; 2] };
        points.iter().fold(nothing, |bounds, point| bounds.with(Self { low: *point, high: *point }))
    }

    fn with(self, other: Self) -> Self {
        let least = |axis: usize| self.low[axis].min(other.low[axis]);
        let most = |axis: usize| self.high[axis].max(other.high[axis]);
        Self { low: [least(0), least(1)], high: [most(0), most(1)] }
    }

    fn size(&self) -> f32 {
        (self.high[0] - self.low[0]).max(self.high[1] - self.low[1])
    }

    /// Square of the distance from the box to a point; 0 inside.
    fn squared_distance(&self, x: f32, y: f32) -> f32 {
        let beyond = |axis: usize, at: f32| (self.low[axis] - at).max(at - self.high[axis]).max(0.0);
        let (dx, dy) = (beyond(0, x), beyond(1, y));
        dx * dx + dy * dy
    }
}

/// Storage of the order and the tree, used again in every iteration.
#[derive(Default)]
pub(super) struct Quadtree {
    /// Code and place of every point, in order.
    keys: Vec<u64>,
    spare: Vec<u64>,
    codes: Vec<u32>,
    /// The points in order.
    pub points: Vec<[f32; 2]>,
    /// Place of every point of the order.
    pub order: Vec<u32>,
    cells: Vec<Cell>,
}

impl Quadtree {
    /// Puts the points into order; with `cells`, builds the tree as well.
    pub(super) fn build(&mut self, pool: &Pool, points: &[[f32; 2]], cells: bool) {
        let bounds = Bounds::of(points);
        let scale = (1u32 << BITS) as f32 * (1.0 - 1e-6) / bounds.size().max(f32::MIN_POSITIVE);
        let cell = |value: f32, low: f32| (((value - low) * scale) as u32).min((1 << BITS) - 1);
        self.keys.resize(points.len(), 0);
        pool.chunks_mut(&mut self.keys, PIECE, |piece, keys| {
            for (place, key) in (piece * PIECE..).zip(keys) {
                let [x, y] = points[place];
                let code = hilbert(cell(x, bounds.low[0]), cell(y, bounds.low[1]));
                *key = (u64::from(code) << 32) | place as u64;
            }
        });
        sort(&mut self.keys, &mut self.spare);
        self.order.clear();
        self.order.extend(self.keys.iter().map(|&key| key as u32));
        self.points.clear();
        self.points.extend(self.order.iter().map(|&place| points[place as usize]));
        self.cells.clear();
        if cells && !points.is_empty() {
            self.codes.clear();
            self.codes.extend(self.keys.iter().map(|&key| (key >> 32) as u32));
            self.divide(0, points.len(), 0);
        }
    }

    /// Appends the cell of the points `from..to`, which agree in the first `level` digits of their codes, and what is
    /// below it; returns their sum and box.
    fn divide(&mut self, from: usize, to: usize, level: u32) -> ([f64; 2], Bounds) {
        let mut level = level;
        let digit = |code: u32, level: u32| (code >> (2 * (BITS - 1 - level))) & 3;
        // Cells with all points in one quarter are passed over.
        while to - from > LEAF
            && level < BITS
            && digit(self.codes[from], level) == digit(self.codes[to - 1], level)
        {
            level += 1;
        }
        let at = self.cells.len();
        self.cells.push(Cell::default());
        let (mut sum, mut bounds) = ([0.0f64; 2], Bounds::of(&[]));
        let leaf = to - from <= LEAF || level == BITS;
        if leaf {
            bounds = Bounds::of(&self.points[from..to]);
            for point in &self.points[from..to] {
                sum = [sum[0] + f64::from(point[0]), sum[1] + f64::from(point[1])];
            }
        } else {
            let mut start = from;
            for quarter in 0..4 {
                let inside = self.codes[start..to].partition_point(|&code| digit(code, level) <= quarter);
                if inside > 0 {
                    let (part, around) = self.divide(start, start + inside, level + 1);
                    sum = [sum[0] + part[0], sum[1] + part[1]];
                    bounds = bounds.with(around);
                }
                start += inside;
            }
        }
        let count = (to - from) as f64;
        self.cells[at] = Cell {
            x: (sum[0] / count) as f32,
            y: (sum[1] / count) as f32,
            mass: count as f32,
            squared_size: bounds.size() * bounds.size(),
            skip: self.cells.len() as u32,
            leaf: leaf.then_some((from as u32, to as u32)),
        };
        (sum, bounds)
    }

    /// Lists what stands for all points, seen from anywhere in a box, as `[x, y, mass]`: a cell as a whole where its size
    /// is less than `theta` times its distance, its points one by one where it is not.
    pub(super) fn sources(&self, bounds: &Bounds, theta: f32, sources: &mut Vec<[f32; 3]>) {
        sources.clear();
        let squared_theta = theta * theta;
        let mut at = 0;
        while let Some(cell) = self.cells.get(at) {
            let far = squared_theta * bounds.squared_distance(cell.x, cell.y);
            if cell.squared_size < far {
                sources.push([cell.x, cell.y, cell.mass]);
                at = cell.skip as usize;
            } else if let Some((from, to)) = cell.leaf {
                let points = &self.points[from as usize..to as usize];
                sources.extend(points.iter().map(|point| [point[0], point[1], 1.0]));
                at = cell.skip as usize;
            } else {
                at += 1;
            }
        }
    }
}

/// Place on the Hilbert curve of a cell of the square; all cells of a quarter of the square, and of a quarter of that,
/// and so on, follow each other.
fn hilbert(mut x: u32, mut y: u32) -> u32 {
    let mut code = 0;
    for bit in (0..BITS).rev() {
        let (right, up) = ((x >> bit) & 1, (y >> bit) & 1);
        code = (code << 2) | ((3 * right) ^ up);
        // In a lower quarter the curve is mirrored, in the right one turned as well.
        let flip = if up == 0 && right == 1 { u32::MAX } else { 0 };
        (x, y) = (x ^ flip, y ^ flip);
        if up == 0 {
            (x, y) = (y, x);
        }
    }
    code
}

/// Sorts by the upper half of the keys, byte by byte; equal ones stay in order.
fn sort(keys: &mut Vec<u64>, spare: &mut Vec<u64>) {
    spare.resize(keys.len(), 0);
    for shift in [32, 40, 48, 56] {
        let mut ends = [0usize; 257];
        for key in keys.iter() {
            ends[(key >> shift & 0xff) as usize + 1] += 1;
        }
        for byte in 1..257 {
            ends[byte] += ends[byte - 1];
        }
        for &key in keys.iter() {
            let slot = &mut ends[(key >> shift & 0xff) as usize];
            spare[*slot] = key;
            *slot += 1;
        }
        std::mem::swap(keys, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn scattered(count: usize) -> Vec<[f32; 2]> {
        let mut random = Random::new(count as u64, 5);
        (0..count).map(|_| [random.normal() * 3.0, random.normal()]).collect()
    }

    #[test]
    fn steps_on_the_curve_are_steps_in_the_plane() {
        let mut cells: Vec<(u32, [i64; 2])> = (0..32u32)
            .flat_map(|x| (0..32u32).map(move |y| (x, y)))
            .map(|(x, y)| (hilbert(x, y), [x.into(), y.into()]))
            .collect();
        cells.sort_unstable();
        for pair in cells.windows(2) {
            let ([x, y], [to_x, to_y]) = (pair[0].1, pair[1].1);
            assert_eq!((x - to_x).abs() + (y - to_y).abs(), 1);
        }
    }

    #[test]
    fn cells_hold_all_points_once() {
        for count in [1, 2, 8, 9, 100, 3000] {
            let mut points = scattered(count);
            points.extend([[0.5, 0.5]; 20]);
            let mut tree = Quadtree::default();
            tree.build(&Pool::new(2), &points, true);
            let mut places = tree.order.clone();
            places.sort_unstable();
            assert!(places.iter().enumerate().all(|(i, &place)| i as u32 == place));
            let mut sources = Vec::new();
            let everywhere = Bounds::of(&points);
            tree.sources(&everywhere, 1.0, &mut sources);
            let mass: f32 = sources.iter().map(|source| source[2]).sum();
            assert_eq!(mass as usize, points.len());
            tree.sources(&everywhere, 0.0, &mut sources);
            assert_eq!(sources.len(), points.len(), "without theta, point by point");
        }
    }

    #[test]
    fn far_cells_stand_for_their_points() {
        let points = scattered(5000);
        let mut tree = Quadtree::default();
        tree.build(&Pool::new(1), &points, true);
        let mut sources = Vec::new();
        let bounds = Bounds::of(&tree.points[..16]);
        tree.sources(&bounds, 0.5, &mut sources);
        assert!(sources.len() < 1500, "{}", sources.len());
        let sum = |sources: &[[f32; 3]]| sources.iter().map(|s| s[0] * s[2]).sum::<f32>();
        let exact: f32 = points.iter().map(|point| point[0]).sum();
        assert!((sum(&sources) - exact).abs() < 0.05 * 5000.0 / 100.0, "{} {exact}", sum(&sources));
        assert_eq!(sources.iter().map(|s| s[2]).sum::<f32>(), 5000.0);
    }

    #[test]
    fn points_in_one_place_are_one_leaf() {
        let mut tree = Quadtree::default();
        tree.build(&Pool::new(1), &[[2.0, 3.0]; 100], true);
        assert_eq!((tree.cells.len(), tree.cells[0].mass), (1, 100.0));
        tree.build(&Pool::new(1), &[], true);
        assert!(tree.cells.is_empty());
    }
}
