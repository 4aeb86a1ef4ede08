//! What conditions may ask about a request's document: its tags and the instance types it asks for.

use sagebrush_auth::policy::Facts;
use serde_json::Value;

/// The facts of a document.
pub fn of(document: &Value) -> Facts {
    let mut facts = Facts::new();
    let mut keys = Vec::new();
    // ECR's members begin with a small letter.
    for tag in list(document, "Tags").chain(list(document, "tags")) {
        let (Some(key), Some(value)) =
            (tag.get("Key").and_then(Value::as_str), tag.get("Value").and_then(Value::as_str))
        else {
            continue;
        };
        facts.push((format!("aws:RequestTag/{key}").into(), vec![value.to_owned()]));
        keys.push(key.to_owned());
    }
    let named = list(document, "TagKeys").chain(list(document, "tagKeys"));
    keys.extend(named.filter_map(Value::as_str).map(str::to_owned));
    if !keys.is_empty() {
        facts.push(("aws:TagKeys".into(), keys));
    }
    let instances = instance_types(document);
    if !instances.is_empty() {
        facts.push(("sagemaker:InstanceTypes".into(), instances));
    }
    facts
}

fn list<'a>(document: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    document.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// Instance types of jobs and variants, wherever the operations have them.
fn instance_types(document: &Value) -> Vec<String> {
    let definitions =
        document.get("TrainingJobDefinition").into_iter().chain(list(document, "TrainingJobDefinitions"));
    let jobs = std::iter::once(document).chain(definitions).flat_map(|job| {
        ["ResourceConfig", "HyperParameterTuningResourceConfig"]
            .into_iter()
            .filter_map(|field| job.get(field))
    });
    let jobs = jobs.flat_map(|config| {
        std::iter::once(config).chain(list(config, "InstanceGroups")).chain(list(config, "InstanceConfigs"))
    });
    let processing = document.pointer("/ProcessingResources/ClusterConfig");
    let transform = document.get("TransformResources");
    let variants = list(document, "ProductionVariants").chain(list(document, "ShadowProductionVariants"));
    let mut found: Vec<String> = jobs
        .chain(processing)
        .chain(transform)
        .chain(variants)
        .filter_map(|place| place.get("InstanceType").and_then(Value::as_str))
        .map(str::to_owned)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
