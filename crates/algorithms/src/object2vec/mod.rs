//! Object2Vec: learns vectors of paired objects from their tokens, and a perceptron that scores a pair.
//!
//! It keeps the contract of SageMaker's built-in algorithm of this name: hyperparameters, channels, formats, log
//! lines, metrics, early stopping and inference. docs/object2vec.md says where it differs and what it adds.
//!
//! Promises: a run is repeatable (see `_seed`); failures name what was wrong and where. Never: speaks HTTP, knows what
//! a job is, or reads outside the folder it is given.

mod dataset;
mod hyperparameters;
mod model_file;
mod network;
mod optimizer;
mod serving;
mod training;

pub use serving::Predictor;
pub use training::{train, train_with_threads};

/// The name under which SageMaker knows the algorithm.
pub const ALGORITHM_NAME: &str = "object2vec";

/// Name of the model's file in the model folder.
pub const MODEL_FILE: &str = "model_algo-1";

/// The metrics that appear in the log: name, and a regular expression whose first group is the value.
pub const METRIC_DEFINITIONS: &[(&str, &str)] = &[
    (
        "train:mean_squared_error",
        r"#quality_metric: host=\S+, epoch=\S+, train mean_squared_error <loss>=(\S+)",
    ),
    (
        "validation:mean_squared_error",
        r"#quality_metric: host=\S+, epoch=\S+, validation mean_squared_error <loss>=(\S+)",
    ),
    ("test:mean_squared_error", r"#quality_metric: host=\S+, test mean_squared_error <loss>=(\S+)"),
    ("train:cross_entropy", r"#quality_metric: host=\S+, epoch=\S+, train cross_entropy <loss>=(\S+)"),
    (
        "validation:cross_entropy",
        r"#quality_metric: host=\S+, epoch=\S+, validation cross_entropy <loss>=(\S+)",
    ),
    ("test:cross_entropy", r"#quality_metric: host=\S+, test cross_entropy <loss>=(\S+)"),
    ("train:accuracy", r"#quality_metric: host=\S+, epoch=\S+, train accuracy <score>=(\S+)"),
    ("validation:accuracy", r"#quality_metric: host=\S+, epoch=\S+, validation accuracy <score>=(\S+)"),
    ("test:accuracy", r"#quality_metric: host=\S+, test accuracy <score>=(\S+)"),
    ("train:progress", r"#progress_metric: host=\S+, completed (\S+) %"),
    ("train:throughput", r"#throughput_metric: host=\S+, train throughput=(\S+) records/second"),
];
