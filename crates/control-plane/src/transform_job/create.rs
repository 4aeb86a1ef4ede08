//! CreateTransformJob: what is acted on, what is refused, and the record it makes.

use std::collections::BTreeMap;
use std::time::Duration;

use sagebrush_types::limits::{
    INSTANCES_PER_VARIANT, JOBS_OPEN, TRANSFORM_CONCURRENT, TRANSFORM_INVOKE_TIMEOUT, TRANSFORM_PAYLOAD_MB,
    TRANSFORM_RETRIES,
};
use sagebrush_types::{Failure, JobStatus, Outcome, Resource, Scope, s3_uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::CONTAINER;
use super::processing::{DataProcessing, Processing};
use crate::document::{default_member, pick, seconds};
use crate::model::Serving;
use crate::request::{ExperimentConfig, RequestTag, check_environment, refuse_if};
use crate::workflow::accept;
use crate::{ControlPlane, request, tracking};

/// The members of a request that its record keeps.
pub const REQUEST_MEMBERS: &[&str] = &[
    "TransformJobName",
    "ModelName",
    "MaxConcurrentTransforms",
    "ModelClientConfig",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "TransformInput",
    "TransformOutput",
    "TransformResources",
    "DataProcessing",
    "ExperimentConfig",
];

/// The members of a transform job that are acted on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CreateTransformJob {
    transform_job_name: String,
    model_name: String,
    max_concurrent_transforms: Option<usize>,
    #[serde(default)]
    model_client_config: ModelClientConfig,
    #[serde(rename = "MaxPayloadInMB")]
    max_payload_in_mb: Option<usize>,
    batch_strategy: Option<String>,
    /// Environment variables that the job adds to the model's own.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Where the data comes from.
    pub transform_input: TransformInput,
    /// Where the predictions go.
    pub transform_output: TransformOutput,
    transform_resources: TransformResources,
    #[serde(default)]
    data_processing: DataProcessing,
    #[serde(default, rename = "ExperimentConfig")]
    _experiment_config: ExperimentConfig,
    #[serde(default)]
    tags: Vec<RequestTag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ModelClientConfig {
    invocations_timeout_in_seconds: Option<u64>,
    invocations_max_retries: Option<u32>,
}

/// Where the data comes from.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TransformInput {
    /// The objects.
    pub data_source: DataSource,
    /// Media type of every request.
    pub content_type: Option<String>,
    compression_type: Option<String>,
    split_type: Option<String>,
}

/// The objects to transform.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct DataSource {
    /// In S3.
    pub s3_data_source: S3DataSource,
}

/// A prefix or a manifest in S3.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct S3DataSource {
    s3_data_type: String,
    /// `s3://bucket/prefix`, or the manifest's object.
    pub s3_uri: String,
}

/// Where the predictions go.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TransformOutput {
    /// `s3://bucket/prefix`.
    pub s3_output_path: String,
    /// Media type that is asked of the model.
    pub accept: Option<String>,
    assemble_with: Option<String>,
    kms_key_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TransformResources {
    instance_count: u64,
    instance_type: String,
    volume_kms_key_id: Option<String>,
}

/// Set and not empty.
fn given(value: Option<&str>) -> bool {
    value.is_some_and(|text| !text.is_empty())
}

impl CreateTransformJob {
    /// Number of model servers.
    pub const fn instances(&self) -> u64 {
        self.transform_resources.instance_count
    }

    /// Requests in flight per model server, when the request says.
    pub fn concurrent(&self) -> Option<usize> {
        self.max_concurrent_transforms.filter(|count| *count > 0)
    }

    /// Largest payload in MB, when the request says.
    pub const fn payload_mb(&self) -> Option<usize> {
        self.max_payload_in_mb
    }

    /// `MULTI_RECORD` or `SINGLE_RECORD` as model servers write it, when the request says.
    pub fn strategy(&self) -> Option<&'static str> {
        self.batch_strategy
            .as_deref()
            .map(|strategy| if strategy == "SingleRecord" { "SINGLE_RECORD" } else { "MULTI_RECORD" })
    }

    /// Time for one answer.
    pub fn timeout(&self) -> Duration {
        let seconds = self.model_client_config.invocations_timeout_in_seconds;
        seconds.map_or(TRANSFORM_INVOKE_TIMEOUT, Duration::from_secs)
    }

    /// Times a request is sent again.
    pub fn retries(&self) -> u32 {
        self.model_client_config.invocations_max_retries.unwrap_or(TRANSFORM_RETRIES)
    }

    /// Is the source a manifest?
    pub fn is_manifest(&self) -> bool {
        self.transform_input.data_source.s3_data_source.s3_data_type == "ManifestFile"
    }

    /// Are input objects compressed?
    pub fn is_gzip(&self) -> bool {
        self.transform_input.compression_type.as_deref() == Some("Gzip")
    }

    /// Are the lines of an object its records?
    pub fn splits_lines(&self) -> bool {
        self.transform_input.split_type.as_deref() == Some("Line")
    }

    /// Does every answer end with a line feed in the output?
    pub fn assembles_lines(&self) -> bool {
        self.transform_output.assemble_with.as_deref() == Some("Line")
    }

    /// What is done with each record beside sending it.
    pub fn processing(&self) -> Outcome<Option<Processing>> {
        Processing::plan(
            &self.data_processing,
            self.transform_input.content_type.as_deref(),
            self.transform_output.accept.as_deref().filter(|accept| !accept.is_empty()),
        )
    }

    fn check(&self) -> Outcome<()> {
        let source = &self.transform_input.data_source.s3_data_source;
        refuse_if(
            !matches!(source.s3_data_type.as_str(), "S3Prefix" | "ManifestFile"),
            "TransformInput.DataSource.S3DataSource.S3DataType",
            "only S3Prefix and ManifestFile are supported.",
        )?;
        s3_uri("TransformInput.DataSource.S3DataSource.S3Uri", &source.s3_uri)?;
        s3_uri("TransformOutput.S3OutputPath", &self.transform_output.s3_output_path)?;
        let split = self.transform_input.split_type.as_deref().unwrap_or("None");
        refuse_if(
            !matches!(split, "None" | "Line"),
            "TransformInput.SplitType",
            "only None and Line are supported.",
        )?;
        refuse_if(
            given(self.transform_output.kms_key_id.as_deref())
                || given(self.transform_resources.volume_kms_key_id.as_deref()),
            "KmsKeyId",
            "encryption with KMS keys is not supported.",
        )?;
        check_environment("Environment", &self.environment)?;
        self.check_sizes()?;
        let processing = self.processing()?;
        if processing.is_some_and(|processing| processing.by_line())
            && self.splits_lines()
            && !self.assembles_lines()
        {
            return Err(Failure::invalid(
                "TransformOutput.AssembleWith: records that are split by Line and filtered or joined by DataProcessing \
                 are stored as lines. Set AssembleWith to Line.",
            ));
        }
        Ok(())
    }

    /// What a container's host is like.
    pub(super) fn instance_type(&self) -> Option<&str> {
        Some(&self.transform_resources.instance_type)
    }

    fn check_sizes(&self) -> Outcome<()> {
        if self.instances() > INSTANCES_PER_VARIANT {
            return Err(Failure::invalid(format!(
                "TransformResources.InstanceCount: {} instances are more than the {INSTANCES_PER_VARIANT} that one job may have on this machine.",
                self.instances()
            )));
        }
        refuse_if(
            self.max_payload_in_mb == Some(0),
            "MaxPayloadInMB",
            "0, payloads without a bound that are sent in chunks, is not supported by built-in algorithms.",
        )?;
        let payload = self.max_payload_in_mb.unwrap_or(1);
        let concurrent = self.concurrent().unwrap_or(1);
        if payload > TRANSFORM_PAYLOAD_MB || payload.saturating_mul(concurrent) > TRANSFORM_PAYLOAD_MB {
            return Err(Failure::invalid(format!(
                "MaxPayloadInMB: {payload} MB for each of {concurrent} concurrent requests are more than the \
                 {TRANSFORM_PAYLOAD_MB} MB that the product of MaxPayloadInMB and MaxConcurrentTransforms may be."
            )));
        }
        if concurrent > TRANSFORM_CONCURRENT {
            return Err(Failure::invalid(format!(
                "MaxConcurrentTransforms: {concurrent} requests are more than the {TRANSFORM_CONCURRENT} that one model server gets at a time."
            )));
        }
        Ok(())
    }
}

impl ControlPlane {
    /// CreateTransformJob.
    ///
    /// # Errors
    /// `NotFound` for a model that is not there; `Invalid` for places and expressions that cannot
    /// be; `Unsupported` for what is not done here; `AlreadyExists`; `LimitExceeded` when too many
    /// jobs wait.
    pub async fn create_transform_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreateTransformJob = request::decode("CreateTransformJob", document)?;
        tracking::joined(self, scope, document).await?;
        request.check()?;
        let model = self.find(scope, Resource::Model, &request.model_name).await?;
        let serving = Serving::kept(&Serving::document(&model))?;
        refuse_if(
            serving.direct || serving.is_multi_model(),
            "ModelName",
            "a transform job sends its records through all containers of a model and names none of them: models with \
             InferenceExecutionConfig.Mode Direct and containers in multi-model mode are not supported.",
        )?;
        self.check_open(Resource::TransformJob, JOBS_OPEN).await?;
        let name = &request.transform_job_name;
        let arn = scope.arn(Resource::TransformJob, name);
        let now = self.now();
        let mut kept = pick(document, REQUEST_MEMBERS);
        default_member(&mut kept["TransformInput"], "CompressionType", json!("None"));
        default_member(&mut kept["TransformInput"], "SplitType", json!("None"));
        default_member(&mut kept["TransformOutput"], "AssembleWith", json!("None"));
        default_member(&mut kept["TransformOutput"], "KmsKeyId", json!(""));
        default_member(&mut kept, "DataProcessing", json!({}));
        for (member, value) in [("InputFilter", "$"), ("OutputFilter", "$"), ("JoinSource", "None")] {
            default_member(&mut kept["DataProcessing"], member, json!(value));
        }
        kept["TransformJobArn"] = json!(arn);
        kept["TransformJobStatus"] = json!(JobStatus::InProgress.as_str());
        kept["CreationTime"] = seconds(now);
        // The model may be deleted while the job waits for its turn.
        kept[CONTAINER] = Serving::document(&model);
        let key = self.key(scope, Resource::TransformJob, name);
        let arn = accept::<CreateTransformJob>(self, scope, key, now, kept, &request.tags).await?;
        Ok(json!({"TransformJobArn": arn}))
    }
}
