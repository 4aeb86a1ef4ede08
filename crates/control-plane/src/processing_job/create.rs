//! CreateProcessingJob: what is acted on, what is refused, and the record it makes.

use std::collections::BTreeMap;

use sagebrush_runner::MOST_HOSTS;
use sagebrush_types::limits::JOBS_OPEN;
use sagebrush_types::{Failure, JobStatus, Outcome, Resource, Scope, s3_uri};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{default_member, pick, seconds};
use crate::image::{Image, Task};
use crate::request::{ExperimentConfig, RequestTag, check_environment, refuse_if};
use crate::workflow::accept;
use crate::{ControlPlane, request, tracking};

/// The members of a request that its record keeps.
pub const REQUEST_MEMBERS: &[&str] = &[
    "ProcessingJobName",
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingResources",
    "StoppingCondition",
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "RoleArn",
    "ExperimentConfig",
];

/// The members of a processing job that are acted on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CreateProcessingJob {
    processing_job_name: String,
    /// Inputs.
    #[serde(default)]
    pub processing_inputs: Vec<ProcessingInput>,
    /// Outputs.
    #[serde(default)]
    pub processing_output_config: ProcessingOutputConfig,
    processing_resources: ProcessingResources,
    stopping_condition: Option<StoppingCondition>,
    /// The program.
    pub app_specification: AppSpecification,
    /// Environment variables of the program.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    network_config: NetworkConfig,
    #[serde(rename = "RoleArn")]
    _role_arn: String,
    #[serde(default, rename = "ExperimentConfig")]
    _experiment_config: ExperimentConfig,
    #[serde(default)]
    tags: Vec<RequestTag>,
}

/// An input: a prefix in S3 and the folder it is laid out in.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ProcessingInput {
    /// The input's name.
    pub input_name: String,
    /// Whether the SDK made it; kept for Describe.
    #[serde(default, rename = "AppManaged")]
    _app_managed: bool,
    /// Where it lies.
    pub s3_input: S3Input,
}

/// Where an input lies and where it goes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct S3Input {
    /// `s3://bucket/prefix`.
    pub s3_uri: String,
    /// Folder under `/opt/ml/processing`.
    pub local_path: String,
    s3_data_type: String,
    s3_input_mode: Option<String>,
    /// FullyReplicated (the default) or ShardedByS3Key.
    pub s3_data_distribution_type: Option<String>,
    s3_compression_type: Option<String>,
}

/// Where outputs go.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ProcessingOutputConfig {
    /// Outputs.
    #[serde(default)]
    pub outputs: Vec<ProcessingOutput>,
    kms_key_id: Option<String>,
}

/// An output: a folder and the prefix in S3 that it is stored under.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ProcessingOutput {
    /// The output's name.
    pub output_name: String,
    #[serde(default, rename = "AppManaged")]
    _app_managed: bool,
    /// Where it goes.
    pub s3_output: S3Output,
}

/// Where an output lies and where it goes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct S3Output {
    /// `s3://bucket/prefix`.
    pub s3_uri: String,
    /// Folder under `/opt/ml/processing`.
    pub local_path: String,
    /// EndOfJob or Continuous.
    pub s3_upload_mode: String,
}

/// The program of a processing job.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct AppSpecification {
    /// Image URI.
    pub image_uri: String,
    /// Instead of the image's entry point.
    pub container_entrypoint: Option<Vec<String>>,
    /// Arguments of the program.
    pub container_arguments: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ProcessingResources {
    cluster_config: ClusterConfig,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ClusterConfig {
    instance_count: u64,
    instance_type: String,
    #[serde(rename = "VolumeSizeInGB")]
    volume_size: u64,
    volume_kms_key_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StoppingCondition {
    max_runtime_in_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct NetworkConfig {
    /// Built-in programs reach no network with either value.
    #[serde(default)]
    enable_network_isolation: bool,
    /// Hosts share this machine: their traffic never leaves it.
    #[serde(default, rename = "EnableInterContainerTrafficEncryption")]
    _enable_inter_container_traffic_encryption: bool,
}

/// AWS's default time limit of a processing job: one day.
const DEFAULT_MAX_RUNTIME: u64 = 86_400;
/// Inputs and outputs lie here.
const PROCESSING: &str = "/opt/ml/processing/";

impl CreateProcessingJob {
    /// How many hosts work on it.
    pub(super) fn instances(&self) -> usize {
        self.processing_resources.cluster_config.instance_count as usize
    }

    /// What its hosts are like.
    pub(super) fn instance_type(&self) -> &str {
        &self.processing_resources.cluster_config.instance_type
    }

    /// What a container's files may take, bytes.
    pub(super) fn volume_bytes(&self) -> u64 {
        self.processing_resources.cluster_config.volume_size << 30
    }

    /// Whether its containers reach nothing but each other.
    pub(super) fn is_network_isolated(&self) -> bool {
        self.network_config.enable_network_isolation
    }
}

impl ControlPlane {
    /// CreateProcessingJob.
    ///
    /// # Errors
    /// `Invalid` for an image that is not built in or places that cannot be; `Unsupported` for what
    /// is not done here; `AlreadyExists`; `LimitExceeded` when too many jobs wait.
    pub async fn create_processing_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreateProcessingJob = request::decode("CreateProcessingJob", document)?;
        tracking::joined(self, scope, document).await?;
        check(&request)?;
        let image = &request.app_specification.image_uri;
        let image = self.runnable_image("AppSpecification.ImageUri", image, Task::Process).await?;
        if image.is_built_in() {
            check_built_in(&request)?;
        }
        if matches!(image, Image::Python(_)) && request.app_specification.container_entrypoint.is_none() {
            return Err(Failure::invalid(
                "AppSpecification.ContainerEntrypoint: the image runs scripts and has no entry point of its own; give \
                 one, such as [\"python3\", \"/opt/ml/processing/input/code/script.py\"].",
            ));
        }
        self.check_open(Resource::ProcessingJob, JOBS_OPEN).await?;
        let name = &request.processing_job_name;
        let arn = scope.arn(Resource::ProcessingJob, name);
        let now = self.now();
        let mut kept = pick(document, REQUEST_MEMBERS);
        let limit = request
            .stopping_condition
            .as_ref()
            .map_or(DEFAULT_MAX_RUNTIME, |condition| condition.max_runtime_in_seconds);
        default_member(&mut kept, "StoppingCondition", json!({"MaxRuntimeInSeconds": limit}));
        kept["ProcessingJobArn"] = json!(arn);
        kept["ProcessingJobStatus"] = json!(JobStatus::InProgress.as_str());
        kept["CreationTime"] = seconds(now);
        kept["LastModifiedTime"] = seconds(now);
        let key = self.key(scope, Resource::ProcessingJob, name);
        let arn = accept::<CreateProcessingJob>(self, scope, key, now, kept, &request.tags).await?;
        Ok(json!({"ProcessingJobArn": arn}))
    }
}

fn check(request: &CreateProcessingJob) -> Outcome<()> {
    check_environment("Environment", &request.environment)?;
    let given = |value: &Option<String>| value.as_deref().is_some_and(|text| !text.is_empty());
    let other = |value: &Option<String>, usual: &str| value.as_deref().is_some_and(|text| text != usual);
    let cluster = &request.processing_resources.cluster_config;
    refuse_if(
        cluster.instance_count > MOST_HOSTS,
        "ProcessingResources.ClusterConfig.InstanceCount",
        &format!("a job has at most {MOST_HOSTS} instances on this machine."),
    )?;
    refuse_if(
        given(&cluster.volume_kms_key_id) || given(&request.processing_output_config.kms_key_id),
        "KmsKeyId",
        "encryption with KMS keys is not supported.",
    )?;
    for (index, input) in request.processing_inputs.iter().enumerate() {
        let place = format!("ProcessingInputs[{index}].S3Input");
        s3_uri(&format!("{place}.S3Uri"), &input.s3_input.s3_uri)?;
        check_local(&format!("{place}.LocalPath"), &input.s3_input.local_path)?;
        refuse_if(
            input.s3_input.s3_data_type != "S3Prefix",
            &format!("{place}.S3DataType"),
            "only S3Prefix is supported.",
        )?;
        refuse_if(
            other(&input.s3_input.s3_input_mode, "File"),
            &format!("{place}.S3InputMode"),
            "only File is supported.",
        )?;
        refuse_if(
            other(&input.s3_input.s3_compression_type, "None"),
            &format!("{place}.S3CompressionType"),
            "only None is supported.",
        )?;
        if request.processing_inputs[..index].iter().any(|earlier| earlier.input_name == input.input_name) {
            return Err(Failure::invalid(format!(
                "ProcessingInputs[{index}].InputName: '{}' is used by two inputs.",
                input.input_name
            )));
        }
    }
    for (index, output) in request.processing_output_config.outputs.iter().enumerate() {
        let place = format!("ProcessingOutputConfig.Outputs[{index}].S3Output");
        s3_uri(&format!("{place}.S3Uri"), &output.s3_output.s3_uri)?;
        check_local(&format!("{place}.LocalPath"), &output.s3_output.local_path)?;
        let earlier = &request.processing_output_config.outputs[..index];
        if earlier.iter().any(|earlier| earlier.output_name == output.output_name) {
            return Err(Failure::invalid(format!(
                "ProcessingOutputConfig.Outputs[{index}].OutputName: '{}' is used by two outputs.",
                output.output_name
            )));
        }
    }
    Ok(())
}

/// What a built-in program does not do.
fn check_built_in(request: &CreateProcessingJob) -> Outcome<()> {
    refuse_if(
        request.app_specification.container_entrypoint.is_some(),
        "AppSpecification.ContainerEntrypoint",
        "built-in programs have one entry point; pass ContainerArguments.",
    )?;
    refuse_if(
        request.instances() != 1,
        "ProcessingResources.ClusterConfig.InstanceCount",
        "built-in programs run on one instance, which is this machine.",
    )
}

fn check_local(field: &str, path: &str) -> Outcome<()> {
    let inside = path
        .strip_prefix(PROCESSING)
        .is_some_and(|rest| !rest.is_empty() && !rest.split('/').any(|part| part == ".." || part == "."));
    if inside {
        Ok(())
    } else {
        Err(Failure::invalid(format!("{field}: '{path}' must be a folder under {PROCESSING}.")))
    }
}
