//! The one place where outcomes become AWS's error codes and statuses.

use http::StatusCode;
use sagebrush_access::IdentityFailure;
use sagebrush_auth::AuthFailure;
use sagebrush_registry::Error as RegistryError;
use sagebrush_types::{Failure, FailureKind, Resource};
use sagebrush_wire::{ErrorShape, Protocol, Service, Violation, violations_message};

use crate::body::BodyFailure;
use crate::ecr::EcrFailure;
use crate::registry::words;

/// A failed operation as its service's error.
pub fn of_failure(service: Service, failure: &Failure) -> ErrorShape {
    let (code, status) = match failure.kind {
        FailureKind::Invalid | FailureKind::Unsupported => (invalid_code(service), StatusCode::BAD_REQUEST),
        // Jobs have modelled errors; models, configurations and endpoints answer with the general one.
        FailureKind::NotFound(
            Resource::TrainingJob
            | Resource::ProcessingJob
            | Resource::TransformJob
            | Resource::HyperParameterTuningJob
            | Resource::Experiment
            | Resource::Trial
            | Resource::TrialComponent
            | Resource::Artifact
            | Resource::Action
            | Resource::Context,
        ) => ("ResourceNotFound", StatusCode::BAD_REQUEST),
        FailureKind::Conflict(_) => ("ConflictException", StatusCode::BAD_REQUEST),
        FailureKind::AlreadyExists(
            Resource::TrainingJob
            | Resource::ProcessingJob
            | Resource::TransformJob
            | Resource::HyperParameterTuningJob,
        ) => ("ResourceInUse", StatusCode::BAD_REQUEST),
        FailureKind::NotFound(Resource::ScalableTarget) => {
            ("ObjectNotFoundException", StatusCode::BAD_REQUEST)
        }
        FailureKind::InUse(_) => ("ResourceInUse", StatusCode::BAD_REQUEST),
        FailureKind::NotFound(_) | FailureKind::AlreadyExists(_) | FailureKind::WrongState(_) => {
            ("ValidationException", StatusCode::BAD_REQUEST)
        }
        FailureKind::Contradiction => match service {
            Service::CloudWatch => ("InvalidParameterCombinationException", StatusCode::BAD_REQUEST),
            _ => (invalid_code(service), StatusCode::BAD_REQUEST),
        },
        FailureKind::LogExists => ("ResourceAlreadyExistsException", StatusCode::BAD_REQUEST),
        FailureKind::NoSuchLog => ("ResourceNotFoundException", StatusCode::BAD_REQUEST),
        FailureKind::LimitExceeded => match service {
            Service::Logs | Service::AutoScaling => ("LimitExceededException", StatusCode::BAD_REQUEST),
            Service::CloudWatch => ("LimitExceededFault", StatusCode::BAD_REQUEST),
            _ => ("ResourceLimitExceeded", StatusCode::BAD_REQUEST),
        },
        FailureKind::Denied => ("AccessDeniedException", StatusCode::BAD_REQUEST),
        FailureKind::Unavailable => ("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE),
        FailureKind::Internal => ("InternalFailure", StatusCode::INTERNAL_SERVER_ERROR),
    };
    ErrorShape::new(code, status, failure.message.clone())
}

const fn invalid_code(service: Service) -> &'static str {
    match service {
        Service::Logs | Service::Ecr => "InvalidParameterException",
        Service::CloudWatch => "InvalidParameterValueException",
        Service::SageMakerRuntime | Service::Sts | Service::Iam => "ValidationError",
        Service::SageMaker | Service::SageMakerMetrics | Service::AutoScaling | Service::S3 => {
            "ValidationException"
        }
    }
}

/// A request that breaks the service model.
pub fn of_violations(service: Service, violations: &[Violation]) -> ErrorShape {
    if let Some(wrong) = violations.iter().find(|violation| violation.wrong_type) {
        let value = wrong.value.as_deref().unwrap_or("null");
        let message = format!("{}: {value}: {}", wrong.path, wrong.constraint);
        return ErrorShape::new("SerializationException", StatusCode::BAD_REQUEST, message);
    }
    ErrorShape::new(invalid_code(service), StatusCode::BAD_REQUEST, violations_message(violations))
}

/// A sender who is proven and may not do this.
pub fn denied(protocol: Protocol, message: String) -> ErrorShape {
    match protocol {
        Protocol::Query => ErrorShape::new("AccessDenied", StatusCode::FORBIDDEN, message),
        Protocol::RestJson => ErrorShape::new("AccessDeniedException", StatusCode::FORBIDDEN, message),
        _ => ErrorShape::new("AccessDeniedException", StatusCode::BAD_REQUEST, message),
    }
}

/// A failure of IAM or STS.
pub fn of_identity(service: Service, failure: &IdentityFailure) -> ErrorShape {
    let (code, status) = match failure {
        IdentityFailure::NoSuchEntity(_) => ("NoSuchEntity", StatusCode::NOT_FOUND),
        IdentityFailure::AlreadyExists(_) => ("EntityAlreadyExists", StatusCode::CONFLICT),
        IdentityFailure::LimitExceeded(_) => ("LimitExceeded", StatusCode::CONFLICT),
        IdentityFailure::DeleteConflict(_) => ("DeleteConflict", StatusCode::CONFLICT),
        IdentityFailure::Unmodifiable(_) => ("UnmodifiableEntity", StatusCode::BAD_REQUEST),
        IdentityFailure::MalformedPolicy(_) => ("MalformedPolicyDocument", StatusCode::BAD_REQUEST),
        IdentityFailure::Invalid(_) => (invalid_code(service), StatusCode::BAD_REQUEST),
        IdentityFailure::Denied(message) => return denied(Protocol::Query, message.clone()),
        IdentityFailure::Internal(cause) => {
            tracing::error!(cause, "identities");
            return of_failure(service, &Failure::internal(cause));
        }
    };
    ErrorShape::new(code, status, failure.to_string())
}

/// A failure of ECR.
pub fn of_ecr(failure: &EcrFailure, account: &str) -> ErrorShape {
    let error = match failure {
        EcrFailure::Refused(code, message) => {
            return ErrorShape::new(code, StatusCode::BAD_REQUEST, message.clone());
        }
        EcrFailure::Registry(error) => error,
    };
    let code = match error {
        RegistryError::NoSuchRepository(_) => "RepositoryNotFoundException",
        RegistryError::RepositoryExists(_) => "RepositoryAlreadyExistsException",
        RegistryError::RepositoryNotEmpty(_) => "RepositoryNotEmptyException",
        RegistryError::NoSuchImage { .. } => "ImageNotFoundException",
        RegistryError::TagImmutable { .. } => "ImageTagAlreadyExistsException",
        RegistryError::BlobsMissing(_) => "LayersNotFoundException",
        RegistryError::ImagesMissing(_) => "ReferencedImagesNotFoundException",
        RegistryError::InvalidResourceTag(_) => "InvalidTagParameterException",
        RegistryError::TooManyTags(_) => "TooManyTagsException",
        RegistryError::TooMany(_) => "LimitExceededException",
        RegistryError::InvalidName(_)
        | RegistryError::InvalidTag(_)
        | RegistryError::InvalidDigest(_)
        | RegistryError::ManifestInvalid(_)
        | RegistryError::TooLarge(_) => "InvalidParameterException",
        other => {
            tracing::error!(cause = %other, "the registry failed");
            let message = Failure::internal("").message;
            return ErrorShape::new("ServerException", StatusCode::INTERNAL_SERVER_ERROR, message);
        }
    };
    ErrorShape::new(code, StatusCode::BAD_REQUEST, words(error, account))
}

/// A request whose sender is not proven.
pub fn of_auth(protocol: Protocol, failure: &AuthFailure) -> ErrorShape {
    let code = match protocol {
        Protocol::Json(_) | Protocol::RestJson | Protocol::Cbor => failure.json_code(),
        Protocol::Query => failure.query_code(),
    };
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::FORBIDDEN);
    ErrorShape::new(code, status, failure.to_string())
}

/// An operation that is not performed here.
pub fn unknown_operation(name: &str, known_to_aws: bool) -> ErrorShape {
    let page = "docs/compatibility.md lists what is performed.";
    let message = if known_to_aws {
        format!("The operation {name} is not performed by this server. {page}")
    } else {
        format!("The operation or service {name} is not known to this server. {page}")
    };
    ErrorShape::new("UnknownOperationException", StatusCode::BAD_REQUEST, message)
}

/// A body that could not be read.
pub fn of_body(failure: BodyFailure) -> ErrorShape {
    let (code, status, message) = match failure {
        BodyFailure::TooLarge(limit) => (
            "RequestEntityTooLarge",
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The request body is larger than {limit} bytes, the most this service accepts."),
        ),
        BodyFailure::Broken => {
            ("IncompleteBody", StatusCode::BAD_REQUEST, "The request body ended early.".to_owned())
        }
        BodyFailure::Slow => (
            "RequestTimeout",
            StatusCode::REQUEST_TIMEOUT,
            "The request body did not arrive in time.".to_owned(),
        ),
        BodyFailure::Encoding => (
            "SerializationException",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The request body's Content-Encoding is not supported; send it plain or with gzip.".to_owned(),
        ),
        BodyFailure::NotGzip => (
            "SerializationException",
            StatusCode::BAD_REQUEST,
            "The request body is not gzip, as its Content-Encoding says.".to_owned(),
        ),
    };
    ErrorShape::new(code, status, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_by_resource_as_in_aws() {
        let code = |kind| of_failure(Service::SageMaker, &Failure::new(kind, "x")).code;
        assert_eq!(code(FailureKind::NotFound(Resource::TrainingJob)), "ResourceNotFound");
        assert_eq!(code(FailureKind::NotFound(Resource::Endpoint)), "ValidationException");
        assert_eq!(code(FailureKind::AlreadyExists(Resource::ProcessingJob)), "ResourceInUse");
        assert_eq!(code(FailureKind::AlreadyExists(Resource::Model)), "ValidationException");
        let failure = Failure::internal("secret path");
        let shape = of_failure(Service::SageMaker, &failure);
        assert_eq!(shape.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!shape.message.contains("secret"));
    }
}
