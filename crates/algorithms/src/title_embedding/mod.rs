//! Vectors of titles from pretrained word vectors: a title is the weighted mean of its words.
//!
//! Training reads titles and a file of word vectors (fastText, GloVe or word2vec), and writes a model that knows the
//! titles, finds similar ones, embeds new ones, and scores titles from a user's ratings of others: what a recommender
//! can say of a book that nobody has rated. docs/title-embedding.md has formats, formulas and requests.
//!
//! Promises: the same folder gives the same model; of a file of vectors only the rows that are needed are read; failures
//! name what was wrong and where. Never: learns word vectors, speaks HTTP, or reads outside the folder it is given.

mod embed;
mod hyperparameters;
mod model_file;
mod serving;
mod titles;
mod training;
mod vectors;
mod words;

pub(crate) use model_file::read_titles;
pub use serving::Predictor;
pub use training::train;

/// The name of the image.
pub const ALGORITHM_NAME: &str = "title_embedding";

/// Name of the model's file in the model folder.
pub const MODEL_FILE: &str = "title_embedding.model";

/// Name of the file of vectors in the folder of outputs: columns id, title, v0, v1, ...
pub const EMBEDDINGS_FILE: &str = "embeddings.csv";

/// The metrics that appear in the log: name, and a regular expression whose first group is the value.
pub const METRIC_DEFINITIONS: &[(&str, &str)] = &[
    ("train:token_coverage", r"#quality_metric: host=\S+, train token_coverage <score>=(\S+)"),
    ("train:subword_share", r"#quality_metric: host=\S+, train subword_share <score>=(\S+)"),
    ("train:title_coverage", r"#quality_metric: host=\S+, train title_coverage <score>=(\S+)"),
];
