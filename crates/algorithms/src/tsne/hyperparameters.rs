//! The hyperparameters of `tsne`, named as scikit-learn and openTSNE name them.

use std::collections::BTreeMap;

use super::ALGORITHM_NAME;
use crate::TrainFailure;
use crate::contract::{Kind, Spec, Values, spec};

const COLUMN: Kind = Kind::Text(|value| !value.is_empty(), "is not the name of a column");

/// All of them.
const SPECS: &[Spec] = &[
    spec("perplexity", Kind::Float(1.0, 10_000.0), "30"),
    spec("early_exaggeration", Kind::Float(1.0, 1_000.0), "12"),
    spec("early_exaggeration_iter", Kind::Int(0, 100_000), "250"),
    spec("exaggeration", Kind::Float(1.0, 1_000.0), "1"),
    spec("learning_rate", Kind::AutoFloat(1e-3, 1e6), "auto"),
    spec("n_iter", Kind::Int(1, 1_000_000), "1000"),
    spec("n_iter_without_progress", Kind::Int(50, 1_000_000), "300"),
    spec("min_grad_norm", Kind::Float(0.0, 1.0), "0.0000001"),
    spec("initial_momentum", Kind::Float(0.0, 0.99), "0.5"),
    spec("final_momentum", Kind::Float(0.0, 0.99), "0.8"),
    spec("metric", Kind::Choice(&["euclidean", "cosine"]), "euclidean"),
    spec("init", Kind::Choice(&["pca", "random"]), "pca"),
    spec("theta", Kind::Float(0.0, 1.0), "0.5"),
    spec("seed", Kind::Int(0, i64::MAX), "0"),
    spec("trustworthiness_neighbors", Kind::Int(0, 1_000), "5"),
    spec("id_column", COLUMN, "auto"),
    spec("label_column", COLUMN, "auto"),
    spec("picture_title", Kind::Text(|_| true, ""), "t-SNE"),
    spec("_tuning_objective_metric", Kind::Ignored, ""),
];

/// A checked configuration.
#[derive(Clone, Debug)]
pub(super) struct Hyperparameters {
    pub perplexity: f64,
    pub early_exaggeration: f32,
    pub early_exaggeration_iter: usize,
    pub exaggeration: f32,
    /// `None`: as many as points, divided by four times the early exaggeration, and at least 50.
    pub learning_rate: Option<f32>,
    /// Iterations in all.
    pub n_iter: usize,
    pub n_iter_without_progress: usize,
    pub min_grad_norm: f64,
    pub initial_momentum: f32,
    pub final_momentum: f32,
    pub cosine: bool,
    pub random_init: bool,
    pub theta: f32,
    pub seed: u64,
    pub trustworthiness_neighbors: usize,
    /// `None`: the usual names.
    pub id_column: Option<String>,
    pub label_column: Option<String>,
    pub picture_title: String,
    /// Every name with its value in force.
    pub values: Values,
}

impl Hyperparameters {
    /// Checks names and values.
    ///
    /// # Errors
    /// A client failure that names the hyperparameter and the value.
    pub(super) fn from_pairs(given: &BTreeMap<String, String>) -> Result<Self, TrainFailure> {
        let values = Values::checked(ALGORITHM_NAME, SPECS, given)?;
        let named = |name: &str| Some(values.text(name).to_owned()).filter(|text| text != "auto");
        Ok(Self {
            perplexity: values.number("perplexity")?,
            early_exaggeration: values.number("early_exaggeration")?,
            early_exaggeration_iter: values.number("early_exaggeration_iter")?,
            exaggeration: values.number("exaggeration")?,
            learning_rate: values.automatic("learning_rate")?,
            n_iter: values.number("n_iter")?,
            n_iter_without_progress: values.number("n_iter_without_progress")?,
            min_grad_norm: values.number("min_grad_norm")?,
            initial_momentum: values.number("initial_momentum")?,
            final_momentum: values.number("final_momentum")?,
            cosine: values.text("metric") == "cosine",
            random_init: values.text("init") == "random",
            theta: values.number("theta")?,
            seed: values.number("seed")?,
            trustworthiness_neighbors: values.number("trustworthiness_neighbors")?,
            id_column: named("id_column"),
            label_column: named("label_column"),
            picture_title: values.text("picture_title").to_owned(),
            values,
        })
    }

    /// Checks what depends on the data.
    ///
    /// # Errors
    /// A client failure that names the hyperparameter.
    pub(super) fn check_points(&self, points: usize) -> Result<(), TrainFailure> {
        if self.perplexity < points as f64 {
            return Ok(());
        }
        Err(TrainFailure::client(format!(
            "Hyperparameter 'perplexity': {} must be less than the number of points, which is {points}",
            self.values.text("perplexity")
        )))
    }

    /// The step of the gradient descent (Belkina et al. 2019, as scikit-learn counts it).
    pub(super) fn step(&self, points: usize) -> f32 {
        let automatic = points as f32 / self.early_exaggeration / 4.0;
        self.learning_rate.unwrap_or(automatic.max(50.0))
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
    fn defaults_are_scikit_learns() {
        let h = with(&[]).unwrap();
        assert_eq!((h.perplexity, h.early_exaggeration, h.n_iter, h.theta), (30.0, 12.0, 1000, 0.5));
        assert_eq!((h.step(1_000), h.step(48_000)), (50.0, 1000.0));
        assert_eq!(with(&[("learning_rate", "200")]).unwrap().step(9), 200.0);
    }

    #[test]
    fn what_is_not_valid_is_named() {
        for (name, value, why) in [
            ("perplexity", "0.5", "is out of range [1, 10000]"),
            ("theta", "2", "is out of range [0, 1]"),
            ("metric", "manhattan", "is not one of [euclidean, cosine]"),
            ("learning_rate", "fast", "is not a number"),
            ("max_iter", "5", "is not known to tsne (value '5'). Check its spelling"),
        ] {
            let message = with(&[(name, value)]).unwrap_err().to_string();
            assert!(message.ends_with(why) && message.contains(name), "{message}");
        }
        let message = with(&[]).unwrap().check_points(30).unwrap_err().to_string();
        assert!(message.ends_with("30 must be less than the number of points, which is 30"), "{message}");
    }
}
