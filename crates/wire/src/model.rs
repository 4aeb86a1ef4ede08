//! The service models of `models/*.json`, read once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use crate::Service;

/// One service's operations and shapes.
#[derive(Debug)]
pub struct Model {
    operations: BTreeMap<String, Operation>,
    refused: BTreeSet<String>,
    query_codes: BTreeMap<String, String>,
    pub(crate) namespace: String,
    pub(crate) shapes: BTreeMap<String, Shape>,
}

#[derive(Debug, Deserialize)]
struct Operation {
    input: Option<String>,
    output: Option<String>,
}

/// One shape of a service model.
#[derive(Debug)]
pub struct Shape {
    /// What the shape is made of.
    pub kind: ShapeKind,
    /// Smallest length or value.
    pub min: Option<f64>,
    /// Largest length or value.
    pub max: Option<f64>,
    /// The values an enum allows; empty for anything else.
    pub allowed: Vec<String>,
    /// The pattern's text and, where the dialect allows, its anchored form.
    pub pattern: Option<(String, Option<Regex>)>,
}

/// What a shape is made of.
#[derive(Debug)]
pub enum ShapeKind {
    /// Members by name, and which of them must be there.
    Structure {
        /// Member name to shape name.
        members: BTreeMap<String, String>,
        /// Names of the required members, in the model's order.
        required: Vec<String>,
    },
    /// A list of one shape.
    List(String),
    /// A map from strings to one shape.
    Map {
        /// Shape of the keys.
        key: String,
        /// Shape of the values.
        value: String,
    },
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// True or false.
    Boolean,
    /// Seconds since the Unix epoch with a fraction.
    Timestamp,
    /// Bytes, as base64 in JSON.
    Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelFile {
    operations: BTreeMap<String, Operation>,
    refused: BTreeSet<String>,
    #[serde(default)]
    query_codes: BTreeMap<String, String>,
    #[serde(default)]
    namespace: String,
    shapes: BTreeMap<String, ShapeFile>,
}

#[derive(Deserialize)]
struct ShapeFile {
    r#type: String,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    members: BTreeMap<String, MemberFile>,
    member: Option<String>,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    r#enum: Vec<String>,
    pattern: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MemberFile {
    InBody(String),
    Elsewhere { shape: String },
}

impl From<ShapeFile> for Shape {
    fn from(file: ShapeFile) -> Self {
        let kind = match file.r#type.as_str() {
            "structure" => ShapeKind::Structure {
                members: file
                    .members
                    .into_iter()
                    .map(|(name, member)| match member {
                        MemberFile::InBody(shape) | MemberFile::Elsewhere { shape } => (name, shape),
                    })
                    .collect(),
                required: file.required,
            },
            "list" => ShapeKind::List(file.member.unwrap_or_default()),
            "map" => {
                ShapeKind::Map { key: file.key.unwrap_or_default(), value: file.value.unwrap_or_default() }
            }
            "integer" | "long" => ShapeKind::Integer,
            "float" | "double" => ShapeKind::Float,
            "boolean" => ShapeKind::Boolean,
            "timestamp" => ShapeKind::Timestamp,
            "blob" => ShapeKind::Blob,
            _ => ShapeKind::String,
        };
        // Patterns hold for the whole text. Those with look-around are beyond this dialect: they
        // stay facts, and only length and enum are checked.
        let pattern = file.pattern.map(|text| {
            let anchored = Regex::new(&format!("^(?:{text})$")).ok();
            (text, anchored)
        });
        Self { kind, min: file.min, max: file.max, allowed: file.r#enum, pattern }
    }
}

impl Model {
    fn read(text: &str) -> Self {
        // The files are written by `cargo xtask models` and compiled in; a test reads all of them.
        let file: ModelFile = match serde_json::from_str(text) {
            Ok(file) => file,
            Err(error) => unreachable!("a service model of this binary cannot be read: {error}"),
        };
        Self {
            operations: file.operations,
            refused: file.refused,
            query_codes: file.query_codes,
            namespace: file.namespace,
            shapes: file.shapes.into_iter().map(|(name, shape)| (name, shape.into())).collect(),
        }
    }

    /// Is this operation served?
    pub fn serves(&self, operation: &str) -> bool {
        self.operations.contains_key(operation)
    }

    /// Does AWS have this operation although it is not served here?
    pub fn refuses(&self, operation: &str) -> bool {
        self.refused.contains(operation)
    }

    /// Names of the served operations.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.operations.keys().map(String::as_str)
    }

    /// The code that the query protocol has for an error, where it is not the error's name.
    pub fn query_code(&self, error: &str) -> Option<&str> {
        self.query_codes.get(error).map(String::as_str)
    }

    pub(crate) fn input(&self, operation: &str) -> Option<&str> {
        self.operations.get(operation)?.input.as_deref()
    }

    pub(crate) fn output(&self, operation: &str) -> Option<&str> {
        self.operations.get(operation)?.output.as_deref()
    }
}

macro_rules! models {
    ($($service:ident => $file:literal),+ $(,)?) => {
        /// The model of a service that is described by one (S3 is not).
        pub fn model(service: Service) -> Option<&'static Model> {
            match service {
                $(Service::$service => {
                    static MODEL: LazyLock<Model> =
                        LazyLock::new(|| Model::read(include_str!(concat!("../../../models/", $file, ".json"))));
                    Some(&MODEL)
                })+
                _ => None,
            }
        }
    };
}

models! {
    SageMaker => "sagemaker",
    SageMakerRuntime => "sagemaker-runtime",
    SageMakerMetrics => "sagemaker-metrics",
    AutoScaling => "application-autoscaling",
    Logs => "logs",
    CloudWatch => "cloudwatch",
    Ecr => "ecr",
    Sts => "sts",
    Iam => "iam",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_is_whole() {
        for service in Service::ALL {
            let Some(model) = model(service) else { continue };
            for shape in model.shapes.values() {
                let names: Vec<&String> = match &shape.kind {
                    ShapeKind::Structure { members, .. } => members.values().collect(),
                    ShapeKind::List(member) => vec![member],
                    ShapeKind::Map { key, value } => vec![key, value],
                    _ => vec![],
                };
                for name in names {
                    assert!(model.shapes.contains_key(name), "{service:?}: {name}");
                }
            }
            for operation in model.operations() {
                assert!(!model.refuses(operation), "{operation}");
            }
        }
    }

    #[test]
    fn patterns_of_names_compile() {
        let model = model(Service::SageMaker).map(|model| &model.shapes["TrainingJobName"]);
        assert!(model.is_some_and(|shape| shape.pattern.as_ref().is_some_and(|(_, regex)| regex.is_some())));
    }
}
