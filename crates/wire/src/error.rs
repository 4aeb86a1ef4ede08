//! Errors in the shape each protocol gives them.

use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::Service;

/// How a service writes its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// JSON with the operation in a header; the version stands in the content type.
    Json(&'static str),
    /// JSON with the operation in the path.
    RestJson,
    /// XML answers to form requests.
    Query,
    /// CBOR with the operation in the path (Smithy's RPC v2).
    Cbor,
}

impl Protocol {
    /// The protocol that current clients use for a service.
    pub const fn of(service: Service) -> Self {
        match service {
            Service::SageMaker | Service::AutoScaling | Service::Logs | Service::Ecr => Self::Json("1.1"),
            Service::CloudWatch => Self::Json("1.0"),
            Service::Sts | Service::Iam | Service::S3 => Self::Query,
            Service::SageMakerRuntime | Service::SageMakerMetrics => Self::RestJson,
        }
    }

    /// The content type of answers.
    pub fn content_type(self) -> HeaderValue {
        match self {
            Self::Json("1.0") => HeaderValue::from_static("application/x-amz-json-1.0"),
            Self::Json(_) => HeaderValue::from_static("application/x-amz-json-1.1"),
            Self::RestJson => HeaderValue::from_static("application/json"),
            Self::Query => HeaderValue::from_static("text/xml"),
            Self::Cbor => HeaderValue::from_static("application/cbor"),
        }
    }
}

/// An error as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorShape {
    /// AWS's code, such as `ValidationException`.
    pub code: String,
    /// HTTP status.
    pub status: StatusCode,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// Further members of the error's structure.
    pub members: Vec<(String, serde_json::Value)>,
    /// The query protocol's code, where the service's model has one of its own.
    pub query_code: Option<String>,
}

/// Codes of the query protocol for errors that every service has.
const QUERY_CODES: &[(&str, &str)] = &[
    ("AccessDeniedException", "AccessDenied"),
    ("ExpiredTokenException", "ExpiredToken"),
    ("IncompleteSignatureException", "IncompleteSignature"),
    ("InvalidSignatureException", "SignatureDoesNotMatch"),
    ("MissingAuthenticationTokenException", "MissingAuthenticationToken"),
    ("ThrottlingException", "Throttling"),
    ("UnknownOperationException", "InvalidAction"),
    ("UnrecognizedClientException", "InvalidClientTokenId"),
    ("ValidationException", "ValidationError"),
];

impl ErrorShape {
    /// An error without further members.
    pub fn new(code: &str, status: StatusCode, message: impl Into<String>) -> Self {
        Self { code: code.into(), status, message: message.into(), members: Vec::new(), query_code: None }
    }

    /// The error in a protocol's shape.
    pub fn response(&self, protocol: Protocol, request_id: &str) -> Response<Vec<u8>> {
        let body = match protocol {
            Protocol::Json(_) => self.document("__type", "message").to_string().into_bytes(),
            Protocol::RestJson => {
                let mut body = json!({"Message": self.message});
                merge(&mut body, &self.members);
                body.to_string().into_bytes()
            }
            Protocol::Cbor => crate::cbor::encode_plain(&self.document("__type", "message")),
            Protocol::Query => self.xml(request_id).into_bytes(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, protocol.content_type());
        if let Ok(code) = HeaderValue::from_str(&self.code) {
            headers.insert("x-amzn-errortype", code);
        }
        // CloudWatch's clients go by the codes of the query protocol, which it spoke first.
        if matches!(protocol, Protocol::Json("1.0") | Protocol::Cbor)
            && let Ok(value) = HeaderValue::from_str(&format!("{};{}", self.code_of_query(), self.fault()))
        {
            headers.insert("x-amzn-query-error", value);
        }
        response
    }

    fn document(&self, code: &str, message: &str) -> serde_json::Value {
        let mut body = json!({code: self.code, message: self.message});
        merge(&mut body, &self.members);
        body
    }

    const fn fault(&self) -> &'static str {
        if self.status.as_u16() >= 500 { "Receiver" } else { "Sender" }
    }

    fn code_of_query(&self) -> &str {
        let general = || QUERY_CODES.iter().find(|(code, _)| *code == self.code).map(|(_, query)| *query);
        self.query_code.as_deref().or_else(general).unwrap_or(&self.code)
    }

    fn xml(&self, request_id: &str) -> String {
        format!(
            "<ErrorResponse><Error><Type>{}</Type><Code>{}</Code><Message>{}</Message></Error>\
             <RequestId>{}</RequestId></ErrorResponse>",
            self.fault(),
            crate::query::escape(self.code_of_query()),
            crate::query::escape(&self.message),
            crate::query::escape(request_id)
        )
    }
}

fn merge(body: &mut serde_json::Value, members: &[(String, serde_json::Value)]) {
    if let Some(object) = body.as_object_mut() {
        object.extend(members.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_has_its_shape() {
        let error = ErrorShape::new("ValidationException", StatusCode::BAD_REQUEST, "a < b");
        let text = |protocol| {
            let response = error.response(protocol, "r-1");
            String::from_utf8_lossy(response.body()).into_owned()
        };
        assert_eq!(text(Protocol::Json("1.1")), r#"{"__type":"ValidationException","message":"a < b"}"#);
        assert_eq!(text(Protocol::RestJson), r#"{"Message":"a < b"}"#);
        assert!(text(Protocol::Query).contains("<Message>a &lt; b</Message>"));
        let response = error.response(Protocol::Json("1.0"), "r-1");
        assert_eq!(
            response.headers().get("x-amzn-query-error").map(HeaderValue::as_bytes),
            Some(b"ValidationError;Sender".as_slice())
        );
    }
}
