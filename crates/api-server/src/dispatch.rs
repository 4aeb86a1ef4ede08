//! One request from bytes to bytes: recognise, read, verify, decode, validate, carry out, encode.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use sagebrush_auth::{AuthFailure, Caller, KeyRing, Signed, sha256_hex};
use sagebrush_control_plane::ControlPlane;
use sagebrush_types::limits::{CLOCK_SKEW, CONTROL_BODY_BYTES};
use sagebrush_types::{Failure, Scope};
use sagebrush_wire::{
    ErrorShape, Protocol, Service, Target, decode_form, encode_query_answer, model, violations_message,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::body::{self, BodyFailure};
use crate::error;
use crate::operations::{Call, call};
use crate::s3::S3FrontDoor;

/// The control API's front door: SageMaker, CloudWatch Logs, CloudWatch, STS and S3.
pub struct ApiServer {
    /// Where operations are carried out.
    pub plane: ControlPlane,
    /// The S3 service.
    pub s3: S3FrontDoor,
    /// The access keys.
    pub keys: Arc<dyn KeyRing>,
    /// Twelve-digit account id.
    pub account: String,
    /// Checks every answer against its service model and fails the request when it does not fit:
    /// for tests.
    pub check_answers: bool,
}

/// What an operation is asked in: the service, its name and its document.
struct Asked {
    service: Service,
    operation: String,
    document: Value,
}

impl ApiServer {
    /// Answers a request whose target was recognised.
    pub fn handle(
        &self,
        target: Target,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = Response> + Send + '_>> {
        // Boxed so that the operations' code is generated in this crate, not anew in its callers.
        Box::pin(self.answer(target, request))
    }

    async fn answer(&self, target: Target, request: Request) -> Response {
        match target {
            Target::S3 | Target::Invoke(_) => self.s3.handle(request).await,
            Target::Json { service, operation } => {
                let id = Uuid::new_v4().to_string();
                let answer = self.json(service, &operation, request).await;
                respond(answer, Protocol::of(service), &operation, &id)
            }
            Target::Query(service) => {
                let id = Uuid::new_v4().to_string();
                let answer = self.query(service, request).await;
                let (operation, answer) = match answer {
                    Ok((operation, answer)) => (operation, Ok(answer)),
                    Err(error) => (String::new(), Err(error)),
                };
                respond(answer, Protocol::Query, &operation, &id)
            }
            Target::Unknown(name) => {
                let id = Uuid::new_v4().to_string();
                let error = error::unknown_operation(&name, false);
                respond(Err(error), Protocol::Json("1.1"), &name, &id)
            }
        }
    }

    async fn json(&self, service: Service, operation: &str, request: Request) -> Result<Value, ErrorShape> {
        let (caller, body) = self.verified(service, request).await?;
        let document = if body.is_empty() {
            json!({})
        } else {
            serde_json::from_slice(&body).map_err(|error| {
                ErrorShape::new(
                    "SerializationException",
                    StatusCode::BAD_REQUEST,
                    format!("The request body is not valid JSON: {error}"),
                )
            })?
        };
        self.carry_out(&caller, Asked { service, operation: operation.to_owned(), document }).await
    }

    async fn query(&self, service: Service, request: Request) -> Result<(String, Value), ErrorShape> {
        let (caller, body) = self.verified(service, request).await?;
        let mut form = decode_form(&body)
            .map_err(|message| ErrorShape::new("MalformedQueryString", StatusCode::BAD_REQUEST, message))?;
        let operation = form.remove("Action").unwrap_or_default();
        form.remove("Version");
        let asked = Asked { service, operation: operation.clone(), document: json!(form) };
        Ok((operation, self.carry_out(&caller, asked).await?))
    }

    /// Reads the body within its bound and proves who sent it. Nothing is read for a sender whose key
    /// is not known.
    async fn verified(&self, service: Service, request: Request) -> Result<(Caller, Bytes), ErrorShape> {
        let refused = |failure: AuthFailure| error::of_auth(Protocol::of(service), &failure);
        let (parts, body) = request.into_parts();
        let signed = Signed::parse(&parts.headers).map_err(refused)?;
        signed.check_scope(service.signing_name()).map_err(refused)?;
        signed.check_key(self.keys.as_ref()).map_err(refused)?;
        let body = body::read(body, CONTROL_BODY_BYTES).await.map_err(|failure| match failure {
            BodyFailure::TooLarge => error::too_large(CONTROL_BODY_BYTES),
            BodyFailure::Broken => {
                ErrorShape::new("IncompleteBody", StatusCode::BAD_REQUEST, "The request body ended early.")
            }
        })?;
        let now = OffsetDateTime::now_utc();
        let caller = signed
            .verify(&parts, &sha256_hex(&body), self.keys.as_ref(), now, CLOCK_SKEW)
            .map_err(refused)?;
        Ok((caller, body))
    }

    async fn carry_out(&self, caller: &Caller, asked: Asked) -> Result<Value, ErrorShape> {
        let Asked { service, operation, document } = asked;
        let model = model(service)
            .filter(|model| model.serves(&operation))
            .ok_or_else(|| error::unknown_operation(&operation, known(service, &operation)))?;
        let violations = model.violations(&operation, &document);
        if !violations.is_empty() {
            return Err(error::of_violations(service, &violations));
        }
        let scope = Scope { account: self.account.clone(), region: caller.region.clone() };
        let this = Call {
            scope: &scope,
            access_key_id: &caller.access_key_id,
            operation: &operation,
            document: &document,
        };
        let answer = call(&self.plane, service, &this).await.map_err(|failure| {
            log_internal(&operation, &failure);
            error::of_failure(service, &failure)
        })?;
        if self.check_answers {
            let wrong = model.answer_violations(&operation, &answer);
            if !wrong.is_empty() {
                let failure = Failure::internal(violations_message(&wrong));
                log_internal(&operation, &failure);
                return Err(error::of_failure(service, &failure));
            }
        }
        Ok(answer)
    }
}

fn known(service: Service, operation: &str) -> bool {
    model(service).is_some_and(|model| model.refuses(operation))
}

fn log_internal(operation: &str, failure: &Failure) {
    if let Some(cause) = &failure.cause {
        tracing::error!(operation, cause, "operation failed");
    }
}

fn respond(answer: Result<Value, ErrorShape>, protocol: Protocol, operation: &str, id: &str) -> Response {
    let mut response = match answer {
        Ok(answer) => {
            let body = match protocol {
                Protocol::Json(_) | Protocol::RestJson => answer.to_string(),
                Protocol::Query => {
                    encode_query_answer(operation, "https://sts.amazonaws.com/doc/2011-06-15/", &answer, id)
                }
            };
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(http::header::CONTENT_TYPE, protocol.content_type());
            response
        }
        Err(error) => error.response(protocol, id).map(Body::from),
    };
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-amzn-requestid", value);
    }
    response
}
