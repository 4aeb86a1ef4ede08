//! The hyperparameters the quickstart trains with, in one table, and how a user changes them.
//!
//! The chapter's own settings overfit: they lose to a predictor of two numbers per rating, user bias plus book bias.
//! The default recipe is the same algorithm with AWS's own regularising hyperparameters and two of sagebrush's options
//! (docs/object2vec.md), chosen on validation data only.

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
/// The rest depends on the number of training records: see [`scaled`].
const REGULARISED: &[(&str, &str)] = &[
    ("optimizer", "adagrad"),
    ("comparator_list", "hadamard, concat"),
    ("mlp_layers", "0"),
    ("early_stopping_patience", "5"),
    ("early_stopping_tolerance", "0.00001"),
    ("_weight_average_epochs", "3"),
];

/// With few records: which users rated a book is part of the book's vector.
const FEW: &[(&str, &str)] = &[
    ("enc_dim", "128"),
    ("dropout", "0.35"),
    ("learning_rate", "0.07"),
    ("mini_batch_size", "16"),
    ("_history", "implicit"),
    ("_history_sides", "1"),
    ("_history_dropout", "0.2"),
];
/// With many records, where a book's history would be thousands of users.
const MANY: &[(&str, &str)] =
    &[("enc_dim", "256"), ("dropout", "0.65"), ("learning_rate", "0.1"), ("mini_batch_size", "32")];
/// Up to so many records are few: each epoch takes ten times as long with histories, and what they add is measured on
/// 32,113 records.
const FEW_RECORDS: u64 = 200_000;

/// Weight decay times training records. Weight decay acts on a row of the tables in every batch, the data only in the
/// batches that hold it: over an epoch a row is pulled to zero in proportion to the number of batches, while its
/// ratings stay as many as they are. So the same strength per row needs a weight decay inverse to the records.
const DECAY_RECORDS: f64 = 20.0;
/// Records read in a whole training at most, early stopping aside: what a laptop does in one to three minutes.
const RECORDS_READ: u64 = 35_000_000;
/// Few records take many epochs, many records are not left after a few.
const EPOCHS: (u64, u64) = (25, 100);

/// The regularised recipe's values that depend on the number of training records.
fn scaled(records: u64) -> Vec<(&'static str, String)> {
    let records = records.max(1);
    // Six decimals are two digits and more up to two million records.
    let decay = (DECAY_RECORDS / records as f64 * 1e6).ceil() / 1e6;
    let epochs = (RECORDS_READ / records).clamp(EPOCHS.0, EPOCHS.1);
    let mut values = vec![("weight_decay", decay.min(1.0).to_string()), ("epochs", epochs.to_string())];
    let sized = if records <= FEW_RECORDS { FEW } else { MANY };
    values.extend(sized.iter().map(|&(name, value)| (name, value.to_owned())));
    values
}

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

    /// The hyperparameters for vocabularies of `users` and `books` and so many training records, with the user's own
    /// values last and winning.
    pub(super) fn hyperparameters(
        self,
        users: u32,
        books: u32,
        records: u64,
        own: &[(String, String)],
    ) -> Hyperparameters {
        // AWS accepts vocabularies of two and more.
        let sizes =
            [("enc0_vocab_size", users.max(2).to_string()), ("enc1_vocab_size", books.max(2).to_string())];
        let (table, scaled) = match self {
            Self::Regularised => (REGULARISED, scaled(records)),
            Self::Chapter => (CHAPTER, Vec::new()),
        };
        let fixed = |table: &[(&str, &str)]| -> Hyperparameters {
            table.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut all = fixed(SHAPE);
        all.extend(sizes.into_iter().map(|(name, value)| (name.to_owned(), value)));
        all.extend(fixed(table));
        all.extend(scaled.into_iter().map(|(name, value)| (name.to_owned(), value)));
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
    let (name, value) =
        text.split_once('=').with_context(|| format!("{text:?} is not name=value, such as epochs=5"))?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || value.is_empty() {
        bail!("{text:?} lacks the {}", if name.is_empty() { "name" } else { "value" });
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(all: &'a Hyperparameters, name: &str) -> Option<&'a str> {
        all.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn own_values_win_and_names_stay_unique() {
        let own = [parse_own("epochs=5"), parse_own("mlp_dim = 16")].map(|one| one.expect("well-formed"));
        let all = Recipe::Regularised.hyperparameters(275, 973, 32_113, &own);
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
        let all = Recipe::Chapter.hyperparameters(12_347, 985, 841_039, &[]);
        assert_eq!(value(&all, "enc_dim"), Some("1024"));
        assert_eq!(value(&all, "mini_batch_size"), Some("64"));
        assert_eq!(value(&all, "epochs"), Some("10"));
    }

    #[test]
    fn decay_and_epochs_follow_the_number_of_records() {
        let scaled = |records| {
            let all = Recipe::Regularised.hyperparameters(9, 9, records, &[]);
            (value(&all, "weight_decay").map(str::to_owned), value(&all, "epochs").map(str::to_owned))
        };
        let pair = |decay: &str, epochs: &str| (Some(decay.to_owned()), Some(epochs.to_owned()));
        assert_eq!(scaled(32_113), pair("0.000623", "100"));
        assert_eq!(scaled(841_039), pair("0.000024", "41"));
        assert_eq!(scaled(100_000_000), pair("0.000001", "25"));
        assert_eq!(scaled(0), pair("1", "100"));
        let history =
            |records| value(&Recipe::Regularised.hyperparameters(9, 9, records, &[]), "_history").is_some();
        assert!(history(32_113) && !history(841_039));
    }

    #[test]
    fn malformed_settings_are_refused_with_the_text() {
        for text in ["epochs", "=5", "epochs="] {
            let error = parse_own(text).expect_err("malformed").to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
