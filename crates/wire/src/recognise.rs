//! Which service and operation a request means. All services share one port, so the decision goes
//! by header, path and credential scope, in an order that no bucket name can fool.

use http::request::Parts;

/// The services behind the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// SageMaker's control plane, JSON 1.1.
    SageMaker,
    /// SageMaker's real-time inference, REST-JSON.
    SageMakerRuntime,
    /// CloudWatch Logs, JSON 1.1.
    Logs,
    /// CloudWatch metrics, JSON 1.0 in query mode.
    CloudWatch,
    /// Security Token Service, query-XML.
    Sts,
    /// S3, REST-XML.
    S3,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 6] =
        [Self::SageMaker, Self::SageMakerRuntime, Self::Logs, Self::CloudWatch, Self::Sts, Self::S3];

    /// The service's name in a credential scope.
    pub const fn signing_name(self) -> &'static str {
        match self {
            Self::SageMaker | Self::SageMakerRuntime => "sagemaker",
            Self::Logs => "logs",
            Self::CloudWatch => "monitoring",
            Self::Sts => "sts",
            Self::S3 => "s3",
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An operation named in `X-Amz-Target`.
    Json {
        /// The service of the target's prefix.
        service: Service,
        /// The operation's name.
        operation: String,
    },
    /// A form with `Action` in the body; the operation stands there.
    Query(Service),
    /// `POST /endpoints/{name}/invocations`: the endpoint's name, decoded.
    Invoke(String),
    /// An operation or service that is not known here: its name.
    Unknown(String),
    /// Everything else.
    S3,
}

const TARGETS: &[(&str, Service)] = &[
    ("SageMaker", Service::SageMaker),
    ("Logs_20140328", Service::Logs),
    ("GraniteServiceVersion20100801", Service::CloudWatch),
];

/// Decides by header, path and the service of the credential scope (when there is one).
pub fn recognise(parts: &Parts, scope_service: Option<&str>) -> Target {
    if let Some(target) = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()) {
        let (prefix, operation) = target.rsplit_once('.').unwrap_or((target, ""));
        return TARGETS.iter().find(|(name, _)| *name == prefix).map_or_else(
            || Target::Unknown(target.to_owned()),
            |(_, service)| Target::Json { service: *service, operation: operation.to_owned() },
        );
    }
    if scope_service == Some("s3") {
        return Target::S3;
    }
    if let Some(name) = invoked_endpoint(parts.uri.path()) {
        return Target::Invoke(name);
    }
    match scope_service {
        Some("sts") => Target::Query(Service::Sts),
        None => Target::S3,
        Some(other) => Target::Unknown(format!("{} {} ({other})", parts.method, parts.uri.path())),
    }
}

fn invoked_endpoint(path: &str) -> Option<String> {
    let name = path.strip_prefix("/endpoints/")?.strip_suffix("/invocations")?;
    let decoded = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
    (!decoded.is_empty() && !decoded.contains('/')).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(method: &str, uri: &str, target: Option<&str>) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        match request.body(()) {
            Ok(request) => request.into_parts().0,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn targets_name_service_and_operation() {
        let request = parts("POST", "/", Some("SageMaker.CreateModel"));
        let expected = Target::Json { service: Service::SageMaker, operation: "CreateModel".into() };
        assert_eq!(recognise(&request, Some("sagemaker")), expected);
        let request = parts("POST", "/", Some("Elsewhere.Do"));
        assert_eq!(recognise(&request, Some("x")), Target::Unknown("Elsewhere.Do".into()));
    }

    #[test]
    fn a_bucket_named_endpoints_stays_a_bucket() {
        let request = parts("POST", "/endpoints/a/invocations", None);
        assert_eq!(recognise(&request, Some("s3")), Target::S3);
        assert_eq!(recognise(&request, Some("sagemaker")), Target::Invoke("a".into()));
    }

    #[test]
    fn requests_without_a_scope_are_s3_requests() {
        assert_eq!(recognise(&parts("GET", "/b/k?AWSAccessKeyId=A", None), None), Target::S3);
        assert_eq!(recognise(&parts("POST", "/", None), Some("sts")), Target::Query(Service::Sts));
    }
}
