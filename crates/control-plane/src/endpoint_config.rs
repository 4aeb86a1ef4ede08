//! Endpoint configurations: the production variants of an endpoint.

use sagebrush_metastore::{Key, MetastoreError, NewRecord, Order};
use sagebrush_types::limits::INSTANCES_PER_VARIANT;
use sagebrush_types::{Failure, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::async_inference::AsyncInferenceConfig;
use crate::data_capture::DataCaptureConfig;
use crate::document::{default_member, pick, seconds};
use crate::model::Serving;
use crate::page::ListShape;
use crate::request::{RequestTag, refuse_if};
use crate::{ControlPlane, failure, not_found, request};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateEndpointConfig {
    endpoint_config_name: String,
    production_variants: Vec<ProductionVariant>,
    data_capture_config: Option<DataCaptureConfig>,
    async_inference_config: Option<AsyncInferenceConfig>,
    #[serde(default)]
    tags: Vec<RequestTag>,
    #[serde(default, rename = "ExecutionRoleArn")]
    _execution_role_arn: Option<String>,
    #[serde(default, rename = "EnableNetworkIsolation")]
    _enable_network_isolation: bool,
}

/// A production variant.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ProductionVariant {
    /// Name of the variant.
    pub variant_name: String,
    /// Name of the model it serves.
    pub model_name: String,
    /// Number of model servers.
    #[serde(default = "one")]
    pub initial_instance_count: u64,
    /// Share of the traffic relative to the other variants.
    #[serde(default = "whole")]
    pub initial_variant_weight: f64,
    /// Seconds a model server has until its first ping.
    pub container_startup_health_check_timeout_in_seconds: Option<u64>,
    #[serde(default, rename = "ModelDataDownloadTimeoutInSeconds")]
    _model_data_download_timeout_in_seconds: Option<u64>,
    /// What a container's host is like; a built-in's has this machine.
    pub instance_type: Option<String>,
    #[serde(default, rename = "VolumeSizeInGB")]
    _volume_size: Option<u64>,
    routing_config: Option<RoutingConfig>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RoutingConfig {
    routing_strategy: String,
}

const fn one() -> u64 {
    1
}

const fn whole() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EndpointConfigName {
    endpoint_config_name: String,
}

impl ControlPlane {
    /// CreateEndpointConfig.
    ///
    /// # Errors
    /// `NotFound` for a model that is not there; `Invalid` for variants that cannot be; `AlreadyExists`.
    pub async fn create_endpoint_config(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreateEndpointConfig = request::decode("CreateEndpointConfig", document)?;
        let asynchronous = request.async_inference_config.is_some();
        self.check_variants(scope, &request.production_variants, asynchronous).await?;
        if let Some(capture) = &request.data_capture_config {
            capture.check()?;
        }
        if let Some(config) = &request.async_inference_config {
            config.check(request.production_variants.len())?;
        }
        let name = &request.endpoint_config_name;
        let now = self.now();
        let arn = scope.arn(Resource::EndpointConfig, name);
        let members = [
            "EndpointConfigName",
            "ProductionVariants",
            "ExecutionRoleArn",
            "DataCaptureConfig",
            "AsyncInferenceConfig",
        ];
        let mut kept = pick(document, &members);
        kept["EndpointConfigArn"] = json!(arn);
        kept["CreationTime"] = seconds(now);
        for variant in kept["ProductionVariants"].as_array_mut().into_iter().flatten() {
            default_member(variant, "InitialInstanceCount", json!(1));
            default_member(variant, "InitialVariantWeight", json!(1.0));
        }
        let record = NewRecord {
            key: self.key(scope, Resource::EndpointConfig, name),
            arn: arn.clone(),
            status: String::new(),
            created: now,
            document: kept,
            tags: request::tags(&request.tags),
            workflow: None,
        };
        let writes = self.tracked_config(scope, &record).await?;
        self.store()
            .create_with(&record, &writes)
            .await
            .map_err(|error| failure::of_creation(error, scope, Resource::EndpointConfig, name))?;
        Ok(json!({"EndpointConfigArn": arn}))
    }

    async fn check_variants(
        &self,
        scope: &Scope,
        variants: &[ProductionVariant],
        asynchronous: bool,
    ) -> Outcome<()> {
        for (index, variant) in variants.iter().enumerate() {
            let place = format!("ProductionVariants[{index}]");
            if variants[..index].iter().any(|earlier| earlier.variant_name == variant.variant_name) {
                return Err(Failure::invalid(format!(
                    "{place}.VariantName: '{}' is used by two variants.",
                    variant.variant_name
                )));
            }
            if variant.initial_instance_count > INSTANCES_PER_VARIANT {
                return Err(Failure::invalid(format!(
                    "{place}.InitialInstanceCount: {} instances are more than the {INSTANCES_PER_VARIANT} that one variant may have on this machine.",
                    variant.initial_instance_count
                )));
            }
            let strategy = variant.routing_config.as_ref().map(|routing| routing.routing_strategy.as_str());
            refuse_if(
                strategy.is_some_and(|strategy| strategy != "LEAST_OUTSTANDING_REQUESTS"),
                &format!("{place}.RoutingConfig.RoutingStrategy"),
                "requests always go to the less busy of two servers: only LEAST_OUTSTANDING_REQUESTS is supported.",
            )?;
            let model = self.find(scope, Resource::Model, &variant.model_name).await?;
            let serving = Serving::kept(&Serving::document(&model))?;
            refuse_if(
                asynchronous && (serving.direct || serving.is_multi_model()),
                &format!("{place}.ModelName"),
                "InvokeEndpointAsync cannot name a container or a model, so models with InferenceExecutionConfig.Mode Direct \
                 and containers in multi-model mode answer in real time only. Leave AsyncInferenceConfig out.",
            )?;
        }
        let total: f64 = variants.iter().map(|variant| variant.initial_variant_weight).sum();
        if !(total.is_finite() && total > 0.0) {
            return Err(Failure::invalid(
                "ProductionVariants: the InitialVariantWeights must add up to a number above 0.",
            ));
        }
        Ok(())
    }

    /// DescribeEndpointConfig.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_endpoint_config(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: EndpointConfigName = request::decode("DescribeEndpointConfig", document)?;
        Ok(self.find(scope, Resource::EndpointConfig, &name.endpoint_config_name).await?.document)
    }

    /// DeleteEndpointConfig. Endpoints that were made from it go on.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_endpoint_config(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: EndpointConfigName = request::decode("DeleteEndpointConfig", document)?;
        self.remove(scope, Resource::EndpointConfig, &name.endpoint_config_name).await?;
        Ok(json!({}))
    }

    /// ListEndpointConfigs.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_endpoint_configs(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let shape = ListShape {
            operation: "ListEndpointConfigs",
            kind: Resource::EndpointConfig,
            summaries: "EndpointConfigs",
            default_order: Order::Descending,
            summary: |document| pick(document, &["EndpointConfigName", "EndpointConfigArn", "CreationTime"]),
        };
        self.list(scope, document, &shape).await
    }

    pub(crate) fn key(&self, scope: &Scope, kind: Resource, name: &str) -> Key {
        Key { kind, region: scope.region.clone(), name: name.to_owned() }
    }

    /// Deletes a record that no workflow belongs to.
    pub(crate) async fn remove(&self, scope: &Scope, kind: Resource, name: &str) -> Outcome<()> {
        match self.store().delete(&self.key(scope, kind, name)).await {
            Ok(_) => Ok(()),
            Err(MetastoreError::NotFound(_)) => Err(not_found(scope, kind, name)),
            Err(error) => Err(failure::of_metastore(error)),
        }
    }
}
