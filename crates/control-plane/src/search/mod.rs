//! Search over every kind of resource that AWS searches and this server has, and suggestions of
//! property names.
//!
//! Promises: pages are complete, an order is total, an answer says what is stored at that moment.
//! Never: a result that Describe would not show.

mod expression;
mod rules;
pub mod token;

use sagebrush_metastore::{Expression, Order, Query, Record, SortKey, Tag};
use sagebrush_types::limits::{LIST_PAGE, LIST_PAGE_MAX, PROPERTY_SUGGESTIONS};
use sagebrush_types::{Failure, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{ControlPlane, failure, model_package, request, trial_component};
use expression::SearchExpression;

pub use rules::INDEX_RULES;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SearchRequest {
    resource: String,
    search_expression: Option<SearchExpression>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
    cross_account_filter_option: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SuggestionsRequest {
    resource: String,
    suggestion_query: Option<SuggestionQuery>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SuggestionQuery {
    property_name_query: Option<PropertyNameQuery>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PropertyNameQuery {
    property_name_hint: String,
}

impl ControlPlane {
    /// Search.
    ///
    /// # Errors
    /// `Invalid` for an expression that says nothing or a strange token; `Unsupported` for a kind of
    /// resource that this server does not have.
    pub async fn search(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: SearchRequest = request::decode("Search", document)?;
        let kind = searched(&request.resource)?;
        if request.cross_account_filter_option.as_deref() == Some("CrossAccount") {
            // There is one account, so no other has shared anything with it.
            return Ok(json!({"Results": []}));
        }
        let expression = match &request.search_expression {
            Some(expression) => expression.compiled("SearchExpression", kind)?,
            None => Expression::All(Vec::new()),
        };
        let query = Query {
            kind,
            region: scope.region.clone(),
            expression,
            sort: request
                .sort_by
                .as_deref()
                .map_or(SortKey::Modified, |path| SortKey::Property(rules::property(kind, path).to_owned())),
            order: match request.sort_order.as_deref() {
                Some("Ascending") => Order::Ascending,
                _ => Order::Descending,
            },
            limit: request.max_results.unwrap_or(LIST_PAGE).clamp(1, LIST_PAGE_MAX),
            after: request.next_token.as_deref().map(token::read).transpose()?,
        };
        let first = query.after.is_none();
        let found = self.store().search(&query).await.map_err(failure::of_metastore)?;
        let mut results = Vec::with_capacity(found.records.len());
        for (record, tags) in &found.records {
            results.push(self.search_record(record, tags).await?);
        }
        let mut answer = Map::new();
        if first && found.next.is_none() {
            answer.insert("TotalHits".into(), json!({"Value": results.len(), "Relation": "EqualTo"}));
        }
        answer.insert("Results".into(), results.into());
        if let Some(next) = found.next {
            answer.insert("NextToken".into(), json!(token::write(&next)));
        }
        Ok(answer.into())
    }

    /// GetSearchSuggestions: names of properties that some record has.
    ///
    /// # Errors
    /// `Unsupported` for a kind of resource that this server does not have.
    pub async fn get_search_suggestions(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: SuggestionsRequest = request::decode("GetSearchSuggestions", document)?;
        let kind = searched(&request.resource)?;
        let hint = request
            .suggestion_query
            .and_then(|query| query.property_name_query)
            .map(|query| query.property_name_hint)
            .unwrap_or_default();
        let paths = self
            .store()
            .property_paths(kind, &scope.region, &hint, PROPERTY_SUGGESTIONS)
            .await
            .map_err(failure::of_metastore)?;
        let suggestions: Vec<Value> = paths.iter().map(|path| json!({"PropertyName": path})).collect();
        Ok(json!({"PropertyNameSuggestions": suggestions}))
    }

    /// Adds the job that a trial component stands for, as far as it is still there.
    async fn add_source(&self, document: &mut Value) -> Outcome<()> {
        let Some(arn) = document["Source"]["SourceArn"].as_str().map(str::to_owned) else {
            if let Some(members) = document.as_object_mut() {
                members.remove("Source");
            }
            return Ok(());
        };
        let job = self.store().get_by_arn(&arn).await.map_err(failure::of_metastore)?;
        let mut detail = json!({"SourceArn": arn});
        if let Some(job) = job
            && let Some(member) = source_member(job.key.kind)
        {
            detail[member] = shown(&job.document);
        }
        document["SourceDetail"] = detail;
        Ok(())
    }

    async fn search_record(&self, record: &Record, tags: &[Tag]) -> Outcome<Value> {
        let mut document = shown(&record.document);
        let tags: Vec<Value> = tags.iter().map(|tag| json!({"Key": tag.key, "Value": tag.value})).collect();
        document["Tags"] = tags.into();
        match record.key.kind {
            Resource::TrialComponent => {
                trial_component::searched(&mut document);
                self.add_source(&mut document).await?;
            }
            Resource::ModelPackage => model_package::searched(&mut document),
            _ => {}
        }
        let member = match record.key.kind {
            Resource::Model => return Ok(json!({"Model": {"Model": document}})),
            kind => member(kind).ok_or_else(|| Failure::internal("a kind that is not searched"))?,
        };
        Ok(json!({member: document}))
    }
}

/// The member of a trial component's source that holds its job.
const fn source_member(kind: Resource) -> Option<&'static str> {
    match kind {
        Resource::TrainingJob => Some("TrainingJob"),
        Resource::ProcessingJob => Some("ProcessingJob"),
        Resource::TransformJob => Some("TransformJob"),
        _ => None,
    }
}

/// The kinds that are searched: AWS's name of the kind, and the member of a result that holds it.
const SEARCHED: &[(&str, Resource, &str)] = &[
    ("TrainingJob", Resource::TrainingJob, "TrainingJob"),
    ("Endpoint", Resource::Endpoint, "Endpoint"),
    ("Model", Resource::Model, "Model"),
    ("HyperParameterTuningJob", Resource::HyperParameterTuningJob, "HyperParameterTuningJob"),
    ("Experiment", Resource::Experiment, "Experiment"),
    ("ExperimentTrial", Resource::Trial, "Trial"),
    ("ExperimentTrialComponent", Resource::TrialComponent, "TrialComponent"),
    ("ModelPackage", Resource::ModelPackage, "ModelPackage"),
    ("ModelPackageGroup", Resource::ModelPackageGroup, "ModelPackageGroup"),
];

fn searched(name: &str) -> Outcome<Resource> {
    SEARCHED.iter().find(|(aws, ..)| *aws == name).map(|(_, kind, _)| *kind).ok_or_else(|| {
        let kinds: Vec<&str> = SEARCHED.iter().map(|(aws, ..)| *aws).collect();
        Failure::unsupported(format!(
            "Resource: this server has no resources of the kind {name}. Search one of {}.",
            kinds.join(", ")
        ))
    })
}

fn member(kind: Resource) -> Option<&'static str> {
    SEARCHED.iter().find(|(_, searched, _)| *searched == kind).map(|(.., member)| *member)
}

/// A document without its internal members.
pub fn shown(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(members) = document.as_object_mut() {
        members.retain(|name, _| !name.starts_with('_'));
    }
    document
}
