//! Seeded random numbers. Every suggestion has a generator of its own, derived from the tuner's seed
//! and the suggestion's number, so no generator state has to be stored.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// A generator of uniform and normal numbers.
#[derive(Debug, Clone)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The generator of one purpose: `stream` keeps the draws of different suggestions apart.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((self.unit() * bound as f64) as usize).min(bound.saturating_sub(1))
    }

    /// Standard normal (Box-Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Points that fill the unit cube evenly: the additive recurrence on the powers of the generalised
/// golden ratio (M. Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018), shifted
/// at random (Cranley and Patterson).
#[derive(Debug, Clone)]
pub struct Sequence {
    steps: Vec<f64>,
    place: Vec<f64>,
}

impl Sequence {
    /// A sequence in `dimensions` dimensions.
    pub fn new(dimensions: usize, random: &mut Random) -> Self {
        // The root of x^(d+1) = x + 1.
        let mut root = 2.0f64;
        for _ in 0..64 {
            root = (1.0 + root).powf(1.0 / (dimensions as f64 + 1.0));
        }
        let steps = (1..=dimensions).map(|power| root.powi(-(power as i32)).fract()).collect();
        Self { steps, place: (0..dimensions).map(|_| random.unit()).collect() }
    }
}

impl Iterator for Sequence {
    type Item = Vec<f64>;

    fn next(&mut self) -> Option<Vec<f64>> {
        for (place, step) in self.place.iter_mut().zip(&self.steps) {
            *place = (*place + step).fract();
        }
        Some(self.place.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, stream| Random::new(seed, stream).unit();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let mut random = Random::new(3, 0);
        let draws: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|draw| draw * draw).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn the_sequence_fills_a_square_more_evenly_than_chance() {
        let points: Vec<Vec<f64>> = Sequence::new(2, &mut Random::new(1, 0)).take(64).collect();
        let cells: std::collections::BTreeSet<(usize, usize)> =
            points.iter().map(|point| ((point[0] * 8.0) as usize, (point[1] * 8.0) as usize)).collect();
        // 64 random points hit 40.6 of 64 cells on average.
        assert!(cells.len() > 46, "{}", cells.len());
    }
}
