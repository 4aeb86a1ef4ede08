//! What is particular to the workflow of a training job.

use std::fs;
use std::path::Path;

use sagebrush_metastore::Record;
use sagebrush_runner::{Exit, Layout, Program, pack, read_message};
use sagebrush_types::limits::FAILURE_REASON_CHARS;
use sagebrush_types::{Failure, JobStatus, Outcome, SecondaryStatus, s3_uri};
use serde_json::{Map, Value, json};

use super::create::{Channel, CreateTrainingJob, REQUEST_MEMBERS};
use super::{LOG_GROUP, state};
use crate::built_in::Task;
use crate::document::{pick, seconds};
use crate::workflow::MetricReader;
use crate::workflow::job::{End, Ending, HOST, Job, Moment, stage_input, status};
use crate::workflow::mirror::{self, Mirror};
use crate::{ControlPlane, request};

/// Tells a built-in how many threads may work.
const THREADS: &str = "SAGEBRUSH_THREADS";

impl Job for CreateTrainingJob {
    const LOG_GROUP: &'static str = LOG_GROUP;
    const DIMENSION: &'static str = "TrainingJobName";

    fn parameters(record: &Record) -> Outcome<Self> {
        let mut document = pick(&record.document, REQUEST_MEMBERS);
        // What CreateTrainingJob added to the algorithm for Describe is no member of the request.
        document["AlgorithmSpecification"] =
            pick(&record.document["AlgorithmSpecification"], &["TrainingImage", "TrainingInputMode"]);
        request::decode("CreateTrainingJob", &document)
    }

    /// A tuning job counts on its training jobs.
    fn is_done_again(record: &Record) -> bool {
        record.document["TuningJobArn"].is_string()
    }

    async fn stage(
        &self,
        plane: &ControlPlane,
        _record: &Record,
        layout: &Layout,
    ) -> Outcome<Option<Ending>> {
        let resources = json!({"current_host": HOST, "hosts": [HOST], "network_interface_name": "lo"});
        let channels: Map<String, Value> = self
            .input_data_config
            .iter()
            .map(|channel| (channel.channel_name.clone(), input_config(channel)))
            .collect();
        layout
            .write_training(&json!(self.hyper_parameters), &channels.into(), &resources)
            .map_err(Failure::internal)?;
        for channel in &self.input_data_config {
            let what = format!("channel '{}'", channel.channel_name);
            let uri = &channel.data_source.s3_data_source.s3_uri;
            let staged = stage_input(plane, &what, uri, &layout.channel(&channel.channel_name)).await?;
            if staged.is_some() {
                return Ok(staged);
            }
        }
        match self.checkpoints() {
            Some(uri) => mirror::restore(plane, uri, &layout.checkpoints()).await,
            None => Ok(None),
        }
    }

    fn mirror(&self, layout: &Layout) -> Outcome<Option<Mirror>> {
        self.checkpoints().map(|uri| Mirror::new(&layout.checkpoints(), uri)).transpose()
    }

    fn program(
        &self,
        plane: &ControlPlane,
        record: &Record,
        layout: &Layout,
    ) -> Outcome<(Program, MetricReader)> {
        let image = record.document["AlgorithmSpecification"]["TrainingImage"].as_str().unwrap_or_default();
        let built_in = plane.built_in("TrainingImage", image, Task::Train)?;
        let mut environment = self.environment.clone();
        environment.insert("TRAINING_JOB_NAME".into(), record.key.name.clone());
        environment.insert("TRAINING_JOB_ARN".into(), record.arn.clone());
        let tuning_job = record.document["TuningJobArn"].as_str();
        environment.insert(THREADS.into(), plane.shared.live.share_of_cores(tuning_job).to_string());
        let program = plane.program(built_in, Task::Train, environment, layout);
        let definitions = record.document["AlgorithmSpecification"]["MetricDefinitions"].as_array();
        let metrics = definitions
            .into_iter()
            .flatten()
            .filter_map(|metric| Some((metric["Name"].as_str()?, metric["Regex"].as_str()?)));
        Ok((program, MetricReader::new(metrics)?))
    }

    async fn store(&self, plane: &ControlPlane, record: &Record, layout: &Layout) -> Outcome<Ending> {
        let ending = self.stopped(plane, record, layout, End::Completed).await?;
        if !is_empty(&layout.output_data()) {
            store_archive(plane, record, &layout.output_data(), "output.tar.gz").await?;
        }
        Ok(ending)
    }

    /// What a stopped job has in its model folder is kept, as AWS does.
    async fn stopped(
        &self,
        plane: &ControlPlane,
        record: &Record,
        layout: &Layout,
        end: End,
    ) -> Outcome<Ending> {
        let ending = Ending::plain(end);
        if is_empty(&layout.model()) {
            return Ok(ending);
        }
        let artifact = store_archive(plane, record, &layout.model(), "model.tar.gz").await?;
        Ok(ending.with("ModelArtifacts", json!({"S3ModelArtifacts": artifact})))
    }

    /// The algorithm's own words first, its exit otherwise.
    fn failed(layout: &Layout, exit: Exit) -> Ending {
        let reason = read_message(&layout.failure(), FAILURE_REASON_CHARS);
        Ending::failed(&reason.unwrap_or_else(|| {
            format!("AlgorithmError: the training program ended with {exit} and left no message. Its log has more.")
        }))
    }

    fn note(record: &mut Record, moment: Moment, metrics: &MetricReader, now: i64) -> Outcome<()> {
        let secondary = match moment {
            Moment::Staging => SecondaryStatus::Downloading,
            Moment::Running => {
                record.document["TrainingStartTime"] = seconds(now);
                SecondaryStatus::Training
            }
            Moment::Ran => {
                note_end(&mut record.document, metrics, now);
                return Ok(());
            }
            Moment::Storing => SecondaryStatus::Uploading,
        };
        // A stop that came meanwhile keeps its status; the step is still entered.
        if status(record)? == JobStatus::InProgress {
            state::enter(record, JobStatus::InProgress, secondary, now)?;
        }
        Ok(())
    }

    fn enter(record: &mut Record, status: JobStatus, end: Option<End>, now: i64) -> Outcome<()> {
        let secondary = match end {
            None => SecondaryStatus::Stopping,
            Some(End::Completed) => SecondaryStatus::Completed,
            Some(End::Failed) => SecondaryStatus::Failed,
            Some(End::Stopped) => SecondaryStatus::Stopped,
            Some(End::TimedOut) => SecondaryStatus::MaxRuntimeExceeded,
        };
        state::enter(record, status, secondary, now)
    }
}

fn input_config(channel: &Channel) -> Value {
    let source = &channel.data_source.s3_data_source;
    let mut config = json!({
        "TrainingInputMode": "File",
        "S3DistributionType": source.s3_data_distribution_type.as_deref().unwrap_or("FullyReplicated"),
        "RecordWrapperType": "None",
    });
    if let Some(content_type) = &channel.content_type {
        config["ContentType"] = json!(content_type);
    }
    config
}

/// The end of the program: its times and the last value of every metric.
fn note_end(document: &mut Value, metrics: &MetricReader, now: i64) {
    let started = document["TrainingStartTime"].as_f64().unwrap_or_default();
    let elapsed = (now as f64 / 1000.0 - started).max(1.0).round() as u64;
    document["TrainingEndTime"] = seconds(now);
    document["TrainingTimeInSeconds"] = json!(elapsed);
    document["BillableTimeInSeconds"] = json!(elapsed);
    document["FinalMetricDataList"] = metrics
        .last()
        .iter()
        .map(|(name, last)| json!({"MetricName": name, "Value": last.value, "Timestamp": seconds(last.at)}))
        .collect();
}

fn is_empty(folder: &Path) -> bool {
    !fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Packs a folder and stores it as `<S3OutputPath>/<job>/output/<name>`.
async fn store_archive(plane: &ControlPlane, record: &Record, folder: &Path, name: &str) -> Outcome<String> {
    let archive = plane.work_folder(&record.key).join(name);
    let (from, to) = (folder.to_path_buf(), archive.clone());
    tokio::task::spawn_blocking(move || pack(&from, &to))
        .await
        .map_err(Failure::internal)?
        .map_err(Failure::internal)?;
    let base = record.document["OutputDataConfig"]["S3OutputPath"].as_str().unwrap_or_default();
    let (bucket, prefix) = s3_uri("OutputDataConfig.S3OutputPath", base)?;
    let prefix = prefix.trim_end_matches('/');
    let separator = if prefix.is_empty() { "" } else { "/" };
    let key = format!("{prefix}{separator}{}/output/{name}", record.key.name);
    plane.objects().store_file(bucket, &key, &archive, "application/x-tar").await.map_err(|error| {
        Failure::invalid(format!("the output path s3://{bucket}/{prefix} cannot be written: {error}"))
    })?;
    Ok(format!("s3://{bucket}/{key}"))
}
