//! Trial components: what one step of a trial was given, made and measured. Every job has one
//! (`tracking` makes it); clients make others, such as the runs of the SageMaker SDK.
//!
//! The trials that a component belongs to stand in its document as `Parents`, where a search finds
//! them.

mod metrics;

use sagebrush_types::limits::TRIALS_PER_COMPONENT;
use sagebrush_types::{Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{default_member, pick};
use crate::entity::{Entity, Summaries, equals, merge_map, paged, set_members};
use crate::request::RequestTag;
use crate::{ControlPlane, request};

/// Trial components as records.
pub const TRIAL_COMPONENT: Entity =
    Entity { kind: Resource::TrialComponent, name: "TrialComponentName", arn: "TrialComponentArn" };

const MEMBERS: &[&str] = &[
    "DisplayName",
    "Status",
    "StartTime",
    "EndTime",
    "Parameters",
    "InputArtifacts",
    "OutputArtifacts",
    "MetadataProperties",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateTrialComponent {
    trial_component_name: String,
    #[serde(rename = "DisplayName")]
    _display_name: Option<String>,
    #[serde(rename = "Status")]
    _status: Option<Value>,
    #[serde(rename = "StartTime")]
    _start_time: Option<Value>,
    #[serde(rename = "EndTime")]
    _end_time: Option<Value>,
    #[serde(rename = "Parameters")]
    _parameters: Option<Value>,
    #[serde(rename = "InputArtifacts")]
    _input_artifacts: Option<Value>,
    #[serde(rename = "OutputArtifacts")]
    _output_artifacts: Option<Value>,
    #[serde(rename = "MetadataProperties")]
    _metadata_properties: Option<Value>,
    #[serde(default)]
    tags: Vec<RequestTag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdateTrialComponent {
    trial_component_name: String,
    #[serde(rename = "DisplayName")]
    _display_name: Option<String>,
    #[serde(rename = "Status")]
    _status: Option<Value>,
    #[serde(rename = "StartTime")]
    _start_time: Option<Value>,
    #[serde(rename = "EndTime")]
    _end_time: Option<Value>,
    parameters: Option<Value>,
    #[serde(default)]
    parameters_to_remove: Vec<String>,
    input_artifacts: Option<Value>,
    #[serde(default)]
    input_artifacts_to_remove: Vec<String>,
    output_artifacts: Option<Value>,
    #[serde(default)]
    output_artifacts_to_remove: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TrialComponentName {
    trial_component_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Membership {
    trial_component_name: String,
    trial_name: String,
}

impl ControlPlane {
    /// CreateTrialComponent.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub async fn create_trial_component(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreateTrialComponent = request::decode("CreateTrialComponent", document)?;
        let name = &request.trial_component_name;
        let mut kept = pick(document, MEMBERS);
        default_member(&mut kept, "DisplayName", json!(name));
        let tags = request::tags(&request.tags);
        let arn = self.create_entity(scope, TRIAL_COMPONENT, name, kept, tags, &[]).await?;
        Ok(json!({"TrialComponentArn": arn}))
    }

    /// DescribeTrialComponent, by name or ARN.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_trial_component(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TrialComponentName = request::decode("DescribeTrialComponent", document)?;
        let mut document =
            self.describe_entity(scope, Resource::TrialComponent, &name.trial_component_name).await?;
        metrics::hide_sums(&mut document);
        if let Some(members) = document.as_object_mut() {
            members.remove("Parents");
        }
        Ok(document)
    }

    /// ListTrialComponents, of an experiment, a trial or a source when one is named.
    ///
    /// # Errors
    /// `NotFound` for an experiment or trial that is not there.
    pub async fn list_trial_components(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct ListTrialComponents {
            experiment_name: Option<String>,
            trial_name: Option<String>,
            source_arn: Option<String>,
        }
        let (paging, rest) = paged(document)?;
        let request: ListTrialComponents = request::decode("ListTrialComponents", &rest)?;
        let mut tests = Vec::new();
        if let Some(experiment) = &request.experiment_name {
            self.find(scope, Resource::Experiment, experiment).await?;
            tests.push(equals("Parents.ExperimentName", experiment));
        }
        if let Some(trial) = &request.trial_name {
            self.find(scope, Resource::Trial, trial).await?;
            tests.push(equals("Parents.TrialName", trial));
        }
        if let Some(source) = &request.source_arn {
            tests.push(equals("Source.SourceArn", source));
        }
        let summaries = Summaries {
            member: "TrialComponentSummaries",
            shows: &[
                "TrialComponentName",
                "TrialComponentArn",
                "DisplayName",
                "Status",
                "StartTime",
                "EndTime",
                "CreationTime",
                "LastModifiedTime",
            ],
        };
        self.list_entities(scope, TRIAL_COMPONENT, &paging, tests, summaries).await
    }

    /// UpdateTrialComponent: members are set, entries of maps are merged and removed.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn update_trial_component(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: UpdateTrialComponent = request::decode("UpdateTrialComponent", document)?;
        let arn = self
            .update_entity(scope, Resource::TrialComponent, &request.trial_component_name, |kept| {
                set_members(kept, document, &["DisplayName", "Status", "StartTime", "EndTime"]);
                let maps = [
                    ("Parameters", &request.parameters, &request.parameters_to_remove),
                    ("InputArtifacts", &request.input_artifacts, &request.input_artifacts_to_remove),
                    ("OutputArtifacts", &request.output_artifacts, &request.output_artifacts_to_remove),
                ];
                for (member, added, removed) in maps {
                    merge_map(kept, member, added.as_ref(), removed);
                }
                Ok(())
            })
            .await?;
        Ok(json!({"TrialComponentArn": arn}))
    }

    /// DeleteTrialComponent, with its metric series.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` while it belongs to a trial.
    pub async fn delete_trial_component(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TrialComponentName = request::decode("DeleteTrialComponent", document)?;
        let record = self.find(scope, Resource::TrialComponent, &name.trial_component_name).await?;
        let parents = record.document["Parents"].as_array();
        if let Some(trial) =
            parents.and_then(|parents| parents.iter().find_map(|one| one["TrialName"].as_str()))
        {
            return Err(Failure::new(
                FailureKind::WrongState(Resource::TrialComponent),
                format!(
                    "Trial component '{}' belongs to the trial '{trial}'. Disassociate it first.",
                    record.key.name
                ),
            ));
        }
        let arn = self.delete_entity(scope, Resource::TrialComponent, &record.key.name).await?;
        Ok(json!({"TrialComponentArn": arn}))
    }

    /// AssociateTrialComponent. One that belongs to the trial already stays so.
    ///
    /// # Errors
    /// `NotFound`; `LimitExceeded` for a component in too many trials.
    pub async fn associate_trial_component(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: Membership = request::decode("AssociateTrialComponent", document)?;
        let trial = self.find(scope, Resource::Trial, &request.trial_name).await?;
        let parent = json!({
            "TrialName": trial.key.name,
            "ExperimentName": trial.document["ExperimentName"],
        });
        let arn = self
            .update_entity(scope, Resource::TrialComponent, &request.trial_component_name, |kept| {
                let mut parents = kept["Parents"].as_array().cloned().unwrap_or_default();
                if parents.contains(&parent) {
                    return Ok(());
                }
                if parents.len() >= TRIALS_PER_COMPONENT {
                    return Err(Failure::new(
                        FailureKind::LimitExceeded,
                        format!("A trial component belongs to at most {TRIALS_PER_COMPONENT} trials."),
                    ));
                }
                parents.push(parent);
                kept["Parents"] = parents.into();
                Ok(())
            })
            .await?;
        Ok(json!({"TrialComponentArn": arn, "TrialArn": trial.arn}))
    }

    /// DisassociateTrialComponent.
    ///
    /// # Errors
    /// `NotFound`, also for a component that does not belong to the trial.
    pub async fn disassociate_trial_component(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: Membership = request::decode("DisassociateTrialComponent", document)?;
        let trial = self.find(scope, Resource::Trial, &request.trial_name).await?;
        let arn = self
            .update_entity(scope, Resource::TrialComponent, &request.trial_component_name, |kept| {
                let mut parents = kept["Parents"].as_array().cloned().unwrap_or_default();
                let before = parents.len();
                parents.retain(|parent| parent["TrialName"] != trial.key.name.as_str());
                if parents.len() == before {
                    return Err(Failure::new(
                        FailureKind::NotFound(Resource::TrialComponent),
                        format!(
                            "Trial component '{}' is not associated with trial '{}'.",
                            request.trial_component_name, trial.key.name
                        ),
                    ));
                }
                kept["Parents"] = parents.into();
                Ok(())
            })
            .await?;
        Ok(json!({"TrialComponentArn": arn, "TrialArn": trial.arn}))
    }
}

/// A trial component as Search shows it.
pub fn searched(document: &mut Value) {
    metrics::hide_sums(document);
}
