//! A scalable target as it is kept: one record with its bounds, its policies, its last activities
//! and when it was last scaled.

use sagebrush_metastore::Key;
use sagebrush_types::limits::SCALING_PAGE;
use sagebrush_types::{Failure, FailureKind, Outcome, Resource, Scope};
use serde_json::{Value, json};

/// The only namespace.
pub const NAMESPACE: &str = "sagemaker";
/// The only dimension.
pub const DIMENSION: &str = "sagemaker:variant:DesiredInstanceCount";
/// Members of a record that are not shown as the target's own.
pub const POLICIES: &str = "_Policies";
/// See [`POLICIES`].
pub const ACTIVITIES: &str = "_Activities";
/// When servers were last added, milliseconds.
pub const LAST_OUT: &str = "_LastScaleOut";
/// When servers were last taken away, milliseconds.
pub const LAST_IN: &str = "_LastScaleIn";

/// An endpoint and one of its variants, as `endpoint/NAME/variant/NAME` names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantId {
    /// The endpoint's name.
    pub endpoint: String,
    /// The variant's name.
    pub variant: String,
}

impl VariantId {
    /// Reads a resource id.
    ///
    /// # Errors
    /// `Invalid` for another form.
    pub fn parse(id: &str) -> Outcome<Self> {
        let parts: Vec<&str> = id.split('/').collect();
        match parts.as_slice() {
            ["endpoint", endpoint, "variant", variant] if !endpoint.is_empty() && !variant.is_empty() => {
                Ok(Self { endpoint: (*endpoint).to_owned(), variant: (*variant).to_owned() })
            }
            _ => Err(Failure::invalid(format!(
                "ResourceId: '{id}' is not a production variant. Write endpoint/ENDPOINT-NAME/variant/VARIANT-NAME."
            ))),
        }
    }
}

/// Refuses every namespace and dimension but those of production variants.
pub fn check_kind(namespace: &str, dimension: Option<&str>) -> Outcome<()> {
    if namespace != NAMESPACE {
        return Err(Failure::unsupported(format!(
            "ServiceNamespace: only {NAMESPACE} is supported by this server, not {namespace}."
        )));
    }
    match dimension {
        Some(dimension) if dimension != DIMENSION => Err(Failure::unsupported(format!(
            "ScalableDimension: only {DIMENSION} is supported by this server, not {dimension}."
        ))),
        _ => Ok(()),
    }
}

/// The key of the target with that resource id.
pub fn key(scope: &Scope, id: &str) -> Key {
    Key { kind: Resource::ScalableTarget, region: scope.region.clone(), name: id.to_owned() }
}

/// AWS's answer for a target that is not there.
pub fn no_target(id: &str) -> Failure {
    Failure::new(
        FailureKind::NotFound(Resource::ScalableTarget),
        format!(
            "No scalable target registered for service namespace: {NAMESPACE}, resource ID: {id}, scalable dimension: \
             {DIMENSION}"
        ),
    )
}

/// The members of a target or activity that are shown.
pub fn shown(document: &Value) -> Value {
    let mut shown = document.clone();
    if let Some(members) = shown.as_object_mut() {
        members.retain(|name, _| !name.starts_with('_'));
    }
    shown
}

/// The list in a member of a target, empty when there is none.
pub fn list<'a>(document: &'a Value, member: &str) -> &'a [Value] {
    document[member].as_array().map_or(&[], Vec::as_slice)
}

/// An answer with one page of `items` in `member`: at most `limit` from the place that `token`
/// names, and the next token when there are more.
///
/// # Errors
/// `Invalid` for a strange token.
pub fn page(member: &str, items: Vec<Value>, limit: Option<usize>, token: Option<&str>) -> Outcome<Value> {
    let start = match token {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| Failure::invalid("NextToken: the token was not issued by this operation."))?,
    };
    let limit = limit.unwrap_or(SCALING_PAGE).clamp(1, SCALING_PAGE);
    let end = start.saturating_add(limit);
    let mut answer = json!({});
    if end < items.len() {
        answer["NextToken"] = json!(end.to_string());
    }
    answer[member] = items.into_iter().skip(start).take(limit).collect();
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_ids_name_a_variant() {
        let id = VariantId::parse("endpoint/e/variant/v");
        assert_eq!(id.ok(), Some(VariantId { endpoint: "e".into(), variant: "v".into() }));
        for id in ["endpoint/e", "endpoint//variant/v", "table/t", "endpoint/e/variant/v/x"] {
            assert!(VariantId::parse(id).is_err(), "{id}");
        }
    }

    #[test]
    fn pages_follow_each_other() -> Outcome<()> {
        let items: Vec<Value> = (0..5).map(|number| json!(number)).collect();
        let first = page("Items", items.clone(), Some(3), None)?;
        assert_eq!(first, json!({"NextToken": "3", "Items": [0, 1, 2]}));
        let second = page("Items", items.clone(), Some(3), first["NextToken"].as_str())?;
        assert_eq!(second, json!({"Items": [3, 4]}));
        assert!(page("Items", items, None, Some("x")).is_err());
        Ok(())
    }
}
