//! What the records of experiments, lineage and the model registry share: they are documents with a
//! name, an ARN and times, made, shown, changed, deleted and listed, and no workflow belongs to them.

use sagebrush_metastore::{
    Condition, Expression, MetastoreError, NewRecord, Order, Query, Record, Scalar, SortKey, Tag, Test,
    WorkflowChange, Write,
};
use sagebrush_types::limits::{LIST_PAGE, LIST_PAGE_MAX};
use sagebrush_types::{Failure, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::document::{milliseconds, pick, seconds};
use crate::search::{shown, token};
use crate::{ControlPlane, failure, not_found};

/// One kind of such record: the members that hold its name and its ARN.
#[derive(Debug, Clone, Copy)]
pub struct Entity {
    /// The kind.
    pub kind: Resource,
    /// Member with its name.
    pub name: &'static str,
    /// Member with its ARN.
    pub arn: &'static str,
}

/// The members that List operations of these kinds share.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Paging {
    created_after: Option<Value>,
    created_before: Option<Value>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

/// The names of [`Paging`]'s members; requests carry others beside them.
const PAGING: &[&str] = &["CreatedAfter", "CreatedBefore", "SortBy", "SortOrder", "MaxResults", "NextToken"];

/// A page's answer: the member that holds it and the members of a summary.
#[derive(Debug, Clone, Copy)]
pub struct Summaries {
    /// Member of the answer.
    pub member: &'static str,
    /// Members of each summary.
    pub shows: &'static [&'static str],
}

impl ControlPlane {
    /// Stores a new record with its times and ARN; returns the ARN. `writes` go into the same
    /// transaction.
    pub(crate) async fn create_entity(
        &self,
        scope: &Scope,
        entity: Entity,
        name: &str,
        document: Value,
        tags: Vec<Tag>,
        writes: &[Write],
    ) -> Outcome<String> {
        let record = self.new_entity(scope, entity, name, document, tags);
        self.store()
            .create_with(&record, writes)
            .await
            .map_err(|error| failure::of_creation(error, scope, entity.kind, name))?;
        Ok(record.arn)
    }

    /// The record of a new entity.
    pub(crate) fn new_entity(
        &self,
        scope: &Scope,
        entity: Entity,
        name: &str,
        mut document: Value,
        tags: Vec<Tag>,
    ) -> NewRecord {
        let now = self.now();
        let arn = scope.arn(entity.kind, name);
        document[entity.name] = json!(name);
        document[entity.arn] = json!(arn);
        document["CreationTime"] = seconds(now);
        document["LastModifiedTime"] = seconds(now);
        NewRecord {
            key: self.key(scope, entity.kind, name),
            arn,
            status: String::new(),
            created: now,
            document,
            tags,
            workflow: None,
        }
    }

    /// The record that a name or an ARN means.
    pub(crate) async fn entity(&self, scope: &Scope, kind: Resource, name: &str) -> Outcome<Record> {
        if !name.starts_with("arn:") {
            return self.find(scope, kind, name).await;
        }
        let record = self.store().get_by_arn(name).await.map_err(failure::of_metastore)?;
        record
            .filter(|record| record.key.kind == kind && record.key.region == scope.region)
            .ok_or_else(|| not_found(scope, kind, name))
    }

    /// What Describe shows of a record.
    pub(crate) async fn describe_entity(&self, scope: &Scope, kind: Resource, name: &str) -> Outcome<Value> {
        Ok(shown(&self.entity(scope, kind, name).await?.document))
    }

    /// Changes a record's document; returns its ARN.
    pub(crate) async fn update_entity(
        &self,
        scope: &Scope,
        kind: Resource,
        name: &str,
        change: impl FnOnce(&mut Value) -> Outcome<()>,
    ) -> Outcome<String> {
        let key = self.entity(scope, kind, name).await?.key;
        let now = self.now();
        let changed = self
            .store()
            .update(&key, &WorkflowChange::Keep, |record| {
                change(&mut record.document)?;
                record.document["LastModifiedTime"] = seconds(now);
                Outcome::Ok(record.arn.clone())
            })
            .await;
        match changed {
            Ok(outcome) => outcome,
            Err(MetastoreError::NotFound(_)) => Err(not_found(scope, kind, name)),
            Err(error) => Err(failure::of_metastore(error)),
        }
    }

    /// Deletes a record; returns its ARN.
    pub(crate) async fn delete_entity(&self, scope: &Scope, kind: Resource, name: &str) -> Outcome<String> {
        let record = self.entity(scope, kind, name).await?;
        self.remove(scope, kind, &record.key.name).await?;
        Ok(record.arn)
    }

    /// One page of the records that pass every test.
    pub(crate) async fn list_entities(
        &self,
        scope: &Scope,
        entity: Entity,
        paging: &Paging,
        mut tests: Vec<Test>,
        summaries: Summaries,
    ) -> Outcome<Value> {
        tests.extend(created_within(paging)?);
        let query = Query {
            kind: entity.kind,
            region: scope.region.clone(),
            expression: Expression::All(tests.into_iter().map(Expression::Test).collect()),
            sort: match paging.sort_by.as_deref() {
                Some("Name") => SortKey::Property(entity.name.into()),
                _ => SortKey::Created,
            },
            order: match paging.sort_order.as_deref() {
                Some("Ascending") => Order::Ascending,
                _ => Order::Descending,
            },
            limit: paging.max_results.unwrap_or(LIST_PAGE).clamp(1, LIST_PAGE_MAX),
            after: paging.next_token.as_deref().map(token::read).transpose()?,
        };
        let found = self.store().search(&query).await.map_err(failure::of_metastore)?;
        let shown: Vec<Value> =
            found.records.iter().map(|(record, _)| pick(&record.document, summaries.shows)).collect();
        let mut answer = Map::new();
        answer.insert(summaries.member.into(), shown.into());
        if let Some(next) = found.next {
            answer.insert("NextToken".into(), json!(token::write(&next)));
        }
        Ok(answer.into())
    }
}

/// The tests of a listing's times of creation.
fn created_within(paging: &Paging) -> Outcome<Vec<Test>> {
    let bounds = [("CreatedAfter", &paging.created_after), ("CreatedBefore", &paging.created_before)];
    let mut tests = Vec::new();
    for (member, bound) in bounds {
        let Some(value) = bound else { continue };
        let time = milliseconds(value)
            .ok_or_else(|| Failure::invalid(format!("{member}: {value} is not a time.")))?;
        let scalar = Scalar { text: String::new(), number: Some(time as f64 / 1000.0) };
        let condition =
            if member == "CreatedAfter" { Condition::Above(scalar) } else { Condition::Below(scalar) };
        tests.push(Test { path: "CreationTime".into(), condition });
    }
    Ok(tests)
}

/// Splits a List request into its paging and what else it asks.
pub fn paged(document: &Value) -> Outcome<(Paging, Value)> {
    let paging = serde_json::from_value(pick(document, PAGING))
        .map_err(|error| Failure::invalid(error.to_string()))?;
    let mut rest = document.clone();
    if let Some(members) = rest.as_object_mut() {
        members.retain(|name, _| !PAGING.contains(&name.as_str()));
    }
    Ok((paging, rest))
}

/// A test for equality.
pub fn equals(path: &str, value: &str) -> Test {
    Test { path: path.to_owned(), condition: Condition::Equals(Scalar::of(value)) }
}

/// Merges the entries of map member `member` of a request into the document, and removes those that
/// `removed` names.
pub fn merge_map(document: &mut Value, member: &str, added: Option<&Value>, removed: &[String]) {
    if added.is_none() && removed.is_empty() {
        return;
    }
    let mut map = document.get(member).and_then(Value::as_object).cloned().unwrap_or_default();
    map.retain(|name, _| !removed.contains(name));
    map.extend(added.and_then(Value::as_object).cloned().unwrap_or_default());
    document[member] = map.into();
}

/// Sets members of the document that the request has.
pub fn set_members(document: &mut Value, request: &Value, members: &[&str]) {
    for member in members {
        if let Some(value) = request.get(*member).filter(|value| !value.is_null()) {
            document[*member] = value.clone();
        }
    }
}
