//! Which training users are most like an asking user.
//!
//! Promises: similarities are those of docs/ubcf.md to the bit; of equally similar users those with lower rows come
//! first. Never: looks at a rating of an item that the asking user has not rated.

mod cosine;
mod double;
mod index;
mod pearson;

use super::hyperparameters::{Method, Mode};
use super::largest::Largest;
use cosine::Cosine;
pub(crate) use double::Double;
use index::Cell;
pub(crate) use index::Index;
use pearson::Pearson;

/// How users are compared and how many count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub method: Method,
    pub mode: Mode,
    /// Most neighbours.
    pub nn: usize,
    /// Users who share fewer items have no similarity; 0: any.
    pub min_matching_items: u64,
    /// Users who leave fewer of the asking user's items unshared have no similarity; 0: any.
    pub min_predictive_items: u64,
}

/// A training user who counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Neighbor {
    pub user: u32,
    /// NaN where it is not defined.
    pub similarity: f64,
}

/// What one comparison computes in.
#[derive(Default)]
pub(crate) struct Cells {
    cosine: Vec<Cosine>,
    pearson: Vec<Pearson>,
}

impl Rule {
    /// The neighbours of a user with these deviations (columns ascending), the most similar first, without `excluded`.
    pub(crate) fn neighbors(
        &self,
        index: &Index,
        query: &[(u32, f64)],
        excluded: Option<u32>,
        cells: &mut Cells,
    ) -> Vec<Neighbor> {
        match self.method {
            Method::Cosine => self.nearest(index, query, excluded, &mut cells.cosine),
            Method::Pearson => self.nearest(index, query, excluded, &mut cells.pearson),
        }
    }

    fn nearest<C: Cell>(
        &self,
        index: &Index,
        query: &[(u32, f64)],
        excluded: Option<u32>,
        cells: &mut Vec<C>,
    ) -> Vec<Neighbor> {
        let mut largest = Largest::new(self.nn);
        let mut undefined = Vec::new();
        index.compare(query, cells, |user, cell| {
            if Some(user) == excluded || cell.below(self.bar(largest.floor())) {
                return;
            }
            let similarity = self.similarity(cell, query.len() as u64);
            largest.offer(similarity, user);
            if similarity.is_nan() && self.mode != Mode::Modern && undefined.len() < self.nn {
                undefined.push(user);
            }
        });
        let defined = largest.finish().into_iter().map(|(similarity, user)| Neighbor { user, similarity });
        let undefined = undefined.into_iter().map(|user| Neighbor { user, similarity: f64::NAN });
        defined.chain(undefined).take(self.nn).collect()
    }

    /// The likeness that makes this similarity, or less.
    #[inline(always)]
    fn bar(&self, similarity: f64) -> f64 {
        if self.mode == Mode::Modern { 2.0 * similarity - 1.0 } else { similarity }
    }

    /// The similarity of a user; `rated` is how many items the asking user has rated.
    #[inline(always)]
    fn similarity(&self, cell: &impl Cell, rated: u64) -> f64 {
        let shared = cell.shared();
        if shared < self.min_matching_items || rated - shared < self.min_predictive_items {
            return f64::NAN;
        }
        let likeness = cell.likeness();
        match (self.method, self.mode) {
            (_, Mode::Modern) => (likeness + 1.0) / 2.0,
            // To a distance and back: the rounding of both decides ties.
            (Method::Cosine, Mode::Classic) => 1.0 - (1.0 - likeness.abs()),
            (Method::Cosine, Mode::Signed) => 1.0 - (1.0 - likeness),
            (Method::Pearson, _) if likeness.is_nan() => f64::NAN,
            (Method::Pearson, _) => 1.0 / (1.0 + (1.0 - likeness.max(0.0))),
        }
    }
}
