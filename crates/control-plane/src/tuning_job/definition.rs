//! A training job definition: its space, its objective, and the training jobs made from it.

use std::collections::BTreeMap;

use sagebrush_tuning::{Direction, Setting, Space};
use sagebrush_types::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ranges;
use super::request::{Config, Definition, Objective};
use crate::ControlPlane;
use crate::document::default_member;
use crate::image::{Image, Task};
use crate::training_job::Tuned;
use crate::workflow::MetricReader;

/// The hyperparameter that names the objective, as AWS adds it to every training job.
pub const OBJECTIVE_PARAMETER: &str = "_tuning_objective_metric";

/// What is measured, as the workflow keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The metric's name.
    pub metric: String,
    /// Which values are better.
    pub direction: Direction,
}

/// A checked definition.
#[derive(Debug)]
pub struct Checked {
    /// What is searched.
    pub space: Space,
    /// What is measured.
    pub measured: Measured,
    /// The definition as Describe shows it, with the members that AWS adds.
    pub shown: Value,
}

fn direction(objective: &Objective) -> Direction {
    if objective.direction == "Maximize" { Direction::Maximize } else { Direction::Minimize }
}

/// Checks one definition of a request. `shown` is the definition as the request has it.
pub fn check(
    plane: &ControlPlane,
    config: &Config,
    field: &str,
    definition: &Definition,
    shown: &Value,
    autotune: bool,
) -> Outcome<Checked> {
    let (ranges, place) = match (&definition.hyper_parameter_ranges, &config.parameter_ranges) {
        (Some(ranges), _) => (ranges, format!("{field}.HyperParameterRanges")),
        (None, Some(ranges)) => (ranges, "HyperParameterTuningJobConfig.ParameterRanges".to_owned()),
        (None, None) => {
            return Err(Failure::invalid(format!(
                "{field}: no hyperparameter is tuned. Give HyperParameterTuningJobConfig.ParameterRanges."
            )));
        }
    };
    let space = ranges::space(&place, ranges, autotune)?;
    let overlap: Vec<&str> = space
        .parameters()
        .iter()
        .map(|parameter| parameter.name.as_str())
        .filter(|name| definition.static_hyper_parameters.contains_key(*name))
        .collect();
    if !overlap.is_empty() {
        return Err(Failure::invalid(format!(
            "{field}.StaticHyperParameters: hyperparameters are static or tuned, not both, and {} in {place} too: {}.",
            if overlap.len() == 1 { "one is" } else { "some are" },
            overlap.join(", ")
        )));
    }
    let objective = definition
        .tuning_objective
        .as_ref()
        .or(config.hyper_parameter_tuning_job_objective.as_ref())
        .ok_or_else(|| {
            Failure::invalid(
                "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective: a metric is required as the objective.",
            )
        })?;
    if definition.algorithm_specification.algorithm_name.is_some() {
        return Err(Failure::unsupported(format!(
            "{field}.AlgorithmSpecification.AlgorithmName: algorithm resources are not supported; give TrainingImage."
        )));
    }
    let metrics = metrics(plane, field, definition)?;
    if metrics.is_empty() {
        return Err(Failure::invalid(format!(
            "{field}.AlgorithmSpecification.MetricDefinitions: an image of your own needs a metric definition whose regular \
             expression reads the objective '{}' off its log.",
            objective.metric_name
        )));
    }
    if !metrics.contains_key(&objective.metric_name) {
        let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
        return Err(Failure::invalid(format!(
            "HyperParameterTuningJobObjective.MetricName: the algorithm does not emit the metric '{}'. It emits: {}.",
            objective.metric_name,
            known.join(", ")
        )));
    }
    MetricReader::new(metrics.iter().map(|(name, regex)| (name.as_str(), regex.as_str())))?;
    let shown = described(definition, shown, &objective.metric_name, &metrics)?;
    let measured = Measured { metric: objective.metric_name.clone(), direction: direction(objective) };
    Ok(Checked { space, measured, shown })
}

/// The metrics of a definition by name: the algorithm's own, and those of the request, which count
/// where both name one.
fn metrics(plane: &ControlPlane, field: &str, definition: &Definition) -> Outcome<BTreeMap<String, String>> {
    let place = format!("{field}.AlgorithmSpecification.TrainingImage");
    let specification = &definition.algorithm_specification;
    let image = specification.training_image.as_deref().ok_or_else(|| {
        Failure::invalid(format!("{place}: a training job needs the image of its algorithm."))
    })?;
    let own = match plane.image(&place, image, Task::Train)? {
        Image::BuiltIn(built_in) => built_in.metric_definitions,
        Image::Container(_) | Image::Python(_) => Vec::new(),
    };
    let own = own.into_iter().map(|metric| (metric.name.to_owned(), metric.regex.to_owned()));
    let given =
        specification.metric_definitions.iter().map(|metric| (metric.name.clone(), metric.regex.clone()));
    Ok(own.chain(given).collect())
}

/// The definition with what AWS adds to it: the algorithm's metrics, the objective among the static
/// hyperparameters, the resources in both of their forms.
fn described(
    definition: &Definition,
    shown: &Value,
    metric: &str,
    metrics: &BTreeMap<String, String>,
) -> Outcome<Value> {
    let mut shown = shown.clone();
    shown["AlgorithmSpecification"]["MetricDefinitions"] =
        metrics.iter().map(|(name, regex)| json!({"Name": name, "Regex": regex})).collect();
    let mut fixed = definition.static_hyper_parameters.clone();
    fixed.insert(OBJECTIVE_PARAMETER.into(), json!(metric));
    shown["StaticHyperParameters"] = fixed.into();
    default_member(&mut shown["OutputDataConfig"], "KmsKeyId", json!(""));
    for name in
        ["EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"]
    {
        default_member(&mut shown, name, json!(false));
    }
    if let Some(resources) = resources(definition)? {
        shown["ResourceConfig"] = resources;
    }
    Ok(shown)
}

/// The resources of one training job.
fn resources(definition: &Definition) -> Outcome<Option<Value>> {
    let Some(tuning) = &definition.hyper_parameter_tuning_resource_config else {
        return Ok(definition.resource_config.clone());
    };
    if definition.resource_config.is_some() {
        return Err(Failure::invalid(
            "ResourceConfig and HyperParameterTuningResourceConfig say the same thing; give one of them.",
        ));
    }
    if let Some(first) = tuning.instance_configs.first() {
        return Ok(Some(first.clone()));
    }
    let members = [
        ("InstanceType", &tuning.instance_type),
        ("InstanceCount", &tuning.instance_count),
        ("VolumeSizeInGB", &tuning.volume_size),
        ("VolumeKmsKeyId", &tuning.volume_kms_key_id),
    ];
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
    Ok(Some(Value::Object(given.collect())))
}

/// The request of one training job, from the definition as it is shown.
pub fn training_job(shown: &Value, name: &str, space: &Space, setting: &Setting, tags: &Value) -> Value {
    const PASSED: &[&str] = &[
        "RoleArn",
        "InputDataConfig",
        "VpcConfig",
        "OutputDataConfig",
        "ResourceConfig",
        "StoppingCondition",
        "EnableNetworkIsolation",
        "EnableInterContainerTrafficEncryption",
        "EnableManagedSpotTraining",
        "CheckpointConfig",
        "RetryStrategy",
        "Environment",
    ];
    let mut request = crate::document::pick(shown, PASSED);
    let algorithm = &shown["AlgorithmSpecification"];
    request["TrainingJobName"] = json!(name);
    // Each training job has checkpoints of its own: those of another setting are no use to it.
    if let Some(uri) = shown["CheckpointConfig"]["S3Uri"].as_str() {
        request["CheckpointConfig"]["S3Uri"] = json!(format!("{}/{name}", uri.trim_end_matches('/')));
    }
    request["AlgorithmSpecification"] = json!({"TrainingImage": algorithm["TrainingImage"], "TrainingInputMode": algorithm["TrainingInputMode"]});
    let mut hyperparameters: Map<String, Value> =
        shown["StaticHyperParameters"].as_object().cloned().unwrap_or_default();
    hyperparameters.extend(tuned(space, setting));
    request["HyperParameters"] = hyperparameters.into();
    if tags.as_array().is_some_and(|tags| !tags.is_empty()) {
        request["Tags"] = tags.clone();
    }
    request
}

/// A setting as text by name.
pub fn tuned(space: &Space, setting: &Setting) -> Map<String, Value> {
    space
        .parameters()
        .iter()
        .zip(setting)
        .map(|(parameter, value)| (parameter.name.clone(), json!(value.to_string())))
        .collect()
}

/// What a training job of this tuning job has that a user's has not.
pub fn origin(shown: &Value, arn: &str) -> Tuned {
    let metrics = shown["AlgorithmSpecification"]["MetricDefinitions"].as_array();
    Tuned { arn: arn.to_owned(), metric_definitions: metrics.cloned().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use sagebrush_tuning::{Parameter, Range, Value as Tuned};

    #[test]
    fn training_jobs_get_static_and_tuned_values_and_their_own_checkpoints() {
        let range = Range::Categorical { values: vec!["adam".into(), "sgd".into()] };
        let space = Space::new(vec![Parameter { name: "optimizer".into(), range }]).unwrap();
        let shown = json!({
            "RoleArn": "r",
            "StaticHyperParameters": {"epochs": "3"},
            "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File", "MetricDefinitions": []},
            "CheckpointConfig": {"S3Uri": "s3://b/c/", "LocalPath": "/opt/ml/checkpoints"},
        });
        let job = training_job(&shown, "t-001-a", &space, &vec![Tuned::Text("sgd".into())], &json!([]));
        assert_eq!(
            job,
            json!({
                "RoleArn": "r",
                "CheckpointConfig": {"S3Uri": "s3://b/c/t-001-a", "LocalPath": "/opt/ml/checkpoints"},
                "TrainingJobName": "t-001-a",
                "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
                "HyperParameters": {"epochs": "3", "optimizer": "sgd"},
            })
        );
    }
}
