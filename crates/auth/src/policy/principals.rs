//! The Principal element of a role's trust policy: who may assume the role.

use serde_json::Value;

use super::PolicyError;
use super::decide::Trust;
use super::document::one_or_many;
use crate::Principal;

/// Who is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principals {
    everybody: bool,
    /// ARNs, and account ids.
    named: Vec<String>,
    /// Service names such as `sagemaker.amazonaws.com`.
    services: Vec<String>,
}

impl Principals {
    /// Reads `"*"` or `{"AWS": …, "Service": …}`.
    ///
    /// # Errors
    /// Kinds of principals that do not exist here.
    pub(super) fn read(value: &Value) -> Result<Self, PolicyError> {
        let mut found = Self { everybody: false, named: Vec::new(), services: Vec::new() };
        let kinds = match value {
            Value::String(text) if text == "*" => {
                found.everybody = true;
                return Ok(found);
            }
            Value::Object(kinds) if !kinds.is_empty() => kinds,
            _ => {
                return Err(PolicyError::new(
                    "Principal must be \"*\" or an object such as {\"AWS\": \"…\"}".into(),
                ));
            }
        };
        for (kind, values) in kinds {
            let texts = one_or_many(values, |value| value.as_str().map(str::to_owned))
                .map_err(|error| error.inside(&format!("Principal.{kind}")))?;
            match kind.as_str() {
                "AWS" if texts.iter().any(|text| text == "*") => found.everybody = true,
                "AWS" => found.named.extend(texts),
                "Service" => found.services.extend(texts),
                _ => {
                    let message =
                        format!("Principal.{kind}: only AWS and Service are supported by this server");
                    return Err(PolicyError::new(message));
                }
            }
        }
        Ok(found)
    }

    /// How far the principal is meant: by name, or through the whole account.
    pub(super) fn trust(&self, principal: &Principal) -> Trust {
        let root = format!("arn:aws:iam::{}:root", principal.account);
        let is_named = |text: &String| *text == principal.arn || *text == principal.source_arn;
        if self.named.iter().any(is_named) {
            Trust::Named
        } else if self.everybody || self.named.iter().any(|text| *text == root || *text == principal.account)
        {
            Trust::Account
        } else {
            Trust::None
        }
    }

    /// Is a service meant?
    pub fn means_service(&self, service: &str) -> bool {
        self.services.iter().any(|text| text == service)
    }
}
