//! Jobs: their trial component, and the edges from what they read to what they made.

use sagebrush_metastore::{NewRecord, Record, Write};
use sagebrush_types::{Failure, Outcome, Resource, Scope};
use serde_json::{Map, Value, json};

use super::content::{INPUTS, Noted, named};
use crate::ControlPlane;
use crate::document::seconds;
use crate::lineage::edge;
use crate::trial::TRIAL;
use crate::trial_component::TRIAL_COMPONENT;

/// What the trial component of a kind of job is called after the job's name, and its source type.
fn kind_of(kind: Resource) -> Option<(&'static str, &'static str)> {
    match kind {
        Resource::TrainingJob => Some(("aws-training-job", "SageMakerTrainingJob")),
        Resource::ProcessingJob => Some(("aws-processing-job", "SageMakerProcessingJob")),
        Resource::TransformJob => Some(("aws-transform-job", "SageMakerTransformJob")),
        _ => None,
    }
}

/// The status member of a job's document.
fn status_member(kind: Resource) -> &'static str {
    match kind {
        Resource::TrainingJob => "TrainingJobStatus",
        Resource::ProcessingJob => "ProcessingJobStatus",
        _ => "TransformJobStatus",
    }
}

/// The members with the times of a job's work.
fn time_members(kind: Resource) -> (&'static str, &'static str) {
    match kind {
        Resource::TrainingJob => ("TrainingStartTime", "TrainingEndTime"),
        Resource::ProcessingJob => ("ProcessingStartTime", "ProcessingEndTime"),
        _ => ("TransformStartTime", "TransformEndTime"),
    }
}

fn component_name(kind: Resource, job: &str) -> Option<String> {
    Some(format!("{job}-{}", kind_of(kind)?.0))
}

/// The experiment and trial that a job's request joins, checked.
///
/// # Errors
/// `NotFound` for an experiment or trial that is not there; `Invalid` for a trial of another
/// experiment.
pub async fn joined(plane: &ControlPlane, scope: &Scope, document: &Value) -> Outcome<()> {
    let config = &document["ExperimentConfig"];
    let experiment = config["ExperimentName"].as_str();
    if let Some(experiment) = experiment {
        plane.find(scope, Resource::Experiment, experiment).await?;
    }
    if let Some(trial) = config["TrialName"].as_str() {
        let record = plane.find(scope, Resource::Trial, trial).await?;
        let of = record.document["ExperimentName"].as_str();
        if experiment.is_some_and(|experiment| of != Some(experiment)) {
            return Err(Failure::invalid(format!(
                "ExperimentConfig: trial '{trial}' belongs to the experiment '{}'.",
                of.unwrap_or_default()
            )));
        }
    }
    Ok(())
}

/// What is written with a job that is accepted: its trial component, and the trial of an experiment
/// that was named without one.
pub fn accepted(plane: &ControlPlane, scope: &Scope, job: &NewRecord) -> Vec<Write> {
    let kind = job.key.kind;
    let (Some(name), Some((_, source_type))) = (component_name(kind, &job.key.name), kind_of(kind)) else {
        return Vec::new();
    };
    let document = &job.document;
    let config = &document["ExperimentConfig"];
    let mut writes = Vec::new();
    let display = config["TrialComponentDisplayName"].as_str().unwrap_or(&name);
    let mut component = json!({
        "DisplayName": display,
        "Source": {"SourceArn": job.arn, "SourceType": source_type},
        "Status": {"PrimaryStatus": document[status_member(kind)]},
        "Parameters": parameters(document),
        "InputArtifacts": inputs(document),
        "OutputArtifacts": {},
    });
    if let Some(experiment) = config["ExperimentName"].as_str() {
        let trial = match config["TrialName"].as_str() {
            Some(trial) => trial.to_owned(),
            None => {
                let trial = format!("{name}-trial");
                let shown = json!({"DisplayName": trial, "ExperimentName": experiment});
                let record = plane.new_entity(scope, TRIAL, &trial, shown, Vec::new());
                writes.push(Write::Ensure(record));
                trial
            }
        };
        component["Parents"] = json!([{"TrialName": trial, "ExperimentName": experiment}]);
    }
    let record = plane.new_entity(scope, TRIAL_COMPONENT, &name, component, Vec::new());
    writes.push(Write::Ensure(record));
    writes
}

fn parameters(document: &Value) -> Value {
    let mut parameters = Map::new();
    for (name, value) in document["HyperParameters"].as_object().into_iter().flatten() {
        put_text(&mut parameters, name, value);
    }
    put_text(&mut parameters, "SageMaker.ImageUri", &document["AlgorithmSpecification"]["TrainingImage"]);
    put_text(&mut parameters, "SageMaker.ImageUri", &document["AppSpecification"]["ImageUri"]);
    put_text(&mut parameters, "SageMaker.ModelName", &document["ModelName"]);
    let resources = [
        &document["ResourceConfig"],
        &document["ProcessingResources"]["ClusterConfig"],
        &document["TransformResources"],
    ];
    for resource in resources {
        put_text(&mut parameters, "SageMaker.InstanceType", &resource["InstanceType"]);
        for member in ["InstanceCount", "VolumeSizeInGB"] {
            if let Some(number) = resource[member].as_f64() {
                parameters.insert(format!("SageMaker.{member}"), json!({"NumberValue": number}));
            }
        }
    }
    // A hyperparameter that is a number is one here too, so that it sorts and compares as one.
    for value in parameters.values_mut() {
        let number = value["StringValue"].as_str().and_then(|text| text.parse::<f64>().ok());
        if let Some(number) = number.filter(|number| number.is_finite()) {
            *value = json!({"NumberValue": number});
        }
    }
    parameters.into()
}

fn put_text(parameters: &mut Map<String, Value>, name: &str, value: &Value) {
    if let Some(value) = value.as_str() {
        // The model bounds a text by 2500 characters.
        let value: String = value.chars().take(2_500).collect();
        parameters.insert(name.to_owned(), json!({"StringValue": value}));
    }
}

/// The inputs that a request names: their names, places and media types.
fn named_inputs(document: &Value) -> Vec<(String, String, Option<String>)> {
    let mut inputs = Vec::new();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    for channel in document["InputDataConfig"].as_array().into_iter().flatten() {
        let uri = &channel["DataSource"]["S3DataSource"]["S3Uri"];
        if let (Some(name), Some(uri)) = (text(&channel["ChannelName"]), text(uri)) {
            inputs.push((name, uri, text(&channel["ContentType"])));
        }
    }
    for input in document["ProcessingInputs"].as_array().into_iter().flatten() {
        if let (Some(name), Some(uri)) = (text(&input["InputName"]), text(&input["S3Input"]["S3Uri"])) {
            inputs.push((name, uri, None));
        }
    }
    let transform = &document["TransformInput"];
    if let Some(uri) = text(&transform["DataSource"]["S3DataSource"]["S3Uri"]) {
        inputs.push(("SageMaker.TransformInput".into(), uri, text(&transform["ContentType"])));
    }
    // Script mode names its code in a hyperparameter, as JSON.
    if let Some(uri) = document["HyperParameters"]["sagemaker_submit_directory"].as_str() {
        let uri = serde_json::from_str::<String>(uri).unwrap_or_else(|_| uri.to_owned());
        if uri.starts_with("s3://") {
            inputs.push(("code".into(), uri, None));
        }
    }
    inputs
}

fn inputs(document: &Value) -> Value {
    let inputs = named_inputs(document).into_iter().map(|(name, uri, media)| {
        let mut artifact = json!({"Value": uri});
        if let Some(media) = media {
            artifact["MediaType"] = json!(media);
        }
        (name, artifact)
    });
    Value::Object(inputs.collect())
}

/// The places that a finished job wrote: their names, places and types.
fn outputs(document: &Value) -> Vec<(String, String, &'static str)> {
    let mut outputs = Vec::new();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(uri) = text(&document["ModelArtifacts"]["S3ModelArtifacts"]) {
        outputs.push(("SageMaker.ModelArtifact".into(), uri, "Model"));
    }
    for output in document["ProcessingOutputConfig"]["Outputs"].as_array().into_iter().flatten() {
        if let (Some(name), Some(uri)) = (text(&output["OutputName"]), text(&output["S3Output"]["S3Uri"])) {
            outputs.push((name, uri, "DataSet"));
        }
    }
    if let Some(uri) = text(&document["TransformOutput"]["S3OutputPath"]) {
        outputs.push(("SageMaker.TransformOutput".into(), uri, "DataSet"));
    }
    outputs
}

impl ControlPlane {
    /// The data laid out for a job, as artifacts: to be kept in its record under [`INPUTS`].
    pub(crate) async fn noted_inputs(&self, job: &Record) -> Value {
        let mut noted = Vec::new();
        for (name, uri, _) in named_inputs(&job.document) {
            let kind = if name == "code" { "Code" } else { "DataSet" };
            noted.extend(self.noted(&uri, kind).await.map(|noted| noted.document));
        }
        noted.into()
    }

    /// The scope of a record.
    pub(crate) fn scope_of(&self, record: &Record) -> Scope {
        Scope { account: self.shared.settings.account.clone(), region: record.key.region.clone() }
    }

    /// What was made by a job that is about to end with these members in its document.
    pub(crate) async fn noted_outputs(&self, document: &Value) -> Vec<Noted> {
        let mut noted = Vec::new();
        for (_, uri, kind) in outputs(document) {
            noted.extend(self.noted(&uri, kind).await);
        }
        noted
    }

    /// The edges to a job's inputs from what they are a part of.
    pub(crate) async fn derived_inputs(&self, job: &Record) -> Outcome<Vec<Write>> {
        let scope = self.scope_of(job);
        let mut writes = Vec::new();
        for document in job.document[INPUTS].as_array().into_iter().flatten() {
            writes.extend(self.derived(&scope, &Noted { document: document.clone() }).await?);
        }
        Ok(writes)
    }
}

/// What is written with a job's ending: the end of its trial component, and its lineage.
pub fn ended(plane: &ControlPlane, job: &Record, made: &[Noted]) -> Vec<Write> {
    let kind = job.key.kind;
    let Some(name) = component_name(kind, &job.key.name) else { return Vec::new() };
    let scope = plane.scope_of(job);
    let (document, now) = (&job.document, plane.now());
    let arn = scope.arn(Resource::TrialComponent, &name);
    let mut members = Map::new();
    let mut status = json!({"PrimaryStatus": document[status_member(kind)]});
    if let Some(reason) = document["FailureReason"].as_str() {
        status["Message"] = json!(reason.chars().take(1_024).collect::<String>());
    }
    members.insert("Status".into(), status);
    let (start, end) = time_members(kind);
    for (member, time) in [("StartTime", &document[start]), ("EndTime", &document[end])] {
        if !time.is_null() {
            members.insert(member.into(), time.clone());
        }
    }
    members.insert("LastModifiedTime".into(), seconds(now));
    let written = outputs(document).into_iter().map(|(name, uri, _)| (name, json!({"Value": uri})));
    let completed = document[status_member(kind)] == "Completed";
    if completed {
        members.insert("OutputArtifacts".into(), Value::Object(written.collect()));
    }
    if let Some(metrics) = document["FinalMetricDataList"].as_array() {
        let summaries = metrics.iter().map(|metric| {
            json!({
                "MetricName": metric["MetricName"],
                "SourceArn": job.arn,
                "Last": metric["Value"],
                "TimeStamp": metric["Timestamp"],
            })
        });
        members.insert("Metrics".into(), summaries.collect());
    }
    let key = plane.key(&scope, Resource::TrialComponent, &name);
    let mut writes = vec![Write::Merge { key, status: None, members }];
    let mut join = |noted: &Noted, into: bool| {
        writes.push(Write::Ensure(noted.record(plane, &scope)));
        let artifact = noted.arn(&scope);
        writes.push(match into {
            true => edge(&scope.region, &artifact, &arn, "ContributedTo", now),
            false => edge(&scope.region, &arn, &artifact, "Produced", now),
        });
    };
    for image in
        [&document["AlgorithmSpecification"]["TrainingImage"], &document["AppSpecification"]["ImageUri"]]
    {
        if let Some(image) = image.as_str() {
            join(
                &named(image, "Image", json!({"Program": concat!("sagebrush ", env!("CARGO_PKG_VERSION"))})),
                true,
            );
        }
    }
    for input in document[INPUTS].as_array().into_iter().flatten() {
        join(&Noted { document: input.clone() }, true);
    }
    for noted in made.iter().filter(|_| completed) {
        join(noted, false);
    }
    writes
}
