//! The serving plane: InvokeEndpoint and InvokeEndpointWithResponseStream. A request is verified,
//! routed by a snapshot of the route table, admitted, forwarded to a model server, and answered;
//! what happened is told in events.
//!
//! Promises: no database and no lock shared with the control plane on the way of a request; every
//! queue and body has a bound, and an event that finds no place is lost, never waited for; a model
//! server's error is reported as AWS reports it. Never: the control plane, the stores, what a model
//! is.

mod choose;
mod forward;
mod observe;
mod refuse;
mod request;
mod stream;

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sagebrush_access::Access;
use sagebrush_access::audit::{Effect, Entry};
use sagebrush_auth::policy::Facts;
use sagebrush_auth::{Caller, Origin, Signed, sha256_hex};
use sagebrush_types::limits::{INVOKE_BODY_BYTES, INVOKE_RETRIES};
use sagebrush_types::{EndpointRoute, InFlight, RouteTable, ServerRoute};
use sagebrush_wire::{ErrorShape, Protocol, Service};
use tokio::sync::watch;
use uuid::Uuid;

use choose::NoServer;
use forward::{ForwardFailure, Forwarder};
use observe::Observed;
use request::Asked;

pub use observe::Events;
pub use request::Manner;

/// The serving plane.
pub struct Inference {
    routes: watch::Receiver<Arc<RouteTable>>,
    access: Arc<Access>,
    events: Events,
    forwarder: Forwarder,
}

/// A verified request on its way to a model server.
struct Call<'a> {
    id: &'a str,
    region: String,
    endpoint: &'a str,
    asked: Asked,
    body: Bytes,
    started: Instant,
}

impl Inference {
    /// A serving plane over a route table that the control plane publishes, which tells of its work
    /// in `events`.
    pub fn new(routes: watch::Receiver<Arc<RouteTable>>, access: Arc<Access>, events: Events) -> Self {
        Self { routes, access, events, forwarder: Forwarder::new() }
    }

    /// Answers `POST /endpoints/{endpoint}/invocations` and its streaming sister.
    pub async fn invoke(&self, manner: Manner, endpoint: &str, request: Request) -> Response {
        let id = Uuid::new_v4().to_string();
        let origin = Origin::of(request.headers(), request.extensions());
        let mut entry = Entry {
            request_id: id.clone(),
            service: "sagemaker".into(),
            operation: manner.operation().to_owned(),
            ..Entry::default()
        };
        let answer = self.answer(manner, endpoint, request, &origin, &mut entry).await;
        entry.error = answer.as_ref().err().map(|error| error.code.clone()).unwrap_or_default();
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => error.response(Protocol::RestJson, &id).map(Body::from),
        };
        entry.status = response.status().as_u16();
        self.access.audit.write(entry, &origin, Effect::Reads).await;
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-amzn-requestid", value);
        }
        response
    }

    async fn answer(
        &self,
        manner: Manner,
        endpoint: &str,
        request: Request,
        origin: &Origin,
        entry: &mut Entry,
    ) -> Result<Response, ErrorShape> {
        let started = Instant::now();
        let id = entry.request_id.clone();
        let (parts, body) = request.into_parts();
        if parts.method != http::Method::POST {
            return Err(ErrorShape::new(
                "MethodNotAllowed",
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{} is a POST request.", manner.operation()),
            ));
        }
        // Nothing is read for a sender whose key is not known.
        let signed = Signed::parse(&parts.headers).map_err(refuse::unsigned)?;
        entry.access_key_id.clone_from(&signed.credential.access_key_id);
        signed.check_scope(Service::SageMakerRuntime.signing_name()).map_err(refuse::unsigned)?;
        let key = signed.find_key(self.access.as_ref()).map_err(refuse::unsigned)?;
        let body = match Limited::new(body, INVOKE_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(refuse::too_large()),
            Err(_) => return Err(refuse::invalid("The request body ended early.")),
        };
        let now = self.access.now();
        let caller = signed
            .verify(&parts, &sha256_hex(&body), &key, now, self.access.skew)
            .map_err(refuse::unsigned)?;
        entry.principal.clone_from(&caller.principal.arn);
        let facts = request::facts(&parts.headers);
        self.authorise(manner, &caller, origin, endpoint, &facts, entry)?;
        let asked = Asked::read(manner, endpoint, &parts.headers)?;
        self.pass_on(Call { id: &id, region: caller.region, endpoint, asked, body, started }).await
    }

    /// Sends the request to a model server. One that could not be reached, so that nothing was sent,
    /// is followed by another of the same variant.
    async fn pass_on(&self, call: Call<'_>) -> Result<Response, ErrorShape> {
        let mut target = call.asked.target.clone();
        let mut tried: Vec<ServerRoute> = Vec::new();
        loop {
            // The whole snapshot is let go before the request is sent: its other servers may end.
            let (place, server, observed) = self.choose(&call, target.as_ref(), &tried)?;
            let asked = &call.asked;
            let sent = self.forwarder.send(server.address, asked, call.body.clone()).await;
            let (error, model_status) = match sent {
                Ok(sent) => match asked.manner {
                    Manner::Whole => return self.whole(sent, observed).await,
                    Manner::Stream => return stream::respond(sent, observed, place).await,
                },
                Err(ForwardFailure::NotReached) if tried.len() < INVOKE_RETRIES => {
                    target = HeaderValue::from_str(observed.variant()).ok();
                    tried.push(server);
                    continue;
                }
                Err(failure) => failure.told(call.endpoint, observed.variant()),
            };
            observed.answered(model_status, None, None);
            return Err(error);
        }
    }

    fn choose(
        &self,
        call: &Call<'_>,
        target: Option<&HeaderValue>,
        tried: &[ServerRoute],
    ) -> Result<(InFlight, ServerRoute, Observed), ErrorShape> {
        let route = self.route(&call.region, call.endpoint)?;
        if route.asynchronous {
            return Err(refuse::asynchronous(call.endpoint));
        }
        let variant = choose::variant(&route, target)?;
        call.asked.fits(call.endpoint, call.id, &variant.backend)?;
        let observed = self.events.begin(&self.access.clock, call, &route, variant);
        match choose::server(variant, tried) {
            Ok((server, place)) => Ok((place, server.clone(), observed)),
            Err(NoServer::Full) => Err(refuse::throttled()),
            Err(NoServer::Down) => {
                let error = refuse::unavailable(&variant.name);
                observed.answered(error.status.as_u16(), None, None);
                Err(error)
            }
        }
    }

    async fn whole(&self, sent: forward::Sent, observed: Observed) -> Result<Response, ErrorShape> {
        let answer = match forward::read(sent).await {
            Ok(answer) => answer,
            Err(failure) => {
                let (error, status) = failure.told(observed.endpoint(), observed.variant());
                observed.answered(status, None, None);
                return Err(error);
            }
        };
        if !answer.status.is_success() {
            let error = forward::model_error(observed.variant(), observed.backend(), &answer);
            observed.answered(answer.status.as_u16(), Some(answer.took), None);
            return Err(error);
        }
        let response = forward::response(observed.variant(), &answer);
        observed.answered(answer.status.as_u16(), Some(answer.took), Some(answer.captured()));
        Ok(response)
    }

    fn authorise(
        &self,
        manner: Manner,
        caller: &Caller,
        origin: &Origin,
        endpoint: &str,
        facts: &Facts,
        entry: &mut Entry,
    ) -> Result<(), ErrorShape> {
        entry.resource = format!(
            "arn:aws:sagemaker:{}:{}:endpoint/{}",
            caller.region,
            self.access.directory.account(),
            endpoint.to_lowercase()
        );
        let action = format!("sagemaker:{}", manner.operation());
        self.access
            .check(caller, origin, &action, &entry.resource, facts)
            .map_err(|message| ErrorShape::new("AccessDeniedException", StatusCode::FORBIDDEN, message))
    }

    fn route(&self, region: &str, endpoint: &str) -> Result<Arc<EndpointRoute>, ErrorShape> {
        let name = (region.to_owned(), endpoint.to_owned());
        let route = self.routes.borrow().endpoints.get(&name).cloned();
        route.ok_or_else(|| refuse::no_endpoint(endpoint, self.access.directory.account()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
