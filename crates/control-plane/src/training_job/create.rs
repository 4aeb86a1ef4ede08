//! CreateTrainingJob: what is acted on, what is refused, and the record it makes.

use std::collections::BTreeMap;

use sagebrush_types::limits::JOBS_OPEN;
use sagebrush_types::{Failure, Outcome, Resource, Scope, s3_uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::state;
use crate::built_in::{BuiltIn, Task};
use crate::document::{default_member, pick};
use crate::request::{ExperimentConfig, RequestTag, check_environment, refuse_if};
use crate::workflow::accept;
use crate::{ControlPlane, request, tracking};

/// The members of a request that its record keeps.
pub const REQUEST_MEMBERS: &[&str] = &[
    "TrainingJobName",
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "CheckpointConfig",
    "ResourceConfig",
    "StoppingCondition",
    "Environment",
    "ProfilerConfig",
    "DebugHookConfig",
    "ExperimentConfig",
];

/// What a training job of a tuning job has that a user's has not.
#[derive(Debug)]
pub struct Tuned {
    /// The tuning job's ARN.
    pub arn: String,
    /// Metrics to read off the log, as `Name` and `Regex`.
    pub metric_definitions: Vec<Value>,
}

/// The members of a training job that are acted on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CreateTrainingJob {
    training_job_name: String,
    algorithm_specification: Option<AlgorithmSpecification>,
    /// Hyperparameters, all of them text.
    #[serde(default)]
    pub hyper_parameters: BTreeMap<String, String>,
    /// Channels.
    #[serde(default)]
    pub input_data_config: Vec<Channel>,
    output_data_config: OutputDataConfig,
    checkpoint_config: Option<CheckpointConfig>,
    resource_config: Option<ResourceConfig>,
    stopping_condition: Option<StoppingCondition>,
    /// Environment variables of the program.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    tags: Vec<RequestTag>,
    #[serde(rename = "RoleArn")]
    _role_arn: String,
    /// Built-in algorithms reach no network, so isolation holds with either value.
    #[serde(default, rename = "EnableNetworkIsolation")]
    _enable_network_isolation: bool,
    /// There is one host, so there is no traffic between containers.
    #[serde(default, rename = "EnableInterContainerTrafficEncryption")]
    _enable_inter_container_traffic_encryption: bool,
    /// Nothing interrupts a job here, which spot training allows.
    #[serde(default, rename = "EnableManagedSpotTraining")]
    _enable_managed_spot_training: bool,
    profiler_config: Option<ProfilerConfig>,
    debug_hook_config: Option<DebugHookConfig>,
    #[serde(default, rename = "ExperimentConfig")]
    _experiment_config: ExperimentConfig,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AlgorithmSpecification {
    training_image: Option<String>,
    training_input_mode: String,
    #[serde(default)]
    metric_definitions: Vec<Value>,
    /// Series are always kept.
    #[serde(default, rename = "EnableSageMakerMetricsTimeSeries")]
    _enable_time_series: bool,
}

/// A channel of input data.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Channel {
    /// The channel's name.
    pub channel_name: String,
    /// Where its data lies.
    pub data_source: DataSource,
    /// Media type of its data.
    pub content_type: Option<String>,
    compression_type: Option<String>,
    record_wrapper_type: Option<String>,
    input_mode: Option<String>,
}

/// Where a channel's data lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct DataSource {
    /// A prefix in S3.
    pub s3_data_source: S3DataSource,
}

/// A prefix in S3.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct S3DataSource {
    s3_data_type: String,
    /// `s3://bucket/prefix`.
    pub s3_uri: String,
    /// FullyReplicated (the default) or ShardedByS3Key.
    pub s3_data_distribution_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OutputDataConfig {
    s3_output_path: String,
    kms_key_id: Option<String>,
    compression_type: Option<String>,
}

/// Where the state of an unfinished training lies.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CheckpointConfig {
    s3_uri: String,
    local_path: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ResourceConfig {
    #[serde(default = "one")]
    instance_count: u64,
    /// Kept for Describe: every instance is this machine.
    #[serde(default, rename = "InstanceType")]
    _instance_type: Option<String>,
    /// Kept for Describe: the disk is this machine's.
    #[serde(default, rename = "VolumeSizeInGB")]
    _volume_size: Option<u64>,
    volume_kms_key_id: Option<String>,
    /// Nothing is kept warm: programs start in milliseconds.
    #[serde(default, rename = "KeepAlivePeriodInSeconds")]
    _keep_alive_period_in_seconds: Option<u64>,
}

const fn one() -> u64 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StoppingCondition {
    max_runtime_in_seconds: Option<u64>,
    /// Jobs never wait for spot capacity.
    #[serde(default, rename = "MaxWaitTimeInSeconds")]
    _max_wait_time_in_seconds: Option<u64>,
    /// A job waits for its turn as long as it takes.
    #[serde(default, rename = "MaxPendingTimeInSeconds")]
    _max_pending_time_in_seconds: Option<u64>,
}

/// The SDK asks for system metrics with every job. They are not collected, and Describe says so with
/// a ProfilingStatus of Disabled.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ProfilerConfig {
    #[serde(default, rename = "DisableProfiler")]
    _disable_profiler: bool,
    #[serde(default, rename = "S3OutputPath")]
    _s3_output_path: Option<String>,
    #[serde(default, rename = "ProfilingIntervalInMilliseconds")]
    _profiling_interval_in_milliseconds: Option<u64>,
    #[serde(default)]
    profiling_parameters: BTreeMap<String, String>,
}

impl ProfilerConfig {
    /// Refuses what asks for a profile.
    pub(super) fn check(&self) -> Outcome<()> {
        refuse_if(
            !self.profiling_parameters.is_empty(),
            "ProfilerConfig.ProfilingParameters",
            "profiling is not supported; leave the parameters out.",
        )
    }
}

/// The SDK sends this with every job; without collections it asks for nothing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DebugHookConfig {
    #[serde(rename = "S3OutputPath")]
    _s3_output_path: String,
    #[serde(default)]
    collection_configurations: Vec<Value>,
}

/// Where a program finds and leaves its checkpoints; AWS's default.
const CHECKPOINTS: &str = "/opt/ml/checkpoints";
/// AWS's default time limit of a training job: one day.
const DEFAULT_MAX_RUNTIME: u64 = 86_400;

impl CreateTrainingJob {
    /// Where the job's checkpoints are kept in S3, if it keeps any.
    pub(super) fn checkpoints(&self) -> Option<&str> {
        self.checkpoint_config.as_ref().map(|config| config.s3_uri.as_str())
    }
}

impl ControlPlane {
    /// CreateTrainingJob.
    ///
    /// # Errors
    /// `Invalid` for an image that is not built in or S3 URIs that are none; `Unsupported` for what
    /// is not done here; `AlreadyExists`; `LimitExceeded` when too many jobs wait.
    pub async fn create_training_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        self.accept_training_job(scope, document, None).await
    }

    /// Refuses a request that [`ControlPlane::create_training_job`] would refuse whatever else is there.
    pub(crate) fn check_training_job(&self, document: &Value) -> Outcome<()> {
        self.checked(document).map(|_| ())
    }

    fn checked(&self, document: &Value) -> Outcome<(CreateTrainingJob, &BuiltIn)> {
        let request: CreateTrainingJob = request::decode("CreateTrainingJob", document)?;
        check(&request)?;
        let algorithm = request.algorithm_specification.as_ref().ok_or_else(|| {
            Failure::invalid("AlgorithmSpecification: a training job needs the image of its algorithm.")
        })?;
        let image = algorithm.training_image.as_deref().ok_or_else(|| {
            Failure::invalid(
                "AlgorithmSpecification.TrainingImage: a training job needs the image of its algorithm.",
            )
        })?;
        let built_in = self.built_in("AlgorithmSpecification.TrainingImage", image, Task::Train)?;
        if !algorithm.metric_definitions.is_empty() {
            return Err(Failure::invalid(
                "AlgorithmSpecification.MetricDefinitions: You can't override the metric definitions for built-in algorithms. Leave the member out.",
            ));
        }
        Ok((request, built_in))
    }

    /// Accepts a training job of a user or of a tuning job.
    pub(crate) async fn accept_training_job(
        &self,
        scope: &Scope,
        document: &Value,
        tuned: Option<Tuned>,
    ) -> Outcome<Value> {
        let (request, built_in) = self.checked(document)?;
        tracking::joined(self, scope, document).await?;
        self.check_open(Resource::TrainingJob, JOBS_OPEN).await?;
        let name = &request.training_job_name;
        let arn = scope.arn(Resource::TrainingJob, name);
        let now = self.now();
        let mut kept = self.described(document, &request);
        kept["TrainingJobArn"] = json!(arn);
        kept["AlgorithmSpecification"]["MetricDefinitions"] = built_in
            .metric_definitions
            .iter()
            .map(|metric| json!({"Name": metric.name, "Regex": metric.regex}))
            .collect();
        if let Some(tuned) = tuned {
            kept["TuningJobArn"] = json!(tuned.arn);
            kept["AlgorithmSpecification"]["MetricDefinitions"] = tuned.metric_definitions.into();
        }
        kept["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"] = json!(true);
        state::begin(&mut kept, now);
        let key = self.key(scope, Resource::TrainingJob, name);
        let arn = accept::<CreateTrainingJob>(self, scope, key, now, kept, &request.tags).await?;
        Ok(json!({"TrainingJobArn": arn}))
    }

    /// The request as Describe shows it, with the members that AWS adds.
    fn described(&self, document: &Value, request: &CreateTrainingJob) -> Value {
        let mut kept = pick(document, REQUEST_MEMBERS);
        for name in
            ["EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"]
        {
            kept[name] = document.get(name).cloned().unwrap_or(json!(false));
        }
        kept["ProfilingStatus"] = json!("Disabled");
        default_member(&mut kept, "HyperParameters", json!({}));
        default_member(&mut kept["OutputDataConfig"], "KmsKeyId", json!(""));
        default_member(&mut kept["OutputDataConfig"], "CompressionType", json!("GZIP"));
        default_member(&mut kept, "StoppingCondition", json!({}));
        default_member(&mut kept["StoppingCondition"], "MaxRuntimeInSeconds", json!(max_runtime(request)));
        for channel in kept["InputDataConfig"].as_array_mut().into_iter().flatten() {
            default_member(channel, "CompressionType", json!("None"));
            default_member(channel, "RecordWrapperType", json!("None"));
        }
        kept
    }
}

fn max_runtime(request: &CreateTrainingJob) -> u64 {
    request
        .stopping_condition
        .as_ref()
        .and_then(|condition| condition.max_runtime_in_seconds)
        .unwrap_or(DEFAULT_MAX_RUNTIME)
}

/// A member that is there with another value than the one supported.
fn is_other(value: &Option<String>, supported: &str) -> bool {
    value.as_deref().is_some_and(|text| text != supported)
}

fn check(request: &CreateTrainingJob) -> Outcome<()> {
    let given = |value: &Option<String>| value.as_deref().is_some_and(|text| !text.is_empty());
    let output = &request.output_data_config;
    s3_uri("OutputDataConfig.S3OutputPath", &output.s3_output_path)?;
    refuse_if(
        given(&output.kms_key_id),
        "OutputDataConfig.KmsKeyId",
        "encryption with KMS keys is not supported.",
    )?;
    refuse_if(
        is_other(&output.compression_type, "GZIP"),
        "OutputDataConfig.CompressionType",
        "only GZIP is supported.",
    )?;
    if let Some(checkpoints) = &request.checkpoint_config {
        s3_uri("CheckpointConfig.S3Uri", &checkpoints.s3_uri)?;
        let local = checkpoints.local_path.as_deref().unwrap_or(CHECKPOINTS);
        refuse_if(
            local.trim_end_matches('/') != CHECKPOINTS,
            "CheckpointConfig.LocalPath",
            "built-in algorithms keep their checkpoints in /opt/ml/checkpoints; leave the member out.",
        )?;
    }
    if let Some(resources) = &request.resource_config {
        refuse_if(
            resources.instance_count != 1,
            "ResourceConfig.InstanceCount",
            "built-in algorithms train on one instance, which is this machine.",
        )?;
        refuse_if(
            given(&resources.volume_kms_key_id),
            "ResourceConfig.VolumeKmsKeyId",
            "encryption with KMS keys is not supported.",
        )?;
    }
    request.profiler_config.as_ref().map_or(Ok(()), ProfilerConfig::check)?;
    refuse_if(
        request.debug_hook_config.as_ref().is_some_and(|hook| !hook.collection_configurations.is_empty()),
        "DebugHookConfig.CollectionConfigurations",
        "built-in algorithms save no tensors; leave the collections out.",
    )?;
    let mode =
        request.algorithm_specification.as_ref().map(|algorithm| algorithm.training_input_mode.clone());
    refuse_if(
        mode.as_deref() == Some("Pipe"),
        "AlgorithmSpecification.TrainingInputMode",
        "built-in algorithms read files; use File or FastFile.",
    )?;
    check_environment("Environment", &request.environment)?;
    check_channels(&request.input_data_config)
}

fn check_channels(channels: &[Channel]) -> Outcome<()> {
    for (index, channel) in channels.iter().enumerate() {
        let place = format!("InputDataConfig[{index}]");
        let source = &channel.data_source.s3_data_source;
        if channels[..index].iter().any(|earlier| earlier.channel_name == channel.channel_name) {
            return Err(Failure::invalid(format!(
                "{place}.ChannelName: '{}' is used by two channels.",
                channel.channel_name
            )));
        }
        s3_uri(&format!("{place}.DataSource.S3DataSource.S3Uri"), &source.s3_uri)?;
        refuse_if(
            source.s3_data_type != "S3Prefix",
            &format!("{place}.DataSource.S3DataSource.S3DataType"),
            "only S3Prefix is supported.",
        )?;
        refuse_if(
            is_other(&channel.compression_type, "None"),
            &format!("{place}.CompressionType"),
            "only None is supported.",
        )?;
        refuse_if(
            is_other(&channel.record_wrapper_type, "None"),
            &format!("{place}.RecordWrapperType"),
            "only None is supported.",
        )?;
        refuse_if(
            channel.input_mode.as_deref() == Some("Pipe"),
            &format!("{place}.InputMode"),
            "built-in algorithms read files; use File or FastFile.",
        )?;
    }
    Ok(())
}
