//! What is particular to the workflow of a processing job.

use std::fs;
use std::path::PathBuf;

use sagebrush_metastore::Record;
use sagebrush_runner::{Exit, Layout, Network, Program, Shard, StageError, store_folder};
use sagebrush_types::{Failure, JobStatus, Outcome, s3_uri};
use serde_json::json;

use super::LOG_GROUP;
use super::create::{CreateProcessingJob, ProcessingOutput, REQUEST_MEMBERS};
use crate::document::{pick, seconds};
use crate::image::{Image, Launch, LaunchMount, Task};
use crate::workflow::job::{End, Ending, Job, Moment, set_status};
use crate::workflow::mirror::Mirror;
use crate::workflow::{Host, Hosts, MetricReader, stage_input};
use crate::{ControlPlane, request};

impl Job for CreateProcessingJob {
    const LOG_GROUP: &'static str = LOG_GROUP;
    const DIMENSION: &'static str = "ProcessingJobName";

    fn parameters(record: &Record) -> Outcome<Self> {
        request::decode("CreateProcessingJob", &pick(&record.document, REQUEST_MEMBERS))
    }

    fn host_count(&self) -> usize {
        self.instances()
    }

    fn is_isolated(&self) -> bool {
        self.is_network_isolated()
    }

    fn image(&self, plane: &ControlPlane, _record: &Record) -> Outcome<Image> {
        plane.image("AppSpecification.ImageUri", &self.app_specification.image_uri, Task::Process)
    }

    async fn stage(&self, plane: &ControlPlane, record: &Record, hosts: &Hosts) -> Outcome<Option<Ending>> {
        for host in hosts.each() {
            let resources = json!({
                "current_host": host.name(),
                "hosts": hosts.names(),
                "current_instance_type": self.instance_type(),
            });
            host.layout.write_processing(&record.document, &resources).map_err(Failure::internal)?;
            for output in &self.processing_output_config.outputs {
                let folder = place(host.layout, &output.s3_output.local_path)?;
                fs::create_dir_all(folder).map_err(Failure::internal)?;
            }
            for input in &self.processing_inputs {
                let what = format!("input '{}'", input.input_name);
                let folder = place(host.layout, &input.s3_input.local_path)?;
                let shard = match input.s3_input.s3_data_distribution_type.as_deref() {
                    Some("ShardedByS3Key") => Shard::Part { index: host.index, of: host.of },
                    _ => Shard::All,
                };
                let staged = stage_input(plane, &what, &input.s3_input.s3_uri, shard, &folder).await?;
                if staged.is_some() {
                    return Ok(staged);
                }
            }
        }
        Ok(None)
    }

    /// Outputs that are stored while the job runs.
    fn mirrors(&self, hosts: &Hosts) -> Outcome<Vec<Mirror>> {
        let mut mirrors = Vec::new();
        for host in hosts.each() {
            for output in self.processing_output_config.outputs.iter().filter(|output| is_continuous(output))
            {
                let folder = place(host.layout, &output.s3_output.local_path)?;
                mirrors.push(Mirror::new(&folder, &output.s3_output.s3_uri)?);
            }
        }
        Ok(mirrors)
    }

    async fn program(
        &self,
        plane: &ControlPlane,
        record: &Record,
        image: &Image,
        host: Host<'_>,
        network: Network,
    ) -> Outcome<Program> {
        let app = &self.app_specification;
        let mut environment = self.environment.clone();
        environment.insert("PROCESSING_JOB_NAME".into(), record.key.name.clone());
        environment.insert("PROCESSING_JOB_ARN".into(), record.arn.clone());
        if !image.is_built_in() {
            environment.insert("AWS_REGION".into(), record.key.region.clone());
        }
        let inputs = self.processing_inputs.iter().map(|input| &input.s3_input.local_path);
        let outputs = self.processing_output_config.outputs.iter().map(|output| &output.s3_output.local_path);
        let mut mounts =
            vec![LaunchMount::readable("/opt/ml/config"), LaunchMount::writable("/opt/ml/output")];
        mounts.extend(inputs.chain(outputs).map(|place| LaunchMount::writable(place)));
        let launch = Launch {
            task: Task::Process,
            environment,
            layout: host.layout,
            work: &plane.work_folder(&record.key),
            host: &host.name(),
            instance_type: Some(self.instance_type()),
            disk: self.volume_bytes(),
            network,
            mounts,
            entrypoint: app.container_entrypoint.clone(),
            arguments: app.container_arguments.clone(),
        };
        plane.program(image, launch).await
    }

    async fn store(&self, plane: &ControlPlane, _record: &Record, hosts: &Hosts) -> Outcome<Ending> {
        for host in hosts.each() {
            for output in self.processing_output_config.outputs.iter().filter(|output| !is_continuous(output))
            {
                let uri = &output.s3_output.s3_uri;
                let (bucket, prefix) = s3_uri("S3Uri", uri)?;
                let folder = place(host.layout, &output.s3_output.local_path)?;
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
        }
        let ending = Ending::plain(End::Completed);
        Ok(match hosts.message(Layout::message) {
            Some(message) => ending.with("ExitMessage", json!(message)),
            None => ending,
        })
    }

    async fn stopped(
        &self,
        _plane: &ControlPlane,
        _record: &Record,
        _hosts: &Hosts,
        end: End,
    ) -> Outcome<Ending> {
        let ending = Ending::plain(end);
        Ok(match end {
            End::Expired(_) => {
                ending.with("FailureReason", json!("The job ran longer than its MaxRuntimeInSeconds."))
            }
            _ => ending,
        })
    }

    fn failed(hosts: &Hosts, exit: Exit) -> Ending {
        let failed =
            |why: &str| Ending::failed(&format!("AlgorithmError: the program ended with {exit}. {why}"));
        match hosts.message(Layout::message) {
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

/// Is it stored while the job runs?
fn is_continuous(output: &ProcessingOutput) -> bool {
    output.s3_output.s3_upload_mode == "Continuous"
}

/// The place of an input or output; CreateProcessingJob has checked it.
fn place(layout: &Layout, path: &str) -> Outcome<PathBuf> {
    layout.place(path).ok_or_else(|| Failure::internal(format!("{path} lies outside /opt/ml")))
}
