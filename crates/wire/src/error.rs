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
}

impl Protocol {
    /// The protocol that current clients use for a service.
    pub const fn of(service: Service) -> Self {
        match service {
            Service::SageMaker | Service::Logs => Self::Json("1.1"),
            Service::CloudWatch => Self::Json("1.0"),
            Service::SageMakerRuntime => Self::RestJson,
            Service::Sts | Service::S3 => Self::Query,
        }
    }

    /// The content type of answers.
    pub fn content_type(self) -> HeaderValue {
        match self {
            Self::Json("1.0") => HeaderValue::from_static("application/x-amz-json-1.0"),
            Self::Json(_) => HeaderValue::from_static("application/x-amz-json-1.1"),
            Self::RestJson => HeaderValue::from_static("application/json"),
            Self::Query => HeaderValue::from_static("text/xml"),
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
}

impl ErrorShape {
    /// An error without further members.
    pub fn new(code: &str, status: StatusCode, message: impl Into<String>) -> Self {
        Self { code: code.into(), status, message: message.into(), members: Vec::new() }
    }

    /// The error in a protocol's shape.
    pub fn response(&self, protocol: Protocol, request_id: &str) -> Response<Vec<u8>> {
        let body = match protocol {
            Protocol::Json(_) => {
                let mut body = json!({"__type": self.code, "message": self.message});
                merge(&mut body, &self.members);
                body.to_string()
            }
            Protocol::RestJson => {
                let mut body = json!({"Message": self.message});
                merge(&mut body, &self.members);
                body.to_string()
            }
            Protocol::Query => self.xml(request_id),
        };
        let mut response = Response::new(body.into_bytes());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, protocol.content_type());
        if let Ok(code) = HeaderValue::from_str(&self.code) {
            headers.insert("x-amzn-errortype", code);
        }
        if protocol == Protocol::Json("1.0") {
            let fault = if self.status.is_server_error() { "Receiver" } else { "Sender" };
            // The query protocol's codes are the shapes' names without their ending.
            let code = self.code.strip_suffix("Exception").unwrap_or(&self.code);
            if let Ok(value) = HeaderValue::from_str(&format!("{code};{fault}")) {
                headers.insert("x-amzn-query-error", value);
            }
        }
        response
    }

    fn xml(&self, request_id: &str) -> String {
        let fault = if self.status.is_server_error() { "Receiver" } else { "Sender" };
        format!(
            "<ErrorResponse><Error><Type>{fault}</Type><Code>{}</Code><Message>{}</Message></Error>\
             <RequestId>{}</RequestId></ErrorResponse>",
            crate::query::escape(&self.code),
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
            Some(b"Validation;Sender".as_slice())
        );
    }
}
