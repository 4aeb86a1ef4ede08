//! What a relay answers by itself: a code of AWS's in a header for the serving plane, words for the user,
//! and a status for those who read nothing else.

use std::error::Error;

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sagebrush_types::{RELAY_CONTAINER, RELAY_REFUSAL};

/// Why a request did not come to an answer of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The relay's own words under one of AWS's codes.
    Own {
        /// AWS's code.
        code: &'static str,
        /// Its status.
        status: StatusCode,
        /// What was wrong and what to do.
        message: String,
    },
    /// A container's words where it would not load a model.
    Container {
        /// Which.
        name: String,
        /// Its status.
        status: StatusCode,
        /// Its words.
        body: Bytes,
    },
}

impl Refusal {
    /// A request that breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Own { code: "ValidationError", status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// A model that is on its way or has no room.
    pub fn not_ready(message: impl Into<String>) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::Own { code: "ModelNotReadyException", status, message: message.into() }
    }

    /// A container that cannot be spoken to.
    pub fn unreachable(container: &str, error: &reqwest::Error) -> Self {
        let mut why: &dyn Error = error;
        while let Some(source) = why.source() {
            why = source;
        }
        tracing::warn!(container, %why, "a relay lost its container");
        let message = format!("The connection to the container {container} broke. Try again.");
        Self::Own { code: "ServiceUnavailable", status: StatusCode::SERVICE_UNAVAILABLE, message }
    }

    /// A failure that is this server's.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a relay failed");
        Self::Own {
            code: "InternalFailure",
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "An internal error occurred. The server's log has the cause.".into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Own { code, status, message } => {
                let headers = [
                    (RELAY_REFUSAL, HeaderValue::from_static(code)),
                    ("content-type", HeaderValue::from_static("text/plain; charset=utf-8")),
                ];
                (status, headers, message).into_response()
            }
            Self::Container { name, status, body } => {
                let mut response = (status, body).into_response();
                if let Ok(name) = HeaderValue::from_str(&name) {
                    response.headers_mut().insert(RELAY_CONTAINER, name);
                }
                response
            }
        }
    }
}
