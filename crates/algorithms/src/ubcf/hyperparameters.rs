//! The hyperparameters of ubcf: names, ranges, defaults, and what does not go together.
//!
//! Promises: whatever is valid but would not be acted on is refused by name.

use std::collections::BTreeMap;

use super::ALGORITHM_NAME;
use super::neighbors::Rule;
use super::prediction::Weighing;
use crate::TrainFailure;
use crate::contract::{Kind, Spec, Values, pairs, spec};

/// How two users are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// The cosine of their deviations.
    Cosine,
    /// The correlation of their deviations.
    Pearson,
}

/// What is taken away from a user's ratings first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Normalize {
    /// His mean.
    Center,
    /// His mean, and the spread around it is made 1.
    ZScore,
    /// Nothing.
    None,
}

/// Which release of the field's R package is followed: docs/ubcf.md says how they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// recommenderlab 0.2-5 with the proxy package of 2019.
    Classic,
    /// recommenderlab 1.0.
    Modern,
    /// recommenderlab 0.2-5 with a later proxy package.
    Signed,
}

/// Names of the columns, or keys, of ratings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    pub user: String,
    pub item: String,
    pub rating: String,
}

/// Most neighbours: beyond some thousands everybody is a neighbour.
const MAX_NN: i64 = 1_000_000;
/// Longest list of recommendations.
pub(crate) const MAX_TOP_N: usize = 10_000;
/// Largest row number: rows are 32 bits wide.
pub(crate) const MAX_ROW: i64 = u32::MAX as i64;

const METHODS: &[&str] = &["cosine", "pearson"];
const NORMALIZATIONS: &[&str] = &["center", "z-score", "none"];

const SPECS: &[Spec] = &[
    spec("method", Kind::Text(|text| is_one_of(text, METHODS), "is not one of [Cosine, Pearson]"), "Cosine"),
    spec("nn", Kind::Int(1, MAX_NN), "25"),
    spec(
        "normalize",
        Kind::Text(|text| is_one_of(text, NORMALIZATIONS), "is not one of [center, Z-score, none]"),
        "center",
    ),
    spec("mode", Kind::Choice(&["classic", "modern", "signed"]), "classic"),
    spec("n_users", Kind::AutoInt(1, MAX_ROW), "auto"),
    spec("weighted", Kind::Bool, "true"),
    spec("min_matching_items", Kind::Int(0, 1_000_000), "0"),
    spec("min_predictive_items", Kind::Int(0, 1_000_000), "0"),
    spec("top_n", Kind::Int(1, MAX_TOP_N as i64), "5"),
    spec("ind", Kind::Int(1, MAX_ROW), "272"),
    spec("user_column", COLUMN, "user_ind"),
    spec("item_column", COLUMN, "book_ind"),
    spec("rating_column", COLUMN, "rating"),
    spec("_tuning_objective_metric", Kind::Ignored, ""),
];

/// The name of a column.
const COLUMN: Kind =
    Kind::Text(|text| !text.is_empty() && text.len() <= 256, "is not a name of 1 to 256 bytes");

fn is_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(crate) struct Hyperparameters {
    /// How neighbours are found.
    pub rule: Rule,
    pub normalize: Normalize,
    pub weighing: Weighing,
    /// Only the first so many users are trained on.
    pub n_users: Option<usize>,
    /// Length of a list when a request does not say.
    pub top_n: usize,
    /// The row, from 1, of a request in CSV that does not say.
    pub ind: usize,
    pub columns: Columns,
    /// Every name with its value in force.
    pub values: BTreeMap<String, String>,
}

impl Hyperparameters {
    /// Checks a whole `hyperparameters.json`.
    ///
    /// # Errors
    /// A client failure that names the hyperparameter and the value.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, TrainFailure> {
        Self::from_pairs(&pairs(bytes)?)
    }

    /// Checks names and values.
    ///
    /// # Errors
    /// As [`Hyperparameters::from_json`].
    pub(crate) fn from_pairs(given: &BTreeMap<String, String>) -> Result<Self, TrainFailure> {
        let values = Values::checked(ALGORITHM_NAME, SPECS, given)?;
        let mode = match values.text("mode") {
            "modern" => Mode::Modern,
            "signed" => Mode::Signed,
            _ => Mode::Classic,
        };
        let rule = Rule {
            method: if values.text("method").eq_ignore_ascii_case("pearson") {
                Method::Pearson
            } else {
                Method::Cosine
            },
            mode,
            nn: values.number("nn")?,
            min_matching_items: values.number("min_matching_items")?,
            min_predictive_items: values.number("min_predictive_items")?,
        };
        let weighing = Weighing { mode, weighted: values.flag("weighted") };
        let set = [
            ("weighted", !weighing.weighted),
            ("min_matching_items", rule.min_matching_items > 0),
            ("min_predictive_items", rule.min_predictive_items > 0),
        ];
        if let Some((name, _)) = set.iter().find(|(_, set)| *set && mode != Mode::Modern) {
            return Err(TrainFailure::client(format!(
                "Hyperparameter '{name}': {} works with mode modern only, not with {}",
                values.text(name),
                values.text("mode")
            )));
        }
        let column = |name: &str| values.text(name).to_owned();
        let columns = Columns {
            user: column("user_column"),
            item: column("item_column"),
            rating: column("rating_column"),
        };
        if columns.user == columns.item || columns.item == columns.rating || columns.rating == columns.user {
            return Err(TrainFailure::client(format!(
                "Hyperparameters 'user_column', 'item_column', 'rating_column': {}, {}, {} are not three different \
                 columns",
                columns.user, columns.item, columns.rating
            )));
        }
        Ok(Self {
            rule,
            normalize: match values.text("normalize").to_ascii_lowercase().as_str() {
                "z-score" => Normalize::ZScore,
                "none" => Normalize::None,
                _ => Normalize::Center,
            },
            weighing,
            n_users: values.automatic("n_users")?,
            top_n: values.number("top_n")?,
            ind: values.number("ind")?,
            columns,
            values: values.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(json: &str) -> Result<Hyperparameters, String> {
        Hyperparameters::from_json(json.as_bytes()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn defaults_are_the_algorithms_own() {
        let h = from("{}").unwrap();
        let rule = Rule {
            method: Method::Cosine,
            mode: Mode::Classic,
            nn: 25,
            min_matching_items: 0,
            min_predictive_items: 0,
        };
        assert_eq!((h.rule, h.normalize, h.n_users), (rule, Normalize::Center, None));
        assert_eq!((h.top_n, h.ind, h.weighing.weighted), (5, 272, true));
        assert_eq!(h.columns.item, "book_ind");
        assert_eq!(h.values["nn"], "25");
    }

    #[test]
    fn names_of_methods_are_read_in_any_case() {
        let h = from(r#"{"method": "pearson", "normalize": "z-Score", "mode": "modern", "n_users": 190}"#)
            .unwrap();
        assert_eq!((h.rule.method, h.rule.mode), (Method::Pearson, Mode::Modern));
        assert_eq!((h.normalize, h.n_users), (Normalize::ZScore, Some(190)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (r#"{"nn": "0"}"#, "Hyperparameter 'nn': 0 is out of range [1, 1000000]"),
            (r#"{"nn": "many"}"#, "Hyperparameter 'nn': many is not an integer"),
            (r#"{"method": "Jaccard"}"#, "Hyperparameter 'method': Jaccard is not one of [Cosine, Pearson]"),
            (
                r#"{"normalize": "rank"}"#,
                "Hyperparameter 'normalize': rank is not one of [center, Z-score, none]",
            ),
            (r#"{"mode": "old"}"#, "Hyperparameter 'mode': old is not one of [classic, modern, signed]"),
            (r#"{"k": "3"}"#, "Hyperparameter 'k' is not known to ubcf (value '3'). Check its spelling"),
            (
                r#"{"weighted": "false"}"#,
                "Hyperparameter 'weighted': false works with mode modern only, not with classic",
            ),
            (
                r#"{"min_matching_items": "2", "mode": "signed"}"#,
                "Hyperparameter 'min_matching_items': 2 works with mode modern only, not with signed",
            ),
            (
                r#"{"item_column": "rating"}"#,
                "Hyperparameters 'user_column', 'item_column', 'rating_column': user_ind, rating, rating are not three \
                 different columns",
            ),
        ];
        for (json, message) in cases {
            assert_eq!(from(json).unwrap_err(), format!("ClientError: {message}"));
        }
    }
}
