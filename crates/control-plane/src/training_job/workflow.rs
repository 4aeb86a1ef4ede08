//! The workflow of a training job: stage, run, store. Each step is durable before its work begins.

use std::path::Path;
use std::time::Duration;

use sagebrush_metastore::{Key, Record, WorkflowChange};
use sagebrush_runner::{Exit, Layout, ProcessRun, Program, Shard, StageError, pack, read_message, stage_prefix};
use sagebrush_types::limits::FAILURE_REASON_CHARS;
use sagebrush_types::{Failure, Outcome, SecondaryStatus, TrainingJobStatus, s3_uri};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::create::{Channel, CreateTrainingJob};
use super::{LOG_GROUP, state};
use crate::built_in::Task;
use crate::document::{pick, seconds};
use crate::workflow::{Ended, Follow, MetricReader, Signal, follow, told_to_end};
use crate::{ControlPlane, failure, reconcile, request};

/// Input is being laid out; the step can be done again from its beginning.
pub const STAGE: &str = "stage";
/// The algorithm runs; it cannot be resumed.
pub const RUN: &str = "run";
/// The algorithm is done and its artifact is being stored; the step can be done again.
pub const STORE: &str = "store";

/// How a job ends.
struct Ending {
    status: TrainingJobStatus,
    secondary: SecondaryStatus,
    reason: Option<String>,
    artifact: Option<String>,
}

impl Ending {
    fn failed(reason: impl Into<String>) -> Self {
        Self {
            status: TrainingJobStatus::Failed,
            secondary: SecondaryStatus::Failed,
            reason: Some(reason.into()),
            artifact: None,
        }
    }

    fn stopped() -> Self {
        Self {
            status: TrainingJobStatus::Stopped,
            secondary: SecondaryStatus::Stopped,
            reason: None,
            artifact: None,
        }
    }
}

/// Starts the workflow of a job that was just accepted.
pub fn start(plane: &ControlPlane, key: Key) {
    spawn(plane, key, STAGE.to_owned());
}

/// Goes on with a job that was open when an earlier server process ended.
pub async fn resume(plane: &ControlPlane, key: Key, step: String) {
    if step == RUN {
        reconcile::kill_leftovers(&plane.work_folder(&key));
        end(plane, &key, Ending::failed(reconcile::INTERRUPTED)).await;
    } else {
        spawn(plane, key, step);
    }
}

fn spawn(plane: &ControlPlane, key: Key, step: String) {
    let mut signal = plane.shared.live.enter(&key);
    let plane = plane.clone();
    plane.shared.live.tasks.clone().spawn(async move {
        let ending = match drive(&plane, &key, &step, &mut signal).await {
            Ok(ending) => ending,
            Err(failure) => {
                match &failure.cause {
                    Some(cause) => tracing::error!(job = %key, cause, "training job workflow failed"),
                    None => tracing::info!(job = %key, "training job failed: {}", failure.message),
                }
                let whose = if failure.cause.is_some() { "InternalServerError" } else { "ClientError" };
                Some(Ending::failed(format!("{whose}: {}", failure.message)))
            }
        };
        if let Some(ending) = ending {
            end(&plane, &key, ending).await;
        }
        plane.shared.live.leave(&key);
    });
}

/// Carries a job from `step` to its ending; `None` leaves it open for the next server process.
async fn drive(
    plane: &ControlPlane,
    key: &Key,
    step: &str,
    signal: &mut watch::Receiver<Signal>,
) -> Outcome<Option<Ending>> {
    let record = plane.store().get(key).await.map_err(failure::of_metastore)?;
    let record = record.ok_or_else(|| Failure::internal(format!("{key}: no record")))?;
    let request = parameters(&record)?;
    let layout = Layout::new(plane.work_folder(key).join("opt-ml"));
    if step == STORE {
        return store(plane, key, &record, &layout).await.map(Some);
    }
    if state::status(&record)? == TrainingJobStatus::Stopping {
        return Ok(Some(Ending::stopped()));
    }
    let turn = plane.shared.live.turns.clone();
    let _turn = tokio::select! {
        turn = turn.acquire_owned() => turn.map_err(Failure::internal)?,
        told = told_to_end(signal) => return Ok((told == Signal::Stop).then(Ending::stopped)),
    };
    enter(plane, key, SecondaryStatus::Downloading, WorkflowChange::Keep).await?;
    reconcile::clear_folder(&plane.work_folder(key))?;
    let staged = tokio::select! {
        staged = stage(plane, &request, &layout) => staged?,
        told = told_to_end(signal) => return Ok((told == Signal::Stop).then(Ending::stopped)),
    };
    if let Some(ending) = staged {
        return Ok(Some(ending));
    }
    enter(plane, key, SecondaryStatus::Training, WorkflowChange::Step(RUN.into())).await?;
    let ended = run(plane, key, &record, &request, &layout, signal).await?;
    Ok(Some(match ended {
        Ended::Exited(Exit::Code(0)) => {
            enter(plane, key, SecondaryStatus::Uploading, WorkflowChange::Step(STORE.into())).await?;
            store(plane, key, &record, &layout).await?
        }
        Ended::Exited(exit) => Ending::failed(failure_reason(&layout, exit)),
        Ended::ShutDown => Ending::failed(reconcile::INTERRUPTED),
        // What a stopped job has in its model folder is kept, as AWS does.
        Ended::Stopped => Ending { artifact: store_model(plane, &record, &layout).await?, ..Ending::stopped() },
        Ended::TimedOut => Ending {
            secondary: SecondaryStatus::MaxRuntimeExceeded,
            artifact: store_model(plane, &record, &layout).await?,
            ..Ending::stopped()
        },
    }))
}

/// The typed request inside a job's record.
fn parameters(record: &Record) -> Outcome<CreateTrainingJob> {
    let mut document = pick(
        &record.document,
        &[
            "TrainingJobName",
            "HyperParameters",
            "RoleArn",
            "InputDataConfig",
            "OutputDataConfig",
            "ResourceConfig",
            "StoppingCondition",
            "Environment",
        ],
    );
    document["AlgorithmSpecification"] =
        pick(&record.document["AlgorithmSpecification"], &["TrainingImage", "TrainingInputMode"]);
    request::decode("CreateTrainingJob", &document)
}

/// Lays out `/opt/ml`; an ending when the user's data cannot be.
async fn stage(plane: &ControlPlane, request: &CreateTrainingJob, layout: &Layout) -> Outcome<Option<Ending>> {
    let host = "algo-1";
    let resources = json!({"current_host": host, "hosts": [host], "network_interface_name": "lo"});
    let channels: Value = request
        .input_data_config
        .iter()
        .map(|channel| (channel.channel_name.clone(), input_config(channel)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    layout
        .write_training(&json!(request.hyper_parameters), &channels, &resources)
        .map_err(Failure::internal)?;
    for channel in &request.input_data_config {
        let source = &channel.data_source.s3_data_source;
        let (bucket, prefix) = s3_uri("S3Uri", &source.s3_uri)?;
        let target = layout.channel(&channel.channel_name);
        // One host gets every object, replicated or sharded.
        match stage_prefix(plane.objects(), bucket, prefix, Shard::All, &target).await {
            Ok(_) => {}
            Err(StageError::Io(error)) => return Err(Failure::internal(error)),
            Err(error) => {
                return Ok(Some(Ending::failed(format!(
                    "ClientError: Data download failed: {error} Please ensure that the bucket exists, and that objects \
                     exist under the prefix of channel '{}' ({}).",
                    channel.channel_name, source.s3_uri
                ))));
            }
        }
    }
    Ok(None)
}

fn input_config(channel: &Channel) -> Value {
    let mut config = json!({
        "TrainingInputMode": "File",
        "S3DistributionType":
            channel.data_source.s3_data_source.s3_data_distribution_type.as_deref().unwrap_or("FullyReplicated"),
        "RecordWrapperType": "None",
    });
    if let Some(content_type) = &channel.content_type {
        config["ContentType"] = json!(content_type);
    }
    config
}

async fn run(
    plane: &ControlPlane,
    key: &Key,
    record: &Record,
    request: &CreateTrainingJob,
    layout: &Layout,
    signal: &mut watch::Receiver<Signal>,
) -> Outcome<Ended> {
    let image = record.document["AlgorithmSpecification"]["TrainingImage"].as_str().unwrap_or_default();
    let built_in = plane.built_in("TrainingImage", image, Task::Train)?;
    let mut environment = request.environment.clone();
    environment.insert("TRAINING_JOB_NAME".into(), key.name.clone());
    environment.insert("TRAINING_JOB_ARN".into(), record.arn.clone());
    let program = Program {
        executable: plane.shared.settings.executable.clone(),
        arguments: built_in.arguments(Task::Train).unwrap_or_default(),
        environment: reconcile::marked(environment, layout.root()),
        folder: layout.root().to_path_buf(),
    };
    let run = ProcessRun::start(&program).map_err(Failure::internal)?;
    reconcile::remember(&plane.work_folder(key), 1, &run).map_err(Failure::internal)?;
    let mut reader =
        MetricReader::new(built_in.metric_definitions.iter().map(|metric| (metric.name, metric.regex)))?;
    let limit = record.document["StoppingCondition"]["MaxRuntimeInSeconds"].as_u64().unwrap_or(u64::MAX >> 32);
    let stream = format!("{}/algo-1-{}", key.name, plane.now() / 1000);
    let follow_this = Follow {
        region: &key.region,
        group: LOG_GROUP,
        stream: &stream,
        metrics: (LOG_GROUP, "TrainingJobName", &key.name),
        limit: Duration::from_secs(limit),
    };
    let ended = follow(plane, run, &follow_this, &mut reader, signal).await?;
    let metrics: Vec<Value> = reader
        .last()
        .iter()
        .map(|(name, last)| {
            // Metric values are single precision on the wire.
            json!({"MetricName": name, "Value": last.value, "Timestamp": seconds(last.at)})
        })
        .collect();
    let now = plane.now();
    plane
        .store()
        .update(key, &WorkflowChange::Keep, |record| {
            record.document["FinalMetricDataList"] = metrics.into();
            record.document["TrainingEndTime"] = seconds(now);
            let started = record.document["TrainingStartTime"].as_f64().unwrap_or_default();
            let elapsed = (now as f64 / 1000.0 - started).max(0.0).round() as u64;
            record.document["TrainingTimeInSeconds"] = json!(elapsed.max(1));
            record.document["BillableTimeInSeconds"] = json!(elapsed.max(1));
            Outcome::Ok(())
        })
        .await
        .map_err(failure::of_metastore)??;
    Ok(ended)
}

/// Why the algorithm failed: its own words first, its exit otherwise.
fn failure_reason(layout: &Layout, exit: Exit) -> String {
    let reason = read_message(&layout.failure(), FAILURE_REASON_CHARS);
    reason.unwrap_or_else(|| format!("AlgorithmError: the training program ended with {exit} and left no message. Its log has more."))
}

async fn store(plane: &ControlPlane, key: &Key, record: &Record, layout: &Layout) -> Outcome<Ending> {
    let artifact = store_model(plane, record, layout).await?;
    let output = layout.output_data();
    if std::fs::read_dir(&output).is_ok_and(|mut entries| entries.next().is_some()) {
        store_archive(plane, record, &output, &plane.work_folder(key).join("output.tar.gz")).await?;
    }
    Ok(Ending {
        status: TrainingJobStatus::Completed,
        secondary: SecondaryStatus::Completed,
        reason: None,
        artifact,
    })
}

/// Stores the model folder; `None` when it is empty.
async fn store_model(plane: &ControlPlane, record: &Record, layout: &Layout) -> Outcome<Option<String>> {
    let model = layout.model();
    if !std::fs::read_dir(&model).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(None);
    }
    let archive = plane.work_folder(&record.key).join("model.tar.gz");
    store_archive(plane, record, &model, &archive).await.map(Some)
}

/// Packs a folder and stores it as `<S3OutputPath>/<job>/output/<archive's name>`.
async fn store_archive(plane: &ControlPlane, record: &Record, folder: &Path, archive: &Path) -> Outcome<String> {
    let (folder, target) = (folder.to_path_buf(), archive.to_path_buf());
    tokio::task::spawn_blocking(move || pack(&folder, &target))
        .await
        .map_err(Failure::internal)?
        .map_err(Failure::internal)?;
    let base = record.document["OutputDataConfig"]["S3OutputPath"].as_str().unwrap_or_default();
    let (bucket, prefix) = s3_uri("OutputDataConfig.S3OutputPath", base)?;
    let name = archive.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let prefix = prefix.trim_end_matches('/');
    let separator = if prefix.is_empty() { "" } else { "/" };
    let key = format!("{prefix}{separator}{}/output/{name}", record.key.name);
    plane.objects().store_file(bucket, &key, archive, "application/x-tar").await.map_err(|error| {
        Failure::invalid(format!("the output path s3://{bucket}/{prefix} cannot be written: {error}"))
    })?;
    Ok(format!("s3://{bucket}/{key}"))
}

async fn enter(plane: &ControlPlane, key: &Key, secondary: SecondaryStatus, change: WorkflowChange) -> Outcome<()> {
    let now = plane.now();
    plane
        .store()
        .update(key, &change, |record| {
            // A stop that came meanwhile keeps its status; the step is still entered.
            if state::status(record)? == TrainingJobStatus::InProgress {
                state::enter(record, TrainingJobStatus::InProgress, secondary, now)?;
            }
            if secondary == SecondaryStatus::Training {
                record.document["TrainingStartTime"] = seconds(now);
            }
            Outcome::Ok(())
        })
        .await
        .map_err(failure::of_metastore)?
}

/// Writes the ending and clears the working folder.
async fn end(plane: &ControlPlane, key: &Key, ending: Ending) {
    let now = plane.now();
    let written = plane
        .store()
        .update(key, &WorkflowChange::End, |record| {
            state::enter(record, ending.status, ending.secondary, now)?;
            if let Some(reason) = &ending.reason {
                let reason: String = reason.chars().take(FAILURE_REASON_CHARS).collect();
                record.document["FailureReason"] = json!(reason);
            }
            if let Some(artifact) = &ending.artifact {
                record.document["ModelArtifacts"] = json!({"S3ModelArtifacts": artifact});
            }
            Outcome::Ok(())
        })
        .await
        .map_err(failure::of_metastore)
        .and_then(|outcome| outcome);
    match written {
        Ok(()) => {
            tracing::info!(job = %key, status = %ending.status, "training job ended");
            if let Err(failure) = reconcile::clear_folder(&plane.work_folder(key)) {
                tracing::warn!(job = %key, cause = failure.cause.as_deref(), "the working folder stays behind");
            }
        }
        Err(failure) => {
            tracing::error!(job = %key, cause = failure.cause.as_deref(), "the ending was not written; it is retried at the next start");
        }
    }
}
