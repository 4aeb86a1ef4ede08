//! The errors of the serving plane itself, in AWS's codes and words.

use http::StatusCode;
use sagebrush_auth::AuthFailure;
use sagebrush_types::limits::INVOKE_BODY_BYTES;
use sagebrush_wire::ErrorShape;

/// A request whose sender is not proven.
pub fn unsigned(failure: AuthFailure) -> ErrorShape {
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::FORBIDDEN);
    ErrorShape::new(failure.json_code(), status, failure.to_string())
}

/// A request that breaks a rule.
pub fn invalid(message: impl Into<String>) -> ErrorShape {
    ErrorShape::new("ValidationError", StatusCode::BAD_REQUEST, message)
}

/// An endpoint that is not there.
pub fn no_endpoint(endpoint: &str, account: &str) -> ErrorShape {
    invalid(format!("Endpoint {endpoint} of account {account} not found."))
}

/// An endpoint that answers through its queue alone.
pub fn asynchronous(endpoint: &str) -> ErrorShape {
    invalid(format!(
        "Endpoint {endpoint} is asynchronous: it has an AsyncInferenceConfig. Use InvokeEndpointAsync."
    ))
}

/// A body over its bound.
pub fn too_large() -> ErrorShape {
    ErrorShape::new(
        "ValidationError",
        StatusCode::PAYLOAD_TOO_LARGE,
        format!(
            "The request body is larger than {INVOKE_BODY_BYTES} bytes, the most InvokeEndpoint accepts."
        ),
    )
}

/// No server of a variant can take the request.
pub fn unavailable(variant: &str) -> ErrorShape {
    ErrorShape::new(
        "ServiceUnavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        format!("No model server of the variant '{variant}' is up. Try again."),
    )
}

/// Every server of a variant has as many requests as it accepts.
pub fn throttled() -> ErrorShape {
    ErrorShape::new(
        "ThrottlingException",
        StatusCode::TOO_MANY_REQUESTS,
        "The model servers have as many requests in flight as they accept. Try again.",
    )
}
