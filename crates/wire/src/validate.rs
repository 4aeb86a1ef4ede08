//! Documents against shapes, with AWS's own wording of what is wrong.

use serde_json::Value;

use crate::model::{Model, Shape, ShapeKind};

/// Characters of an offending value that are repeated in a message.
const SHOWN: usize = 128;
/// Violations listed in one message; AWS lists all of them, a bound keeps the answer small.
const LISTED: usize = 20;

/// Members that the models require of answers and AWS leaves out while there is nothing to say; the
/// SDKs take an absent member and choke on an empty one. The list may only shrink.
const ABSENT_AT_TIMES: &[(&str, &str)] = &[("DescribeTrainingJob", "modelArtifacts")];

/// Lists whose bounds in the model are those of requests: in answers AWS has empty and longer ones.
const UNBOUNDED_IN_ANSWERS: &[(&str, &str)] = &[("BatchDeleteImage", "imageIds"), ("ListImages", "imageIds")];

/// One constraint that a document breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the member, as AWS writes it: `inputDataConfig.1.member.channelName`.
    pub path: String,
    /// The value, shortened, or `None` for a missing member.
    pub value: Option<String>,
    /// The constraint in AWS's words.
    pub constraint: String,
    /// The JSON type is wrong: AWS answers SerializationException instead.
    pub wrong_type: bool,
}

/// AWS's message for a list of violations.
pub fn violations_message(violations: &[Violation]) -> String {
    let count = violations.len();
    let noun = if count == 1 { "error" } else { "errors" };
    let texts: Vec<String> = violations
        .iter()
        .take(LISTED)
        .map(|violation| {
            let value =
                violation.value.as_ref().map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
            format!(
                "Value {value} at '{}' failed to satisfy constraint: {}",
                violation.path, violation.constraint
            )
        })
        .collect();
    format!("{count} validation {noun} detected: {}", texts.join("; "))
}

impl Model {
    /// What is wrong with a request document of an operation.
    pub fn violations(&self, operation: &str, document: &Value) -> Vec<Violation> {
        self.check(self.input(operation), document)
    }

    /// What is wrong with an answer document of an operation.
    pub fn answer_violations(&self, operation: &str, document: &Value) -> Vec<Violation> {
        let mut found = self.check(self.output(operation), document);
        found.retain(|violation| {
            let place = (operation, violation.path.as_str());
            let unbounded = UNBOUNDED_IN_ANSWERS.contains(&place) && !violation.wrong_type;
            !unbounded && (violation.value.is_some() || !ABSENT_AT_TIMES.contains(&place))
        });
        found
    }

    fn check(&self, shape: Option<&str>, document: &Value) -> Vec<Violation> {
        let mut found = Vec::new();
        if let Some(shape) = shape {
            self.visit(shape, document, String::new(), &mut found);
        }
        found
    }

    fn visit(&self, name: &str, value: &Value, path: String, found: &mut Vec<Violation>) {
        let Some(shape) = self.shapes.get(name) else { return };
        match (&shape.kind, value) {
            (ShapeKind::Structure { members, required }, Value::Object(object)) => {
                for name in required {
                    if object.get(name).is_none_or(Value::is_null) {
                        found.push(Violation {
                            path: join(&path, &lower_first(name)),
                            value: None,
                            constraint: "Member must not be null".into(),
                            wrong_type: false,
                        });
                    }
                }
                for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
                    if let Some(shape) = members.get(name) {
                        self.visit(shape, value, join(&path, &lower_first(name)), found);
                    }
                }
            }
            (ShapeKind::List(member), Value::Array(items)) => {
                check_size(shape, items.len(), &path, value, found);
                for (index, item) in items.iter().enumerate() {
                    self.visit(member, item, join(&path, &format!("{}.member", index + 1)), found);
                }
            }
            (ShapeKind::Map { key, value: member }, Value::Object(entries)) => {
                check_size(shape, entries.len(), &path, value, found);
                for (name, item) in entries {
                    self.visit(key, &Value::String(name.clone()), path.clone(), found);
                    self.visit(member, item, join(&path, &format!("{name}.member")), found);
                }
            }
            (ShapeKind::String, Value::String(text)) => check_text(shape, text, &path, found),
            (ShapeKind::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => {
                check_number(shape, number.as_f64(), &path, value, found);
            }
            (ShapeKind::Float | ShapeKind::Timestamp, Value::Number(number)) => {
                check_number(shape, number.as_f64(), &path, value, found);
            }
            (ShapeKind::Boolean, Value::Bool(_))
            | (ShapeKind::Blob, Value::String(_))
            // Some clients send timestamps as ISO 8601 text; the operation reads both.
            | (ShapeKind::Timestamp, Value::String(_)) => {}
            (kind, _) => found.push(Violation {
                path,
                value: Some(shown(&value.to_string())),
                constraint: format!("Member must be {}", kind.noun()),
                wrong_type: true,
            }),
        }
    }
}

impl ShapeKind {
    const fn noun(&self) -> &'static str {
        match self {
            Self::Structure { .. } => "a structure",
            Self::List(_) => "a list",
            Self::Map { .. } => "a map",
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Float => "a number",
            Self::Boolean => "a boolean",
            Self::Timestamp => "a timestamp",
            Self::Blob => "base64 text",
        }
    }
}

fn check_size(shape: &Shape, size: usize, path: &str, value: &Value, found: &mut Vec<Violation>) {
    check_bounds(shape, size as f64, "length", path, || shown(&value.to_string()), found);
}

fn check_number(shape: &Shape, number: Option<f64>, path: &str, value: &Value, found: &mut Vec<Violation>) {
    if let Some(number) = number {
        check_bounds(shape, number, "value", path, || shown(&value.to_string()), found);
    }
}

fn check_text(shape: &Shape, text: &str, path: &str, found: &mut Vec<Violation>) {
    check_bounds(shape, text.chars().count() as f64, "length", path, || shown(text), found);
    let mut broken = |constraint: String| {
        found.push(Violation {
            path: path.to_owned(),
            value: Some(shown(text)),
            constraint,
            wrong_type: false,
        });
    };
    if let Some((pattern, Some(regex))) = &shape.pattern
        && !regex.is_match(text)
    {
        broken(format!("Member must satisfy regular expression pattern: {pattern}"));
    }
    if !shape.allowed.is_empty() && !shape.allowed.iter().any(|allowed| allowed == text) {
        broken(format!("Member must satisfy enum value set: [{}]", shape.allowed.join(", ")));
    }
}

fn check_bounds(
    shape: &Shape,
    measure: f64,
    what: &str,
    path: &str,
    value: impl Fn() -> String,
    found: &mut Vec<Violation>,
) {
    let mut broken = |relation: &str, bound: f64| {
        found.push(Violation {
            path: path.to_owned(),
            value: Some(value()),
            constraint: format!("Member must have {what} {relation} than or equal to {bound}"),
            wrong_type: false,
        });
    };
    match (shape.min, shape.max) {
        (Some(min), _) if measure < min => broken("greater", min),
        (_, Some(max)) if measure > max => broken("less", max),
        _ => {}
    }
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Service, model};
    use serde_json::json;

    fn violations(operation: &str, document: &Value) -> Vec<Violation> {
        model(Service::SageMaker).map(|model| model.violations(operation, document)).unwrap_or_default()
    }

    #[test]
    fn messages_are_worded_as_aws_words_them() {
        let found = violations("DescribeTrainingJob", &json!({}));
        assert_eq!(
            violations_message(&found),
            "1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: \
             Member must not be null"
        );
        let found = violations("DescribeTrainingJob", &json!({"TrainingJobName": "a_b"}));
        assert!(violations_message(&found).contains(
            "Value 'a_b' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular \
             expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
        ));
    }

    #[test]
    fn nested_members_are_named_with_their_index() {
        let document = json!({
            "EndpointConfigName": "c",
            "ProductionVariants": [{"ModelName": "m", "VariantName": "v", "InitialInstanceCount": 0,
                                    "InstanceType": "ml.unheard.of"}]
        });
        let paths: Vec<String> = violations("CreateEndpointConfig", &document)
            .into_iter()
            .map(|violation| format!("{}: {}", violation.path, &violation.constraint[..28]))
            .collect();
        assert_eq!(
            paths,
            [
                "productionVariants.1.member.initialInstanceCount: Member must have value great",
                "productionVariants.1.member.instanceType: Member must satisfy enum val",
            ]
        );
    }

    #[test]
    fn a_wrong_type_is_told_apart() {
        let found = violations("DescribeTrainingJob", &json!({"TrainingJobName": 3}));
        assert!(found.iter().any(|violation| violation.wrong_type));
    }

    #[test]
    fn answers_may_leave_out_what_is_not_there_yet() {
        let answer = json!({"TrainingJobName": "a", "TrainingJobArn": "b"});
        let paths: Vec<String> = model(Service::SageMaker)
            .map(|model| model.answer_violations("DescribeTrainingJob", &answer))
            .unwrap_or_default()
            .into_iter()
            .map(|violation| violation.path)
            .collect();
        assert!(paths.contains(&"trainingJobStatus".to_owned()));
        assert!(!paths.contains(&"modelArtifacts".to_owned()));
    }

    #[test]
    fn answers_may_have_lists_that_requests_may_not() {
        let count = |operation: &str, length: usize| {
            let ids = vec![json!({"imageTag": "a"}); length];
            let answer = json!({"imageIds": ids, "repositoryName": "ab"});
            let model = model(Service::Ecr);
            (
                model.map(|model| model.answer_violations(operation, &answer).len()),
                model.map(|model| model.violations("BatchDeleteImage", &answer).len()),
            )
        };
        assert_eq!(count("ListImages", 0), (Some(0), Some(1)));
        assert_eq!(count("ListImages", 101), (Some(0), Some(1)));
        assert_eq!(count("BatchDeleteImage", 1), (Some(0), Some(0)));
    }

    #[test]
    fn nulls_count_as_absent() {
        assert!(violations("ListModels", &json!({"NameContains": null})).is_empty());
    }
}
