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
use sagebrush_access::Access;
use sagebrush_access::audit::{Effect, Entry};
use sagebrush_auth::{AuthFailure, Caller, Origin, Signed, sha256_hex};
use sagebrush_control_plane::ControlPlane;
use sagebrush_types::limits::CONTROL_BODY_BYTES;
use sagebrush_types::{Failure, Scope};
use sagebrush_wire::{
    ErrorShape, Model, Protocol, Service, Target, decode_cbor, decode_form, model, violations_message,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::body;
use crate::operations::{Call, call};
use crate::registry::RegistryFrontDoor;
use crate::s3::S3FrontDoor;
use crate::{authorize, ecr, error, identity};

/// The control API's front door: SageMaker, CloudWatch Logs, CloudWatch, ECR, STS, S3, and the registry.
pub struct ApiServer {
    /// Where operations are carried out.
    pub plane: ControlPlane,
    /// The S3 service.
    pub s3: S3FrontDoor,
    /// The registry for container engines.
    pub registry: RegistryFrontDoor,
    /// Who is let in, and for what.
    pub access: Arc<Access>,
    /// Checks every answer against its service model and fails the request when it does not fit:
    /// for tests.
    pub check_answers: bool,
}

/// What an operation is asked in: the service, its name and its document.
pub(crate) struct Asked {
    pub service: Service,
    pub operation: String,
    pub document: Value,
}

/// Where a request came from, and what the audit log will say about it.
pub(crate) struct Trace {
    origin: Origin,
    entry: Entry,
    /// The session token that proved the sender; never written.
    session_token: Option<String>,
}

impl Trace {
    /// The trace of a request that is about to be read.
    pub fn of(request: &Request, id: &str) -> Self {
        Self {
            origin: Origin::of(request.headers(), request.extensions()),
            entry: Entry { request_id: id.to_owned(), ..Entry::default() },
            session_token: None,
        }
    }
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
            Target::Registry => return self.registry.handle(request).await,
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
        let mut trace = Trace::of(&request, &id);
        let mut asked = Asked { service, operation, document: Value::Null };
        let answer = match self.read(protocol, &mut asked, &mut trace, request).await {
            Ok(caller) => self.carry_out(caller, protocol, &mut asked, &mut trace).await,
            Err(error) => Err(error),
        };
        self.record(&asked, trace, answer.as_ref().err()).await;
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

    /// Writes the audit log's line: before the answer, so that a change is never missing from it.
    pub(crate) async fn record(&self, asked: &Asked, trace: Trace, error: Option<&ErrorShape>) {
        let Trace { origin, mut entry, .. } = trace;
        entry.service = authorize::prefix(asked.service).to_owned();
        let is_known = model(asked.service)
            .is_some_and(|model| model.serves(&asked.operation) || model.refuses(&asked.operation));
        if is_known {
            entry.operation.clone_from(&asked.operation);
        }
        entry.status = error.map_or(200, |error| error.status.as_u16());
        entry.error = error.map(|error| error.code.clone()).unwrap_or_default();
        let effect = Effect::of(&entry.operation);
        self.access.audit.write(entry, &origin, effect).await;
    }

    /// Proves the sender and reads the document (and, in the query protocol, the operation's name).
    async fn read(
        &self,
        protocol: Protocol,
        asked: &mut Asked,
        trace: &mut Trace,
        request: Request,
    ) -> Result<Caller, ErrorShape> {
        let encoding = request.headers().get(CONTENT_ENCODING).cloned();
        let (caller, body) = self.verified(asked.service, protocol, trace, request).await?;
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
        trace: &mut Trace,
        request: Request,
    ) -> Result<(Caller, Bytes), ErrorShape> {
        let refused = |failure: AuthFailure| error::of_auth(protocol, &failure);
        let (parts, body) = request.into_parts();
        let signed = Signed::parse(&parts.headers).map_err(refused)?;
        trace.entry.access_key_id.clone_from(&signed.credential.access_key_id);
        signed.check_scope(service.signing_name()).map_err(refused)?;
        let key = signed.find_key(self.access.as_ref()).map_err(refused)?;
        let body = body::read(body, CONTROL_BODY_BYTES).await.map_err(error::of_body)?;
        let now = self.access.now();
        let caller =
            signed.verify(&parts, &sha256_hex(&body), &key, now, self.access.skew).map_err(refused)?;
        trace.entry.principal.clone_from(&caller.principal.arn);
        trace.session_token = signed.token().map(str::to_owned);
        Ok((caller, body))
    }

    /// May the sender do this? Asked before the document is validated: whoever may not learns nothing else.
    pub(crate) fn authorise(
        &self,
        caller: &Caller,
        asked: &Asked,
        protocol: Protocol,
        scope: &Scope,
        trace: &mut Trace,
    ) -> Result<(), ErrorShape> {
        let Asked { service, operation, document } = asked;
        let needs = authorize::needs(*service, operation, document, scope, caller).ok_or_else(|| {
            let failure = Failure::internal("no line in the table of permissions");
            log_internal(operation, &failure);
            error::of_failure(*service, &failure)
        })?;
        trace.entry.resource = needs.first().map_or_else(|| "*".to_owned(), |need| need.resource.clone());
        authorize::check(&self.access, caller, &trace.origin, &needs)
            .map_err(|message| error::denied(protocol, message))
    }

    async fn carry_out(
        &self,
        caller: Caller,
        protocol: Protocol,
        asked: &mut Asked,
        trace: &mut Trace,
    ) -> Result<Value, ErrorShape> {
        let account = self.access.directory.account().to_owned();
        let scope = Scope { account, region: caller.region.clone() };
        let model = model(asked.service).filter(|model| model.serves(&asked.operation)).ok_or_else(|| {
            error::unknown_operation(&asked.operation, known(asked.service, &asked.operation))
        })?;
        self.authorise(&caller, asked, protocol, &scope, trace)?;
        let Asked { service, operation, document } = asked;
        let service = *service;
        let violations = model.violations(operation, document);
        if !violations.is_empty() {
            return Err(error::of_violations(service, &violations));
        }
        let answer = match service {
            Service::Sts | Service::Iam => {
                let request = identity::Asked {
                    access: Arc::clone(&self.access),
                    caller,
                    origin: trace.origin.clone(),
                    service,
                    operation: operation.clone(),
                    document: std::mem::take(document),
                };
                identity::call(request).await.map_err(|failure| error::of_identity(service, &failure))?
            }
            Service::Ecr => {
                let request = ecr::Asked {
                    door: &self.registry,
                    caller: &caller,
                    session_token: trace.session_token.as_deref(),
                    scope: &scope,
                    operation,
                    document,
                };
                ecr::call(&request).await.map_err(|failure| error::of_ecr(&failure, &scope.account))?
            }
            _ => {
                let this = Call { scope: &scope, operation, document };
                call(&self.plane, service, &this).await.map_err(|failure| {
                    log_internal(operation, &failure);
                    error::of_failure(service, &failure)
                })?
            }
        };
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
