//! UpdateEndpoint and UpdateEndpointWeightsAndCapacities: what they accept and what they write into
//! the record, which the endpoint's workflow then carries out.

use sagebrush_metastore::{Record, WorkflowChange};
use sagebrush_types::limits::INSTANCES_PER_VARIANT;
use sagebrush_types::{EndpointStatus, Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::plan::{self, CONFIG, CONTAINERS};
use super::rollout::Rollout;
use super::{UPDATE, UPDATE_KEPT, in_progress, record};
use crate::document::seconds;
use crate::{ControlPlane, failure, request};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdateEndpoint {
    endpoint_name: String,
    endpoint_config_name: String,
    #[serde(default)]
    retain_all_variant_properties: bool,
    #[serde(default)]
    exclude_retained_variant_properties: Vec<VariantProperty>,
    #[serde(default)]
    deployment_config: Value,
    #[serde(default)]
    retain_deployment_config: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct VariantProperty {
    variant_property_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdateWeightsAndCapacities {
    endpoint_name: String,
    desired_weights_and_capacities: Vec<DesiredWeightAndCapacity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DesiredWeightAndCapacity {
    variant_name: String,
    desired_weight: Option<f64>,
    desired_instance_count: Option<u64>,
}

impl ControlPlane {
    /// UpdateEndpoint: the servers of another configuration replace those that serve now, without
    /// a request that fails; when they cannot be brought up, the old ones go on.
    ///
    /// # Errors
    /// `NotFound` for an endpoint, configuration or model that is not there; `WrongState` unless it
    /// is InService; `Invalid` or `Unsupported` for a deployment configuration that cannot be.
    pub async fn update_endpoint(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: UpdateEndpoint = request::decode("UpdateEndpoint", document)?;
        let endpoint = self.find(scope, Resource::Endpoint, &request.endpoint_name).await?;
        let config = self.find(scope, Resource::EndpointConfig, &request.endpoint_config_name).await?;
        let tracked =
            self.tracked_endpoint(scope, &endpoint.arn, endpoint.created, &endpoint.key.name, &config);
        let config = config.document;
        let containers = self.containers(scope, &config).await?;
        let now = self.now();
        self.store()
            .update_with(&endpoint.key, &WorkflowChange::Step(UPDATE.into()), |record| {
                check_in_service(record)?;
                let mut update = json!({
                    "EndpointConfigName": request.endpoint_config_name,
                    "ProductionVariants": plan::summaries(&config, &containers, now),
                    "StartTime": seconds(now),
                });
                update[CONFIG] = config;
                update[CONTAINERS] = containers;
                if request.retain_all_variant_properties {
                    retain(&mut update, &record.document, &request.exclude_retained_variant_properties);
                }
                let variants = plan::variants(&update)?;
                let last = &record.document["LastDeploymentConfig"];
                update["DeploymentConfig"] = match request.deployment_config {
                    Value::Null if request.retain_deployment_config => last.clone(),
                    given => given,
                };
                Rollout::of(&update["DeploymentConfig"], variants.iter().map(|variant| variant.count).sum())?;
                record.document[UPDATE_KEPT] = update;
                record::enter(record, EndpointStatus::Updating, now)?;
                Outcome::Ok(((), tracked))
            })
            .await
            .map_err(failure::of_metastore)??;
        self.shared.live.bell(&endpoint.key).notify_one();
        Ok(json!({"EndpointArn": endpoint.arn}))
    }

    /// UpdateEndpointWeightsAndCapacities: another share of the traffic or another number of
    /// servers for some variants, without a request that fails.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` unless it is InService; `Invalid` for a variant that is not there or
    /// numbers that cannot be.
    pub async fn update_endpoint_weights_and_capacities(
        &self,
        scope: &Scope,
        document: &Value,
    ) -> Outcome<Value> {
        let request: UpdateWeightsAndCapacities =
            request::decode("UpdateEndpointWeightsAndCapacities", document)?;
        let endpoint = self.find(scope, Resource::Endpoint, &request.endpoint_name).await?;
        let now = self.now();
        self.store()
            .update(&endpoint.key, &WorkflowChange::Step(UPDATE.into()), |record| {
                check_in_service(record)?;
                apply(&mut record.document["ProductionVariants"], &request.desired_weights_and_capacities)?;
                record::enter(record, EndpointStatus::Updating, now)
            })
            .await
            .map_err(failure::of_metastore)??;
        self.shared.live.bell(&endpoint.key).notify_one();
        Ok(json!({"EndpointArn": endpoint.arn}))
    }
}

fn check_in_service(record: &Record) -> Outcome<()> {
    match EndpointStatus::parse(&record.status) {
        Some(EndpointStatus::InService) => Ok(()),
        Some(EndpointStatus::Failed) => Err(Failure::new(
            FailureKind::WrongState(Resource::Endpoint),
            format!(
                "Cannot update endpoint \"{}\" with status \"Failed\". Delete it and create it again.",
                record.arn
            ),
        )),
        _ => Err(in_progress(record)),
    }
}

/// Variants of the same name keep their numbers and weights, except those properties that are
/// excluded.
fn retain(update: &mut Value, served: &Value, excluded: &[VariantProperty]) {
    let keeps = |property: &str| !excluded.iter().any(|excluded| excluded.variant_property_type == property);
    let capture = &served[CONFIG]["DataCaptureConfig"];
    if keeps("DataCaptureConfig") && !capture.is_null() {
        update[CONFIG]["DataCaptureConfig"] = capture.clone();
    }
    for variant in update["ProductionVariants"].as_array_mut().into_iter().flatten() {
        let served = served["ProductionVariants"].as_array().into_iter().flatten();
        let Some(old) = served.into_iter().find(|old| old["VariantName"] == variant["VariantName"]) else {
            continue;
        };
        for property in ["DesiredInstanceCount", "DesiredWeight"] {
            if keeps(property) {
                variant[property] = old[property].clone();
            }
        }
    }
}

fn apply(summaries: &mut Value, wanted: &[DesiredWeightAndCapacity]) -> Outcome<()> {
    let summaries =
        summaries.as_array_mut().ok_or_else(|| Failure::internal("an endpoint without variants"))?;
    for (index, wanted) in wanted.iter().enumerate() {
        let place = format!("DesiredWeightsAndCapacities[{index}]");
        let name = &wanted.variant_name;
        let variant =
            summaries.iter_mut().find(|variant| variant["VariantName"] == **name).ok_or_else(|| {
                Failure::invalid(format!("{place}.VariantName: the endpoint has no variant \"{name}\"."))
            })?;
        if let Some(count) = wanted.desired_instance_count {
            if !(1..=INSTANCES_PER_VARIANT).contains(&count) {
                return Err(Failure::invalid(format!(
                    "{place}.DesiredInstanceCount: {count} is not between 1 and the {INSTANCES_PER_VARIANT} \
                     instances that one variant may have on this machine."
                )));
            }
            variant["DesiredInstanceCount"] = json!(count);
        }
        if let Some(weight) = wanted.desired_weight {
            variant["DesiredWeight"] = json!(weight);
        }
    }
    let total: f64 = summaries.iter().filter_map(|variant| variant["DesiredWeight"].as_f64()).sum();
    if !(total.is_finite() && total > 0.0) {
        return Err(Failure::invalid(
            "DesiredWeightsAndCapacities: the weights of the endpoint's variants must add up to a number above 0.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retained_properties_are_those_not_excluded() {
        let served = json!({"ProductionVariants": [
            {"VariantName": "a", "DesiredWeight": 3.0, "DesiredInstanceCount": 4}]});
        let fresh = json!({"ProductionVariants": [
            {"VariantName": "a", "DesiredWeight": 1.0, "DesiredInstanceCount": 1},
            {"VariantName": "b", "DesiredWeight": 1.0, "DesiredInstanceCount": 1}]});
        let mut update = fresh.clone();
        retain(&mut update, &served, &[VariantProperty { variant_property_type: "DesiredWeight".into() }]);
        assert_eq!(update["ProductionVariants"][0]["DesiredInstanceCount"], 4);
        assert_eq!(update["ProductionVariants"][0]["DesiredWeight"], 1.0);
        assert_eq!(update["ProductionVariants"][1], fresh["ProductionVariants"][1]);
    }

    #[test]
    fn weights_must_leave_something() {
        let summaries = json!([{"VariantName": "a", "DesiredWeight": 1.0, "DesiredInstanceCount": 1}]);
        let wanted = |weight, count| {
            let wanted = DesiredWeightAndCapacity {
                variant_name: "a".into(),
                desired_weight: weight,
                desired_instance_count: count,
            };
            apply(&mut summaries.clone(), &[wanted])
        };
        assert!(wanted(Some(0.0), None).is_err() && wanted(None, Some(0)).is_err());
        assert!(wanted(Some(2.0), Some(3)).is_ok());
    }
}
