//! UpdateTrainingJob: what may change while a job runs.

use sagebrush_metastore::WorkflowChange;
use sagebrush_types::{Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::create::ProfilerConfig;
use crate::document::seconds;
use crate::request::refuse_if;
use crate::workflow::job;
use crate::{ControlPlane, failure, request};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdateTrainingJob {
    training_job_name: String,
    profiler_config: Option<ProfilerConfig>,
    #[serde(default)]
    profiler_rule_configurations: Vec<Value>,
    resource_config: Option<ResourceConfig>,
    remote_debug_config: Option<RemoteDebugConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ResourceConfig {
    keep_alive_period_in_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RemoteDebugConfig {
    #[serde(default)]
    enable_remote_debug: bool,
}

impl UpdateTrainingJob {
    fn check(&self) -> Outcome<()> {
        self.profiler_config.as_ref().map_or(Ok(()), ProfilerConfig::check)?;
        refuse_if(
            !self.profiler_rule_configurations.is_empty(),
            "ProfilerRuleConfigurations",
            "profiling is not supported; leave the rules out.",
        )?;
        refuse_if(
            self.resource_config.as_ref().is_some_and(|resources| resources.keep_alive_period_in_seconds > 0),
            "ResourceConfig.KeepAlivePeriodInSeconds",
            "no warm pool is kept for a training job, because programs start at once; there is none to keep longer.",
        )?;
        refuse_if(
            self.remote_debug_config.as_ref().is_some_and(|debug| debug.enable_remote_debug),
            "RemoteDebugConfig.EnableRemoteDebug",
            "remote debugging is not supported.",
        )
    }
}

impl ControlPlane {
    /// UpdateTrainingJob. A profiler configuration is kept for Describe; nothing is profiled, which
    /// ProfilingStatus says.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` when the job is over; `Unsupported` for profiling, warm pools and
    /// remote debugging.
    pub async fn update_training_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: UpdateTrainingJob = request::decode("UpdateTrainingJob", document)?;
        request.check()?;
        let found = self.find(scope, Resource::TrainingJob, &request.training_job_name).await?;
        let profiler = document.get("ProfilerConfig").filter(|profiler| !profiler.is_null());
        let now = self.now();
        self.store()
            .update(&found.key, &WorkflowChange::Keep, |record| {
                let status = job::status(record)?;
                if status.is_terminal() {
                    return Err(Failure::new(
                        FailureKind::WrongState(Resource::TrainingJob),
                        format!("The request was rejected because the training job is in status {status}."),
                    ));
                }
                if let Some(profiler) = profiler {
                    record.document["ProfilerConfig"] = profiler.clone();
                    record.document["LastModifiedTime"] = seconds(now);
                    record.modified = now;
                }
                Ok(())
            })
            .await
            .map_err(failure::of_metastore)??;
        Ok(json!({"TrainingJobArn": found.arn}))
    }
}
