//! Experiments: names under which trials are gathered.

use sagebrush_types::{Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{default_member, pick};
use crate::entity::{Entity, Summaries, equals, paged, set_members};
use crate::request::RequestTag;
use crate::{ControlPlane, request};

/// Experiments as records.
pub const EXPERIMENT: Entity =
    Entity { kind: Resource::Experiment, name: "ExperimentName", arn: "ExperimentArn" };

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateExperiment {
    experiment_name: String,
    #[serde(rename = "DisplayName")]
    _display_name: Option<String>,
    #[serde(rename = "Description")]
    _description: Option<String>,
    #[serde(default)]
    tags: Vec<RequestTag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ExperimentName {
    experiment_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl ControlPlane {
    /// CreateExperiment.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub async fn create_experiment(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreateExperiment = request::decode("CreateExperiment", document)?;
        let mut kept = pick(document, &["DisplayName", "Description"]);
        default_member(&mut kept, "DisplayName", json!(request.experiment_name));
        let tags = request::tags(&request.tags);
        let arn = self.create_entity(scope, EXPERIMENT, &request.experiment_name, kept, tags, &[]).await?;
        Ok(json!({"ExperimentArn": arn}))
    }

    /// DescribeExperiment.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_experiment(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: ExperimentName = request::decode("DescribeExperiment", document)?;
        self.describe_entity(scope, Resource::Experiment, &name.experiment_name).await
    }

    /// ListExperiments.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_experiments(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let (paging, rest) = paged(document)?;
        let Nothing {} = request::decode("ListExperiments", &rest)?;
        let summaries = Summaries {
            member: "ExperimentSummaries",
            shows: &["ExperimentArn", "ExperimentName", "DisplayName", "CreationTime", "LastModifiedTime"],
        };
        self.list_entities(scope, EXPERIMENT, &paging, Vec::new(), summaries).await
    }

    /// UpdateExperiment.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn update_experiment(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct UpdateExperiment {
            experiment_name: String,
            #[serde(rename = "DisplayName")]
            _display_name: Option<String>,
            #[serde(rename = "Description")]
            _description: Option<String>,
        }
        let request: UpdateExperiment = request::decode("UpdateExperiment", document)?;
        let arn = self
            .update_entity(scope, Resource::Experiment, &request.experiment_name, |kept| {
                set_members(kept, document, &["DisplayName", "Description"]);
                Ok(())
            })
            .await?;
        Ok(json!({"ExperimentArn": arn}))
    }

    /// DeleteExperiment.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` while it has trials.
    pub async fn delete_experiment(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: ExperimentName = request::decode("DeleteExperiment", document)?;
        let record = self.find(scope, Resource::Experiment, &name.experiment_name).await?;
        let trials = self.any(scope, Resource::Trial, equals("ExperimentName", &record.key.name)).await?;
        if let Some(trial) = trials {
            return Err(Failure::new(
                FailureKind::WrongState(Resource::Experiment),
                format!(
                    "Experiment '{}' still has the trial '{trial}'. Delete its trials first.",
                    record.key.name
                ),
            ));
        }
        let arn = self.delete_entity(scope, Resource::Experiment, &name.experiment_name).await?;
        Ok(json!({"ExperimentArn": arn}))
    }
}
