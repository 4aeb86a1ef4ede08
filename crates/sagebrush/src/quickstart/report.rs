//! The run as JSON: everything the screen showed, for programs. Field names are stable; fields may be added.

use super::deploy::Deployed;
use super::evaluate::Evaluated;
use super::input::Input;
use super::memory::MemorySampler;
use super::prepare::Prepared;
use super::recommend::Recommended;
use super::train::Trained;
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::path::Path;

/// One timed step.
pub(super) struct Step {
    /// A short name, such as `train`.
    pub name: &'static str,
    /// Wall time.
    pub seconds: f64,
    /// The peak memory of the server and everything under it during the step, where it can be measured.
    pub peak_memory: Option<u64>,
}

/// Everything a run found out.
pub(super) struct Findings<'a> {
    /// The data.
    pub input: &'a Input,
    /// The settings' name.
    pub recipe: &'static str,
    /// In order.
    pub steps: &'a [Step],
    /// From the preparation.
    pub prepared: &'a Prepared,
    /// From training.
    pub trained: &'a Trained,
    /// From the deployment.
    pub deployed: &'a Deployed,
    /// From the evaluation.
    pub evaluated: &'a Evaluated,
    /// From the recommendation.
    pub recommended: &'a Recommended,
    /// The picture, where one was drawn.
    pub curve: Option<&'a Path>,
}

/// The report as one JSON object.
pub(super) fn document(findings: &Findings<'_>, memory: &MemorySampler) -> Value {
    let Findings { input, prepared, trained, deployed, evaluated, recommended, .. } = findings;
    let steps: Vec<Value> = findings
        .steps
        .iter()
        .map(|step| {
            json!({ "name": step.name, "seconds": step.seconds, "peak_memory_bytes": step.peak_memory })
        })
        .collect();
    let baselines = &evaluated.baselines;
    let errors = [
        ("global_mean", baselines.global_mean),
        ("user_mean", baselines.user_mean),
        ("bias", baselines.bias),
        ("object2vec", evaluated.object2vec),
    ];
    let named = |map: &dyn Fn(f64) -> f64| -> Map<String, Value> {
        errors.iter().map(|(name, mse)| ((*name).to_owned(), json!(map(*mse)))).collect()
    };
    let rates: Vec<Option<f64>> = trained.epochs.iter().map(|epoch| epoch.records_per_second).collect();
    json!({
        "report_version": 1,
        "sagebrush_version": env!("CARGO_PKG_VERSION"),
        "data": {
            "source": input.source,
            "min_user_ratings": input.min_user_ratings,
            "min_book_ratings": input.min_book_ratings,
        },
        "steps": steps,
        "rows": rows(prepared),
        "quantiles": quantiles(prepared),
        "training": {
            "job": trained.job,
            "settings": findings.recipe,
            "hyperparameters": trained.hyperparameters.iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect::<Map<String, Value>>(),
            "records": trained.records,
            "best_epoch": trained.best_epoch,
            "stopped_early": trained.stopped_early,
            "artifact": trained.artifact,
        },
        "epochs": trained.epochs,
        "records_per_second": rates,
        "test_pairs": evaluated.pairs,
        "test_mse": named(&|mse| mse),
        "test_rmse": named(&f64::sqrt),
        "bias_shrinkage": evaluated.shrinkage,
        "latency_seconds": {
            "create_training_job_to_first_log_line": trained.first_log_line,
            "create_endpoint_to_in_service": deployed.in_service,
            "invoke_one_pair_median": evaluated.one_pair,
        },
        "endpoint_pairs_per_second": evaluated.pairs_per_second,
        "peak_memory_bytes": memory.peak(),
        "peak_memory_is": "largest sum of resident memory of the server and all its child processes, sampled every \
                           50 ms; pages they share are counted once for each",
        "largest_process_peak_bytes": memory.largest_process(),
        "user": { "user_id": recommended.user_id, "ratings": recommended.ratings, "liked": recommended.liked },
        "recommendations": recommended.books,
        "curve": findings.curve,
    })
}

fn rows(prepared: &Prepared) -> Map<String, Value> {
    prepared
        .rows
        .iter()
        .map(|row| {
            let counts = json!({ "ratings": row.ratings, "users": row.users, "books": row.books });
            (row.step.replace(' ', "_"), counts)
        })
        .collect()
}

fn quantiles(prepared: &Prepared) -> Map<String, Value> {
    let mut all = Map::new();
    for one in &prepared.quantiles {
        let entity = all.entry(one.entity.clone()).or_insert_with(|| json!({}));
        entity[one.quantile.to_string()] = json!(one.count);
    }
    all
}

/// Writes the report, indented.
pub(super) fn write(file: &Path, document: &Value) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    std::fs::write(file, text).with_context(|| format!("the report {} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::super::prepare::{Quantile, RowCount};
    use super::*;

    #[test]
    fn rows_and_quantiles_are_keyed() {
        let prepared = Prepared {
            rows: vec![RowCount { step: "users kept".into(), ratings: 3, users: 2, books: 1 }],
            quantiles: vec![Quantile { entity: "user".into(), quantile: 0.25, count: 96.0 }],
            users: 2,
            books: 1,
        };
        assert_eq!(Value::from(rows(&prepared)).pointer("/users_kept/ratings"), Some(&json!(3)));
        assert_eq!(Value::from(quantiles(&prepared)).pointer("/user/0.25"), Some(&json!(96.0)));
    }
}
