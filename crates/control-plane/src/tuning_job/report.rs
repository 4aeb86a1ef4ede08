//! The report of a tuning job: made from what Describe and List answer, so that it can be made by a
//! client too, and written beside the models when the tuning job ends.

use sagebrush_metastore::Record;
use sagebrush_tuning::report::{Job, Report, Section};
use sagebrush_tuning::{Direction, Space};
use sagebrush_types::{Failure, Outcome, Resource, Scope, s3_uri};
use serde_json::Value;

use super::create::shown_definition;
use super::ranges;
use super::request::Ranges;
use super::state::State;
use crate::ControlPlane;

/// A file of a report.
#[derive(Debug, Clone)]
pub struct ReportFile {
    /// Its name.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// What it holds.
    pub content: String,
}

/// The report of a tuning job as files, from the answer of DescribeHyperParameterTuningJob and all
/// summaries of ListTrainingJobsForHyperParameterTuningJob.
///
/// # Errors
/// `Invalid` when these are not what the operations answer.
pub fn tuning_report(description: &Value, summaries: &[Value]) -> Outcome<Vec<ReportFile>> {
    let sections = if description.get("TrainingJobDefinition").is_some() {
        vec![section(description, 0, None, summaries)?]
    } else {
        let definitions = description["TrainingJobDefinitions"].as_array();
        definitions
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(index, definition)| {
                section(description, index, definition["DefinitionName"].as_str(), summaries)
            })
            .collect::<Outcome<_>>()?
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let config = &description["HyperParameterTuningJobConfig"];
    let counters = description["TrainingJobStatusCounters"].as_object();
    let counted: Vec<String> = counters
        .into_iter()
        .flatten()
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    let mut facts = vec![
        ("Status".to_owned(), text(&description["HyperParameterTuningJobStatus"])),
        ("Strategy".to_owned(), text(&config["Strategy"])),
        ("Early stopping".to_owned(), text(&config["TrainingJobEarlyStoppingType"])),
        ("Training jobs".to_owned(), counted.join(", ")),
    ];
    if let Some(seconds) = description["ConsumedResources"]["RuntimeInSeconds"].as_u64() {
        facts.push(("Training time".to_owned(), format!("{seconds} s, all jobs together")));
    }
    if let Some(reason) = description["FailureReason"].as_str() {
        facts.push(("Failure".to_owned(), reason.to_owned()));
    }
    let report = Report { title: text(&description["HyperParameterTuningJobName"]), facts, sections };
    Ok(vec![
        ReportFile { name: "report.html", media_type: "text/html", content: report.html() },
        ReportFile { name: "jobs.csv", media_type: "text/csv", content: report.csv() },
    ])
}

fn section(description: &Value, index: usize, name: Option<&str>, summaries: &[Value]) -> Outcome<Section> {
    let definition = shown_definition(description, index);
    let config = &description["HyperParameterTuningJobConfig"];
    let member = |own: &str, shared: &str| definition.get(own).unwrap_or(&config[shared]).clone();
    let ranges: Ranges = serde_json::from_value(member("HyperParameterRanges", "ParameterRanges"))
        .map_err(|error| Failure::invalid(format!("ParameterRanges: {error}")))?;
    let space = ranges::space("ParameterRanges", &ranges, true)?;
    let objective = member("TuningObjective", "HyperParameterTuningJobObjective");
    let mut jobs: Vec<&Value> =
        summaries.iter().filter(|summary| summary["TrainingJobDefinitionName"].as_str() == name).collect();
    // Names begin with the number of the job.
    jobs.sort_by_key(|summary| summary["TrainingJobName"].as_str());
    Ok(Section {
        name: name.map(str::to_owned),
        metric: objective["MetricName"].as_str().unwrap_or_default().to_owned(),
        direction: if objective["Type"] == "Maximize" { Direction::Maximize } else { Direction::Minimize },
        jobs: jobs.into_iter().filter_map(|summary| job(&space, summary)).collect(),
        space,
    })
}

fn job(space: &Space, summary: &Value) -> Option<Job> {
    let text = |member: &str| summary[member].as_str().unwrap_or_default().to_owned();
    let tuned = &summary["TunedHyperParameters"];
    let time = |member: &str| summary[member].as_f64();
    Some(Job {
        name: text("TrainingJobName"),
        status: text("TrainingJobStatus"),
        setting: space.parse(|name| tuned[name].as_str())?,
        objective: summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"].as_f64(),
        seconds: time("TrainingEndTime").zip(time("TrainingStartTime")).map(|(end, start)| end - start),
    })
}

/// Writes the report to `<S3OutputPath>/<tuning job>/report/`. One that cannot be written is no reason
/// for a tuning job to fail: it can be made again at any time.
pub async fn store(plane: &ControlPlane, scope: &Scope, record: &Record, state: &State) {
    if let Err(failure) = try_to_store(plane, scope, record, state).await {
        let cause = failure.cause.unwrap_or(failure.message);
        tracing::warn!(job = %record.key, cause, "the report was not written");
    }
}

async fn try_to_store(plane: &ControlPlane, scope: &Scope, record: &Record, state: &State) -> Outcome<()> {
    let name = &record.key.name;
    let summaries: Vec<Value> = state
        .children
        .iter()
        .map(|child| state.summary(name, &scope.arn(Resource::TrainingJob, &child.name), child))
        .collect();
    let description = record.document.clone();
    let files = tokio::task::spawn_blocking(move || tuning_report(&description, &summaries))
        .await
        .map_err(Failure::internal)??;
    let output = shown_definition(&record.document, 0)["OutputDataConfig"]["S3OutputPath"]
        .as_str()
        .unwrap_or_default();
    let (bucket, prefix) = s3_uri("OutputDataConfig.S3OutputPath", output)?;
    let prefix = prefix.trim_end_matches('/');
    let separator = if prefix.is_empty() { "" } else { "/" };
    let folder = working_folder(plane, record)?;
    for file in files {
        let path = folder.join(file.name);
        std::fs::write(&path, &file.content).map_err(Failure::internal)?;
        let key = format!("{prefix}{separator}{name}/report/{}", file.name);
        plane.objects().store_file(bucket, &key, &path, file.media_type).await.map_err(Failure::internal)?;
    }
    crate::reconcile::clear_folder(&folder)
}

/// The working folder of the tuning job, empty.
fn working_folder(plane: &ControlPlane, record: &Record) -> Outcome<std::path::PathBuf> {
    let folder = plane.work_folder(&record.key);
    crate::reconcile::clear_folder(&folder)?;
    std::fs::create_dir_all(&folder).map_err(Failure::internal)?;
    Ok(folder)
}
