//! The hyperparameters the quickstart trains with, in one table, and how a user changes them.
//!
//! The chapter's own settings overfit: they lose to a predictor of two numbers per rating, user bias plus book bias.
//! The default recipe is the same algorithm with AWS's own regularising hyperparameters, chosen on validation data only.

use anyhow::{Context, bail};

/// Hyperparameters as CreateTrainingJob takes them: names and values, both strings, in the order they are shown.
pub(super) type Hyperparameters = Vec<(String, String)>;

/// What both recipes share: one token per side, as a user and a book are, and a rating to predict.
const SHAPE: &[(&str, &str)] = &[
    ("enc0_network", "pooled_embedding"),
    ("enc0_max_seq_len", "1"),
    ("enc1_network", "pooled_embedding"),
    ("enc1_max_seq_len", "1"),
    ("output_layer", "mean_squared_error"),
    ("bucket_width", "0"),
];

/// The regularised recipe, chosen on validation error alone: docs/decisions/0003-quickstart-recipe.md has the sweep.
const REGULARISED: &[(&str, &str)] = &[
    ("optimizer", "adagrad"),
    ("enc_dim", "256"),
    ("comparator_list", "hadamard, concat"),
    ("mlp_layers", "0"),
    ("dropout", "0.65"),
    ("weight_decay", "0.0002"),
    ("learning_rate", "0.1"),
    ("mini_batch_size", "32"),
    ("epochs", "100"),
    ("early_stopping_patience", "5"),
    ("early_stopping_tolerance", "0.00001"),
];

/// The chapter's settings, as its training job logged them.
const CHAPTER: &[(&str, &str)] = &[
    ("optimizer", "adam"),
    ("enc_dim", "1024"),
    ("comparator_list", "hadamard, concat, abs_diff"),
    ("mlp_layers", "1"),
    ("mlp_dim", "256"),
    ("mlp_activation", "relu"),
    ("dropout", "0"),
    ("weight_decay", "0"),
    ("learning_rate", "0.0004"),
    ("mini_batch_size", "64"),
    ("epochs", "10"),
    ("early_stopping_patience", "2"),
    ("early_stopping_tolerance", "0.01"),
];

/// Which table to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipe {
    /// The quickstart's default.
    Regularised,
    /// What the chapter trains with.
    Chapter,
}

impl Recipe {
    /// The name the report gives it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Regularised => "regularised",
            Self::Chapter => "chapter",
        }
    }

    /// The hyperparameters for vocabularies of `users` and `books`, with the user's own values last and winning.
    pub(super) fn hyperparameters(
        self,
        users: u32,
        books: u32,
        own: &[(String, String)],
    ) -> Hyperparameters {
        let table = match self {
            Self::Regularised => REGULARISED,
            Self::Chapter => CHAPTER,
        };
        // AWS accepts vocabularies of two and more.
        let sizes = [
            ("enc0_vocab_size", users.max(2)),
            ("enc1_vocab_size", books.max(2)),
        ];
        let mut all: Hyperparameters = SHAPE
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .chain(
                sizes
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.to_string())),
            )
            .chain(
                table
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            )
            .collect();
        for (name, value) in own {
            match all.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.clone_from(value),
                None => all.push((name.clone(), value.clone())),
            }
        }
        all
    }
}

/// Reads one `--hyperparameter name=value`; which names and values there are is the training job's to say.
pub(super) fn parse_own(text: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = text
        .split_once('=')
        .with_context(|| format!("{text:?} is not name=value, such as epochs=5"))?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || value.is_empty() {
        bail!(
            "{text:?} lacks the {}",
            if name.is_empty() { "name" } else { "value" }
        );
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(all: &'a Hyperparameters, name: &str) -> Option<&'a str> {
        all.iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn own_values_win_and_names_stay_unique() {
        let own =
            [parse_own("epochs=5"), parse_own("mlp_dim = 16")].map(|one| one.expect("well-formed"));
        let all = Recipe::Regularised.hyperparameters(275, 973, &own);
        assert_eq!(value(&all, "epochs"), Some("5"));
        assert_eq!(value(&all, "mlp_dim"), Some("16"));
        assert_eq!(value(&all, "enc0_vocab_size"), Some("275"));
        let mut names: Vec<_> = all.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn the_chapter_is_the_chapter() {
        let all = Recipe::Chapter.hyperparameters(12_347, 985, &[]);
        assert_eq!(value(&all, "enc_dim"), Some("1024"));
        assert_eq!(value(&all, "mini_batch_size"), Some("64"));
        assert_eq!(value(&all, "epochs"), Some("10"));
    }

    #[test]
    fn malformed_settings_are_refused_with_the_text() {
        for text in ["epochs", "=5", "epochs="] {
            let error = parse_own(text).expect_err("malformed").to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
