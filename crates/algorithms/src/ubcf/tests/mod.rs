//! Whole models: against results of the R package, and against a dense implementation of the rules.

mod golden;
mod naive;
mod runs;

use std::collections::BTreeMap;

use super::hyperparameters::Hyperparameters;
use super::model::{Asking, Model, Space};
use super::prediction::top;
use super::ratings::Collected;

/// A dense table; what is missing is `None`.
type Table = [Vec<Option<f64>>];

fn hyperparameters(pairs: &[(&str, &str)]) -> Hyperparameters {
    let pairs: BTreeMap<_, _> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Hyperparameters::from_pairs(&pairs).unwrap()
}

/// A model of a dense table, all of whose columns are kept: a last user, who is cut off again, has rated every item.
fn fitted(h: Hyperparameters, table: &Table) -> Model {
    let mut collected = Collected::new();
    let last = vec![Some(1.0); table[0].len()];
    for (user, row) in table.iter().chain([&last]).enumerate() {
        for (item, rating) in row.iter().enumerate() {
            if let Some(rating) = rating {
                collected.push(&user.to_string(), &item.to_string(), *rating).unwrap();
            }
        }
    }
    let (ratings, mut users, items) = collected.finish();
    assert_eq!(users.len(), table.len() + 1, "every user has a rating");
    users.truncate(table.len());
    Model::new(h, users, items, ratings.first_rows(table.len()))
}

fn rated(row: &[Option<f64>]) -> Vec<(u32, f64)> {
    row.iter().enumerate().filter_map(|(item, rating)| Some((item as u32, (*rating)?))).collect()
}

/// Predictions for a row, and the columns of the best `n`.
fn answer(model: &Model, row: &[Option<f64>], n: usize) -> (Vec<f64>, Vec<u32>) {
    let asking = Asking { rated: rated(row), excluded: None };
    let mut space = Space::default();
    let predictions = model.predict(&asking, &mut space).to_vec();
    let list = top(&predictions, &asking.rated, n).into_iter().map(|(_, item)| item).collect();
    (predictions, list)
}
