//! The one port: invocations go to the serving plane, everything else to the control API.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use sagebrush_api_server::{ApiServer, registry};
use sagebrush_auth::Signed;
use sagebrush_env::random_hex;
use sagebrush_inference::{Inference, Manner};
use sagebrush_types::limits::{BODIES_IN_MEMORY, CONTROL_BODY_BYTES, INVOKE_BODY_BYTES};
use sagebrush_wire::{ErrorShape, Protocol, Service, Target, recognise};
use tokio::sync::Semaphore;

/// Bytes that one permit of the budget stands for.
const PERMIT: usize = 1 << 10;

/// Both front doors.
pub struct Front {
    /// The control API.
    pub api: ApiServer,
    /// The serving plane.
    pub inference: Inference,
    /// What request bodies may take of the memory at once.
    pub bodies: Bodies,
}

/// A budget of memory for request bodies.
pub struct Bodies(Semaphore);

impl Default for Bodies {
    fn default() -> Self {
        Self(Semaphore::new(BODIES_IN_MEMORY / PERMIT))
    }
}

impl Bodies {
    /// Room for a body of at most `limit` bytes, when there is some. A body of unknown length takes the
    /// limit; one that says it is longer is refused before it is read, and takes no more.
    fn room(&self, headers: &HeaderMap, limit: usize) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let length = match headers.get(CONTENT_LENGTH).map(|value| value.to_str()) {
            Some(Ok(text)) => text.parse().unwrap_or(limit).min(limit),
            Some(Err(_)) => limit,
            None if headers.contains_key(http::header::TRANSFER_ENCODING) => limit,
            None => 0,
        };
        self.0.try_acquire_many(u32::try_from(length.div_ceil(PERMIT)).unwrap_or(u32::MAX)).ok()
    }
}

impl Front {
    /// Answers one request.
    pub async fn handle(&self, request: Request) -> Response {
        if request.method() == Method::CONNECT {
            let mut refusal = Response::new(Body::from(
                "This server is no proxy; on its own machine it can be one: sagebrush serve --intercept.",
            ));
            *refusal.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return refusal;
        }
        let (parts, body) = request.into_parts();
        // Only a claim so far: each door verifies it before anything is done.
        let scope = Signed::parse(&parts.headers).ok().map(|signed| signed.credential.service);
        let target = recognise(&parts, scope.as_deref());
        let (limit, protocol) = match &target {
            // Streamed, and not held in memory.
            Target::S3 => (0, Protocol::of(Service::S3)),
            Target::Registry => (registry::body_in_memory(&parts), Protocol::RestJson),
            Target::Invoke(_) | Target::InvokeStream(_) => (INVOKE_BODY_BYTES, Protocol::RestJson),
            // The input lies in S3 already.
            Target::InvokeAsync(_) => (CONTROL_BODY_BYTES, Protocol::RestJson),
            Target::Json { service, .. } => (CONTROL_BODY_BYTES, Protocol::of(*service)),
            Target::Cbor { .. } => (CONTROL_BODY_BYTES, Protocol::Cbor),
            Target::Query(_) => (CONTROL_BODY_BYTES, Protocol::Query),
            Target::Unknown { protocol, .. } => (0, *protocol),
        };
        let Some(_room) = self.bodies.room(&parts.headers, limit) else {
            return full(protocol);
        };
        let request = Request::from_parts(parts, body);
        match target {
            Target::Invoke(endpoint) => self.inference.invoke(Manner::Whole, &endpoint, request).await,
            Target::InvokeStream(endpoint) => self.inference.invoke(Manner::Stream, &endpoint, request).await,
            other => self.api.handle(other, request).await,
        }
    }
}

/// The answer while bodies take all the memory that they may; clients try again by themselves.
fn full(protocol: Protocol) -> Response {
    let text = "The server holds as many request bodies as it has memory for. Try again.";
    let error = ErrorShape::new("ThrottlingException", StatusCode::SERVICE_UNAVAILABLE, text);
    error.response(protocol, &random_hex(16)).map(Body::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn bodies_share_one_budget() {
        let bodies = Bodies::default();
        let of = |length: usize| HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(length))]);
        let mut held = Vec::new();
        while let Some(room) = bodies.room(&of(INVOKE_BODY_BYTES), INVOKE_BODY_BYTES) {
            held.push(room);
        }
        assert_eq!(held.len(), BODIES_IN_MEMORY / INVOKE_BODY_BYTES);
        // A request without a body is answered all the same.
        assert!(bodies.room(&HeaderMap::new(), CONTROL_BODY_BYTES).is_some());
        drop(held);
        let unknown =
            HeaderMap::from_iter([(http::header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))]);
        let room = bodies.room(&unknown, CONTROL_BODY_BYTES);
        assert_eq!(room.map(|room| room.num_permits() * PERMIT), Some(CONTROL_BODY_BYTES));
        let room = bodies.room(&of(usize::MAX), CONTROL_BODY_BYTES);
        assert_eq!(room.map(|room| room.num_permits() * PERMIT), Some(CONTROL_BODY_BYTES));
    }
}
