//! Trials: groups of trial components within an experiment.

use sagebrush_metastore::{Condition, Expression, Order, Query, Scalar, SortKey, Test};
use sagebrush_types::{Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{default_member, pick};
use crate::entity::{Entity, Summaries, equals, paged, set_members};
use crate::request::RequestTag;
use crate::{ControlPlane, failure, request};

/// Trials as records.
pub const TRIAL: Entity = Entity { kind: Resource::Trial, name: "TrialName", arn: "TrialArn" };

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateTrial {
    trial_name: String,
    experiment_name: String,
    #[serde(rename = "DisplayName")]
    _display_name: Option<String>,
    #[serde(rename = "MetadataProperties")]
    _metadata_properties: Option<Value>,
    #[serde(default)]
    tags: Vec<RequestTag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TrialName {
    trial_name: String,
}

impl ControlPlane {
    /// CreateTrial.
    ///
    /// # Errors
    /// `NotFound` for an experiment that is not there; `AlreadyExists`.
    pub async fn create_trial(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreateTrial = request::decode("CreateTrial", document)?;
        self.find(scope, Resource::Experiment, &request.experiment_name).await?;
        let mut kept = pick(document, &["DisplayName", "ExperimentName", "MetadataProperties"]);
        default_member(&mut kept, "DisplayName", json!(request.trial_name));
        let tags = request::tags(&request.tags);
        let arn = self.create_entity(scope, TRIAL, &request.trial_name, kept, tags, &[]).await?;
        Ok(json!({"TrialArn": arn}))
    }

    /// DescribeTrial.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_trial(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TrialName = request::decode("DescribeTrial", document)?;
        self.describe_entity(scope, Resource::Trial, &name.trial_name).await
    }

    /// ListTrials, of an experiment or with a trial component when one is named.
    ///
    /// # Errors
    /// `NotFound` for an experiment or trial component that is not there.
    pub async fn list_trials(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct ListTrials {
            experiment_name: Option<String>,
            trial_component_name: Option<String>,
        }
        let (paging, rest) = paged(document)?;
        let request: ListTrials = request::decode("ListTrials", &rest)?;
        let mut tests = Vec::new();
        if let Some(experiment) = &request.experiment_name {
            self.find(scope, Resource::Experiment, experiment).await?;
            tests.push(equals("ExperimentName", experiment));
        }
        if let Some(component) = &request.trial_component_name {
            let component = self.find(scope, Resource::TrialComponent, component).await?;
            let parents = component.document["Parents"].as_array().into_iter().flatten();
            let names = parents.filter_map(|parent| parent["TrialName"].as_str()).map(Scalar::of).collect();
            tests.push(Test { path: "TrialName".into(), condition: Condition::In(names) });
        }
        let summaries = Summaries {
            member: "TrialSummaries",
            shows: &["TrialArn", "TrialName", "DisplayName", "CreationTime", "LastModifiedTime"],
        };
        self.list_entities(scope, TRIAL, &paging, tests, summaries).await
    }

    /// UpdateTrial.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn update_trial(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct UpdateTrial {
            trial_name: String,
            #[serde(rename = "DisplayName")]
            _display_name: Option<String>,
        }
        let request: UpdateTrial = request::decode("UpdateTrial", document)?;
        let arn = self
            .update_entity(scope, Resource::Trial, &request.trial_name, |kept| {
                set_members(kept, document, &["DisplayName"]);
                Ok(())
            })
            .await?;
        Ok(json!({"TrialArn": arn}))
    }

    /// DeleteTrial.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` while trial components belong to it.
    pub async fn delete_trial(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TrialName = request::decode("DeleteTrial", document)?;
        let record = self.find(scope, Resource::Trial, &name.trial_name).await?;
        let member = equals("Parents.TrialName", &record.key.name);
        if let Some(component) = self.any(scope, Resource::TrialComponent, member).await? {
            return Err(Failure::new(
                FailureKind::WrongState(Resource::Trial),
                format!(
                    "Trial '{}' still has the trial component '{component}'. Disassociate its trial components first.",
                    record.key.name
                ),
            ));
        }
        let arn = self.delete_entity(scope, Resource::Trial, &name.trial_name).await?;
        Ok(json!({"TrialArn": arn}))
    }

    /// The name of some record that passes a test.
    pub(crate) async fn any(&self, scope: &Scope, kind: Resource, test: Test) -> Outcome<Option<String>> {
        let query = Query {
            kind,
            region: scope.region.clone(),
            expression: Expression::Test(test),
            sort: SortKey::Created,
            order: Order::Ascending,
            limit: 1,
            after: None,
        };
        let found = self.store().search(&query).await.map_err(failure::of_metastore)?;
        Ok(found.records.into_iter().next().map(|(record, _)| record.key.name))
    }
}
