//! The hyperparameters of `title_embedding`.

use super::ALGORITHM_NAME;
use crate::TrainFailure;
use crate::contract::{Kind, Spec, Values, spec};

/// A delimiter is one ASCII character, or a word for one that is hard to write.
const DELIMITER: Kind = Kind::Text(
    |value| delimiter(value).is_some(),
    "is not a delimiter: one ASCII character that is no letter, digit or quote, or tab, comma, semicolon or pipe",
);
const FILE_NAME: Kind = Kind::Text(
    |value| !value.starts_with('/') && value.split('/').all(|part| part != ".."),
    "is not the name of a file in the channel",
);
const COLUMN: Kind = Kind::Text(|value| !value.is_empty(), "is not the name of a column");

/// All of them.
const SPECS: &[Spec] = &[
    spec("title_column", COLUMN, "title"),
    spec("id_column", COLUMN, "auto"),
    spec("csv_delimiter", DELIMITER, "comma"),
    spec("vectors_file", FILE_NAME, ""),
    spec(
        "vectors_format",
        Kind::Choice(&["auto", "text", "word2vec_binary", "glove_binary", "fasttext_binary"]),
        "auto",
    ),
    spec("keep_case", Kind::Bool, "false"),
    spec("stop_words", Kind::Choice(&["none", "english"]), "none"),
    spec("token_weights", Kind::Choice(&["uniform", "tfidf", "sif"]), "uniform"),
    spec("sif_alpha", Kind::Float(1e-6, 1.0), "0.001"),
    spec("remove_component", Kind::Choice(&["auto", "true", "false"]), "auto"),
    spec("normalize_words", Kind::Bool, "false"),
    spec("normalize_titles", Kind::Bool, "true"),
    spec("subwords", Kind::Bool, "true"),
    spec("model_subwords", Kind::Choice(&["auto", "true", "false"]), "auto"),
    spec("model_vocabulary", Kind::Int(0, 5_000_000), "20000"),
    spec("neighbors", Kind::Int(1, 10_000), "20"),
    spec("similarity_power", Kind::Float(0.1, 10.0), "2"),
    spec("shrinkage", Kind::Float(0.0, 1_000.0), "1"),
    spec("_tuning_objective_metric", Kind::Ignored, ""),
];

/// How much a word counts in a title.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TokenWeights {
    /// All the same.
    Uniform,
    /// `ln((1 + titles) / (1 + titles with the word)) + 1`, scikit-learn's smoothed inverse document frequency.
    TfIdf,
    /// `a / (a + p)`, with the word's share p of all tokens (Arora, Liang and Ma 2017).
    Sif(f64),
}

/// Whether the bucket table of subwords goes into the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelSubwords {
    /// When it is small.
    Auto,
    Always,
    Never,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(super) struct Hyperparameters {
    pub title_column: String,
    /// `None`: the first of the usual names.
    pub id_column: Option<String>,
    pub delimiter: u8,
    pub vectors_file: String,
    /// `None`: as the file looks.
    pub vectors_format: Option<String>,
    pub keep_case: bool,
    pub stop_words: bool,
    pub token_weights: TokenWeights,
    pub remove_component: bool,
    pub normalize_words: bool,
    pub normalize_titles: bool,
    pub subwords: bool,
    pub model_subwords: ModelSubwords,
    /// So many words from the head of the file go into the model, beside those of the titles.
    pub model_vocabulary: usize,
    /// Rated titles that a score is made of.
    pub neighbors: usize,
    /// Similarities count with this power.
    pub similarity_power: f64,
    /// Weight of the user's mean in a score.
    pub shrinkage: f64,
    /// Every name with its value in force.
    pub values: Values,
}

fn delimiter(value: &str) -> Option<u8> {
    match value {
        "tab" | "\t" => Some(b'\t'),
        "comma" => Some(b','),
        "semicolon" => Some(b';'),
        "pipe" => Some(b'|'),
        _ => match value.as_bytes() {
            [byte] if byte.is_ascii_graphic() && !byte.is_ascii_alphanumeric() && *byte != b'"' => {
                Some(*byte)
            }
            _ => None,
        },
    }
}

impl Hyperparameters {
    /// Checks names and values.
    ///
    /// # Errors
    /// A client failure that names the hyperparameter and the value.
    pub(super) fn from_pairs(
        given: &std::collections::BTreeMap<String, String>,
    ) -> Result<Self, TrainFailure> {
        let values = Values::checked(ALGORITHM_NAME, SPECS, given)?;
        let named = |name: &str| Some(values.text(name).to_owned()).filter(|text| text != "auto");
        let token_weights = match values.text("token_weights") {
            "tfidf" => TokenWeights::TfIdf,
            "sif" => TokenWeights::Sif(values.number("sif_alpha")?),
            _ => TokenWeights::Uniform,
        };
        Ok(Self {
            title_column: values.text("title_column").to_owned(),
            id_column: named("id_column"),
            delimiter: delimiter(values.text("csv_delimiter")).unwrap_or(b','),
            vectors_file: values.text("vectors_file").to_owned(),
            vectors_format: named("vectors_format"),
            keep_case: values.flag("keep_case"),
            stop_words: values.text("stop_words") == "english",
            token_weights,
            remove_component: match values.text("remove_component") {
                "auto" => matches!(token_weights, TokenWeights::Sif(_)),
                choice => choice == "true",
            },
            normalize_words: values.flag("normalize_words"),
            normalize_titles: values.flag("normalize_titles"),
            subwords: values.flag("subwords"),
            model_subwords: match values.text("model_subwords") {
                "true" => ModelSubwords::Always,
                "false" => ModelSubwords::Never,
                _ => ModelSubwords::Auto,
            },
            model_vocabulary: values.number("model_vocabulary")?,
            neighbors: values.number("neighbors")?,
            similarity_power: values.number("similarity_power")?,
            shrinkage: values.number("shrinkage")?,
            values,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Hyperparameters, TrainFailure> {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Hyperparameters::from_pairs(&pairs)
    }

    #[test]
    fn defaults_and_what_follows_from_others() {
        let h = with(&[]).unwrap();
        assert_eq!((h.title_column.as_str(), h.id_column, h.delimiter), ("title", None, b','));
        assert!(!h.remove_component && h.normalize_titles && h.subwords);
        let h = with(&[("token_weights", "sif"), ("csv_delimiter", "tab")]).unwrap();
        assert_eq!(
            (h.token_weights, h.remove_component, h.delimiter),
            (TokenWeights::Sif(0.001), true, b'\t')
        );
        assert!(!with(&[("token_weights", "sif"), ("remove_component", "false")]).unwrap().remove_component);
    }

    #[test]
    fn what_is_not_valid_is_named() {
        for (name, value, why) in [
            ("titel_column", "x", "is not known to title_embedding (value 'x'). Check its spelling"),
            ("csv_delimiter", "ab", "is not a delimiter: one ASCII character"),
            ("vectors_file", "../x", "is not the name of a file in the channel"),
            ("sif_alpha", "0", "is out of range [0.000001, 1]"),
            ("neighbors", "0", "is out of range [1, 10000]"),
        ] {
            let message = with(&[(name, value)]).unwrap_err().to_string();
            assert!(message.starts_with("ClientError: Hyperparameter") && message.contains(why), "{message}");
        }
    }
}
