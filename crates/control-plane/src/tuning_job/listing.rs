//! ListTrainingJobsForHyperParameterTuningJob: the training jobs as the tuning job's state has them.

use sagebrush_tuning::Outcome as Result;
use sagebrush_types::limits::{LIST_PAGE, LIST_PAGE_MAX};
use sagebrush_types::{Failure, JobStatus, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::state::{Child, State};
use crate::{ControlPlane, request};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListTrainingJobs {
    hyper_parameter_tuning_job_name: String,
    next_token: Option<String>,
    max_results: Option<usize>,
    status_equals: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
}

impl ControlPlane {
    /// ListTrainingJobsForHyperParameterTuningJob.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a strange token.
    pub async fn list_training_jobs_for_hyper_parameter_tuning_job(
        &self,
        scope: &Scope,
        document: &Value,
    ) -> Outcome<Value> {
        let request: ListTrainingJobs =
            request::decode("ListTrainingJobsForHyperParameterTuningJob", document)?;
        let name = &request.hyper_parameter_tuning_job_name;
        let record = self.find(scope, Resource::HyperParameterTuningJob, name).await?;
        let state = State::of(&record)?;
        let children = sorted(&state, &request);
        // The name of the last training job shown: it stays where it is while statuses change.
        let first = match &request.next_token {
            None => 0,
            Some(token) => children.iter().position(|child| child.name == *token).map(|place| place + 1).ok_or_else(
                || Failure::invalid("NextToken: the token was not issued by this operation, or the order changed. Begin again."),
            )?,
        };
        let limit = request.max_results.unwrap_or(LIST_PAGE).clamp(1, LIST_PAGE_MAX);
        let page = &children[first..(first + limit).min(children.len())];
        let summaries: Vec<Value> = page
            .iter()
            .map(|child| state.summary(name, &scope.arn(Resource::TrainingJob, &child.name), child))
            .collect();
        let mut answer = json!({"TrainingJobSummaries": summaries});
        if let Some(last) = page.last().filter(|_| first + limit < children.len()) {
            answer["NextToken"] = json!(last.name);
        }
        Ok(answer)
    }
}

/// The training jobs that the request asks for in its order; the newest first when it names none.
fn sorted<'a>(state: &'a State, request: &ListTrainingJobs) -> Vec<&'a Child> {
    let status = |child: &Child| child.status.unwrap_or(JobStatus::InProgress).as_str();
    let objective = |child: &Child| match state.result(child) {
        Result::Measured(value) => Some(value),
        Result::Pending | Result::Failed => None,
    };
    let wanted =
        |child: &&Child| request.status_equals.as_deref().is_none_or(|wanted| status(child) == wanted);
    let mut children: Vec<&Child> = state.children.iter().filter(wanted).collect();
    let by_objective = request.sort_by.as_deref() == Some("FinalObjectiveMetricValue");
    match request.sort_by.as_deref() {
        Some("Name") => children.sort_by(|a, b| a.name.cmp(&b.name)),
        Some("Status") => children.sort_by_key(|child| status(child)),
        Some("FinalObjectiveMetricValue") => {
            // As AWS does it, only jobs that have a value are in a list sorted by it.
            children.retain(|child| objective(child).is_some());
            children.sort_by(|a, b| {
                objective(a).unwrap_or_default().total_cmp(&objective(b).unwrap_or_default())
            });
        }
        _ => {}
    }
    let ascending =
        by_objective && request.sort_order.is_none() || request.sort_order.as_deref() == Some("Ascending");
    if !ascending {
        children.reverse();
    }
    children
}
