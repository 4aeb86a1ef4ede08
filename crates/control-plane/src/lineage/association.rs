//! Associations: directed edges between artifacts, actions, contexts and trial components.

use sagebrush_metastore::{Link, LinkFilter, Record, Write};
use sagebrush_types::limits::{ASSOCIATIONS_LISTED, LIST_PAGE, LIST_PAGE_MAX};
use sagebrush_types::{Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::document::{milliseconds, seconds};
use crate::{ControlPlane, failure, request};

/// The relation that holds the edges in the metastore.
pub const EDGES: &str = "lineage";

/// AWS's default type of an association.
const DEFAULT: &str = "AssociatedWith";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Association {
    source_arn: String,
    destination_arn: String,
    association_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListAssociations {
    source_arn: Option<String>,
    destination_arn: Option<String>,
    source_type: Option<String>,
    destination_type: Option<String>,
    association_type: Option<String>,
    created_after: Option<Value>,
    created_before: Option<Value>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

/// An edge to be written.
pub fn edge(region: &str, source: &str, destination: &str, label: &str, now: i64) -> Write {
    Write::Link(Link {
        relation: EDGES.into(),
        region: region.to_owned(),
        source: source.to_owned(),
        destination: destination.to_owned(),
        label: label.to_owned(),
        created: now,
        document: json!({}),
    })
}

impl ControlPlane {
    /// AddAssociation.
    ///
    /// # Errors
    /// `NotFound` for an end that is not there; `AlreadyExists`.
    pub async fn add_association(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: Association = request::decode("AddAssociation", document)?;
        let (source, destination) = (&request.source_arn, &request.destination_arn);
        for arn in [source, destination] {
            self.lineage_entity(scope, arn).await?;
        }
        let filter = LinkFilter {
            source: Some(source.clone()),
            destination: Some(destination.clone()),
            ..LinkFilter::default()
        };
        let there =
            self.store().links(EDGES, &scope.region, &filter, 1).await.map_err(failure::of_metastore)?;
        if !there.is_empty() {
            return Err(Failure::new(
                FailureKind::AlreadyExists(Resource::Artifact),
                format!("Association from {source} to {destination} already exists."),
            ));
        }
        let label = request.association_type.as_deref().unwrap_or(DEFAULT);
        let edge = edge(&scope.region, source, destination, label, self.now());
        self.store().write(&[edge]).await.map_err(failure::of_metastore)?;
        Ok(json!({"SourceArn": source, "DestinationArn": destination}))
    }

    /// DeleteAssociation.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_association(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: Association = request::decode("DeleteAssociation", document)?;
        let (source, destination) = (&request.source_arn, &request.destination_arn);
        let removed = self
            .store()
            .unlink(EDGES, &scope.region, source, destination)
            .await
            .map_err(failure::of_metastore)?;
        if !removed {
            return Err(Failure::new(
                FailureKind::NotFound(Resource::Artifact),
                format!("Association from {source} to {destination} does not exist."),
            ));
        }
        Ok(json!({"SourceArn": source, "DestinationArn": destination}))
    }

    /// ListAssociations.
    ///
    /// # Errors
    /// `Invalid` for a strange token or time.
    pub async fn list_associations(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: ListAssociations = request::decode("ListAssociations", document)?;
        let time = |member: &str, value: &Option<Value>| {
            let time = value.as_ref().map(|value| {
                milliseconds(value)
                    .ok_or_else(|| Failure::invalid(format!("{member}: {value} is not a time.")))
            });
            time.transpose()
        };
        let filter = LinkFilter {
            source: request.source_arn.clone(),
            destination: request.destination_arn.clone(),
            label: request.association_type.clone(),
            created_after: time("CreatedAfter", &request.created_after)?,
            created_before: time("CreatedBefore", &request.created_before)?,
        };
        let links = self
            .store()
            .links(EDGES, &scope.region, &filter, ASSOCIATIONS_LISTED)
            .await
            .map_err(failure::of_metastore)?;
        let mut summaries = Vec::with_capacity(links.len());
        for link in &links {
            let summary = self.association_summary(scope, link).await?;
            let is = |member: &str, asked: &Option<String>| {
                asked.as_ref().is_none_or(|asked| summary[member] == asked.as_str())
            };
            if is("SourceType", &request.source_type) && is("DestinationType", &request.destination_type) {
                summaries.push(summary);
            }
        }
        if let Some(member) = request.sort_by.as_deref().filter(|by| *by != "CreationTime") {
            summaries.sort_by_key(|summary| summary[member].as_str().unwrap_or_default().to_owned());
        }
        if request.sort_order.as_deref() != Some("Ascending") {
            summaries.reverse();
        }
        let from: usize = match request.next_token.as_deref() {
            None => 0,
            Some(token) => token
                .parse()
                .map_err(|_| Failure::invalid("NextToken: the token was not issued by this operation."))?,
        };
        let size = request.max_results.unwrap_or(LIST_PAGE).clamp(1, LIST_PAGE_MAX);
        let mut answer = Map::new();
        if summaries.len() > from + size {
            answer.insert("NextToken".into(), json!((from + size).to_string()));
        }
        let page: Vec<Value> = summaries.into_iter().skip(from).take(size).collect();
        answer.insert("AssociationSummaries".into(), page.into());
        Ok(answer.into())
    }

    async fn association_summary(&self, scope: &Scope, link: &Link) -> Outcome<Value> {
        let mut summary = json!({
            "SourceArn": link.source,
            "DestinationArn": link.destination,
            "AssociationType": link.label,
            "CreationTime": seconds(link.created),
        });
        for (arn, kind, name) in [
            (&link.source, "SourceType", "SourceName"),
            (&link.destination, "DestinationType", "DestinationName"),
        ] {
            if let Ok(record) = self.lineage_entity(scope, arn).await {
                summary[kind] = json!(type_of(&record));
                if let Some(shown) = name_of(&record) {
                    summary[name] = json!(shown);
                }
            }
        }
        Ok(summary)
    }

    /// The record behind an ARN that may stand in an association.
    pub(super) async fn lineage_entity(&self, scope: &Scope, arn: &str) -> Outcome<Record> {
        let record = self.store().get_by_arn(arn).await.map_err(failure::of_metastore)?;
        let may_stand = |record: &Record| {
            record.key.region == scope.region
                && matches!(
                    record.key.kind,
                    Resource::Artifact
                        | Resource::Action
                        | Resource::Context
                        | Resource::TrialComponent
                        | Resource::Experiment
                )
        };
        record.filter(may_stand).ok_or_else(|| {
            Failure::new(FailureKind::NotFound(Resource::Artifact), format!("Entity {arn} does not exist."))
        })
    }

    /// Refuses a deletion while an association holds the record.
    pub(super) async fn check_unassociated(&self, record: &Record) -> Outcome<()> {
        let from = LinkFilter { source: Some(record.arn.clone()), ..LinkFilter::default() };
        let to = LinkFilter { destination: Some(record.arn.clone()), ..LinkFilter::default() };
        for filter in [from, to] {
            let links = self
                .store()
                .links(EDGES, &record.key.region, &filter, 1)
                .await
                .map_err(failure::of_metastore)?;
            if let Some(link) = links.first() {
                return Err(Failure::new(
                    FailureKind::WrongState(record.key.kind),
                    format!(
                        "{} has the association from {} to {}. Delete its associations first.",
                        record.arn, link.source, link.destination
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// The type of an entity as clients gave it; for a trial component the kind of its job.
pub fn type_of(record: &Record) -> String {
    let document = &record.document;
    let typed =
        ["ArtifactType", "ActionType", "ContextType"].iter().find_map(|member| document[*member].as_str());
    let source = || document["Source"]["SourceType"].as_str();
    typed.or_else(source).unwrap_or(lineage_type(record.key.kind)).to_owned()
}

/// AWS's name of an entity's kind.
pub const fn lineage_type(kind: Resource) -> &'static str {
    match kind {
        Resource::Artifact => "Artifact",
        Resource::Action => "Action",
        Resource::Context => "Context",
        _ => "TrialComponent",
    }
}

fn name_of(record: &Record) -> Option<&str> {
    match record.key.kind {
        Resource::Artifact => record.document["ArtifactName"].as_str(),
        _ => Some(&record.key.name),
    }
}
