//! Models: an image, an artifact and an environment under a name.

use std::collections::BTreeMap;

use sagebrush_metastore::{NewRecord, Order, Record};
use sagebrush_types::{Failure, Outcome, Resource, Scope, s3_uri};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{default_member, pick, seconds};
use crate::image::Task;
use crate::page::ListShape;
use crate::request::{RequestTag, check_environment, refuse_if};
use crate::{ControlPlane, failure, request};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateModel {
    model_name: String,
    primary_container: Option<Container>,
    #[serde(default)]
    containers: Vec<Container>,
    #[serde(default)]
    #[serde(rename = "ExecutionRoleArn")]
    _execution_role_arn: String,
    #[serde(default)]
    tags: Vec<RequestTag>,
    /// Built-in model servers reach no network, so isolation holds with either value.
    #[serde(default, rename = "EnableNetworkIsolation")]
    _enable_network_isolation: bool,
}

/// A container of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Container {
    /// Image URI.
    pub image: Option<String>,
    /// Artifact, `s3://bucket/key` of a gzipped tar.
    pub model_data_url: Option<String>,
    /// Environment of the model server.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default, rename = "ContainerHostname")]
    _container_hostname: Option<String>,
    /// Kept for Describe: what the package says was taken over when the model was made.
    #[serde(default, rename = "ModelPackageName")]
    _model_package_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ModelName {
    model_name: String,
}

impl ControlPlane {
    /// CreateModel.
    ///
    /// # Errors
    /// `Invalid` for an image that is not built in or an artifact that is no S3 URI; `Unsupported`
    /// for pipelines and multi-model mode; `AlreadyExists`.
    pub async fn create_model(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let document = &self.with_package(scope, document).await?;
        let request: CreateModel = request::decode("CreateModel", document)?;
        let container = match (&request.primary_container, request.containers.as_slice()) {
            (Some(container), []) | (None, [container]) => container,
            (None, []) => return Err(Failure::invalid("PrimaryContainer: a model needs a container.")),
            (Some(_), _) => {
                return Err(Failure::invalid("Give either PrimaryContainer or Containers, not both."));
            }
            (None, _) => {
                return Err(Failure::unsupported(
                    "Containers: pipelines of several containers are not supported.",
                ));
            }
        };
        refuse_if(
            container.mode.as_deref().is_some_and(|mode| mode != "SingleModel"),
            "Mode",
            "only SingleModel is supported.",
        )?;
        check_environment("PrimaryContainer.Environment", &container.environment)?;
        let image = container.image.as_deref().ok_or_else(|| {
            Failure::invalid("PrimaryContainer.Image: a model needs the image of its algorithm.")
        })?;
        let image = self.image("PrimaryContainer.Image", image, Task::Serve)?;
        match container.model_data_url.as_deref() {
            Some(artifact) => drop(s3_uri("PrimaryContainer.ModelDataUrl", artifact)?),
            None if image.is_built_in() => {
                return Err(Failure::invalid(
                    "PrimaryContainer.ModelDataUrl: a built-in algorithm serves a model artifact.",
                ));
            }
            // An image may carry its model.
            None => {}
        }
        let now = self.now();
        let arn = scope.arn(Resource::Model, &request.model_name);
        let mut kept = pick(document, &["ModelName", "PrimaryContainer", "Containers", "ExecutionRoleArn"]);
        kept["EnableNetworkIsolation"] =
            document.get("EnableNetworkIsolation").cloned().unwrap_or(json!(false));
        kept["ModelArn"] = json!(arn);
        kept["CreationTime"] = seconds(now);
        if let Some(container) = kept.get_mut("PrimaryContainer") {
            default_member(container, "Mode", json!("SingleModel"));
            default_member(container, "Environment", json!({}));
        }
        let record = NewRecord {
            key: self.key(scope, Resource::Model, &request.model_name),
            arn: arn.clone(),
            status: String::new(),
            created: now,
            document: kept,
            tags: request::tags(&request.tags),
            workflow: None,
        };
        let writes = self.tracked_model(scope, &record).await?;
        self.store()
            .create_with(&record, &writes)
            .await
            .map_err(|error| failure::of_creation(error, scope, Resource::Model, &request.model_name))?;
        Ok(json!({"ModelArn": arn}))
    }

    /// The request with what its container's model package says in the container, where the request
    /// itself says nothing: the model lives on when the package is deleted.
    async fn with_package(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let mut document = document.clone();
        for place in ["/PrimaryContainer", "/Containers/0"] {
            let Some(container) = document.pointer_mut(place) else { continue };
            let Some(name) = container["ModelPackageName"].as_str().map(str::to_owned) else { continue };
            refuse_if(
                !container["Image"].is_null() || !container["ModelDataUrl"].is_null(),
                "ModelPackageName",
                "give either a model package or an image with its artifact.",
            )?;
            let package = self.packaged_container(scope, &name).await?;
            for (member, value) in package.as_object().into_iter().flatten() {
                default_member(container, member, value.clone());
            }
        }
        Ok(document)
    }

    /// DescribeModel.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_model(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let ModelName { model_name } = request::decode("DescribeModel", document)?;
        Ok(self.find(scope, Resource::Model, &model_name).await?.document)
    }

    /// DeleteModel.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_model(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let ModelName { model_name } = request::decode("DeleteModel", document)?;
        self.remove(scope, Resource::Model, &model_name).await?;
        Ok(json!({}))
    }

    /// ListModels.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_models(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let shape = ListShape {
            operation: "ListModels",
            kind: Resource::Model,
            summaries: "Models",
            default_order: Order::Descending,
            summary: |document| pick(document, &["ModelName", "ModelArn", "CreationTime"]),
        };
        self.list(scope, document, &shape).await
    }
}

/// The container that serves a model.
pub fn container(record: &Record) -> Outcome<Container> {
    serde_json::from_value(container_document(record)).map_err(Failure::internal)
}

/// The document of the container that serves a model.
pub fn container_document(record: &Record) -> Value {
    let document = &record.document;
    let container = document.get("PrimaryContainer").or_else(|| document["Containers"].get(0));
    container.cloned().unwrap_or_default()
}
