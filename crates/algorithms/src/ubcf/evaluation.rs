//! How well held-out ratings are predicted and held-out items are recommended, with the model as it will be served.

use std::sync::Mutex;

use super::model::{Model, Space};
use super::prediction::top;
use super::ratings::{Labels, Ratings};
use crate::kernels::Pool;

/// Users per piece of work.
const PIECE: usize = 16;

/// Sums over held-out ratings of users of the training set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    /// Users of the training set with held-out ratings.
    pub users: usize,
    /// Their held-out ratings.
    pub ratings: usize,
    /// Held-out ratings of other users, which say nothing.
    pub unknown: usize,
    predicted: usize,
    squares: f64,
    absolutes: f64,
    recommended: usize,
    hits: usize,
    relevant: usize,
}

impl Scores {
    /// Scores of a model on held-out ratings, with the names of their users and items.
    ///
    /// A rating without a prediction counts with the user's mean, so that settings which predict little do not look good;
    /// the coverage says how many had one. Recommendations are lists of `top_n`; a held-out item in the list is a hit.
    pub(crate) fn of(
        model: &Model,
        (held_out, users, items): (&Ratings, &Labels, &Labels),
        pool: &Pool,
    ) -> Self {
        let rows = (0..users.len()).map(|row| model.users.find(&users.get(row))).collect::<Vec<_>>();
        let columns = (0..items.len()).map(|item| model.items.find(&items.get(item))).collect::<Vec<_>>();
        let mut parts = vec![Self::default(); held_out.rows()];
        let idle = Mutex::new(Vec::new());
        pool.chunks_mut(&mut parts, PIECE, |piece, parts| {
            let mut space: Space = idle.lock().ok().and_then(|mut idle| idle.pop()).unwrap_or_default();
            for (place, part) in parts.iter_mut().enumerate() {
                let user = piece * PIECE + place;
                let tested: Vec<_> =
                    held_out.row(user).map(|(item, rating)| (columns[item as usize], rating)).collect();
                *part = match rows[user] {
                    Some(row) => Self::of_user(model, row, &tested, &mut space),
                    None => Self { unknown: tested.len(), ..Self::default() },
                };
            }
            if let Ok(mut idle) = idle.lock() {
                idle.push(space);
            }
        });
        // One after the other: the sums do not depend on the threads.
        parts.into_iter().fold(Self::default(), Self::plus)
    }

    fn of_user(model: &Model, row: u32, tested: &[(Option<u32>, f64)], space: &mut Space) -> Self {
        let asking = model.user(row);
        let predictions = model.predict(&asking, space);
        let mean = Model::mean(&asking.rated);
        let mut scores = Self { users: 1, ratings: tested.len(), ..Self::default() };
        for &(item, rating) in tested {
            let prediction = item.map_or(f64::NAN, |item| predictions[item as usize]);
            scores.predicted += usize::from(!prediction.is_nan());
            let error = if prediction.is_nan() { mean } else { prediction } - rating;
            scores.squares += error * error;
            scores.absolutes += error.abs();
        }
        let known = |item: u32| asking.rated.binary_search_by_key(&item, |&(item, _)| item).is_ok();
        let mut relevant: Vec<u32> = tested.iter().filter_map(|&(item, _)| item).collect();
        relevant.retain(|&item| !known(item));
        relevant.sort_unstable();
        let list = top(predictions, &asking.rated, model.h.top_n);
        scores.recommended = list.len();
        scores.relevant = relevant.len();
        scores.hits = list.iter().filter(|(_, item)| relevant.binary_search(item).is_ok()).count();
        scores
    }

    fn plus(self, other: Self) -> Self {
        Self {
            users: self.users + other.users,
            ratings: self.ratings + other.ratings,
            unknown: self.unknown + other.unknown,
            predicted: self.predicted + other.predicted,
            squares: self.squares + other.squares,
            absolutes: self.absolutes + other.absolutes,
            recommended: self.recommended + other.recommended,
            hits: self.hits + other.hits,
            relevant: self.relevant + other.relevant,
        }
    }

    /// Each measure: its name, its kind and its value; none where there is nothing to divide by.
    pub(crate) fn measures(&self) -> Vec<(&'static str, &'static str, f64)> {
        let share = |part: f64, whole: usize| (whole > 0).then(|| part / whole as f64);
        let square = share(self.squares, self.ratings);
        [
            ("mean_squared_error", "loss", square),
            ("root_mean_squared_error", "loss", square.map(f64::sqrt)),
            ("mean_absolute_error", "loss", share(self.absolutes, self.ratings)),
            ("coverage", "score", share(self.predicted as f64, self.ratings)),
            ("precision", "score", share(self.hits as f64, self.recommended)),
            ("recall", "score", share(self.hits as f64, self.relevant)),
        ]
        .into_iter()
        .filter_map(|(name, kind, value)| Some((name, kind, value?)))
        .collect()
    }
}
