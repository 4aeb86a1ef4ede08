//! The random numbers of a training run: everything random follows from one seed, so a run can be repeated.

use crate::kernels::hash_words;

/// A stream of random numbers (SplitMix64, Steele, Lea and Flood 2014). Not for secrets.
pub(crate) struct Random(u64);

impl Random {
    /// The stream number `purpose` of a run with this seed; streams of different purposes are independent.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(hash_words(&[seed, purpose]))
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        let out = hash_words(&[self.0]);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        out
    }

    /// Uniform in `[-limit, limit)`.
    pub(crate) fn uniform(&mut self, limit: f32) -> f32 {
        ((self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * limit
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f32 {
        let mut unit = || (self.bits() >> 11) as f64 / (1u64 << 53) as f64;
        let (radius, angle) = ((-2.0 * (1.0 - unit()).ln()).sqrt(), std::f64::consts::TAU * unit());
        (radius * angle.cos()) as f32
    }

    /// Uniform in `0..bound`; zero when `bound` is zero (multiply-shift, Lemire 2019; the bias is below 2^-32).
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// Puts the items into random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_has_the_right_range_and_spread() {
        let mut random = Random::new(1, 2);
        let draws: Vec<f32> = (0..100_000).map(|_| random.uniform(2.0)).collect();
        assert!(draws.iter().all(|x| (-2.0..2.0).contains(x)));
        let variance: f32 = draws.iter().map(|x| x * x).sum::<f32>() / 1e5;
        assert!((variance - 4.0 / 3.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut random = Random::new(1, 3);
        let draws: Vec<f32> = (0..100_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f32>() / 1e5;
        let variance = draws.iter().map(|x| x * x).sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn below_is_even_and_shuffles_are_permutations() {
        let mut random = Random::new(3, 4);
        let mut counts = [0; 10];
        (0..100_000).for_each(|_| counts[random.below(10) as usize] += 1);
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
        let mut items: Vec<u32> = (0..1000).collect();
        random.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.iter().enumerate().all(|(i, &x)| i as u32 == x));
    }
}
