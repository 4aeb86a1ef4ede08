//! QueryLineage: what an entity came from and what came of it.

use std::collections::{BTreeSet, HashSet, VecDeque};

use sagebrush_metastore::{Link, LinkFilter, Record};
use sagebrush_types::limits::{ASSOCIATIONS_LISTED, LINEAGE_DEPTH, LINEAGE_PAGE, LINEAGE_VERTICES};
use sagebrush_types::{Failure, Outcome, Scope};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::EDGES;
use super::association::{lineage_type, type_of};
use crate::document::milliseconds;
use crate::{ControlPlane, failure, request};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct QueryLineage {
    #[serde(default)]
    start_arns: Vec<String>,
    direction: Option<String>,
    #[serde(default = "yes")]
    include_edges: bool,
    #[serde(default)]
    filters: Filters,
    max_depth: Option<usize>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

const fn yes() -> bool {
    true
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Filters {
    types: Vec<String>,
    lineage_types: Vec<String>,
    created_before: Option<Value>,
    created_after: Option<Value>,
    modified_before: Option<Value>,
    modified_after: Option<Value>,
    properties: Map<String, Value>,
}

impl Filters {
    fn accept(&self, record: &Record) -> bool {
        let listed = |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        let before = |bound: &Option<Value>, time: i64| {
            bound.as_ref().and_then(milliseconds).is_none_or(|bound| time < bound)
        };
        let after = |bound: &Option<Value>, time: i64| {
            bound.as_ref().and_then(milliseconds).is_none_or(|bound| time > bound)
        };
        listed(&self.types, &type_of(record))
            && listed(&self.lineage_types, lineage_type(record.key.kind))
            && before(&self.created_before, record.created)
            && after(&self.created_after, record.created)
            && before(&self.modified_before, record.modified)
            && after(&self.modified_after, record.modified)
            && self.properties.iter().all(|(name, value)| record.document["Properties"][name] == *value)
    }
}

impl ControlPlane {
    /// QueryLineage: entities within `MaxDepth` edges of the start, nearest first, and the edges
    /// between them. Filters choose what is shown; the way goes through every entity.
    ///
    /// # Errors
    /// `NotFound` for a start that is not there; `Invalid` for a strange token.
    pub async fn query_lineage(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: QueryLineage = request::decode("QueryLineage", document)?;
        for start in &request.start_arns {
            self.lineage_entity(scope, start).await?;
        }
        let direction = request.direction.as_deref().unwrap_or("Both");
        let depth = request.max_depth.unwrap_or(LINEAGE_DEPTH).min(LINEAGE_DEPTH);
        let (order, edges) = self.walk(scope, &request.start_arns, direction, depth).await?;
        let mut vertices = Vec::with_capacity(order.len());
        for arn in &order {
            let Ok(record) = self.lineage_entity(scope, arn).await else { continue };
            if request.filters.accept(&record) {
                vertices.push(json!({
                    "Arn": arn,
                    "Type": type_of(&record).chars().take(40).collect::<String>(),
                    "LineageType": lineage_type(record.key.kind),
                }));
            }
        }
        let from: usize = match request.next_token.as_deref() {
            None => 0,
            Some(token) => token
                .parse()
                .map_err(|_| Failure::invalid("NextToken: the token was not issued by this operation."))?,
        };
        let size = request.max_results.unwrap_or(LINEAGE_PAGE).clamp(1, LINEAGE_PAGE);
        let mut answer = Map::new();
        if vertices.len() > from + size {
            answer.insert("NextToken".into(), json!((from + size).to_string()));
        }
        let page: Vec<Value> = vertices.into_iter().skip(from).take(size).collect();
        if request.include_edges {
            answer.insert("Edges".into(), edges_of(&page, &request.start_arns, &edges).into());
        }
        answer.insert("Vertices".into(), page.into());
        Ok(answer.into())
    }

    /// Breadth first; the start itself is not among the entities.
    async fn walk(
        &self,
        scope: &Scope,
        start: &[String],
        direction: &str,
        depth: usize,
    ) -> Outcome<(Vec<String>, Vec<Link>)> {
        let mut order = Vec::new();
        let mut edges = Vec::new();
        // Both directions are two walks: a sibling is neither what something came from nor what came of it.
        for ascending in [true, false] {
            if direction == if ascending { "Descendants" } else { "Ascendants" } {
                continue;
            }
            let mut seen: HashSet<String> = start.iter().cloned().collect();
            let mut open: VecDeque<(String, usize)> = start.iter().map(|arn| (arn.clone(), 0)).collect();
            while let Some((arn, distance)) = open.pop_front() {
                if distance >= depth {
                    continue;
                }
                let filter = match ascending {
                    true => LinkFilter { destination: Some(arn), ..LinkFilter::default() },
                    false => LinkFilter { source: Some(arn), ..LinkFilter::default() },
                };
                let links = self
                    .store()
                    .links(EDGES, &scope.region, &filter, ASSOCIATIONS_LISTED)
                    .await
                    .map_err(failure::of_metastore)?;
                for link in links {
                    let next = if ascending { link.source.clone() } else { link.destination.clone() };
                    edges.push(link);
                    if order.len() < LINEAGE_VERTICES && seen.insert(next.clone()) {
                        order.push(next.clone());
                        open.push_back((next, distance + 1));
                    }
                }
            }
        }
        Ok((order, edges))
    }
}

/// The edges with an end on the page.
fn edges_of(page: &[Value], start: &[String], edges: &[Link]) -> Vec<Value> {
    let shown: HashSet<&str> = page
        .iter()
        .filter_map(|vertex| vertex["Arn"].as_str())
        .chain(start.iter().map(String::as_str))
        .collect();
    let mut known = BTreeSet::new();
    edges
        .iter()
        .filter(|link| shown.contains(link.source.as_str()) && shown.contains(link.destination.as_str()))
        .filter(|link| known.insert((&link.source, &link.destination)))
        .map(|link| {
            json!({
                "SourceArn": link.source,
                "DestinationArn": link.destination,
                "AssociationType": link.label,
            })
        })
        .collect()
}
