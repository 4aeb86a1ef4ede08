//! Loops of t-SNE's gradient: the similarity of two points of the plane is `q = 1 / (1 + |a - b|^2)`, the density of
//! Student's t-distribution with one degree of freedom, up to a factor.

use super::isa::multiversion;

/// Points that are worked on together: one register of the widest kind.
pub const GROUP: usize = 16;

/// Points of the plane and what pushes them.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub struct Group {
    /// Where they are.
    pub x: [f32; GROUP],
    /// Where they are.
    pub y: [f32; GROUP],
    /// Sum of `m q^2 (x - sx)` over sources at s with mass m.
    pub push_x: [f32; GROUP],
    /// The same for y.
    pub push_y: [f32; GROUP],
    /// Sum of `m q`.
    pub sum: [f32; GROUP],
}

multiversion! {
    /// Sets the sums of a group to those over sources given as `[x, y, mass]`.
    pub fn repel(group: &mut Group, sources: &[[f32; 3]]) {
        let (x, y) = (group.x, group.y);
        let (mut push_x, mut push_y, mut sum) = ([0.0f32; GROUP], [0.0f32; GROUP], [0.0f32; GROUP]);
        for &[sx, sy, mass] in sources {
            for i in 0..GROUP {
                let (dx, dy) = (x[i] - sx, y[i] - sy);
                let q = 1.0 / (1.0 + dx * dx + dy * dy);
                let weighted = mass * q;
                sum[i] += weighted;
                let strength = weighted * q;
                push_x[i] += strength * dx;
                push_y[i] += strength * dy;
            }
        }
        (group.push_x, group.push_y, group.sum) = (push_x, push_y, sum);
    }
}

multiversion! {
    /// Sum of `w q (at - p)` over the points p named by `columns`, with their weights w. Both lists have the same length,
    /// a multiple of 16; what fills them up has weight 0.
    ///
    /// # Panics
    /// When a column is no point.
    pub fn attract(points: &[[f32; 2]], columns: &[u32], weights: &[f32], at: [f32; 2]) -> [f32; 2] {
        let (mut pull_x, mut pull_y) = ([0.0f32; GROUP], [0.0f32; GROUP]);
        let (columns, _) = columns.as_chunks::<GROUP>();
        let (weights, _) = weights.as_chunks::<GROUP>();
        for (columns, weights) in columns.iter().zip(weights) {
            let (mut dx, mut dy) = ([0.0f32; GROUP], [0.0f32; GROUP]);
            for i in 0..GROUP {
                let point = points[columns[i] as usize];
                (dx[i], dy[i]) = (at[0] - point[0], at[1] - point[1]);
            }
            for i in 0..GROUP {
                let strength = weights[i] / (1.0 + dx[i] * dx[i] + dy[i] * dy[i]);
                pull_x[i] += strength * dx[i];
                pull_y[i] += strength * dy[i];
            }
        }
        [pull_x.iter().sum(), pull_y.iter().sum()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize) -> f32 {
        ((i * 7919 + 13) % 101) as f32 / 25.0 - 2.0
    }

    #[test]
    fn sums_over_sources_agree_with_the_formula() {
        for count in [0, 1, 2, 15, 16, 40] {
            let sources: Vec<[f32; 3]> =
                (0..count).map(|i| [value(i), value(i + 7), 1.0 + (i % 5) as f32]).collect();
            let mut group = Group { sum: [9.0; GROUP], ..Group::default() };
            group.x = std::array::from_fn(|i| value(i + 31));
            group.y = std::array::from_fn(|i| value(i + 53));
            repel(&mut group, &sources);
            for i in 0..GROUP {
                let mut want = [0.0f64; 3];
                for &[x, y, mass] in &sources {
                    let (dx, dy) = (f64::from(group.x[i] - x), f64::from(group.y[i] - y));
                    let q = 1.0 / (1.0 + dx * dx + dy * dy);
                    let mass = f64::from(mass);
                    want = [want[0] + mass * q * q * dx, want[1] + mass * q * q * dy, want[2] + mass * q];
                }
                for (got, want) in [group.push_x[i], group.push_y[i], group.sum[i]].iter().zip(want) {
                    assert!((f64::from(*got) - want).abs() < 1e-4, "{got} {want}");
                }
            }
        }
    }

    #[test]
    fn sums_over_neighbours_agree_with_the_formula() {
        let points: Vec<[f32; 2]> = (0..50).map(|i| [value(i), value(i + 17)]).collect();
        for count in [0, 1, 15, 16, 17, 40] {
            let filled = usize::div_ceil(count, GROUP) * GROUP;
            let columns: Vec<u32> = (0..filled).map(|i| (i * 13 % 50) as u32).collect();
            let weights: Vec<f32> =
                (0..filled).map(|i| if i < count { 1.0 + i as f32 } else { 0.0 }).collect();
            let got = attract(&points, &columns, &weights, [0.5, -0.25]);
            let mut want = [0.0f64; 2];
            for (&column, &weight) in columns.iter().zip(&weights) {
                let [x, y] = points[column as usize];
                let (dx, dy) = (f64::from(0.5 - x), f64::from(-0.25 - y));
                let strength = f64::from(weight) / (1.0 + dx * dx + dy * dy);
                want = [want[0] + strength * dx, want[1] + strength * dy];
            }
            assert!(got.iter().zip(want).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-3), "{got:?} {want:?}");
        }
    }
}
