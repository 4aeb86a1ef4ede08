//! Sums of products.

use super::isa::multiversion;

/// Partial sums: two of the widest registers, so that additions need not wait for each other.
const SUMS: usize = 32;

multiversion! {
    /// `sum of a b` over equally long slices, in an order that depends on the length alone.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [0.0f32; SUMS];
        let (a, a_rest) = a.as_chunks::<SUMS>();
        let (b, b_rest) = b.as_chunks::<SUMS>();
        for (a, b) in a.iter().zip(b) {
            for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a * b;
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(&a, &b)| a * b).sum();
        rest + sums.iter().sum::<f32>()
    }
}

multiversion! {
    /// `sum of (a - b)^2` over equally long slices, in an order that depends on the length alone.
    pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [0.0f32; SUMS];
        let (a, a_rest) = a.as_chunks::<SUMS>();
        let (b, b_rest) = b.as_chunks::<SUMS>();
        for (a, b) in a.iter().zip(b) {
            for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                *sum += (a - b) * (a - b);
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(&a, &b)| (a - b) * (a - b)).sum();
        rest + sums.iter().sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_agree_with_plain_loops_on_all_small_sizes() {
        for n in (0..100).chain([300, 1000]) {
            let a: Vec<f32> = (0..n).map(|i| (i * 37 % 61) as f32 / 30.0 - 1.0).collect();
            let b: Vec<f32> = (0..n).map(|i| (i * 53 % 71) as f32 / 35.0 - 1.0).collect();
            let pairs = || a.iter().zip(&b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
            let want: f64 = pairs().map(|(a, b)| a * b).sum();
            assert!((f64::from(dot(&a, &b)) - want).abs() < 1e-4, "{n}");
            let want: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
            assert!((f64::from(squared_distance(&a, &b)) - want).abs() < 1e-3, "{n}");
        }
    }
}
