//! From a validated request document to the typed fields an operation acts on. A member that AWS
//! knows and the type does not is refused by name: nothing is ignored silently.

use std::collections::BTreeMap;

use sagebrush_metastore::Tag;
use sagebrush_types::{Failure, Outcome};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::document::without_nulls;

/// The typed request of an operation.
pub fn decode<T: DeserializeOwned>(operation: &str, document: &Value) -> Outcome<T> {
    serde_path_to_error::deserialize(without_nulls(document)).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.inner().to_string();
        match inner.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
            Some(_) => Failure::unsupported(format!(
                "{operation}: the field '{path}' is not supported by this server. Leave it out; see docs/compatibility.md."
            )),
            None => Failure::invalid(format!("{operation}: {path}: {inner}")),
        }
    })
}

/// Refuses a member whose value asks for something that is not done here.
pub fn refuse_if(unsupported: bool, field: &str, why: &str) -> Outcome<()> {
    if unsupported {
        return Err(Failure::unsupported(format!("{field}: {why}")));
    }
    Ok(())
}

/// Refuses environment variables that are not a program's own: those of the dynamic linker, which
/// would load foreign code into a built-in, and those that the server sets itself.
pub fn check_environment(field: &str, environment: &BTreeMap<String, String>) -> Outcome<()> {
    let reserved =
        |name: &&String| ["LD_", "GLIBC_", "SAGEBRUSH_"].iter().any(|prefix| name.starts_with(prefix));
    match environment.keys().find(reserved) {
        Some(name) => Err(Failure::invalid(format!(
            "{field}: the variable '{name}' is reserved and cannot be set for a built-in algorithm."
        ))),
        None => Ok(()),
    }
}

/// The experiment that a job belongs to: kept with the job and shown by Describe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Name of the experiment.
    pub experiment_name: Option<String>,
    /// Name of the trial.
    pub trial_name: Option<String>,
    /// What the job's trial component is to be shown as.
    pub trial_component_display_name: Option<String>,
    /// Name of the run.
    pub run_name: Option<String>,
}

/// A tag as requests write it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RequestTag {
    /// Name.
    pub key: String,
    /// Value.
    pub value: String,
}

/// Tags for the metastore.
pub fn tags(tags: &[RequestTag]) -> Vec<Tag> {
    tags.iter().map(|tag| Tag { key: tag.key.clone(), value: tag.value.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Inner {
        #[allow(unused)]
        count: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Outer {
        #[allow(unused)]
        inner: Inner,
    }

    #[test]
    fn a_member_not_acted_on_is_refused_by_its_path() {
        let refused = decode::<Outer>("CreateX", &json!({"Inner": {"Count": 1, "VpcId": "x"}}));
        let message = refused.err().map(|failure| failure.message).unwrap_or_default();
        assert!(message.starts_with("CreateX: the field 'Inner.VpcId' is not supported"), "{message}");
        assert!(decode::<Outer>("CreateX", &json!({"Inner": {"Count": 1, "VpcId": null}})).is_ok());
    }
}
