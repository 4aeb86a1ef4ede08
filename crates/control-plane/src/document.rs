//! Small tools for documents: times as AWS's JSON has them, members set only where there is a value.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since the Unix epoch as JSON seconds with a fraction.
pub fn seconds(milliseconds: i64) -> Value {
    json!(milliseconds as f64 / 1000.0)
}

/// JSON seconds (or ISO 8601 text, which some clients send) as milliseconds since the Unix epoch.
pub fn milliseconds(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => Some((number.as_f64()? * 1000.0).round() as i64),
        Value::String(text) => {
            let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
            i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
        }
        _ => None,
    }
}

/// The members of `document` named in `names` that are there, in that order.
pub fn pick(document: &Value, names: &[&str]) -> Value {
    let picked: Map<String, Value> = names
        .iter()
        .filter_map(|name| document.get(*name).map(|value| ((*name).to_owned(), value.clone())))
        .collect();
    Value::Object(picked)
}

/// Sets a member when it is not there or null.
pub fn default_member(document: &mut Value, name: &str, value: Value) {
    if let Some(object) = document.as_object_mut()
        && object.get(name).is_none_or(Value::is_null)
    {
        object.insert(name.to_owned(), value);
    }
}

/// The document without its null members, at every depth: null counts as absent.
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(name, member)| (name.clone(), without_nulls(member)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(milliseconds(&json!(1.5)), Some(1500));
        assert_eq!(milliseconds(&json!("1970-01-01T00:00:02Z")), Some(2000));
        assert_eq!(milliseconds(&json!(true)), None);
        assert_eq!(seconds(1500), json!(1.5));
    }
}
