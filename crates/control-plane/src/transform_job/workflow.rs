//! What is particular to the workflow of a transform job: its run is a conversation with model
//! servers instead of one program.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use sagebrush_env::durable::{self, Readers};
use sagebrush_metastore::{LogLine, Record};
use sagebrush_runner::{ExecutionParameters, Exit, ModelClient, Network, Program};
use sagebrush_types::limits::{
    TRANSFORM_CONCURRENT, TRANSFORM_FAILED_OBJECTS, TRANSFORM_OBJECTS_AT_ONCE, TRANSFORM_PAYLOAD_DEFAULT_MB,
    TRANSFORM_PAYLOAD_MB,
};
use sagebrush_types::{Failure, JobStatus, Outcome, s3_uri};
use serde_json::json;
use tokio::sync::watch;

use super::create::{CreateTransformJob, REQUEST_MEMBERS};
use super::input::{self, Source};
use super::object::{Done, Places, Trouble, Work};
use super::records::Plan;
use super::servers::{Fleet, Servers};
use super::{CONTAINER, LOG_GROUP};
use crate::document::{pick, seconds};
use crate::image::{Image, Task};
use crate::model::Serving;
use crate::model_server::PreparedModel;
use crate::workflow::job::{End, Ending, Job, Moment, Ran, set_status};
use crate::workflow::{Ended, Host, Hosts, MetricReader, Signal, told_to_end};
use crate::{ControlPlane, failure, request};

/// The file in the working folder that says which outputs are to be stored where.
const OUTPUTS: &str = "outputs.json";

impl Job for CreateTransformJob {
    const LOG_GROUP: &'static str = LOG_GROUP;
    const DIMENSION: &'static str = "TransformJobName";
    /// Nothing is stored before every object is done, so the run can be done again.
    const REPEATABLE: bool = true;

    fn parameters(record: &Record) -> Outcome<Self> {
        request::decode("CreateTransformJob", &pick(&record.document, REQUEST_MEMBERS))
    }

    /// The image of its first container.
    fn image(&self, plane: &ControlPlane, record: &Record) -> Outcome<Image> {
        let serving = serving(record)?;
        plane.image("PrimaryContainer.Image", serving.images().next().unwrap_or_default(), Task::Serve)
    }

    /// Fetches and unpacks the model.
    async fn stage(&self, plane: &ControlPlane, record: &Record, _hosts: &Hosts) -> Outcome<Option<Ending>> {
        let folder = plane.work_folder(&record.key);
        fs::create_dir_all(objects_folder(&folder)).map_err(Failure::internal)?;
        let fetched = self.model(plane, record)?.fetch(plane).await?;
        Ok(fetched.err().map(|why| Ending::failed(&format!("ClientError: {why}"))))
    }

    async fn program(
        &self,
        _plane: &ControlPlane,
        _record: &Record,
        _image: &Image,
        _host: Host<'_>,
        _network: Network,
    ) -> Outcome<Program> {
        // Its run starts model servers itself.
        Err(Failure::internal("a transform job has no program of its own"))
    }

    async fn run(
        &self,
        plane: &ControlPlane,
        record: &Record,
        _hosts: &Hosts,
        _metrics: &mut MetricReader,
        signal: &mut watch::Receiver<Signal>,
    ) -> Outcome<Ran> {
        let told = |told| Ok(Ran::Ended(if told == Signal::Stop { Ended::Stopped } else { Ended::ShutDown }));
        let source = &self.transform_input.data_source.s3_data_source.s3_uri;
        let sources = if self.is_manifest() {
            input::of_manifest(plane.objects(), source).await?
        } else {
            input::under_prefix(plane.objects(), source).await?
        };
        let fleet = Fleet {
            plane,
            key: &record.key,
            model: self.model(plane, record)?,
            instance_type: self.instance_type(),
            instances: self.instances(),
        };
        let started = tokio::select! {
            started = fleet.start() => started?,
            signal = told_to_end(signal) => return told(signal),
        };
        let mut servers = match started {
            Ok(servers) => servers,
            Err(why) => {
                let why = format!("AlgorithmError: The model server did not start: {why}");
                return Ok(Ran::Over(Ending::failed(&why)));
            }
        };
        let conversation = self.converse(plane, record, &servers, sources).await?;
        let (ran, end) = tokio::select! {
            ending = conversation => (ending, Signal::Stop),
            how = servers.lost(plane, &record.key) => {
                let why = format!("AlgorithmError: A model server was lost: {}", how?);
                (Ok(Ran::Over(Ending::failed(&why))), Signal::Stop)
            }
            signal = told_to_end(signal) => (told(signal), signal),
        };
        servers.stop(end).await;
        ran
    }

    /// Stores the outputs, all of which are on disk.
    async fn store(&self, plane: &ControlPlane, record: &Record, _hosts: &Hosts) -> Outcome<Ending> {
        let outputs = fs::read(plane.work_folder(&record.key).join(OUTPUTS)).map_err(Failure::internal)?;
        let outputs: Vec<Output> = serde_json::from_slice(&outputs).map_err(Failure::internal)?;
        for output in &outputs {
            if let Some(ending) = self.store_one(plane, output).await? {
                return Ok(ending);
            }
        }
        Ok(Ending::plain(End::Completed))
    }

    async fn stopped(
        &self,
        _plane: &ControlPlane,
        _record: &Record,
        _hosts: &Hosts,
        end: End,
    ) -> Outcome<Ending> {
        Ok(Ending::plain(end))
    }

    fn failed(_hosts: &Hosts, exit: Exit) -> Ending {
        Ending::failed(&format!("AlgorithmError: the model server ended with {exit}."))
    }

    fn note(record: &mut Record, moment: Moment, _metrics: &MetricReader, now: i64) -> Outcome<()> {
        if moment == Moment::Running {
            record.document["TransformStartTime"] = seconds(now);
            record.document["LastModifiedTime"] = seconds(now);
            record.modified = now;
        }
        Ok(())
    }

    fn enter(record: &mut Record, status: JobStatus, _end: Option<End>, now: i64) -> Outcome<()> {
        set_status(record, status)?;
        record.document["TransformJobStatus"] = json!(status.as_str());
        if status.is_terminal() {
            record.document["TransformEndTime"] = seconds(now);
        }
        record.document["LastModifiedTime"] = seconds(now);
        record.modified = now;
        Ok(())
    }
}

/// An output on disk: its file, the object it becomes and its media type.
type Output = (PathBuf, String, Option<String>);

/// What serves the job's model, as it was when the job was accepted.
fn serving(record: &Record) -> Outcome<Serving> {
    Serving::kept(&record.document[CONTAINER])
}

/// Where the objects of a job lie on their way.
fn objects_folder(work: &Path) -> PathBuf {
    work.join("objects")
}

/// What request, model server and defaults make of a job, in this order.
#[derive(Debug, PartialEq, Eq)]
struct Agreed {
    concurrent: usize,
    payload_mb: usize,
    single: bool,
}

impl Agreed {
    fn new(job: &CreateTransformJob, server: &ExecutionParameters) -> Self {
        let concurrent = job.concurrent().or(server.max_concurrent_transforms).unwrap_or(1);
        let payload = job.payload_mb().or(server.max_payload_in_mb).unwrap_or(TRANSFORM_PAYLOAD_DEFAULT_MB);
        let strategy = job.strategy().or(server.batch_strategy.as_deref());
        Self {
            concurrent: concurrent.min(TRANSFORM_CONCURRENT),
            payload_mb: payload.min(TRANSFORM_PAYLOAD_MB),
            single: strategy == Some("SINGLE_RECORD"),
        }
    }
}

impl CreateTransformJob {
    /// The job's model on disk, with what its servers are told.
    fn model(&self, plane: &ControlPlane, record: &Record) -> Outcome<PreparedModel> {
        let mut model = PreparedModel::new(plane, &serving(record)?, &plane.work_folder(&record.key))?;
        let mut variables = self.environment.clone();
        variables.insert("SAGEMAKER_BATCH".into(), "true".into());
        let stated = [
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", self.payload_mb().map(|size| size.to_string())),
            ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", self.concurrent().map(|count| count.to_string())),
            ("SAGEMAKER_BATCH_STRATEGY", self.strategy().map(str::to_owned)),
        ];
        variables.extend(stated.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        model.extend_environment(&variables);
        Ok(model)
    }

    /// Agrees with the servers on sizes; the returned future sends every object and ends the run.
    async fn converse<'a>(
        &'a self,
        plane: &'a ControlPlane,
        record: &'a Record,
        servers: &Servers,
        sources: Vec<Source>,
    ) -> Outcome<impl Future<Output = Outcome<Ran>> + Send + use<'a>> {
        let addresses = servers.addresses();
        let stream = servers.stream().to_owned();
        let stated = match addresses.first() {
            Some(first) => ModelClient::new().execution_parameters(*first).await,
            None => ExecutionParameters::default(),
        };
        let agreed = Agreed::new(self, &stated);
        let strategy = if agreed.single { "SINGLE_RECORD" } else { "MULTI_RECORD" };
        let line = format!(
            "MaxConcurrentTransforms={}, MaxPayloadInMB={}, BatchStrategy={strategy}",
            agreed.concurrent, agreed.payload_mb
        );
        log(plane, record, &stream, line).await?;
        let processing = self.processing()?;
        let by_line = processing.as_ref().is_some_and(super::processing::Processing::by_line);
        let plan = Plan {
            gzip: self.is_gzip(),
            lines: self.splits_lines() || by_line,
            single: agreed.single,
            limit: agreed.payload_mb << 20,
        };
        let work = Arc::new(Work {
            objects: plane.objects().clone(),
            client: ModelClient::new(),
            plan,
            processing,
            content_type: self.transform_input.content_type.clone(),
            accept: self.transform_output.accept.clone().filter(|accept| !accept.is_empty()),
            timeout: self.timeout(),
            retries: self.retries(),
            lines: self.assembles_lines(),
            folder: objects_folder(&plane.work_folder(&record.key)),
            places: Places::new(&addresses, agreed.concurrent),
        });
        Ok(async move { self.every_object(plane, record, &stream, &work, sources).await })
    }

    async fn every_object(
        &self,
        plane: &ControlPlane,
        record: &Record,
        stream: &str,
        work: &Arc<Work>,
        sources: Vec<Source>,
    ) -> Outcome<Ran> {
        let at_once = work.requests_at_once().min(TRANSFORM_OBJECTS_AT_ONCE);
        let count = sources.len();
        let one = |(number, source): (usize, Source)| {
            let work = Arc::clone(work);
            async move {
                let transformed = work.transform(number, &source).await;
                (source, transformed)
            }
        };
        let mut done =
            futures::stream::iter(sources.into_iter().enumerate()).map(one).buffer_unordered(at_once);
        let (mut outputs, mut failed, mut first) = (Vec::new(), 0usize, None);
        while let Some((source, transformed)) = done.next().await {
            match transformed {
                Ok(Done { path, content_type }) => {
                    outputs.push((path, self.output_key(&source)?, content_type));
                }
                Err(Trouble::Server(failure)) => return Err(failure),
                Err(Trouble::Object(why)) => {
                    let line = format!("{}/{}: {why}", source.bucket, source.key);
                    log(plane, record, stream, line).await?;
                    first.get_or_insert_with(|| format!("s3://{}/{}: {why}", source.bucket, source.key));
                    failed += 1;
                    if failed == TRANSFORM_FAILED_OBJECTS {
                        break;
                    }
                }
            }
        }
        drop(done);
        if let Some(first) = first {
            // What was done is stored, as AWS does; the job is not Completed.
            for output in &outputs {
                self.store_one(plane, output).await?;
            }
            let why =
                format!("ClientError: {failed} of {count} objects could not be transformed. First: {first}");
            return Ok(Ran::Over(Ending::failed(&why)));
        }
        let text = serde_json::to_vec(&outputs).map_err(Failure::internal)?;
        let path = plane.work_folder(&record.key).join(OUTPUTS);
        durable::write(&path, &text, Readers::Default).map_err(Failure::internal)?;
        Ok(Ran::Ended(Ended::Exited(Exit::Code(0))))
    }

    /// The key of an object's output.
    fn output_key(&self, source: &Source) -> Outcome<String> {
        let (_, prefix) = s3_uri("TransformOutput.S3OutputPath", &self.transform_output.s3_output_path)?;
        let prefix = prefix.trim_end_matches('/');
        let separator = if prefix.is_empty() { "" } else { "/" };
        Ok(format!("{prefix}{separator}{}.out", source.name))
    }

    /// Stores one output; an ending when it cannot be.
    async fn store_one(&self, plane: &ControlPlane, output: &Output) -> Outcome<Option<Ending>> {
        let (path, key, content_type) = output;
        let (bucket, _) = s3_uri("TransformOutput.S3OutputPath", &self.transform_output.s3_output_path)?;
        let content_type = content_type.as_deref().unwrap_or("binary/octet-stream");
        match plane.objects().store_file(bucket, key, path, content_type).await {
            Ok(_) => Ok(None),
            Err(sagebrush_object_store::Error::Io(error)) => Err(Failure::internal(error)),
            Err(error) => Ok(Some(Ending::failed(&format!(
                "ClientError: The output s3://{bucket}/{key} cannot be stored: {error}"
            )))),
        }
    }
}

/// A line of the job itself, in the form of the lines that batch transform writes.
async fn log(plane: &ControlPlane, record: &Record, stream: &str, message: String) -> Outcome<()> {
    let line = LogLine { at: plane.now(), message: format!("[sagemaker logs]: {message}") };
    plane
        .store()
        .append_log(&record.key.region, LOG_GROUP, stream, &[line])
        .await
        .map_err(failure::of_metastore)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn job(more: Value) -> CreateTransformJob {
        let mut document = json!({
            "TransformJobName": "j",
            "ModelName": "m",
            "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}}},
            "TransformOutput": {"S3OutputPath": "s3://b/out/"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        request::decode("CreateTransformJob", &document).expect("a request")
    }

    #[test]
    fn the_request_goes_before_the_server_and_the_server_before_the_default() {
        let server = ExecutionParameters {
            max_concurrent_transforms: Some(1000),
            batch_strategy: Some("SINGLE_RECORD".into()),
            max_payload_in_mb: Some(7),
        };
        let defaults = Agreed::new(&job(json!({})), &ExecutionParameters::default());
        assert_eq!(defaults, Agreed { concurrent: 1, payload_mb: 6, single: false });
        let stated = Agreed::new(&job(json!({"MaxConcurrentTransforms": 0})), &server);
        assert_eq!(stated, Agreed { concurrent: TRANSFORM_CONCURRENT, payload_mb: 7, single: true });
        let asked =
            json!({"MaxConcurrentTransforms": 2, "MaxPayloadInMB": 3, "BatchStrategy": "MultiRecord"});
        let asked = Agreed::new(&job(asked), &server);
        assert_eq!(asked, Agreed { concurrent: 2, payload_mb: 3, single: false });
    }

    #[test]
    fn outputs_are_named_after_their_inputs() {
        let source = Source { bucket: "b".into(), key: "in/x/a.csv".into(), name: "x/a.csv".into() };
        assert_eq!(job(json!({})).output_key(&source).ok().as_deref(), Some("out/x/a.csv.out"));
    }
}
