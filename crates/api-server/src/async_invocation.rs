//! `POST /endpoints/{endpoint}/async-invocations`: REST-JSON, its members in headers.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sagebrush_types::{Failure, Scope};
use sagebrush_wire::{ErrorShape, Protocol, Service, model, violations_message};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::ApiServer;
use crate::dispatch::{Asked, Trace};
use crate::error;

const OPERATION: &str = "InvokeEndpointAsync";
/// Headers of text, by member.
const TEXTS: [(&str, &str); 7] = [
    ("ContentType", "x-amzn-sagemaker-content-type"),
    ("Accept", "x-amzn-sagemaker-accept"),
    ("CustomAttributes", "x-amzn-sagemaker-custom-attributes"),
    ("InferenceId", "x-amzn-sagemaker-inference-id"),
    ("InputLocation", "x-amzn-sagemaker-inputlocation"),
    ("S3OutputPathExtension", "x-amzn-sagemaker-s3outputpathextension"),
    ("Filename", "x-amzn-sagemaker-filename"),
];
/// Headers of numbers, by member.
const NUMBERS: [(&str, &str); 2] = [
    ("RequestTTLSeconds", "x-amzn-sagemaker-requestttlseconds"),
    ("InvocationTimeoutSeconds", "x-amzn-sagemaker-invocationtimeoutseconds"),
];
/// Members of the answer that are headers.
const ANSWER: [(&str, &str); 2] = [
    ("OutputLocation", "x-amzn-sagemaker-outputlocation"),
    ("FailureLocation", "x-amzn-sagemaker-failurelocation"),
];

impl ApiServer {
    pub(crate) async fn invoke_async(&self, endpoint: &str, request: Request) -> Response {
        let id = Uuid::new_v4().to_string();
        let mut trace = Trace::of(&request, &id);
        let service = Service::SageMakerRuntime;
        let mut asked = Asked { service, operation: OPERATION.to_owned(), document: Value::Null };
        let accepted = self.accept(endpoint, &mut asked, &mut trace, request).await;
        self.record(&asked, trace, accepted.as_ref().err()).await;
        let answered = accepted.and_then(|answer| respond(&answer));
        let mut response = match answered {
            Ok(response) => response,
            Err(error) => error.response(Protocol::RestJson, &id).map(Body::from),
        };
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-amzn-requestid", value);
        }
        response
    }

    async fn accept(
        &self,
        endpoint: &str,
        asked: &mut Asked,
        trace: &mut Trace,
        request: Request,
    ) -> Result<Value, ErrorShape> {
        let service = asked.service;
        if request.method() != Method::POST {
            return Err(ErrorShape::new(
                "MethodNotAllowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "InvokeEndpointAsync is a POST request.",
            ));
        }
        let headers = request.headers().clone();
        let protocol = Protocol::RestJson;
        let (caller, body) = self.verified(service, protocol, trace, request).await?;
        asked.document = document(endpoint, &headers)?;
        let account = self.access.directory.account().to_owned();
        let scope = Scope { account, region: caller.region.clone() };
        self.authorise(&caller, asked, protocol, &scope, trace)?;
        let document = &asked.document;
        let model = model(service).ok_or_else(|| error::unknown_operation(OPERATION, true))?;
        let violations = model.violations(OPERATION, document);
        if !violations.is_empty() {
            return Err(error::of_violations(service, &violations));
        }
        let answer = self.plane.invoke_endpoint_async(&scope, document, body.to_vec()).await;
        let wrong = match &answer {
            Ok(answer) if self.check_answers => model.answer_violations(OPERATION, answer),
            _ => Vec::new(),
        };
        let answer =
            if wrong.is_empty() { answer } else { Err(Failure::internal(violations_message(&wrong))) };
        answer.map_err(|failure| {
            if let Some(cause) = &failure.cause {
                tracing::error!(operation = OPERATION, cause, "operation failed");
            }
            error::of_failure(service, &failure)
        })
    }
}

/// The request's members, as its headers have them.
fn document(endpoint: &str, headers: &HeaderMap) -> Result<Value, ErrorShape> {
    let invalid = |name: &str, why: &str| {
        ErrorShape::new("ValidationError", StatusCode::BAD_REQUEST, format!("The header {name} {why}."))
    };
    let text = |name: &'static str| {
        let value =
            headers.get(name).map(|value| value.to_str().map_err(|_| invalid(name, "is not plain text")));
        value.transpose()
    };
    let mut members = Map::new();
    members.insert("EndpointName".into(), json!(endpoint));
    for (member, name) in TEXTS {
        if let Some(value) = text(name)? {
            members.insert(member.into(), json!(value));
        }
    }
    for (member, name) in NUMBERS {
        if let Some(value) = text(name)? {
            let number: i64 = value.trim().parse().map_err(|_| invalid(name, "is no whole number"))?;
            members.insert(member.into(), json!(number));
        }
    }
    Ok(Value::Object(members))
}

fn respond(answer: &Value) -> Result<Response, ErrorShape> {
    let body = json!({"InferenceId": answer["InferenceId"]}).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, Protocol::RestJson.content_type());
    for (member, name) in ANSWER {
        if let Some(text) = answer[member].as_str() {
            let value = HeaderValue::from_str(text).map_err(|_| {
                ErrorShape::new(
                    "ValidationError",
                    StatusCode::BAD_REQUEST,
                    format!("{member} holds characters that a header cannot carry."),
                )
            })?;
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_members() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-sagemaker-inputlocation", HeaderValue::from_static("s3://b/k"));
        headers.insert("x-amzn-sagemaker-requestttlseconds", HeaderValue::from_static("60"));
        let found = document("e", &headers).expect("members");
        assert_eq!(found, json!({"EndpointName": "e", "InputLocation": "s3://b/k", "RequestTTLSeconds": 60}));
        headers.insert("x-amzn-sagemaker-requestttlseconds", HeaderValue::from_static("soon"));
        assert!(document("e", &headers).is_err_and(|error| error.message.contains("requestttlseconds")));
    }
}
