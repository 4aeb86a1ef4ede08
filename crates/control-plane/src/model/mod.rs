//! Models: an image, an artifact and an environment under a name, or several of them.

mod serving;

use sagebrush_metastore::{NewRecord, Order};
use sagebrush_types::{Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{default_member, pick, seconds};
use crate::page::ListShape;
use crate::request::{RequestTag, refuse_if};
use crate::{ControlPlane, failure, request};

pub use serving::{Container, Serving};

use serving::{InferenceExecutionConfig, MEMBERS};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateModel {
    model_name: String,
    primary_container: Option<Container>,
    #[serde(default)]
    containers: Vec<Container>,
    inference_execution_config: Option<InferenceExecutionConfig>,
    #[serde(default)]
    #[serde(rename = "ExecutionRoleArn")]
    _execution_role_arn: String,
    #[serde(default)]
    tags: Vec<RequestTag>,
    #[serde(default)]
    enable_network_isolation: bool,
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
    /// `Invalid` and `Unsupported` for containers that cannot be served as they are; `AlreadyExists`.
    pub async fn create_model(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let document = &self.with_packages(scope, document).await?;
        let request: CreateModel = request::decode("CreateModel", document)?;
        let execution = request.inference_execution_config.as_ref();
        let isolated = request.enable_network_isolation;
        Serving::new(request.primary_container, request.containers, execution, isolated)?.check(self)?;
        let now = self.now();
        let arn = scope.arn(Resource::Model, &request.model_name);
        let members = MEMBERS.iter().chain(&["ModelName", "ExecutionRoleArn"]).copied();
        let mut kept = pick(document, &members.collect::<Vec<_>>());
        kept["EnableNetworkIsolation"] = json!(isolated);
        kept["ModelArn"] = json!(arn);
        kept["CreationTime"] = seconds(now);
        for container in containers(&mut kept) {
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

    /// The request with what its containers' model packages say in the containers, where the request
    /// itself says nothing: the model lives on when a package is deleted.
    async fn with_packages(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let mut document = document.clone();
        for container in containers(&mut document) {
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

/// The containers in a model's document.
fn containers(document: &mut Value) -> Vec<&mut Value> {
    let Some(members) = document.as_object_mut() else { return Vec::new() };
    let named = members.iter_mut().filter(|(name, _)| *name == "PrimaryContainer" || *name == "Containers");
    named
        .flat_map(|(_, value)| match value {
            Value::Array(containers) => containers.iter_mut().collect(),
            Value::Null => Vec::new(),
            container => vec![container],
        })
        .collect()
}
