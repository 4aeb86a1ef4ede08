//! One request from bytes to bytes: recognise, read, verify, decode, validate, carry out, encode.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use sagebrush_auth::{AuthFailure, Caller, KeyRing, Signed, sha256_hex};
use sagebrush_control_plane::ControlPlane;
use sagebrush_types::limits::{CLOCK_SKEW, CONTROL_BODY_BYTES};
use sagebrush_types::{Failure, Scope};
use sagebrush_wire::{
    ErrorShape, Model, Protocol, Service, Target, decode_cbor, decode_form, model, violations_message,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::body;
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
        let id = Uuid::new_v4().to_string();
        let (service, protocol, operation) = match target {
            Target::S3 | Target::Invoke(_) | Target::InvokeStream(_) => return self.s3.handle(request).await,
            Target::InvokeAsync(endpoint) => return self.invoke_async(&endpoint, request).await,
            Target::Json { service, operation } => (service, Protocol::of(service), operation),
            Target::Cbor { service, operation } => (service, Protocol::Cbor, operation),
            // The operation stands in the form.
            Target::Query(service) => (service, Protocol::Query, String::new()),
            Target::Unknown { name, protocol } => {
                let error = error::unknown_operation(&name, false);
                return finish(error.response(protocol, &id).map(Body::from), protocol, &id);
            }
        };
        let mut asked = Asked { service, operation, document: Value::Null };
        let answer = match self.read(protocol, &mut asked, request).await {
            Ok(caller) => self.carry_out(&caller, &asked).await,
            Err(error) => Err(error),
        };
        let response = match (answer, model(service)) {
            (Ok(answer), Some(model)) => encode(model, protocol, &asked.operation, &answer, &id),
            (Ok(answer), None) => Response::new(Body::from(answer.to_string())),
            (Err(mut error), model) => {
                error.query_code = model.and_then(|model| model.query_code(&error.code)).map(str::to_owned);
                error.response(protocol, &id).map(Body::from)
            }
        };
        finish(response, protocol, &id)
    }

    /// Proves the sender and reads the document (and, in the query protocol, the operation's name).
    async fn read(
        &self,
        protocol: Protocol,
        asked: &mut Asked,
        request: Request,
    ) -> Result<Caller, ErrorShape> {
        let encoding = request.headers().get(CONTENT_ENCODING).cloned();
        let (caller, body) = self.verified(asked.service, protocol, request).await?;
        let body = body::plain(body, encoding.as_ref(), CONTROL_BODY_BYTES).map_err(error::of_body)?;
        let malformed = |code: &str, message| ErrorShape::new(code, StatusCode::BAD_REQUEST, message);
        asked.document = match protocol {
            Protocol::Cbor => {
                decode_cbor(&body).map_err(|message| malformed("SerializationException", message))?
            }
            Protocol::Query => {
                let form =
                    decode_form(&body).map_err(|message| malformed("MalformedQueryString", message))?;
                let (operation, document) = query_document(asked.service, form);
                asked.operation = operation;
                document
            }
            Protocol::Json(_) | Protocol::RestJson if body.is_empty() => json!({}),
            Protocol::Json(_) | Protocol::RestJson => serde_json::from_slice(&body).map_err(|error| {
                malformed("SerializationException", format!("The request body is not valid JSON: {error}"))
            })?,
        };
        Ok(caller)
    }

    /// Reads the body within its bound and proves who sent it. Nothing is read for a sender whose key
    /// is not known.
    pub(crate) async fn verified(
        &self,
        service: Service,
        protocol: Protocol,
        request: Request,
    ) -> Result<(Caller, Bytes), ErrorShape> {
        let refused = |failure: AuthFailure| error::of_auth(protocol, &failure);
        let (parts, body) = request.into_parts();
        let signed = Signed::parse(&parts.headers).map_err(refused)?;
        signed.check_scope(service.signing_name()).map_err(refused)?;
        signed.check_key(self.keys.as_ref()).map_err(refused)?;
        let body = body::read(body, CONTROL_BODY_BYTES).await.map_err(error::of_body)?;
        let now = OffsetDateTime::now_utc();
        let caller = signed
            .verify(&parts, &sha256_hex(&body), self.keys.as_ref(), now, CLOCK_SKEW)
            .map_err(refused)?;
        Ok((caller, body))
    }

    async fn carry_out(&self, caller: &Caller, asked: &Asked) -> Result<Value, ErrorShape> {
        let Asked { service, operation, document } = asked;
        let service = *service;
        let model = model(service)
            .filter(|model| model.serves(operation))
            .ok_or_else(|| error::unknown_operation(operation, known(service, operation)))?;
        let violations = model.violations(operation, document);
        if !violations.is_empty() {
            return Err(error::of_violations(service, &violations));
        }
        let scope = Scope { account: self.account.clone(), region: caller.region.clone() };
        let this = Call { scope: &scope, access_key_id: &caller.access_key_id, operation, document };
        let answer = call(&self.plane, service, &this).await.map_err(|failure| {
            log_internal(operation, &failure);
            error::of_failure(service, &failure)
        })?;
        if self.check_answers {
            let wrong = model.answer_violations(operation, &answer);
            if !wrong.is_empty() {
                let failure = Failure::internal(violations_message(&wrong));
                log_internal(operation, &failure);
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

/// The operation of a form and its document.
fn query_document(service: Service, mut form: BTreeMap<String, String>) -> (String, Value) {
    let operation = form.remove("Action").unwrap_or_default();
    form.remove("Version");
    let document = model(service).map_or(Value::Null, |model| model.decode_query(&operation, &form));
    (operation, document)
}

fn encode(model: &Model, protocol: Protocol, operation: &str, answer: &Value, id: &str) -> Response {
    let body = match protocol {
        Protocol::Json(_) | Protocol::RestJson => Body::from(answer.to_string()),
        Protocol::Query => Body::from(model.encode_query(operation, answer, id)),
        Protocol::Cbor => Body::from(model.encode_cbor(operation, answer)),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, protocol.content_type());
    response
}

fn finish(mut response: Response, protocol: Protocol, id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-amzn-requestid", value);
    }
    if protocol == Protocol::Cbor {
        response.headers_mut().insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
    }
    response
}
