//! t-SNE: a map of the plane on which points that are near each other in many dimensions lie near each other.
//!
//! Training reads vectors (a CSV, or a model of `title_embedding`) and writes the map as CSV, as an SVG picture and as a
//! page in which one can look around. Similarities are those of van der Maaten and Hinton (2008); repulsion is summed
//! over the cells of a quadtree (Barnes and Hut 1986; van der Maaten 2014), for sixteen points at a time.
//! docs/tsne.md has hyperparameters and formats.
//!
//! Promises: the same folder gives the same map, whatever the number of threads; the picture and the page fetch nothing
//! from anywhere, and no title can become part of their code. Never: reads outside the folder it is given.

mod affinities;
mod embedding;
mod gradient;
mod hyperparameters;
mod input;
mod neighbors;
mod picture;
mod quadtree;
mod quality;
mod training;

pub use training::{train, train_with_threads};

/// The name of the image.
pub const ALGORITHM_NAME: &str = "tsne";

/// Name of the map as a table, in the folders of outputs and of the model: columns id, title, x, y.
pub const MAP_FILE: &str = "tsne.csv";
/// Name of the page.
pub const PAGE_FILE: &str = "tsne.html";
/// Name of the picture.
pub const PICTURE_FILE: &str = "tsne.svg";

/// The metrics that appear in the log: name, and a regular expression whose first group is the value.
pub const METRIC_DEFINITIONS: &[(&str, &str)] = &[
    ("train:kl_divergence", r"#quality_metric: host=\S+, epoch=\S+, train kl_divergence <loss>=(\S+)"),
    ("train:trustworthiness", r"#quality_metric: host=\S+, train trustworthiness <score>=(\S+)"),
];
