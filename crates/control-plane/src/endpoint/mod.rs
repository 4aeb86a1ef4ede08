//! Endpoints: accepted, deployed by a workflow, kept up by a supervisor for every model server.

mod deploy;
mod server;

use sagebrush_metastore::{NewRecord, Order, WorkflowChange};
use sagebrush_types::limits::ENDPOINTS_OPEN;
use sagebrush_types::{EndpointStatus, Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{pick, seconds};
use crate::page::ListShape;
use crate::request::RequestTag;
use crate::{ControlPlane, failure, request};

pub use deploy::resume;

/// The member of an endpoint's record that keeps the configuration it was made from. It is for the
/// workflow and not shown.
const KEPT_CONFIG: &str = "_EndpointConfig";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateEndpoint {
    endpoint_name: String,
    endpoint_config_name: String,
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
    /// `NotFound` for a configuration that is not there; `AlreadyExists`.
    pub async fn create_endpoint(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreateEndpoint = request::decode("CreateEndpoint", document)?;
        let config = self.find(scope, Resource::EndpointConfig, &request.endpoint_config_name).await?;
        self.check_open(Resource::Endpoint, ENDPOINTS_OPEN).await?;
        let name = &request.endpoint_name;
        let arn = scope.arn(Resource::Endpoint, name);
        let now = self.now();
        let variants: Vec<Value> = config.document["ProductionVariants"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|variant| {
                json!({
                    "VariantName": variant["VariantName"],
                    "DeployedImages": [],
                    "CurrentWeight": variant["InitialVariantWeight"],
                    "DesiredWeight": variant["InitialVariantWeight"],
                    "CurrentInstanceCount": 0,
                    "DesiredInstanceCount": variant["InitialInstanceCount"],
                })
            })
            .collect();
        let record = NewRecord {
            key: self.key(scope, Resource::Endpoint, name),
            arn: arn.clone(),
            status: EndpointStatus::Creating.as_str().into(),
            created: now,
            document: json!({
                "EndpointName": name,
                "EndpointArn": arn,
                "EndpointConfigName": request.endpoint_config_name,
                "ProductionVariants": variants,
                "EndpointStatus": EndpointStatus::Creating.as_str(),
                "CreationTime": seconds(now),
                "LastModifiedTime": seconds(now),
                // The configuration may be deleted while the endpoint lives on.
                KEPT_CONFIG: config.document,
            }),
            tags: request::tags(&request.tags),
            workflow: Some(deploy::DEPLOY.into()),
        };
        self.store()
            .create(&record)
            .await
            .map_err(|error| failure::of_creation(error, scope, Resource::Endpoint, name))?;
        let config = record.document[KEPT_CONFIG].clone();
        deploy::start(self, record.key, config);
        Ok(json!({"EndpointArn": arn}))
    }

    /// DescribeEndpoint.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_endpoint(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: EndpointName = request::decode("DescribeEndpoint", document)?;
        let mut document = self.find(scope, Resource::Endpoint, &name.endpoint_name).await?.document;
        if let Some(members) = document.as_object_mut() {
            members.remove(KEPT_CONFIG);
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
            .update(&key, &WorkflowChange::Step(deploy::DELETE.into()), |record| {
                if record.status == EndpointStatus::Deleting.as_str() {
                    return Err(Failure::new(
                        FailureKind::WrongState(Resource::Endpoint),
                        format!("Cannot update in-progress endpoint \"{}\".", record.arn),
                    ));
                }
                deploy::enter(record, EndpointStatus::Deleting, now)
            })
            .await
            .map_err(failure::of_metastore)??;
        self.unroute(&key);
        if !self.shared.live.stop(&key) {
            // Nothing runs for it, as for one that failed: only the record is left.
            deploy::finish_deletion(self, &key).await;
        }
        Ok(json!({}))
    }
}
