//! What a training job's request may ask for: of anything, of a built-in algorithm, of a container.

use std::path::Path;

use sagebrush_runner::MOST_HOSTS;
use sagebrush_types::{Failure, Outcome, s3_uri};

use super::{AlgorithmSpecification, CHECKPOINTS, Channel, CreateTrainingJob, ProfilerConfig, max_runtime};
use crate::request::{check_environment, refuse_if};
use crate::script_mode;
use crate::workflow::MetricReader;

/// A member that is there with another value than the one supported.
fn is_other(value: &Option<String>, supported: &str) -> bool {
    value.as_deref().is_some_and(|text| text != supported)
}

/// What no training job can have here.
pub(super) fn request(request: &CreateTrainingJob) -> Outcome<()> {
    let given = |value: &Option<String>| value.as_deref().is_some_and(|text| !text.is_empty());
    let output = &request.output_data_config;
    s3_uri("OutputDataConfig.S3OutputPath", &output.s3_output_path)?;
    refuse_if(
        given(&output.kms_key_id),
        "OutputDataConfig.KmsKeyId",
        "encryption with KMS keys is not supported.",
    )?;
    refuse_if(
        is_other(&output.compression_type, "GZIP"),
        "OutputDataConfig.CompressionType",
        "only GZIP is supported.",
    )?;
    if let Some(checkpoints) = &request.checkpoint_config {
        s3_uri("CheckpointConfig.S3Uri", &checkpoints.s3_uri)?;
    }
    if let Some(resources) = &request.resource_config {
        refuse_if(
            given(&resources.volume_kms_key_id),
            "ResourceConfig.VolumeKmsKeyId",
            "encryption with KMS keys is not supported.",
        )?;
    }
    request.profiler_config.as_ref().map_or(Ok(()), ProfilerConfig::check)?;
    refuse_if(
        request.debug_hook_config.as_ref().is_some_and(|hook| !hook.collection_configurations.is_empty()),
        "DebugHookConfig.CollectionConfigurations",
        "built-in algorithms save no tensors; leave the collections out.",
    )?;
    check_environment("Environment", &request.environment)?;
    spot(request)?;
    channels(&request.input_data_config)
}

/// A spot training job has a limit of waiting and running together, and only such a job has.
fn spot(request: &CreateTrainingJob) -> Outcome<()> {
    let wait = request.stopping_condition.as_ref().and_then(|condition| condition.max_wait_time_in_seconds);
    match (request.enable_managed_spot_training, wait) {
        (false, None) => Ok(()),
        (true, Some(wait)) if wait >= max_runtime(request) => Ok(()),
        (true, _) => Err(Failure::invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds.",
        )),
        (false, Some(_)) => Err(Failure::invalid(
            "Invalid MaxWaitTimeInSeconds. It is only for jobs with EnableManagedSpotTraining.",
        )),
    }
}

/// What a built-in algorithm does not do.
pub(super) fn built_in(request: &CreateTrainingJob, algorithm: &AlgorithmSpecification) -> Outcome<()> {
    if !algorithm.metric_definitions.is_empty() {
        return Err(Failure::invalid(
            "AlgorithmSpecification.MetricDefinitions: You can't override the metric definitions for built-in algorithms. Leave the member out.",
        ));
    }
    refuse_if(
        algorithm.container_entrypoint.is_some() || algorithm.container_arguments.is_some(),
        "AlgorithmSpecification.ContainerEntrypoint",
        "built-in algorithms have an entry point and arguments of their own; leave the members out.",
    )?;
    refuse_if(
        request.checkpoints().is_some_and(|(_, place)| place != CHECKPOINTS),
        "CheckpointConfig.LocalPath",
        "built-in algorithms keep their checkpoints in /opt/ml/checkpoints; leave the member out.",
    )?;
    refuse_if(
        request.instances() != 1,
        "ResourceConfig.InstanceCount",
        "built-in algorithms train on one instance, which is this machine.",
    )?;
    refuse_if(
        algorithm.training_input_mode == "Pipe"
            || request.input_data_config.iter().any(|channel| request.is_piped(channel)),
        "AlgorithmSpecification.TrainingInputMode",
        "built-in algorithms read files; use File or FastFile.",
    )
}

/// What a container cannot have here.
pub(super) fn container(request: &CreateTrainingJob, algorithm: &AlgorithmSpecification) -> Outcome<()> {
    let place = request.checkpoints().map_or(CHECKPOINTS, |(_, place)| place);
    let is_inside = place.strip_prefix("/opt/ml/").is_some_and(|inside| {
        !inside.is_empty() && !inside.split('/').any(|part| part == ".." || part == "." || part.is_empty())
    });
    let taken = ["/opt/ml/input", "/opt/ml/model", "/opt/ml/output"];
    refuse_if(
        !is_inside || taken.iter().any(|taken| Path::new(place).starts_with(taken)),
        "CheckpointConfig.LocalPath",
        "checkpoints are kept in a folder of their own under /opt/ml.",
    )?;
    refuse_if(
        request.instances() as u64 > MOST_HOSTS,
        "ResourceConfig.InstanceCount",
        &format!("a job has at most {MOST_HOSTS} instances on this machine."),
    )?;
    // Its regular expressions are those of the user.
    MetricReader::new(
        algorithm
            .metric_definitions
            .iter()
            .filter_map(|metric| Some((metric["Name"].as_str()?, metric["Regex"].as_str()?))),
    )
    .map(drop)
}

/// What a script needs to be found. Its code is looked at when the job has its turn.
pub(super) fn script(request: &CreateTrainingJob, algorithm: &AlgorithmSpecification) -> Outcome<()> {
    let named = request.hyper_parameters.contains_key("sagemaker_program")
        || request.environment.contains_key(script_mode::PROGRAM_VARIABLE);
    if named || algorithm.container_entrypoint.is_some() {
        return Ok(());
    }
    Err(Failure::invalid(
        "HyperParameters: the image runs scripts, and the job names none. The SDKs' framework estimators do; by hand, \
         give the hyperparameters sagemaker_program and sagemaker_submit_directory, or a ContainerEntrypoint.",
    ))
}

fn channels(channels: &[Channel]) -> Outcome<()> {
    for (index, channel) in channels.iter().enumerate() {
        let place = format!("InputDataConfig[{index}]");
        let source = &channel.data_source.s3_data_source;
        if channels[..index].iter().any(|earlier| earlier.channel_name == channel.channel_name) {
            return Err(Failure::invalid(format!(
                "{place}.ChannelName: '{}' is used by two channels.",
                channel.channel_name
            )));
        }
        s3_uri(&format!("{place}.DataSource.S3DataSource.S3Uri"), &source.s3_uri)?;
        refuse_if(
            source.s3_data_type != "S3Prefix",
            &format!("{place}.DataSource.S3DataSource.S3DataType"),
            "only S3Prefix is supported.",
        )?;
        refuse_if(
            is_other(&channel.compression_type, "None"),
            &format!("{place}.CompressionType"),
            "only None is supported.",
        )?;
        refuse_if(
            is_other(&channel.record_wrapper_type, "None"),
            &format!("{place}.RecordWrapperType"),
            "only None is supported.",
        )?;
    }
    Ok(())
}
