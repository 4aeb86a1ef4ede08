//! What is particular to the workflow of a training job.

use std::fs;
use std::path::{Path, PathBuf};

use sagebrush_metastore::Record;
use sagebrush_runner::{Exit, Layout, Network, PipeFeed, Program, Shard, is_folder, pack, plain_files};
use sagebrush_types::{Failure, JobStatus, Outcome, SecondaryStatus, s3_uri};
use serde_json::{Map, Value, json};

use super::create::{ALGORITHM_MEMBERS, Channel, CreateTrainingJob, REQUEST_MEMBERS};
use super::{LOG_GROUP, state};
use crate::document::{pick, seconds};
use crate::image::{Image, Launch, LaunchMount, Task};
use crate::workflow::job::{End, Ending, Job, Moment, status};
use crate::workflow::mirror::{self, Mirror};
use crate::workflow::{Host, Hosts, Limit, MetricReader, stage_input};
use crate::{ControlPlane, request};

/// Tells a built-in how many threads may work.
const THREADS: &str = "SAGEBRUSH_THREADS";
/// What of `/opt/ml` a training container gets. The folder itself stays the image's: many keep their
/// program there.
const MOUNTS: [&str; 3] = ["/opt/ml/input", "/opt/ml/model", "/opt/ml/output"];

impl Job for CreateTrainingJob {
    const LOG_GROUP: &'static str = LOG_GROUP;
    const DIMENSION: &'static str = "TrainingJobName";

    fn parameters(record: &Record) -> Outcome<Self> {
        let mut document = pick(&record.document, REQUEST_MEMBERS);
        // What CreateTrainingJob added to the algorithm for Describe is no member of the request.
        document["AlgorithmSpecification"] =
            pick(&record.document["AlgorithmSpecification"], ALGORITHM_MEMBERS);
        request::decode("CreateTrainingJob", &document)
    }

    /// A tuning job counts on its training jobs.
    fn is_done_again(record: &Record) -> bool {
        record.document["TuningJobArn"].is_string()
    }

    fn host_count(&self) -> usize {
        self.instances()
    }

    fn is_isolated(&self) -> bool {
        self.enable_network_isolation
    }

    fn image(&self, plane: &ControlPlane, record: &Record) -> Outcome<Image> {
        let image = record.document["AlgorithmSpecification"]["TrainingImage"].as_str().unwrap_or_default();
        plane.image("TrainingImage", image, Task::Train)
    }

    async fn stage(&self, plane: &ControlPlane, record: &Record, hosts: &Hosts) -> Outcome<Option<Ending>> {
        let is_container = self.image(plane, record)?.is_container();
        let channels: Map<String, Value> = self
            .input_data_config
            .iter()
            .map(|channel| (channel.channel_name.clone(), self.input_config(channel)))
            .collect();
        for host in hosts.each() {
            let mut resources = json!({
                "current_host": host.name(),
                "hosts": hosts.names(),
                "network_interface_name": if is_container { "eth0" } else { "lo" },
            });
            if let Some(instance_type) = self.instance_type() {
                resources["current_instance_type"] = json!(instance_type);
            }
            host.layout
                .write_training(&json!(self.hyper_parameters), &json!(channels), &resources)
                .map_err(Failure::internal)?;
            for channel in &self.input_data_config {
                let staged = self.stage_channel(plane, channel, host).await?;
                if staged.is_some() {
                    return Ok(staged);
                }
            }
        }
        match self.checkpoints() {
            Some((uri, place)) => mirror::restore(plane, uri, &self.checkpoint_folder(hosts, place)?).await,
            None => Ok(None),
        }
    }

    /// All hosts share the folder, as their copies share a place in S3.
    fn mirrors(&self, hosts: &Hosts) -> Outcome<Vec<Mirror>> {
        let Some((uri, place)) = self.checkpoints() else { return Ok(Vec::new()) };
        Ok(vec![Mirror::new(&self.checkpoint_folder(hosts, place)?, uri)?])
    }

    fn pipes(&self, hosts: &Hosts) -> Outcome<Vec<PipeFeed>> {
        let mut feeds = Vec::new();
        for host in hosts.each() {
            for channel in self.input_data_config.iter().filter(|channel| self.is_piped(channel)) {
                let name = &channel.channel_name;
                let files = plain_files(&host.layout.piped(name)).map_err(Failure::internal)?;
                let files = files.into_iter().map(|(path, _)| path).collect();
                let feed = PipeFeed::start(host.layout.channel(name), files);
                feeds.push(feed.map_err(Failure::internal)?);
            }
        }
        Ok(feeds)
    }

    async fn program(
        &self,
        plane: &ControlPlane,
        record: &Record,
        image: &Image,
        host: Host<'_>,
        network: Network,
    ) -> Outcome<Program> {
        let mut environment = self.environment.clone();
        environment.insert("TRAINING_JOB_NAME".into(), record.key.name.clone());
        environment.insert("TRAINING_JOB_ARN".into(), record.arn.clone());
        if image.is_built_in() {
            let tuning_job = record.document["TuningJobArn"].as_str();
            environment.insert(THREADS.into(), plane.shared.live.share_of_cores(tuning_job).to_string());
        } else {
            environment.insert("AWS_REGION".into(), record.key.region.clone());
        }
        let mut mounts = MOUNTS.map(LaunchMount::writable).to_vec();
        if let Some((_, place)) = self.checkpoints() {
            let first = Hosts::new(&plane.work_folder(&record.key), 1);
            mounts.push(LaunchMount {
                folder: Some(self.checkpoint_folder(&first, place)?),
                ..LaunchMount::writable(place)
            });
        }
        let launch = Launch {
            task: Task::Train,
            environment,
            layout: host.layout,
            work: &plane.work_folder(&record.key),
            host: &host.name(),
            instance_type: self.instance_type(),
            disk: self.volume_bytes(),
            network,
            mounts,
            entrypoint: self.entrypoint(),
            arguments: self.arguments(),
        };
        plane.program(image, launch).await
    }

    fn metrics(&self, record: &Record) -> Outcome<MetricReader> {
        let definitions = record.document["AlgorithmSpecification"]["MetricDefinitions"].as_array();
        MetricReader::new(
            definitions
                .into_iter()
                .flatten()
                .filter_map(|metric| Some((metric["Name"].as_str()?, metric["Regex"].as_str()?))),
        )
    }

    async fn store(&self, plane: &ControlPlane, record: &Record, hosts: &Hosts) -> Outcome<Ending> {
        let ending = self.stopped(plane, record, hosts, End::Completed).await?;
        hosts.gather(Layout::output_data).map_err(Failure::internal)?;
        let output = hosts.first().output_data();
        if !is_empty(&output) {
            store_archive(plane, record, &output, "output.tar.gz").await?;
        }
        Ok(ending)
    }

    /// What a stopped job has in its model folder is kept, as AWS does.
    async fn stopped(
        &self,
        plane: &ControlPlane,
        record: &Record,
        hosts: &Hosts,
        end: End,
    ) -> Outcome<Ending> {
        let ending = Ending::plain(end);
        hosts.gather(Layout::model).map_err(Failure::internal)?;
        let model = hosts.first().model();
        if is_empty(&model) {
            return Ok(ending);
        }
        let artifact = store_archive(plane, record, &model, "model.tar.gz").await?;
        Ok(ending.with("ModelArtifacts", json!({"S3ModelArtifacts": artifact})))
    }

    /// The algorithm's own words first, its exit otherwise.
    fn failed(hosts: &Hosts, exit: Exit) -> Ending {
        let reason = hosts.message(Layout::failure);
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
            Some(End::Expired(Limit::Runtime)) => SecondaryStatus::MaxRuntimeExceeded,
            Some(End::Expired(Limit::Wait)) => SecondaryStatus::MaxWaitTimeExceeded,
            Some(End::Expired(Limit::Pending)) => SecondaryStatus::Stopped,
        };
        state::enter(record, status, secondary, now)?;
        // AWS has no secondary status for this end; the message says it.
        if end == Some(End::Expired(Limit::Pending)) {
            state::explain(record, "Training job was pending longer than MaxPendingTimeInSeconds");
        }
        Ok(())
    }
}

impl CreateTrainingJob {
    fn input_config(&self, channel: &Channel) -> Value {
        let source = &channel.data_source.s3_data_source;
        let mut config = json!({
            "TrainingInputMode": self.input_mode(channel),
            "S3DistributionType": source.s3_data_distribution_type.as_deref().unwrap_or("FullyReplicated"),
            "RecordWrapperType": "None",
        });
        if let Some(content_type) = &channel.content_type {
            config["ContentType"] = json!(content_type);
        }
        config
    }

    /// Lays out a channel's data for a host: all of it or the host's share.
    async fn stage_channel(
        &self,
        plane: &ControlPlane,
        channel: &Channel,
        host: Host<'_>,
    ) -> Outcome<Option<Ending>> {
        let what = format!("channel '{}'", channel.channel_name);
        let source = &channel.data_source.s3_data_source;
        let shard = match source.s3_data_distribution_type.as_deref() {
            Some("ShardedByS3Key") => Shard::Part { index: host.index, of: host.of },
            _ => Shard::All,
        };
        let folder = match self.is_piped(channel) {
            true => host.layout.piped(&channel.channel_name),
            false => host.layout.channel(&channel.channel_name),
        };
        stage_input(plane, &what, &source.s3_uri, shard, &folder).await
    }

    fn checkpoint_folder(&self, hosts: &Hosts, place: &str) -> Outcome<PathBuf> {
        hosts.first().place(place).ok_or_else(|| Failure::internal(format!("{place} lies outside /opt/ml")))
    }
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

/// Is there nothing in a folder? A link in its place leads elsewhere and counts as nothing.
fn is_empty(folder: &Path) -> bool {
    !is_folder(folder) || !fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
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
