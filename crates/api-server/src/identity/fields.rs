//! The fields of a request, and pages of a listing.

use sagebrush_access::IdentityFailure;
use serde_json::{Map, Value, json};

use super::{Answer, Asked};

/// Items of a page when the caller names no number: IAM's default.
const PAGE: usize = 100;

/// The fields of a request that are acted on.
pub struct Fields<'a> {
    document: &'a Value,
}

impl<'a> Fields<'a> {
    /// The fields of a request that may have those of `known`.
    ///
    /// # Errors
    /// `Invalid`, naming a field that is not acted on.
    pub fn of(asked: &'a Asked, known: &[&str]) -> Result<Self, IdentityFailure> {
        let members = asked.document.as_object().into_iter().flatten();
        for (name, _) in members {
            if !known.contains(&name.as_str()) {
                return Err(IdentityFailure::Invalid(format!(
                    "{}: the field '{name}' is not supported by this server. Leave it out; see docs/compatibility.md.",
                    asked.operation
                )));
            }
        }
        Ok(Self { document: &asked.document })
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.document.get(name)?.as_str()
    }

    /// A text that the model requires.
    pub fn required(&self, name: &str) -> Result<&'a str, IdentityFailure> {
        self.text(name).ok_or_else(|| IdentityFailure::Invalid(format!("{name} is missing.")))
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.document.get(name)?.as_i64()
    }

    /// A list.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &'a Value> {
        self.document.get(name).and_then(Value::as_array).into_iter().flatten()
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Vec<&'a str> {
        self.list(name).filter_map(Value::as_str).collect()
    }

    /// The page that was asked for of items sorted by name, as the member `name` of the answer.
    pub fn page(&self, name: &str, items: impl Iterator<Item = (String, Value)>) -> Answer {
        let most = self.number("MaxItems").and_then(|most| usize::try_from(most).ok()).unwrap_or(PAGE).max(1);
        let after = self.text("Marker").unwrap_or_default();
        let mut rest = items.filter(|(key, _)| after.is_empty() || key.as_str() > after).peekable();
        let page: Vec<(String, Value)> = rest.by_ref().take(most).collect();
        let mut answer = Map::new();
        answer.insert("IsTruncated".into(), json!(rest.peek().is_some()));
        if let (Some(_), Some((last, _))) = (rest.peek(), page.last()) {
            answer.insert("Marker".into(), json!(last));
        }
        answer.insert(name.into(), page.into_iter().map(|(_, item)| item).collect());
        Ok(Value::Object(answer))
    }
}
