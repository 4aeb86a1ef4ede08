//! The serving plane: InvokeEndpoint. A request is verified, routed by a snapshot of the route
//! table, admitted, forwarded to a model server, and answered.
//!
//! Promises: no database and no lock shared with the control plane on the way of a request; every
//! queue and body has a bound; a model server's error is reported as AWS reports it. Never: the
//! control plane, the stores, what a model is.

mod choose;
mod forward;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sagebrush_auth::{AuthFailure, KeyRing, Signed, sha256_hex};
use sagebrush_types::limits::{CLOCK_SKEW, INVOKE_BODY_BYTES, INVOKE_RETRIES};
use sagebrush_types::{EndpointRoute, RouteTable};
use sagebrush_wire::{ErrorShape, Protocol, Service};
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use choose::NoServer;
use forward::{ForwardFailure, Forwarder};

/// The serving plane.
pub struct Inference {
    routes: watch::Receiver<Arc<RouteTable>>,
    keys: Arc<dyn KeyRing>,
    account: String,
    forwarder: Forwarder,
}

impl Inference {
    /// A serving plane over a route table that the control plane publishes.
    pub fn new(routes: watch::Receiver<Arc<RouteTable>>, keys: Arc<dyn KeyRing>, account: String) -> Self {
        Self { routes, keys, account, forwarder: Forwarder::new() }
    }

    /// Answers `POST /endpoints/{endpoint}/invocations`.
    pub async fn invoke(&self, endpoint: &str, request: Request) -> Response {
        let id = Uuid::new_v4().to_string();
        let mut response = match self.answer(endpoint, request).await {
            Ok(response) => response,
            Err(error) => error.response(Protocol::RestJson, &id).map(Body::from),
        };
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-amzn-requestid", value);
        }
        response
    }

    async fn answer(&self, endpoint: &str, request: Request) -> Result<Response, ErrorShape> {
        let (parts, body) = request.into_parts();
        if parts.method != http::Method::POST {
            return Err(ErrorShape::new(
                "MethodNotAllowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "InvokeEndpoint is a POST request.",
            ));
        }
        // Nothing is read for a sender whose key is not known.
        let signed = Signed::parse(&parts.headers).map_err(refused)?;
        signed.check_scope(Service::SageMakerRuntime.signing_name()).map_err(refused)?;
        signed.check_key(self.keys.as_ref()).map_err(refused)?;
        let body = match Limited::new(body, INVOKE_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
            Err(_) => return Err(validation("The request body ended early.")),
        };
        let now = OffsetDateTime::now_utc();
        let caller = signed
            .verify(&parts, &sha256_hex(&body), self.keys.as_ref(), now, CLOCK_SKEW)
            .map_err(refused)?;
        self.pass_on(&caller.region, endpoint, &parts.headers, body).await
    }

    /// Sends the request to a model server. One that could not be reached, so that nothing was sent,
    /// is followed by another of the same variant.
    async fn pass_on(
        &self,
        region: &str,
        endpoint: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, ErrorShape> {
        let route = self.route(region, endpoint)?;
        let target = headers.get("x-amzn-sagemaker-target-variant");
        let variant = choose::variant(&route, target)?;
        let (mut variant, mut tried) = (variant.clone(), Vec::new());
        drop(route);
        loop {
            let (server, _place) = match choose::server(&variant, &tried) {
                Ok((server, place)) => (server.clone(), place),
                Err(NoServer::Full) => return Err(throttled()),
                Err(NoServer::Down) => return Err(unavailable(&variant.name)),
            };
            let name = std::mem::take(&mut variant.name);
            // Only this server is still held: the others of the snapshot may end.
            drop(variant);
            let sent = self.forwarder.forward(server.address, &name, endpoint, headers, body.clone()).await;
            match sent {
                Ok(response) => return Ok(response),
                Err(ForwardFailure::NotReached) if tried.len() < INVOKE_RETRIES => tried.push(server),
                Err(ForwardFailure::NotReached) => return Err(unavailable(&name)),
                Err(ForwardFailure::Answer(error)) => return Err(error),
            }
            let name = HeaderValue::from_str(&name).ok();
            variant = choose::variant(&*self.route(region, endpoint)?, name.as_ref())?.clone();
        }
    }

    fn route(&self, region: &str, endpoint: &str) -> Result<Arc<EndpointRoute>, ErrorShape> {
        let name = (region.to_owned(), endpoint.to_owned());
        self.routes.borrow().endpoints.get(&name).cloned().ok_or_else(|| {
            ErrorShape::new(
                "ValidationError",
                StatusCode::BAD_REQUEST,
                format!("Endpoint {endpoint} of account {} not found.", self.account),
            )
        })
    }
}

fn refused(failure: AuthFailure) -> ErrorShape {
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::FORBIDDEN);
    ErrorShape::new(failure.json_code(), status, failure.to_string())
}

fn validation(message: &str) -> ErrorShape {
    ErrorShape::new("ValidationError", StatusCode::BAD_REQUEST, message)
}

fn too_large() -> ErrorShape {
    ErrorShape::new(
        "ValidationError",
        StatusCode::PAYLOAD_TOO_LARGE,
        format!(
            "The request body is larger than {INVOKE_BODY_BYTES} bytes, the most InvokeEndpoint accepts."
        ),
    )
}

fn unavailable(variant: &str) -> ErrorShape {
    ErrorShape::new(
        "ServiceUnavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        format!("No model server of the variant '{variant}' is up. Try again."),
    )
}

fn throttled() -> ErrorShape {
    ErrorShape::new(
        "ThrottlingException",
        StatusCode::TOO_MANY_REQUESTS,
        "The model server has as many requests in flight as it accepts. Try again.",
    )
}
