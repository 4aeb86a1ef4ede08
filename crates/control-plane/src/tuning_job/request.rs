//! The members of CreateHyperParameterTuningJob that are acted on.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::request::RequestTag;

/// A whole request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CreateTuningJob {
    pub hyper_parameter_tuning_job_name: String,
    pub hyper_parameter_tuning_job_config: Config,
    pub training_job_definition: Option<Definition>,
    #[serde(default)]
    pub training_job_definitions: Vec<Definition>,
    pub warm_start_config: Option<WarmStart>,
    #[serde(default)]
    pub tags: Vec<RequestTag>,
    pub autotune: Option<Autotune>,
}

/// Automatic choice of ranges and limits.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Autotune {
    /// `Enabled` is the only mode.
    #[serde(rename = "Mode")]
    pub _mode: String,
}

/// How to search and for how long.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Config {
    pub strategy: String,
    pub strategy_config: Option<StrategyConfig>,
    pub hyper_parameter_tuning_job_objective: Option<Objective>,
    pub resource_limits: ResourceLimits,
    pub parameter_ranges: Option<Ranges>,
    pub training_job_early_stopping_type: Option<String>,
    #[serde(default)]
    pub tuning_job_completion_criteria: CompletionCriteria,
    pub random_seed: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct StrategyConfig {
    pub hyperband_strategy_config: Option<HyperbandConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct HyperbandConfig {
    pub min_resource: Option<u64>,
    pub max_resource: Option<u64>,
}

/// What is measured and which values are better.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Objective {
    #[serde(rename = "Type")]
    pub direction: String,
    pub metric_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ResourceLimits {
    pub max_number_of_training_jobs: Option<usize>,
    pub max_parallel_training_jobs: usize,
    pub max_runtime_in_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CompletionCriteria {
    pub target_objective_metric_value: Option<f64>,
    pub best_objective_not_improving: Option<NotImproving>,
    pub convergence_detected: Option<Convergence>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct NotImproving {
    pub max_number_of_training_jobs_not_improving: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Convergence {
    pub complete_on_convergence: Option<String>,
}

/// The tuned hyperparameters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Ranges {
    #[serde(default)]
    pub integer_parameter_ranges: Vec<NumericRange>,
    #[serde(default)]
    pub continuous_parameter_ranges: Vec<NumericRange>,
    #[serde(default)]
    pub categorical_parameter_ranges: Vec<CategoricalRange>,
    #[serde(default)]
    pub auto_parameters: Vec<AutoParameter>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct NumericRange {
    pub name: String,
    pub min_value: String,
    pub max_value: String,
    pub scaling_type: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CategoricalRange {
    pub name: String,
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct AutoParameter {
    pub name: String,
    pub value_hint: String,
}

/// Earlier tuning jobs to learn from.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct WarmStart {
    pub parent_hyper_parameter_tuning_jobs: Vec<Parent>,
    pub warm_start_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Parent {
    pub hyper_parameter_tuning_job_name: Option<String>,
}

/// What the training jobs have in common. Members that a training job has too are passed on to it, and
/// it refuses what it does not support.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Definition {
    pub definition_name: Option<String>,
    pub tuning_objective: Option<Objective>,
    pub hyper_parameter_ranges: Option<Ranges>,
    #[serde(default)]
    pub static_hyper_parameters: Map<String, Value>,
    pub algorithm_specification: AlgorithmSpecification,
    pub resource_config: Option<Value>,
    pub hyper_parameter_tuning_resource_config: Option<TuningResourceConfig>,
    // The rest is passed on as it is: see `definition::training_job`.
    #[serde(rename = "RoleArn")]
    pub _role_arn: Value,
    #[serde(default, rename = "InputDataConfig")]
    pub _input_data_config: Option<Value>,
    #[serde(default, rename = "VpcConfig")]
    pub _vpc_config: Option<Value>,
    #[serde(rename = "OutputDataConfig")]
    pub _output_data_config: Value,
    #[serde(rename = "StoppingCondition")]
    pub _stopping_condition: Value,
    #[serde(default, rename = "EnableNetworkIsolation")]
    pub _enable_network_isolation: Option<Value>,
    #[serde(default, rename = "EnableInterContainerTrafficEncryption")]
    pub _enable_inter_container_traffic_encryption: Option<Value>,
    #[serde(default, rename = "EnableManagedSpotTraining")]
    pub _enable_managed_spot_training: Option<Value>,
    #[serde(default, rename = "CheckpointConfig")]
    pub _checkpoint_config: Option<Value>,
    #[serde(default, rename = "RetryStrategy")]
    pub _retry_strategy: Option<Value>,
    #[serde(default, rename = "Environment")]
    pub _environment: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct AlgorithmSpecification {
    pub training_image: Option<String>,
    /// Passed on.
    #[serde(rename = "TrainingInputMode")]
    pub _training_input_mode: Value,
    pub algorithm_name: Option<String>,
    #[serde(default)]
    pub metric_definitions: Vec<MetricDefinition>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct MetricDefinition {
    pub name: String,
    pub regex: String,
}

/// The resources of the training jobs, one kind or several to choose from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TuningResourceConfig {
    pub instance_type: Option<Value>,
    pub instance_count: Option<Value>,
    #[serde(rename = "VolumeSizeInGB")]
    pub volume_size: Option<Value>,
    pub volume_kms_key_id: Option<Value>,
    /// Every instance is this machine, so there is nothing to allocate.
    #[serde(default, rename = "AllocationStrategy")]
    pub _allocation_strategy: Option<String>,
    #[serde(default)]
    pub instance_configs: Vec<Value>,
}
