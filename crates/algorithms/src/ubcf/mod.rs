//! User-based collaborative filtering: recommends what those users liked whose ratings are most like one's own.
//!
//! It computes what the field's R package recommenderlab computes, in the releases that docs/ubcf.md names, and keeps the
//! contract of SageMaker's algorithms. Training stores the ratings and nothing else; the work is in the answers.
//!
//! Promises: similarities, neighbours, predictions and lists follow docs/ubcf.md in every mode, ties included, on any
//! number of threads; failures name what was wrong and where. Never: speaks HTTP, knows what a job is, or reads outside
//! the folder it is given.

mod dataset;
mod evaluation;
mod hyperparameters;
mod largest;
mod model;
mod model_file;
mod neighbors;
mod normalization;
mod prediction;
mod ratings;
mod serving;
#[cfg(test)]
mod tests;
mod training;

pub use serving::Predictor;
pub use training::{train, train_with_threads};

/// The name under which images and messages know the algorithm.
pub const ALGORITHM_NAME: &str = "ubcf";

/// Name of the model's file in the model folder.
pub const MODEL_FILE: &str = "model_algo-1";

/// The metrics that appear in the log: name, and a regular expression whose first group is the value.
pub const METRIC_DEFINITIONS: &[(&str, &str)] = &[
    ("train:users", r"#quality_metric: host=\S+, train users <count>=(\S+)"),
    ("train:items", r"#quality_metric: host=\S+, train items <count>=(\S+)"),
    ("train:ratings", r"#quality_metric: host=\S+, train ratings <count>=(\S+)"),
    ("train:density", r"#quality_metric: host=\S+, train density <share>=(\S+)"),
    (
        "validation:mean_squared_error",
        r"#quality_metric: host=\S+, validation mean_squared_error <loss>=(\S+)",
    ),
    (
        "validation:root_mean_squared_error",
        r"#quality_metric: host=\S+, validation root_mean_squared_error <loss>=(\S+)",
    ),
    (
        "validation:mean_absolute_error",
        r"#quality_metric: host=\S+, validation mean_absolute_error <loss>=(\S+)",
    ),
    ("validation:coverage", r"#quality_metric: host=\S+, validation coverage <score>=(\S+)"),
    ("validation:precision", r"#quality_metric: host=\S+, validation precision <score>=(\S+)"),
    ("validation:recall", r"#quality_metric: host=\S+, validation recall <score>=(\S+)"),
    ("test:mean_squared_error", r"#quality_metric: host=\S+, test mean_squared_error <loss>=(\S+)"),
    ("test:root_mean_squared_error", r"#quality_metric: host=\S+, test root_mean_squared_error <loss>=(\S+)"),
    ("test:mean_absolute_error", r"#quality_metric: host=\S+, test mean_absolute_error <loss>=(\S+)"),
    ("test:coverage", r"#quality_metric: host=\S+, test coverage <score>=(\S+)"),
    ("test:precision", r"#quality_metric: host=\S+, test precision <score>=(\S+)"),
    ("test:recall", r"#quality_metric: host=\S+, test recall <score>=(\S+)"),
];
