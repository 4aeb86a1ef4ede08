//! Failures of the layers below as outcomes.

use sagebrush_metastore::MetastoreError;
use sagebrush_runner::{ContainerError, RunError};
use sagebrush_types::{Failure, FailureKind, Resource, Scope};

/// A metastore failure that the caller has not already given its own words.
pub fn of_metastore(error: MetastoreError) -> Failure {
    Failure::internal(error)
}

/// A container that cannot be run: an image that is not there and a missing engine are the user's to mend.
pub fn of_container(error: ContainerError) -> Failure {
    match error {
        ContainerError::Engine(_) => Failure::internal(error),
        _ => Failure::invalid(format!("{error}.")),
    }
}

/// A program that cannot be started or followed.
pub fn of_run(error: RunError) -> Failure {
    match error {
        RunError::Container(error) => of_container(error),
        RunError::Io(error) => Failure::internal(error),
    }
}

/// A failed creation: AWS's words when the name is taken.
pub fn of_creation(error: MetastoreError, scope: &Scope, kind: Resource, name: &str) -> Failure {
    if !matches!(error, MetastoreError::AlreadyExists(_)) {
        return of_metastore(error);
    }
    let arn = scope.arn(kind, name);
    let message = match kind {
        Resource::TrainingJob
        | Resource::ProcessingJob
        | Resource::TransformJob
        | Resource::HyperParameterTuningJob => format!(
            "Job name must be unique within an AWS account and region, and a {} with this name already exists ({arn})",
            kind.noun()
        ),
        Resource::Model | Resource::EndpointConfig | Resource::Endpoint | Resource::ScalableTarget => {
            format!("Cannot create already existing {} \"{arn}\".", kind.noun())
        }
        Resource::ModelPackageGroup => format!("Model Package Group already exists: {arn}"),
        Resource::ModelPackage => format!("ModelPackage already exists: {arn}"),
        Resource::Experiment
        | Resource::Trial
        | Resource::TrialComponent
        | Resource::Artifact
        | Resource::Action
        | Resource::Context => format!(
            "Names must be unique within an AWS account and region. The {} with ARN {arn} already exists.",
            kind.noun()
        ),
    };
    Failure::new(FailureKind::AlreadyExists(kind), message)
}
