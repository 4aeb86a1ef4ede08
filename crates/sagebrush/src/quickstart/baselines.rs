//! The predictors a learned model has to beat, fitted on the training split only.
//!
//! user + book bias: r̂(u,b) = μ + p_u + q_b, where μ is the mean rating and p, q minimise
//!   Σ (r − μ − p_u − q_b)² + λ_u Σ p_u² + λ_b Σ q_b²
//! by turns: each is in closed form when the other is fixed. λ_u and λ_b are chosen on the validation split.

use super::ratings::{Rating, Splits};
use serde::Serialize;

/// The values tried for either shrinkage, in ratings.
const SHRINKAGES: [f64; 6] = [0.5, 2.0, 5.0, 10.0, 20.0, 50.0];
/// Turns of the fit; the error changes by less than 1e-5 from the fourth to the tenth.
const TURNS: usize = 5;

/// Mean squared errors over one split.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct BaselineErrors {
    /// Everyone gives every book the mean rating.
    pub global_mean: f64,
    /// Everyone gives every book their own mean; strangers the mean of all.
    pub user_mean: f64,
    /// The mean, the user's bias and the book's.
    pub bias: f64,
}

/// The shrinkages that were chosen, in ratings.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Shrinkage {
    /// λ_u.
    pub user: f64,
    /// λ_b.
    pub book: f64,
}

/// Fits all three on train, chooses on validation, and gives the errors over test.
pub(super) fn errors(splits: &Splits, users: u32, books: u32) -> (BaselineErrors, Shrinkage) {
    let (users, books) = (users as usize, books as usize);
    let mean = mean_of(&splits.train);
    let own = user_means(&splits.train, users, mean);
    let mut best: Option<(f64, Shrinkage, BiasModel)> = None;
    for user in SHRINKAGES {
        for book in SHRINKAGES {
            let shrinkage = Shrinkage { user, book };
            let model = BiasModel::fit(&splits.train, users, books, mean, shrinkage);
            let error = mse(&splits.validation, |rating| model.predict(rating));
            if best.as_ref().is_none_or(|(least, _, _)| error < *least) {
                best = Some((error, shrinkage, model));
            }
        }
    }
    let (bias, shrinkage) = match &best {
        Some((_, shrinkage, model)) => (mse(&splits.test, |rating| model.predict(rating)), *shrinkage),
        None => (f64::NAN, Shrinkage { user: 0.0, book: 0.0 }),
    };
    let errors = BaselineErrors {
        global_mean: mse(&splits.test, |_| mean),
        user_mean: mse(&splits.test, |rating| own[rating.user as usize]),
        bias,
    };
    (errors, shrinkage)
}

/// Mean squared error of `predict` over `ratings`; NaN over none.
pub(super) fn mse(ratings: &[Rating], predict: impl Fn(&Rating) -> f64) -> f64 {
    let sum: f64 = ratings.iter().map(|one| (predict(one) - f64::from(one.rating)).powi(2)).sum();
    sum / ratings.len() as f64
}

fn mean_of(ratings: &[Rating]) -> f64 {
    ratings.iter().map(|one| f64::from(one.rating)).sum::<f64>() / ratings.len() as f64
}

fn user_means(train: &[Rating], users: usize, mean: f64) -> Vec<f64> {
    let mut sums = vec![(0.0, 0u32); users];
    for one in train {
        let (sum, count) = &mut sums[one.user as usize];
        *sum += f64::from(one.rating);
        *count += 1;
    }
    sums.into_iter().map(|(sum, count)| if count == 0 { mean } else { sum / f64::from(count) }).collect()
}

struct BiasModel {
    mean: f64,
    user: Vec<f64>,
    book: Vec<f64>,
}

impl BiasModel {
    fn fit(train: &[Rating], users: usize, books: usize, mean: f64, shrinkage: Shrinkage) -> Self {
        let mut model = Self { mean, user: vec![0.0; users], book: vec![0.0; books] };
        for _ in 0..TURNS {
            let mut sums = vec![(0.0, shrinkage.book); books];
            for one in train {
                let (sum, count) = &mut sums[one.book as usize];
                *sum += f64::from(one.rating) - mean - model.user[one.user as usize];
                *count += 1.0;
            }
            model.book = sums.into_iter().map(|(sum, count)| sum / count).collect();
            let mut sums = vec![(0.0, shrinkage.user); users];
            for one in train {
                let (sum, count) = &mut sums[one.user as usize];
                *sum += f64::from(one.rating) - mean - model.book[one.book as usize];
                *count += 1.0;
            }
            model.user = sums.into_iter().map(|(sum, count)| sum / count).collect();
        }
        model
    }

    fn predict(&self, rating: &Rating) -> f64 {
        self.mean + self.user[rating.user as usize] + self.book[rating.book as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ratings that are exactly mean + user + book, on a grid with some cells kept back.
    fn additive() -> Splits {
        let mut splits = Splits::default();
        for user in 0..30u32 {
            for book in 0..20u32 {
                let rating = 3.0 + (user as f32 - 14.5) * 0.05 + (book as f32 - 9.5) * 0.08;
                let one = Rating { user, book, rating };
                match (user * 7 + book * 3) % 10 {
                    0 => splits.test.push(one),
                    1 => splits.validation.push(one),
                    _ => splits.train.push(one),
                }
            }
        }
        splits
    }

    #[test]
    fn biases_find_an_additive_structure_and_means_do_not() {
        let (errors, shrinkage) = errors(&additive(), 30, 20);
        assert_eq!(shrinkage.user, 0.5);
        assert!(errors.bias < 0.002, "{errors:?}");
        assert!(errors.user_mean > 0.1 && errors.global_mean > errors.user_mean, "{errors:?}");
    }

    #[test]
    fn means_are_what_a_reader_computes() {
        let rate = |user, book, rating| Rating { user, book, rating };
        let splits = Splits {
            train: vec![rate(0, 0, 4.0), rate(0, 1, 2.0), rate(1, 0, 5.0)],
            validation: vec![rate(0, 0, 3.0)],
            test: vec![rate(0, 2, 3.0), rate(2, 0, 1.0)],
        };
        let (errors, _) = errors(&splits, 3, 3);
        let mean = 11.0 / 3.0;
        let expected = ((mean - 3.0f64).powi(2) + (mean - 1.0).powi(2)) / 2.0;
        assert!((errors.global_mean - expected).abs() < 1e-12);
        // User 0 has the mean 3, user 2 was never seen.
        assert!((errors.user_mean - (mean - 1.0).powi(2) / 2.0).abs() < 1e-12);
        assert!(mse(&[], |_| 0.0).is_nan());
    }
}
