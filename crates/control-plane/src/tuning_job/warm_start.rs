//! Warm start: what earlier tuning jobs found out becomes results of the new search.

use sagebrush_metastore::Record;
use sagebrush_tuning::Outcome as Result;
use sagebrush_types::{Failure, JobStatus, Outcome, Resource, Scope};
use serde_json::Value;

use super::create::shown_definition;
use super::definition::Checked;
use super::request::WarmStart;
use super::state::{Search, State};
use crate::ControlPlane;
use crate::workflow::job::status;

/// Lets every search learn from the parents' training jobs, and returns the best of these with its
/// objective. Results whose settings the new ranges do not hold are left out.
pub async fn learn(
    plane: &ControlPlane,
    scope: &Scope,
    config: &WarmStart,
    checked: &[Checked],
    searches: &mut [Search],
) -> Outcome<Option<(Value, f64)>> {
    let identical = config.warm_start_type == "IdenticalDataAndAlgorithm";
    let mut best: Option<(Value, f64)> = None;
    for (number, parent) in config.parent_hyper_parameter_tuning_jobs.iter().enumerate() {
        let place = format!("WarmStartConfig.ParentHyperParameterTuningJobs[{number}]");
        let name = parent.hyper_parameter_tuning_job_name.as_deref().ok_or_else(|| {
            Failure::invalid(format!("{place}.HyperParameterTuningJobName: the parent has no name."))
        })?;
        let record = plane.find(scope, Resource::HyperParameterTuningJob, name).await?;
        if !status(&record).is_ok_and(JobStatus::is_terminal) {
            return Err(Failure::invalid(format!(
                "{place}: the tuning job '{name}' is in status {}. A parent has ended.",
                record.status
            )));
        }
        let state = State::of(&record)?;
        for (index, (search, checked)) in searches.iter_mut().zip(checked).enumerate() {
            let Some(earlier) = counterpart(&state, search, index) else { continue };
            let shown = shown_definition(&record.document, earlier);
            if identical {
                check_identical(&place, name, shown, &checked.shown)?;
            }
            let same = &state.searches[earlier].measured;
            if same.metric != search.measured.metric || same.direction != search.measured.direction {
                return Err(Failure::invalid(format!(
                    "{place}: the objective of '{name}' is {}, that of the new tuning job {}. They have to be the same.",
                    same.metric, search.measured.metric
                )));
            }
            let source = if identical { 0 } else { number + 1 };
            take_over(&state, earlier, shown, search, source)?;
        }
        if identical && let Some((summary, value)) = best_of(scope, &record, &state) {
            let lower = |value: f64| state.searches[0].measured.direction.lower(value);
            if best.as_ref().is_none_or(|(_, other)| lower(value) < lower(*other)) {
                best = Some((summary, value));
            }
        }
    }
    Ok(best)
}

/// The parent's search that corresponds to a new one: of the same name, or at the same place when the
/// parent's have no names.
fn counterpart(state: &State, search: &Search, index: usize) -> Option<usize> {
    let named = state.searches.iter().position(|earlier| earlier.name == search.name);
    named.or_else(|| (state.searches.len() > index && state.searches.len() == 1).then_some(index))
}

fn check_identical(place: &str, name: &str, earlier: &Value, new: &Value) -> Outcome<()> {
    let image = |shown: &Value| shown["AlgorithmSpecification"]["TrainingImage"].clone();
    let data = |shown: &Value| -> Vec<Value> {
        let channels = shown["InputDataConfig"].as_array().into_iter().flatten();
        channels.map(|channel| channel["DataSource"]["S3DataSource"]["S3Uri"].clone()).collect()
    };
    for (what, same) in
        [("algorithm", image(earlier) == image(new)), ("input data", data(earlier) == data(new))]
    {
        if !same {
            return Err(Failure::invalid(format!(
                "{place}: the {what} of '{name}' is not that of the new tuning job, as IdenticalDataAndAlgorithm asks. Use TransferLearning."
            )));
        }
    }
    Ok(())
}

fn take_over(
    state: &State,
    earlier: usize,
    shown: &Value,
    search: &mut Search,
    source: usize,
) -> Outcome<()> {
    let from = &state.searches[earlier].tuner;
    let fixed = &shown["StaticHyperParameters"];
    for trial in from.own() {
        let Some(objective) = trial.objective() else { continue };
        let names = from.space().parameters().iter().map(|parameter| parameter.name.as_str());
        let tuned: Vec<(&str, String)> = names.zip(trial.setting.iter().map(ToString::to_string)).collect();
        let text = |name: &str| {
            let tuned = tuned.iter().find(|(tuned, _)| *tuned == name).map(|(_, value)| value.as_str());
            tuned.or_else(|| fixed[name].as_str())
        };
        if let Some(setting) = search.tuner.space().parse(text) {
            search
                .tuner
                .learn(source, setting, objective)
                .map_err(|error| Failure::invalid(error.to_string()))?;
        }
    }
    Ok(())
}

/// The best training job of a parent, or of its own parents.
fn best_of(scope: &Scope, record: &Record, state: &State) -> Option<(Value, f64)> {
    let own = state.best().and_then(|child| match state.result(child) {
        Result::Measured(value) => {
            let arn = scope.arn(Resource::TrainingJob, &child.name);
            Some((state.summary(&record.key.name, &arn, child), value))
        }
        Result::Pending | Result::Failed => None,
    });
    let direction = state.searches.first()?.measured.direction;
    match (own, state.inherited.clone()) {
        (Some(own), Some(earlier)) if direction.lower(earlier.1) < direction.lower(own.1) => Some(earlier),
        (Some(own), _) => Some(own),
        (None, earlier) => earlier,
    }
}
