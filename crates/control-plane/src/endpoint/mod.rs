//! Endpoints: accepted, deployed and updated by a workflow, kept up by a keeper for every model
//! server.

mod deploy;
mod fleet;
mod health;
mod operate;
mod plan;
mod programs;
mod record;
mod rollout;
mod server;
mod server_log;
mod update;

use sagebrush_metastore::{NewRecord, Order, Record, WorkflowChange};
use sagebrush_types::limits::ENDPOINTS_OPEN;
use sagebrush_types::{EndpointStatus, Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{pick, seconds};
use crate::page::ListShape;
use crate::request::RequestTag;
use crate::{ControlPlane, data_capture, failure, request};

pub use deploy::resume;

pub use plan::CONFIG;
use plan::CONTAINERS;

/// The steps of an endpoint's workflow. Being deployed for the first time.
const DEPLOY: &str = "deploy";
/// In service: brought up again after a restart.
const SERVE: &str = "serve";
/// Being updated: brought up as it was, then the update is begun anew.
const UPDATE: &str = "update";
/// Being deleted.
const DELETE: &str = "delete";

/// The member of an endpoint's record that keeps an update under way.
const UPDATE_KEPT: &str = "_Update";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateEndpoint {
    endpoint_name: String,
    endpoint_config_name: String,
    /// For the updates to come that retain it.
    #[serde(default)]
    deployment_config: Value,
    #[serde(default)]
    tags: Vec<RequestTag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EndpointName {
    endpoint_name: String,
}

impl ControlPlane {
    /// CreateEndpoint.
    ///
    /// # Errors
    /// `NotFound` for a configuration or model that is not there; `AlreadyExists`.
    pub async fn create_endpoint(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreateEndpoint = request::decode("CreateEndpoint", document)?;
        let config = self.find(scope, Resource::EndpointConfig, &request.endpoint_config_name).await?;
        let variants = config.document["ProductionVariants"].as_array().into_iter().flatten();
        let total = variants.filter_map(|variant| variant["InitialInstanceCount"].as_u64()).sum();
        rollout::Rollout::of(&request.deployment_config, total)?;
        self.check_open(Resource::Endpoint, ENDPOINTS_OPEN).await?;
        let name = &request.endpoint_name;
        let arn = scope.arn(Resource::Endpoint, name);
        let now = self.now();
        let containers = self.containers(scope, &config.document).await?;
        let mut record = NewRecord {
            key: self.key(scope, Resource::Endpoint, name),
            arn: arn.clone(),
            status: EndpointStatus::Creating.as_str().into(),
            created: now,
            document: json!({
                "EndpointName": name,
                "EndpointArn": arn,
                "EndpointConfigName": request.endpoint_config_name,
                "ProductionVariants": plan::summaries(&config.document, &containers, now),
                "EndpointStatus": EndpointStatus::Creating.as_str(),
                "CreationTime": seconds(now),
                "LastModifiedTime": seconds(now),
                // The configuration may be deleted while the endpoint lives on.
                CONFIG: config.document.clone(),
                CONTAINERS: containers,
            }),
            tags: request::tags(&request.tags),
            workflow: Some(DEPLOY.into()),
        };
        if !request.deployment_config.is_null() {
            record.document["LastDeploymentConfig"] = request.deployment_config;
        }
        let writes = self.tracked_endpoint(scope, &arn, now, name, &config);
        self.store()
            .create_with(&record, &writes)
            .await
            .map_err(|error| failure::of_creation(error, scope, Resource::Endpoint, name))?;
        deploy::start(self, record.key);
        Ok(json!({"EndpointArn": arn}))
    }

    /// DescribeEndpoint.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_endpoint(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: EndpointName = request::decode("DescribeEndpoint", document)?;
        let mut document = self.find(scope, Resource::Endpoint, &name.endpoint_name).await?.document;
        if let Some(update) = document.get(UPDATE_KEPT) {
            let members = ["EndpointConfigName", "ProductionVariants", "StartTime"];
            document["PendingDeploymentSummary"] = pick(update, &members);
        }
        if let Some(capture) = data_capture::of_config(&document[CONFIG])? {
            document["DataCaptureConfig"] = capture.summary();
        }
        let asynchronous = document[CONFIG]["AsyncInferenceConfig"].take();
        if !asynchronous.is_null() {
            document["AsyncInferenceConfig"] = asynchronous;
        }
        if let Some(members) = document.as_object_mut() {
            members.retain(|name, _| !name.starts_with('_'));
        }
        Ok(document)
    }

    /// ListEndpoints.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_endpoints(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let shape = ListShape {
            operation: "ListEndpoints",
            kind: Resource::Endpoint,
            summaries: "Endpoints",
            default_order: Order::Descending,
            summary: |document| {
                pick(
                    document,
                    &["EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus"],
                )
            },
        };
        self.list(scope, document, &shape).await
    }

    /// DeleteEndpoint: it answers no request from here on; its model servers end in the background.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` while it is being deleted.
    pub async fn delete_endpoint(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: EndpointName = request::decode("DeleteEndpoint", document)?;
        let key = self.find(scope, Resource::Endpoint, &name.endpoint_name).await?.key;
        let now = self.now();
        self.store()
            .update(&key, &WorkflowChange::Step(DELETE.into()), |record| {
                if record.status == EndpointStatus::Deleting.as_str() {
                    return Err(in_progress(record));
                }
                record::enter(record, EndpointStatus::Deleting, now)
            })
            .await
            .map_err(failure::of_metastore)??;
        let runs = self.shared.live.stop(&key);
        self.unroute(&key);
        if !runs {
            // Nothing runs for it, as for one that failed: only the record is left.
            deploy::finish_deletion(self, &key).await;
        }
        Ok(json!({}))
    }
}

/// AWS's words for an endpoint on its way to another state.
fn in_progress(record: &Record) -> Failure {
    Failure::new(
        FailureKind::WrongState(Resource::Endpoint),
        format!("Cannot update in-progress endpoint \"{}\".", record.arn),
    )
}
