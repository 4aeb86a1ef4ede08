//! CreateTrainingJob: what is acted on, what is refused, and the record it makes.

mod check;

use std::collections::BTreeMap;

use sagebrush_types::limits::{CONTAINER_DISK_BYTES, JOBS_OPEN};
use sagebrush_types::{Failure, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::state;
use crate::document::{default_member, pick};
use crate::image::{Image, Task};
use crate::request::{ExperimentConfig, RequestTag, refuse_if};
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
    "EnableNetworkIsolation",
    "ProfilerConfig",
    "DebugHookConfig",
    "ExperimentConfig",
];

/// The members of its algorithm that a record keeps as they were asked for; AWS adds metrics.
pub const ALGORITHM_MEMBERS: &[&str] =
    &["TrainingImage", "TrainingInputMode", "ContainerEntrypoint", "ContainerArguments"];

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
    /// Whether containers reach nothing but each other; built-in algorithms never do.
    #[serde(default)]
    pub enable_network_isolation: bool,
    /// Hosts share this machine: their traffic never leaves it.
    #[serde(default, rename = "EnableInterContainerTrafficEncryption")]
    _enable_inter_container_traffic_encryption: bool,
    /// Nothing interrupts a job here, which spot training allows; its waiting has a limit.
    #[serde(default)]
    enable_managed_spot_training: bool,
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
    container_entrypoint: Option<Vec<String>>,
    container_arguments: Option<Vec<String>>,
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
    /// What a container's host is like; a built-in algorithm has this machine.
    instance_type: Option<String>,
    /// What a container's files may take.
    #[serde(rename = "VolumeSizeInGB")]
    volume_size: Option<u64>,
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
    /// From its creation, for spot training.
    max_wait_time_in_seconds: Option<u64>,
    /// From its creation until its turn.
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
    /// Where the job's checkpoints are kept in S3 and in its program's files, if it keeps any.
    pub(super) fn checkpoints(&self) -> Option<(&str, &str)> {
        let config = self.checkpoint_config.as_ref()?;
        let place = config.local_path.as_deref().unwrap_or(CHECKPOINTS);
        Some((config.s3_uri.as_str(), place.trim_end_matches('/')))
    }

    /// How many hosts work on it.
    pub(super) fn instances(&self) -> usize {
        self.resource_config.as_ref().map_or(1, |resources| resources.instance_count as usize)
    }

    /// What its hosts are like.
    pub(super) fn instance_type(&self) -> Option<&str> {
        self.resource_config.as_ref()?.instance_type.as_deref()
    }

    /// What a container's files may take, bytes.
    pub(super) fn volume_bytes(&self) -> u64 {
        let gib = self.resource_config.as_ref().and_then(|resources| resources.volume_size);
        gib.map_or(CONTAINER_DISK_BYTES, |gib| gib << 30)
    }

    /// Instead of the image's entry point.
    pub(super) fn entrypoint(&self) -> Option<Vec<String>> {
        self.algorithm_specification.as_ref()?.container_entrypoint.clone()
    }

    /// Instead of `train`.
    pub(super) fn arguments(&self) -> Option<Vec<String>> {
        self.algorithm_specification.as_ref()?.container_arguments.clone()
    }

    /// How a channel's data comes to the program.
    pub(super) fn input_mode<'a>(&'a self, channel: &'a Channel) -> &'a str {
        let usual =
            self.algorithm_specification.as_ref().map(|algorithm| algorithm.training_input_mode.as_str());
        channel.input_mode.as_deref().or(usual).unwrap_or("File")
    }

    /// Does it come through pipes?
    pub(super) fn is_piped(&self, channel: &Channel) -> bool {
        self.input_mode(channel) == "Pipe"
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
    pub(crate) async fn check_training_job(&self, document: &Value) -> Outcome<()> {
        self.checked(document).await.map(|_| ())
    }

    async fn checked(&self, document: &Value) -> Outcome<(CreateTrainingJob, Image)> {
        let request: CreateTrainingJob = request::decode("CreateTrainingJob", document)?;
        check::request(&request)?;
        let algorithm = request.algorithm_specification.as_ref().ok_or_else(|| {
            Failure::invalid("AlgorithmSpecification: a training job needs the image of its algorithm.")
        })?;
        let image = algorithm.training_image.as_deref().ok_or_else(|| {
            Failure::invalid(
                "AlgorithmSpecification.TrainingImage: a training job needs the image of its algorithm.",
            )
        })?;
        let image = self.runnable_image("AlgorithmSpecification.TrainingImage", image, Task::Train).await?;
        if image.is_built_in() {
            check::built_in(&request, algorithm)?;
        } else {
            check::container(&request, algorithm)?;
        }
        if matches!(image, Image::Python(_)) {
            check::script(&request, algorithm)?;
        }
        Ok((request, image))
    }

    /// Accepts a training job of a user or of a tuning job.
    pub(crate) async fn accept_training_job(
        &self,
        scope: &Scope,
        document: &Value,
        tuned: Option<Tuned>,
    ) -> Outcome<Value> {
        let (request, image) = self.checked(document).await?;
        tracking::joined(self, scope, document).await?;
        self.check_open(Resource::TrainingJob, JOBS_OPEN).await?;
        let name = &request.training_job_name;
        let arn = scope.arn(Resource::TrainingJob, name);
        let now = self.now();
        let mut kept = self.described(document, &request);
        kept["TrainingJobArn"] = json!(arn);
        if let Image::BuiltIn(built_in) = &image {
            kept["AlgorithmSpecification"]["MetricDefinitions"] = built_in
                .metric_definitions
                .iter()
                .map(|metric| json!({"Name": metric.name, "Regex": metric.regex}))
                .collect();
        }
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
