//! What users think of books: the stars behind the ratings.
//!
//! The model is the one a factor model assumes, so that how well one can do is known:
//!
//!   score(u, b) = bias(u) + bias(b) + taste(u) · nature(b) + noise
//!
//! and the stars are the score cut at four thresholds, placed so that the shares of 1 to 5 stars come out as wanted.
//! The noise is the part nobody can predict.

use super::random::Random;

/// Length of the vectors for tastes and natures.
const RANK: usize = 6;

/// Standard deviation of users' biases.
const USER_BIAS: f32 = 0.48;

/// Standard deviation of books' biases.
const BOOK_BIAS: f32 = 0.28;

/// Standard deviation of taste · nature.
const INTERACTION: f32 = 0.42;

/// Standard deviation of the noise.
const NOISE: f32 = 0.70;

/// Bins the scores are counted in to place the thresholds.
const BINS: usize = 1 << 16;

/// Scores below minus or above plus this many units fall in the outermost bins.
const REACH: f32 = 8.0;

/// Biases and vectors of all users and books.
pub struct Tastes {
    user_bias: Vec<f32>,
    book_bias: Vec<f32>,
    user_taste: Vec<[f32; RANK]>,
    book_nature: Vec<[f32; RANK]>,
}

impl Tastes {
    /// Draws them.
    pub fn draw(users: usize, books: usize, random: &mut Random) -> Self {
        // The sum of RANK products of unit variables has variance RANK.
        let scale = INTERACTION / (RANK as f32).sqrt();
        let mut vectors = |count: usize, scale: f32| -> Vec<[f32; RANK]> {
            (0..count).map(|_| std::array::from_fn(|_| random.normal() * scale)).collect()
        };
        let user_taste = vectors(users, scale);
        let book_nature = vectors(books, 1.0);
        Self {
            user_bias: (0..users).map(|_| random.normal() * USER_BIAS).collect(),
            book_bias: (0..books).map(|_| random.normal() * BOOK_BIAS).collect(),
            user_taste,
            book_nature,
        }
    }

    /// What a user thinks of a book, without the noise.
    fn opinion(&self, user: usize, book: usize) -> f32 {
        let (taste, nature) = (&self.user_taste[user], &self.book_nature[book]);
        let mut sum = self.user_bias[user] + self.book_bias[book];
        for (one, other) in taste.iter().zip(nature) {
            sum += one * other;
        }
        sum
    }

    /// Stars for every pair, in the order of the pairs. `shares` are relative frequencies of 1 to 5 stars.
    pub fn rate(&self, starts: &[u32], books: &[u16], shares: [u32; 5], random: &mut Random) -> Vec<u8> {
        let mut bins = Vec::with_capacity(books.len());
        let mut sizes = vec![0_u64; BINS];
        for user in 0..starts.len().saturating_sub(1) {
            for book in &books[starts[user] as usize..starts[user + 1] as usize] {
                let score = self.opinion(user, *book as usize) + random.normal() * NOISE;
                let bin =
                    ((score + REACH) * (BINS as f32 / (2.0 * REACH))).clamp(0.0, (BINS - 1) as f32) as u16;
                sizes[bin as usize] += 1;
                bins.push(bin);
            }
        }
        let stars = stars_of_bins(&sizes, shares);
        bins.into_iter().map(|bin| stars[bin as usize]).collect()
    }
}

/// The stars each bin stands for.
fn stars_of_bins(sizes: &[u64], shares: [u32; 5]) -> Vec<u8> {
    let all: u64 = sizes.iter().sum();
    let weight: u64 = shares.iter().map(|share| u64::from(*share)).sum::<u64>().max(1);
    let mut below = 0;
    let mut limit = u64::from(shares[0]);
    let mut star = 0;
    sizes
        .iter()
        .map(|size| {
            // A bin belongs to the stars its middle falls to.
            while star < 4 && (below + size / 2) * weight >= limit * all {
                star += 1;
                limit += u64::from(shares[star]);
            }
            below += size;
            star as u8 + 1
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_have_the_wanted_shares() {
        let (users, books) = (200_usize, 300_usize);
        let mut random = Random::new(9, 9);
        let tastes = Tastes::draw(users, books, &mut random);
        let starts: Vec<u32> = (0..=users as u32).map(|user| user * books as u32).collect();
        let pairs: Vec<u16> = (0..users * books).map(|pair| (pair % books) as u16).collect();
        let stars = tastes.rate(&starts, &pairs, [2, 6, 23, 36, 33], &mut random);
        for (star, share) in [2.0, 6.0, 23.0, 36.0, 33.0].into_iter().enumerate() {
            let found = stars.iter().filter(|found| **found as usize == star + 1).count() as f64;
            let expected = share / 100.0 * stars.len() as f64;
            assert!((found - expected).abs() < 0.01 * stars.len() as f64, "{star}: {found} {expected}");
        }
    }
}
