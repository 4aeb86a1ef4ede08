//! List operations: filters, order and pages from a request, and the opaque token between pages.

use sagebrush_metastore::{Cursor, Listing, Order, Page, SortBy};
use sagebrush_types::limits::{LIST_PAGE, LIST_PAGE_MAX};
use sagebrush_types::{Failure, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::document::milliseconds;
use crate::{ControlPlane, failure, request};

/// The members that the List operations of SageMaker share.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListRequest {
    name_contains: Option<String>,
    status_equals: Option<String>,
    creation_time_after: Option<Value>,
    creation_time_before: Option<Value>,
    last_modified_time_after: Option<Value>,
    last_modified_time_before: Option<Value>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
    warm_pool_status_equals: Option<String>,
    training_plan_arn_equals: Option<String>,
}

impl ListRequest {
    /// Does it ask for what no job here has: a warm pool or a training plan?
    const fn asks_for_nothing(&self) -> bool {
        self.warm_pool_status_equals.is_some() || self.training_plan_arn_equals.is_some()
    }
}

/// How one List operation looks.
pub struct ListShape {
    /// The operation's name.
    pub operation: &'static str,
    /// Kind of resource.
    pub kind: Resource,
    /// The member that holds the summaries.
    pub summaries: &'static str,
    /// AWS's default order: ascending for some, descending for others.
    pub default_order: Order,
    /// A summary from a record's document.
    pub summary: fn(&Value) -> Value,
}

impl ControlPlane {
    /// Carries out a List operation.
    pub(crate) async fn list(&self, scope: &Scope, request: &Value, shape: &ListShape) -> Outcome<Value> {
        let request: ListRequest = request::decode(shape.operation, request)?;
        let listing = listing(scope, &request, shape)?;
        if request.asks_for_nothing() {
            return Ok(json!({shape.summaries: []}));
        }
        let Page { records, next } = self.store().list(&listing).await.map_err(failure::of_metastore)?;
        let summaries: Vec<Value> = records.iter().map(|record| (shape.summary)(&record.document)).collect();
        let mut answer = Map::new();
        answer.insert(shape.summaries.into(), summaries.into());
        if let Some(cursor) = next {
            answer.insert("NextToken".into(), json!(token(&cursor)));
        }
        Ok(answer.into())
    }
}

fn listing(scope: &Scope, request: &ListRequest, shape: &ListShape) -> Outcome<Listing> {
    let time = |name: &str, value: &Option<Value>| {
        value
            .as_ref()
            .map(|value| {
                milliseconds(value).ok_or_else(|| Failure::invalid(format!("{name}: {value} is not a time.")))
            })
            .transpose()
    };
    let sort_by = match request.sort_by.as_deref() {
        Some("Name") => SortBy::Name,
        Some("Status") => SortBy::Status,
        Some("LastModifiedTime") => SortBy::Modified,
        _ => SortBy::Created,
    };
    let order = match request.sort_order.as_deref() {
        Some("Ascending" | "OrderAscending") => Order::Ascending,
        Some("Descending" | "OrderDescending") => Order::Descending,
        _ => shape.default_order,
    };
    Ok(Listing {
        kind: shape.kind,
        region: scope.region.clone(),
        name_contains: request.name_contains.clone(),
        status: request.status_equals.clone(),
        created_after: time("CreationTimeAfter", &request.creation_time_after)?,
        created_before: time("CreationTimeBefore", &request.creation_time_before)?,
        modified_after: time("LastModifiedTimeAfter", &request.last_modified_time_after)?,
        modified_before: time("LastModifiedTimeBefore", &request.last_modified_time_before)?,
        sort_by,
        order,
        limit: request.max_results.unwrap_or(LIST_PAGE).clamp(1, LIST_PAGE_MAX),
        after: request.next_token.as_deref().map(cursor).transpose()?,
    })
}

/// A cursor as text: lengths make it unambiguous whatever the names hold.
fn token(cursor: &Cursor) -> String {
    format!("{}.{}{}", cursor.value.len(), cursor.value, cursor.name)
}

fn cursor(token: &str) -> Outcome<Cursor> {
    let invalid = || Failure::invalid("NextToken: the token was not issued by this operation.");
    let (length, rest) = token.split_once('.').ok_or_else(invalid)?;
    let length: usize = length.parse().map_err(|_| invalid())?;
    let (value, name) = rest.split_at_checked(length).ok_or_else(invalid)?;
    Ok(Cursor { value: value.into(), name: name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_strangers_are_refused() {
        let place = Cursor { value: "1700000000000".into(), name: "a.b-3".into() };
        assert_eq!(cursor(&token(&place)).ok(), Some(place));
        for stranger in ["", "x", "99.short", "-1.a", "1.ä"] {
            assert!(cursor(stranger).is_err(), "{stranger}");
        }
    }
}
