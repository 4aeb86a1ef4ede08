//! Reading policy documents. What is not understood is an error, with the place it stands at: a
//! policy that is partly ignored grants or denies something else than its writer meant.

use serde_json::{Map, Value};

use super::condition::Condition;
use super::pattern::{Pattern, Wildcards};
use super::{Effect, Policy, PolicyError, Principals, Statement};
use crate::limits::{POLICY_BYTES, POLICY_STATEMENTS};

/// What a policy is attached to, which decides what its statements must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// To a user, a role or a session: no Principal.
    Identity,
    /// To a role, saying who may assume it: a Principal and no Resource.
    Trust,
}

impl Policy {
    /// Reads a policy document.
    ///
    /// # Errors
    /// Where and what is wrong with it.
    pub fn read(text: &str, kind: PolicyKind) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES {
            return Err(PolicyError::new(format!("the policy is longer than {POLICY_BYTES} bytes")));
        }
        let document: Value = serde_json::from_str(text)
            .map_err(|error| PolicyError::new(format!("not valid JSON: {error}")))?;
        let members = object(&document, "a policy")?;
        known(members, &["Version", "Id", "Statement"])?;
        let variables = match members.get("Version").map(Value::as_str) {
            None | Some(Some("2008-10-17")) => false,
            Some(Some("2012-10-17")) => true,
            Some(_) => return Err(PolicyError::new("Version must be 2012-10-17 (or 2008-10-17)".into())),
        };
        let statements = match members.get("Statement") {
            Some(Value::Array(list)) => list.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err(PolicyError::new("Statement must be an object or a list of objects".into())),
        };
        if statements.is_empty() || statements.len() > POLICY_STATEMENTS {
            return Err(PolicyError::new(format!(
                "a policy has between 1 and {POLICY_STATEMENTS} statements"
            )));
        }
        let statements = statements
            .into_iter()
            .enumerate()
            .map(|(index, one)| {
                statement(one, kind, variables).map_err(|error| error.inside(&format!("Statement[{index}]")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }
}

fn statement(value: &Value, kind: PolicyKind, variables: bool) -> Result<Statement, PolicyError> {
    let members = object(value, "a statement")?;
    known(
        members,
        &[
            "Sid",
            "Effect",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Principal",
            "NotPrincipal",
            "Condition",
        ],
    )?;
    let effect = match members.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return Err(PolicyError::new("Effect must be Allow or Deny".into())),
    };
    let (actions, not_actions) =
        either(members, "Action", "NotAction", |texts| texts.iter().map(|text| action(text)).collect())?
            .ok_or_else(|| PolicyError::new("Action or NotAction is missing".into()))?;
    let resources = either(members, "Resource", "NotResource", |texts| {
        texts.iter().map(|text| resource(text, variables)).collect()
    })?;
    let principals = match (kind, members.get("Principal")) {
        _ if members.contains_key("NotPrincipal") => {
            return Err(PolicyError::new("NotPrincipal is not supported by this server".into()));
        }
        (PolicyKind::Identity, Some(_)) => {
            let message = "Principal does not belong into a policy of a user or role: it is whoever the policy is attached to";
            return Err(PolicyError::new(message.into()));
        }
        (PolicyKind::Identity, None) => None,
        (PolicyKind::Trust, Some(value)) => Some(Principals::read(value)?),
        (PolicyKind::Trust, None) => {
            return Err(PolicyError::new("Principal is missing: who may assume the role".into()));
        }
    };
    let (resources, not_resources) = match (kind, resources) {
        (PolicyKind::Identity, Some(found)) => found,
        (PolicyKind::Identity, None) => {
            return Err(PolicyError::new("Resource or NotResource is missing".into()));
        }
        (PolicyKind::Trust, None) => (vec![resource("*", false)?], false),
        (PolicyKind::Trust, Some(_)) => {
            return Err(PolicyError::new("Resource does not belong into a trust policy".into()));
        }
    };
    let conditions = match members.get("Condition") {
        Some(block) => Condition::read_block(block, variables)?,
        None => Vec::new(),
    };
    Ok(Statement { effect, actions, not_actions, resources, not_resources, principals, conditions })
}

/// The values of one of two members that exclude each other, and whether it was the second.
fn either<T>(
    members: &Map<String, Value>,
    plain: &str,
    negated: &str,
    read: impl Fn(&[String]) -> Result<T, PolicyError>,
) -> Result<Option<(T, bool)>, PolicyError> {
    let (name, value, not) = match (members.get(plain), members.get(negated)) {
        (Some(_), Some(_)) => {
            return Err(PolicyError::new(format!("{plain} and {negated} exclude each other")));
        }
        (Some(value), None) => (plain, value, false),
        (None, Some(value)) => (negated, value, true),
        (None, None) => return Ok(None),
    };
    let place = |error: PolicyError| error.inside(name);
    let texts = one_or_many(value, |value| value.as_str().map(str::to_owned)).map_err(place)?;
    Ok(Some((read(&texts).map_err(place)?, not)))
}

fn action(text: &str) -> Result<Pattern, PolicyError> {
    let whole = text == "*";
    let named = text.split_once(':').is_some_and(|(service, name)| {
        let plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-*?".contains(&byte));
        !service.is_empty() && !name.is_empty() && plain(service) && plain(name)
    });
    if !whole && !named {
        return Err(PolicyError::new(format!(
            "'{text}' is not an action such as s3:GetObject, s3:Get* or *"
        )));
    }
    Pattern::read(text, Wildcards::Yes, false)
}

fn resource(text: &str, variables: bool) -> Result<Pattern, PolicyError> {
    let is_arn = text.starts_with("arn:") && text.splitn(6, ':').count() == 6;
    if text != "*" && !is_arn && !text.starts_with("arn:*") {
        return Err(PolicyError::new(format!("'{text}' is not an ARN such as arn:aws:s3:::bucket/* or *")));
    }
    Pattern::read(text, Wildcards::Yes, variables)
}

/// A value or a list of values, at least one.
pub(super) fn one_or_many<T>(
    value: &Value,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<T>, PolicyError> {
    let values = match value {
        Value::Array(list) => list.iter().map(&read).collect(),
        one => Some(read(one).into_iter().collect()),
    };
    values
        .filter(|values: &Vec<T>| !values.is_empty())
        .ok_or_else(|| PolicyError::new("a text or a list of texts is expected".into()))
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, PolicyError> {
    value.as_object().ok_or_else(|| PolicyError::new(format!("{what} must be a JSON object")))
}

fn known(members: &Map<String, Value>, names: &[&str]) -> Result<(), PolicyError> {
    match members.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => {
            Err(PolicyError::new(format!("the element '{name}' is unknown; known are {}", names.join(", "))))
        }
        None => Ok(()),
    }
}
