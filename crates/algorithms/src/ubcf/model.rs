//! A fitted recommender: the training users' ratings, their scales, and the index that finds neighbours.

use super::hyperparameters::{Hyperparameters, Mode};
use super::neighbors::{Cells, Index};
use super::normalization::Scale;
use super::ratings::{Labels, Ratings};

/// Ready to predict. Any number of threads may ask at once, each with a [`Space`] of its own.
pub(crate) struct Model {
    pub h: Hyperparameters,
    /// Names of the rows.
    pub users: Labels,
    /// Names of the columns.
    pub items: Labels,
    pub ratings: Ratings,
    scales: Vec<Scale>,
    index: Index,
}

/// What one request computes in.
#[derive(Default)]
pub(crate) struct Space {
    cells: Cells,
    deviations: Vec<(u32, f64)>,
    predictions: Vec<f64>,
    weights: Vec<f64>,
}

/// A user to predict for.
pub(crate) struct Asking {
    /// What he has rated: columns, ascending, with ratings.
    pub rated: Vec<(u32, f64)>,
    /// His own row, where it is not to count as a neighbour.
    pub excluded: Option<u32>,
}

impl Model {
    /// Fits: the scales of the rows and the index are computed, nothing else.
    pub(crate) fn new(h: Hyperparameters, users: Labels, items: Labels, ratings: Ratings) -> Self {
        let scale = |row| Scale::of(h.normalize, ratings.row(row).map(|(_, rating)| rating));
        let scales: Vec<Scale> = (0..ratings.rows()).map(scale).collect();
        let index = Index::new(&ratings, &scales);
        Self { h, users, items, ratings, scales, index }
    }

    /// A user of the training set. In `modern` he is not his own neighbour.
    pub(crate) fn user(&self, row: u32) -> Asking {
        let excluded = (self.h.rule.mode == Mode::Modern).then_some(row);
        Asking { rated: self.ratings.row(row as usize).collect(), excluded }
    }

    /// The mean of a user's ratings, whatever is taken away from them; NaN without ratings.
    pub(crate) fn mean(rated: &[(u32, f64)]) -> f64 {
        rated.iter().map(|&(_, rating)| rating).sum::<f64>() / rated.len() as f64
    }

    /// Predicted ratings of all items, rated ones too; NaN where there is no prediction.
    pub(crate) fn predict<'a>(&self, asking: &Asking, space: &'a mut Space) -> &'a [f64] {
        let own = Scale::of(self.h.normalize, asking.rated.iter().map(|&(_, rating)| rating));
        space.deviations.clear();
        space.deviations.extend(asking.rated.iter().map(|&(item, rating)| (item, own.apply(rating))));
        let neighbors =
            self.h.rule.neighbors(&self.index, &space.deviations, asking.excluded, &mut space.cells);
        let (predictions, weights) = (&mut space.predictions, &mut space.weights);
        self.h.weighing.predict((&self.ratings, &self.scales), &neighbors, own, predictions, weights);
        predictions
    }
}
