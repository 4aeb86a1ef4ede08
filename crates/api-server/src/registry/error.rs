//! Outcomes as the distribution protocol has them: status, code, and a message that engines print.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderName, RANGE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use sagebrush_registry::Error;
use serde_json::json;

/// A refused request.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    /// The protocol's code.
    pub code: &'static str,
    message: String,
    header: Option<(HeaderName, String)>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    /// A sender who is proven and may not do this.
    pub fn denied(message: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    /// A sender who must say who it is.
    pub fn unproven(challenge: String, message: &str) -> Self {
        let refusal = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message);
        Self { header: Some((WWW_AUTHENTICATE, challenge)), ..refusal }
    }

    pub fn response(self) -> Response {
        let document = json!({"errors": [{"code": self.code, "message": self.message, "detail": null}]});
        let mut response = Response::new(Body::from(document.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(name, value);
        }
        response
    }
}

/// What the registry refused or failed with.
pub(super) fn refused(error: &Error, account: &str) -> Refusal {
    let (status, code) = match error {
        Error::NoSuchRepository(_) => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
        Error::InvalidName(_) => (StatusCode::BAD_REQUEST, "NAME_INVALID"),
        Error::InvalidTag(_) | Error::TagImmutable { .. } => (StatusCode::BAD_REQUEST, "TAG_INVALID"),
        Error::InvalidDigest(_) | Error::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
        Error::NoSuchImage { .. } => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        Error::NoSuchBlob(_) => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
        Error::NoSuchUpload => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
        Error::OutOfOrder { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
        Error::ManifestInvalid(_) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
        Error::BlobsMissing(_) | Error::ImagesMissing(_) => {
            (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN")
        }
        Error::ImageReferenced(_) | Error::BlobReferenced(_) => (StatusCode::CONFLICT, "DENIED"),
        Error::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
        Error::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
        Error::BodyTimeout(_) => (StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID"),
        Error::Body(_) => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
        Error::Busy => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        other => {
            tracing::error!(cause = %other, "the registry failed");
            let message = "an internal error occurred; the server's log has the cause";
            return Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", message);
        }
    };
    let refusal = Refusal::new(status, code, words(error, account));
    match error {
        Error::OutOfOrder { received } => {
            Refusal { header: Some((RANGE, super::upload::range(*received))), ..refusal }
        }
        _ => refusal,
    }
}

/// The message of a failure, in ECR's words where it has some.
pub(crate) fn words(error: &Error, account: &str) -> String {
    match error {
        Error::NoSuchRepository(name) => {
            format!("The repository with name '{name}' does not exist in the registry with id '{account}'")
        }
        Error::RepositoryExists(name) => {
            format!("The repository with name '{name}' already exists in the registry with id '{account}'")
        }
        Error::RepositoryNotEmpty(name) => format!(
            "The repository with name '{name}' in registry with id '{account}' cannot be deleted because it still contains images"
        ),
        Error::NoSuchImage { repository, reference } => {
            let (digest, tag) = match reference.split_once(':') {
                Some(_) => (reference.as_str(), "null"),
                None => ("null", reference.as_str()),
            };
            format!(
                "The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the repository with name '{repository}' in the registry with id '{account}'"
            )
        }
        Error::TagImmutable { repository, tag } => format!(
            "The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten because the tag is immutable."
        ),
        other => other.to_string(),
    }
}
