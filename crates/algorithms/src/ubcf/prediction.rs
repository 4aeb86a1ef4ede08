//! From neighbours to predicted ratings, and from those to a list.

use super::hyperparameters::Mode;
use super::largest::Largest;
use super::neighbors::{Double, Neighbor};
use super::normalization::Scale;
use super::ratings::Ratings;

/// Weighs the neighbours' deviations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weighing {
    pub mode: Mode,
    /// By similarity; otherwise all neighbours alike (`modern` only).
    pub weighted: bool,
}

impl Weighing {
    /// Predicts the ratings of all items for a user of the scale `own`: sums over the neighbours that rated an item, in
    /// the order of neighbours. What cannot be predicted is NaN.
    ///
    /// `classic` and `signed` divide by the similarities of all neighbours, so that an item which none rated gets the
    /// user's mean; `modern` divides by those of the neighbours that rated it. `sums` and `weights` are overwritten;
    /// the predictions are in `sums`.
    pub(crate) fn predict(
        self,
        (ratings, scales): (&Ratings, &[Scale]),
        neighbors: &[Neighbor],
        own: Scale,
        sums: &mut Vec<f64>,
        weights: &mut Vec<f64>,
    ) {
        for list in [&mut *sums, &mut *weights] {
            list.clear();
            list.resize(ratings.columns(), 0.0);
        }
        for neighbor in neighbors {
            let (user, weight) =
                (neighbor.user as usize, if self.weighted { neighbor.similarity } else { 1.0 });
            for (item, rating) in ratings.row(user) {
                sums[item as usize] += weight * scales[user].apply(rating);
                weights[item as usize] += weight;
            }
        }
        if self.mode != Mode::Modern {
            weights.fill(total(neighbors));
        }
        for (sum, weight) in sums.iter_mut().zip(&*weights) {
            let rating = own.restore(*sum / weight);
            *sum = if rating.is_finite() { rating } else { f64::NAN };
        }
    }
}

/// The sum of the similarities that are defined.
fn total(neighbors: &[Neighbor]) -> f64 {
    let mut total = Double::default();
    neighbors.iter().filter(|n| !n.similarity.is_nan()).for_each(|n| total.add(n.similarity));
    total.value()
}

/// The `n` items with the highest predictions, those left out that the user has rated (columns ascending); of equal
/// predictions the lower column first.
pub(crate) fn top(predictions: &[f64], rated: &[(u32, f64)], n: usize) -> Vec<(f64, u32)> {
    let mut largest = Largest::new(n);
    unrated(predictions.len(), rated).for_each(|item| largest.offer(predictions[item as usize], item));
    largest.finish()
}

/// The columns that are not rated, ascending.
pub(crate) fn unrated(columns: usize, rated: &[(u32, f64)]) -> impl Iterator<Item = u32> {
    let mut known = rated.iter().map(|&(item, _)| item).peekable();
    (0..columns as u32).filter(move |item| known.next_if_eq(item).is_none())
}
