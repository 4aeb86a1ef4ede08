//! What is particular to the workflow of a processing job.

use std::fs;
use std::path::PathBuf;

use sagebrush_metastore::Record;
use sagebrush_runner::{Exit, Layout, Program, StageError, read_message, store_folder};
use sagebrush_types::limits::FAILURE_REASON_CHARS;
use sagebrush_types::{Failure, JobStatus, Outcome, s3_uri};
use serde_json::json;

use super::LOG_GROUP;
use super::create::{CreateProcessingJob, REQUEST_MEMBERS};
use crate::built_in::Task;
use crate::document::{pick, seconds};
use crate::workflow::MetricReader;
use crate::workflow::job::{End, Ending, HOST, Job, Moment, set_status, stage_input};
use crate::{ControlPlane, request};

impl Job for CreateProcessingJob {
    const LOG_GROUP: &'static str = LOG_GROUP;
    const DIMENSION: &'static str = "ProcessingJobName";

    fn parameters(record: &Record) -> Outcome<Self> {
        request::decode("CreateProcessingJob", &pick(&record.document, REQUEST_MEMBERS))
    }

    async fn stage(&self, plane: &ControlPlane, record: &Record, layout: &Layout) -> Outcome<Option<Ending>> {
        let resources = json!({"current_host": HOST, "hosts": [HOST]});
        layout.write_processing(&record.document, &resources).map_err(Failure::internal)?;
        for output in &self.processing_output_config.outputs {
            fs::create_dir_all(place(layout, &output.s3_output.local_path)?).map_err(Failure::internal)?;
        }
        for input in &self.processing_inputs {
            let what = format!("input '{}'", input.input_name);
            let folder = place(layout, &input.s3_input.local_path)?;
            let staged = stage_input(plane, &what, &input.s3_input.s3_uri, &folder).await?;
            if staged.is_some() {
                return Ok(staged);
            }
        }
        Ok(None)
    }

    fn program(
        &self,
        plane: &ControlPlane,
        record: &Record,
        layout: &Layout,
    ) -> Outcome<(Program, MetricReader)> {
        let app = &self.app_specification;
        let built_in = plane.built_in("ImageUri", &app.image_uri, Task::Process)?;
        let mut environment = self.environment.clone();
        environment.insert("PROCESSING_JOB_NAME".into(), record.key.name.clone());
        environment.insert("PROCESSING_JOB_ARN".into(), record.arn.clone());
        let mut program = plane.program(built_in, Task::Process, environment, layout);
        program.arguments.extend(app.container_arguments.iter().map(Into::into));
        Ok((program, MetricReader::default()))
    }

    async fn store(&self, plane: &ControlPlane, _record: &Record, layout: &Layout) -> Outcome<Ending> {
        for output in &self.processing_output_config.outputs {
            let uri = &output.s3_output.s3_uri;
            let (bucket, prefix) = s3_uri("S3Uri", uri)?;
            let folder = place(layout, &output.s3_output.local_path)?;
            match store_folder(plane.objects(), &folder, bucket, prefix).await {
                Ok(_) => {}
                Err(StageError::Io(error)) => return Err(Failure::internal(error)),
                Err(error) => {
                    return Ok(Ending::failed(&format!(
                        "ClientError: Failed to upload output '{}' to {uri}: {error}",
                        output.output_name
                    )));
                }
            }
        }
        let ending = Ending::plain(End::Completed);
        Ok(match read_message(&layout.message(), FAILURE_REASON_CHARS) {
            Some(message) => ending.with("ExitMessage", json!(message)),
            None => ending,
        })
    }

    async fn stopped(
        &self,
        _plane: &ControlPlane,
        _record: &Record,
        _layout: &Layout,
        end: End,
    ) -> Outcome<Ending> {
        let ending = Ending::plain(end);
        Ok(match end {
            End::TimedOut => {
                ending.with("FailureReason", json!("The job ran longer than its MaxRuntimeInSeconds."))
            }
            _ => ending,
        })
    }

    fn failed(layout: &Layout, exit: Exit) -> Ending {
        let failed =
            |why: &str| Ending::failed(&format!("AlgorithmError: the program ended with {exit}. {why}"));
        match read_message(&layout.message(), FAILURE_REASON_CHARS) {
            Some(message) => failed(&message).with("ExitMessage", json!(message)),
            None => failed("See its log for the reason."),
        }
    }

    fn note(record: &mut Record, moment: Moment, _metrics: &MetricReader, now: i64) -> Outcome<()> {
        let member = match moment {
            Moment::Running => "ProcessingStartTime",
            Moment::Ran => "ProcessingEndTime",
            Moment::Staging | Moment::Storing => return Ok(()),
        };
        record.document[member] = seconds(now);
        record.document["LastModifiedTime"] = seconds(now);
        record.modified = now;
        Ok(())
    }

    fn enter(record: &mut Record, status: JobStatus, _end: Option<End>, now: i64) -> Outcome<()> {
        set_status(record, status)?;
        record.document["ProcessingJobStatus"] = json!(status.as_str());
        record.document["LastModifiedTime"] = seconds(now);
        record.modified = now;
        Ok(())
    }
}

/// The place of an input or output; CreateProcessingJob has checked it.
fn place(layout: &Layout, path: &str) -> Outcome<PathBuf> {
    layout.place(path).ok_or_else(|| Failure::internal(format!("{path} lies outside /opt/ml")))
}
