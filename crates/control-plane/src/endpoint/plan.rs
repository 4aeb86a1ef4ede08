//! What an endpoint serves: its variants with what serves their models, weights and numbers of servers, as
//! its record keeps them. A model or configuration that is deleted meanwhile takes nothing away.

use std::collections::BTreeMap;

use sagebrush_types::{Failure, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::document::seconds;
use crate::endpoint_config::ProductionVariant;
use crate::image::Task;
use crate::model::Serving;
use crate::{ControlPlane, failure};

/// Members of a record that are for the workflow and not shown: the configuration it serves, and
/// the containers of its variants.
pub const CONFIG: &str = "_EndpointConfig";
/// See [`CONFIG`].
pub const CONTAINERS: &str = "_Containers";

/// One variant as it is to be served.
#[derive(Debug, Clone)]
pub struct PlannedVariant {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: f64,
    /// Its number of servers.
    pub count: u64,
    /// Seconds a server has until its first ping.
    pub start_timeout: Option<u64>,
    /// What its servers' hosts are like.
    pub instance_type: Option<String>,
    /// What its servers run.
    pub serving: Serving,
}

/// The members of a variant's summary that are acted on.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Desired {
    variant_name: String,
    desired_weight: f64,
    desired_instance_count: u64,
}

/// The variants of a record, or of the update inside it: both keep a configuration, its containers
/// and the variants' summaries under the same names.
pub fn variants(document: &Value) -> Outcome<Vec<PlannedVariant>> {
    let config: Vec<ProductionVariant> = read(&document[CONFIG]["ProductionVariants"])?;
    let mut containers: BTreeMap<String, Value> = read(&document[CONTAINERS])?;
    let desired: Vec<Desired> = read(&document["ProductionVariants"])?;
    config
        .into_iter()
        .map(|variant| {
            let name = variant.variant_name;
            let missing = |what: &str| Failure::internal(format!("variant {name} has no {what}"));
            let desired = desired
                .iter()
                .find(|desired| desired.variant_name == name)
                .ok_or_else(|| missing("summary"))?;
            let kept = containers.remove(&name).ok_or_else(|| missing("container"))?;
            Ok(PlannedVariant {
                weight: desired.desired_weight,
                count: desired.desired_instance_count,
                start_timeout: variant.container_startup_health_check_timeout_in_seconds,
                instance_type: variant.instance_type,
                serving: Serving::kept(&kept)?,
                name,
            })
        })
        .collect()
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Outcome<T> {
    serde_json::from_value(value.clone()).map_err(Failure::internal)
}

/// The summary of every variant of a configuration, none of whose servers is up.
pub fn summaries(config: &Value, containers: &Value, now: i64) -> Vec<Value> {
    let variants = config["ProductionVariants"].as_array().into_iter().flatten();
    variants
        .map(|variant| {
            let name = variant["VariantName"].as_str().unwrap_or_default();
            let serving = Serving::kept(&containers[name]).ok();
            let image = |image: &str| {
                json!({"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": seconds(now)})
            };
            let images: Vec<Value> = serving.iter().flat_map(|serving| serving.images().map(image)).collect();
            json!({
                "VariantName": name,
                "DeployedImages": images,
                "CurrentWeight": variant["InitialVariantWeight"],
                "DesiredWeight": variant["InitialVariantWeight"],
                "CurrentInstanceCount": 0,
                "DesiredInstanceCount": variant["InitialInstanceCount"],
            })
        })
        .collect()
}

/// Every server that a summary wishes for is up, and its weight holds.
pub fn settle(summaries: &mut Value) {
    for variant in summaries.as_array_mut().into_iter().flatten() {
        variant["CurrentInstanceCount"] = variant["DesiredInstanceCount"].clone();
        variant["CurrentWeight"] = variant["DesiredWeight"].clone();
    }
}

/// What a summary wishes for goes back to what there is.
pub fn give_up(summaries: &mut Value) {
    for variant in summaries.as_array_mut().into_iter().flatten() {
        variant["DesiredInstanceCount"] = variant["CurrentInstanceCount"].clone();
        variant["DesiredWeight"] = variant["CurrentWeight"].clone();
    }
}

impl ControlPlane {
    /// What serves a configuration's models, by variant.
    ///
    /// # Errors
    /// `NotFound` for a model that is not there; `Invalid` for an image that is not served here.
    pub(super) async fn containers(&self, scope: &Scope, config: &Value) -> Outcome<Value> {
        let mut containers = Map::new();
        for variant in config["ProductionVariants"].as_array().into_iter().flatten() {
            let name = variant["ModelName"].as_str().unwrap_or_default();
            let record = self.find(scope, Resource::Model, name).await?;
            let kept = Serving::document(&record);
            let serving = Serving::kept(&kept)?;
            for (place, image) in serving.images().enumerate() {
                let field = format!("{}.Image", serving.field(place));
                self.runnable_image(&field, image, Task::Serve).await?;
            }
            let variant = variant["VariantName"].as_str().unwrap_or_default();
            containers.insert(variant.to_owned(), kept);
        }
        Ok(containers.into())
    }

    /// The record's document, with containers where an earlier version kept none.
    pub(super) async fn endpoint_document(&self, key: &sagebrush_metastore::Key) -> Outcome<Value> {
        let record = self.store().get(key).await.map_err(failure::of_metastore)?;
        let record = record.ok_or_else(|| Failure::internal(format!("{key}: no record")))?;
        let mut document = record.document;
        if document[CONTAINERS].is_null() {
            let scope = self.scope(&key.region);
            document[CONTAINERS] = self.containers(&scope, &document[CONFIG]).await?;
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_the_desired_numbers_and_survives_its_round_through_a_record() {
        let config = json!({"ProductionVariants": [
            {"VariantName": "a", "ModelName": "m", "InitialVariantWeight": 2.0, "InitialInstanceCount": 3}]});
        let containers = json!({"a": {"Image": "object2vec:1"}});
        let mut document = json!({"ProductionVariants": summaries(&config, &containers, 0)});
        document[CONFIG] = config;
        document[CONTAINERS] = containers;
        document["ProductionVariants"][0]["DesiredInstanceCount"] = json!(5);
        let plan = variants(&document).ok().and_then(|plan| plan.into_iter().next());
        assert_eq!(plan.map(|variant| (variant.name, variant.count)), Some(("a".into(), 5)));
        settle(&mut document["ProductionVariants"]);
        assert_eq!(document["ProductionVariants"][0]["CurrentInstanceCount"], 5);
    }
}
