//! The workflow of a processing job: stage, run, store. Each step is durable before its work begins.

use std::time::Duration;

use sagebrush_metastore::{Key, Record, WorkflowChange};
use sagebrush_runner::{Exit, Layout, ProcessRun, Program, Shard, StageError, read_message, stage_prefix, store_folder};
use sagebrush_types::limits::FAILURE_REASON_CHARS;
use sagebrush_types::{Failure, Outcome, ProcessingJobStatus, s3_uri};
use serde_json::json;
use tokio::sync::watch;

use super::create::CreateProcessingJob;
use super::{LOG_GROUP, state};
use crate::built_in::Task;
use crate::document::{pick, seconds};
use crate::workflow::{Ended, Follow, MetricReader, Signal, follow, told_to_end};
use crate::{ControlPlane, failure, reconcile, request};

/// Input is being laid out; the step can be done again from its beginning.
pub const STAGE: &str = "stage";
/// The program runs; it cannot be resumed.
pub const RUN: &str = "run";
/// The program is done and its outputs are being stored; the step can be done again.
pub const STORE: &str = "store";

/// How a job ends.
struct Ending {
    status: ProcessingJobStatus,
    reason: Option<String>,
    exit_message: Option<String>,
}

impl Ending {
    fn failed(reason: impl Into<String>) -> Self {
        Self { status: ProcessingJobStatus::Failed, reason: Some(reason.into()), exit_message: None }
    }

    const fn stopped() -> Self {
        Self { status: ProcessingJobStatus::Stopped, reason: None, exit_message: None }
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
                    Some(cause) => tracing::error!(job = %key, cause, "processing job workflow failed"),
                    None => tracing::info!(job = %key, "processing job failed: {}", failure.message),
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
        return store(plane, &request, &layout).await.map(Some);
    }
    if state::status(&record)? == ProcessingJobStatus::Stopping {
        return Ok(Some(Ending::stopped()));
    }
    let turn = plane.shared.live.turns.clone();
    let _turn = tokio::select! {
        turn = turn.acquire_owned() => turn.map_err(Failure::internal)?,
        told = told_to_end(signal) => return Ok((told == Signal::Stop).then(Ending::stopped)),
    };
    reconcile::clear_folder(&plane.work_folder(key))?;
    let staged = tokio::select! {
        staged = stage(plane, &record, &request, &layout) => staged?,
        told = told_to_end(signal) => return Ok((told == Signal::Stop).then(Ending::stopped)),
    };
    if let Some(ending) = staged {
        return Ok(Some(ending));
    }
    note(plane, key, "ProcessingStartTime", WorkflowChange::Step(RUN.into())).await?;
    let ended = run(plane, key, &record, &request, &layout, signal).await?;
    Ok(Some(match ended {
        Ended::Exited(Exit::Code(0)) => {
            note(plane, key, "ProcessingEndTime", WorkflowChange::Step(STORE.into())).await?;
            store(plane, &request, &layout).await?
        }
        Ended::Exited(exit) => {
            note(plane, key, "ProcessingEndTime", WorkflowChange::Keep).await?;
            let message = read_message(&layout.message(), FAILURE_REASON_CHARS);
            let reason = message.clone().unwrap_or_else(|| "See its log for the reason.".into());
            Ending {
                exit_message: message,
                ..Ending::failed(format!("AlgorithmError: the program ended with {exit}. {reason}"))
            }
        }
        Ended::ShutDown => Ending::failed(reconcile::INTERRUPTED),
        Ended::Stopped => Ending::stopped(),
        Ended::TimedOut => Ending {
            reason: Some("The job ran longer than its MaxRuntimeInSeconds.".into()),
            ..Ending::stopped()
        },
    }))
}

/// The typed request inside a job's record.
fn parameters(record: &Record) -> Outcome<CreateProcessingJob> {
    let document = pick(
        &record.document,
        &[
            "ProcessingJobName",
            "ProcessingInputs",
            "ProcessingOutputConfig",
            "ProcessingResources",
            "StoppingCondition",
            "AppSpecification",
            "Environment",
            "NetworkConfig",
            "RoleArn",
        ],
    );
    request::decode("CreateProcessingJob", &document)
}

/// The place of an input or output; CreateProcessingJob has checked it.
fn place(layout: &Layout, path: &str) -> Outcome<std::path::PathBuf> {
    layout.place(path).ok_or_else(|| Failure::internal(format!("{path} lies outside /opt/ml")))
}

/// Lays out `/opt/ml`; an ending when the user's data cannot be.
async fn stage(
    plane: &ControlPlane,
    record: &Record,
    request: &CreateProcessingJob,
    layout: &Layout,
) -> Outcome<Option<Ending>> {
    let resources = json!({"current_host": "algo-1", "hosts": ["algo-1"]});
    layout.write_processing(&record.document, &resources).map_err(Failure::internal)?;
    for output in &request.processing_output_config.outputs {
        std::fs::create_dir_all(place(layout, &output.s3_output.local_path)?).map_err(Failure::internal)?;
    }
    for input in &request.processing_inputs {
        let (bucket, prefix) = s3_uri("S3Uri", &input.s3_input.s3_uri)?;
        let target = place(layout, &input.s3_input.local_path)?;
        match stage_prefix(plane.objects(), bucket, prefix, Shard::All, &target).await {
            Ok(_) => {}
            Err(StageError::Io(error)) => return Err(Failure::internal(error)),
            Err(error) => {
                return Ok(Some(Ending::failed(format!(
                    "ClientError: Data download failed: {error} Please ensure that the bucket exists, and that objects \
                     exist under the prefix of input '{}' ({}).",
                    input.input_name, input.s3_input.s3_uri
                ))));
            }
        }
    }
    Ok(None)
}

async fn run(
    plane: &ControlPlane,
    key: &Key,
    record: &Record,
    request: &CreateProcessingJob,
    layout: &Layout,
    signal: &mut watch::Receiver<Signal>,
) -> Outcome<Ended> {
    let built_in = plane.built_in("ImageUri", &request.app_specification.image_uri, Task::Process)?;
    let mut arguments = built_in.arguments(Task::Process).unwrap_or_default();
    arguments.extend(request.app_specification.container_arguments.iter().map(Into::into));
    let mut environment = request.environment.clone();
    environment.insert("PROCESSING_JOB_NAME".into(), key.name.clone());
    environment.insert("PROCESSING_JOB_ARN".into(), record.arn.clone());
    let program = Program {
        executable: plane.shared.settings.executable.clone(),
        arguments,
        environment: reconcile::marked(environment, layout.root()),
        folder: layout.root().to_path_buf(),
    };
    let run = ProcessRun::start(&program).map_err(Failure::internal)?;
    reconcile::remember(&plane.work_folder(key), 1, &run).map_err(Failure::internal)?;
    let limit = record.document["StoppingCondition"]["MaxRuntimeInSeconds"].as_u64().unwrap_or(u64::MAX >> 32);
    let stream = format!("{}/algo-1-{}", key.name, plane.now() / 1000);
    let follow_this = Follow {
        region: &key.region,
        group: LOG_GROUP,
        stream: &stream,
        metrics: (LOG_GROUP, "ProcessingJobName", &key.name),
        limit: Duration::from_secs(limit),
    };
    follow(plane, run, &follow_this, &mut MetricReader::default(), signal).await
}

async fn store(plane: &ControlPlane, request: &CreateProcessingJob, layout: &Layout) -> Outcome<Ending> {
    for output in &request.processing_output_config.outputs {
        let (bucket, prefix) = s3_uri("S3Uri", &output.s3_output.s3_uri)?;
        let folder = place(layout, &output.s3_output.local_path)?;
        match store_folder(plane.objects(), &folder, bucket, prefix).await {
            Ok(_) => {}
            Err(StageError::Io(error)) => return Err(Failure::internal(error)),
            Err(error) => {
                return Ok(Ending::failed(format!(
                    "ClientError: Failed to upload output '{}' to {}: {error}",
                    output.output_name, output.s3_output.s3_uri
                )));
            }
        }
    }
    Ok(Ending {
        status: ProcessingJobStatus::Completed,
        reason: None,
        exit_message: read_message(&layout.message(), FAILURE_REASON_CHARS),
    })
}

/// Notes a time in the record while the workflow moves on.
async fn note(plane: &ControlPlane, key: &Key, member: &str, change: WorkflowChange) -> Outcome<()> {
    let now = plane.now();
    plane
        .store()
        .update(key, &change, |record| {
            record.document[member] = seconds(now);
            record.document["LastModifiedTime"] = seconds(now);
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
            state::enter(record, ending.status, now)?;
            if let Some(reason) = &ending.reason {
                let reason: String = reason.chars().take(FAILURE_REASON_CHARS).collect();
                record.document["FailureReason"] = json!(reason);
            }
            if let Some(message) = &ending.exit_message {
                record.document["ExitMessage"] = json!(message);
            }
            Outcome::Ok(())
        })
        .await
        .map_err(failure::of_metastore)
        .and_then(|outcome| outcome);
    match written {
        Ok(()) => {
            tracing::info!(job = %key, status = %ending.status, "processing job ended");
            if let Err(failure) = reconcile::clear_folder(&plane.work_folder(key)) {
                tracing::warn!(job = %key, cause = failure.cause.as_deref(), "the working folder stays behind");
            }
        }
        Err(failure) => {
            tracing::error!(job = %key, cause = failure.cause.as_deref(), "the ending was not written; it is retried at the next start");
        }
    }
}
