//! Which service and operation a request means. All services share one port, so the decision goes
//! by header, path and credential scope, in an order that no bucket name can fool.

use http::request::Parts;

use crate::Protocol;

/// The services behind the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// SageMaker's control plane, JSON 1.1.
    SageMaker,
    /// SageMaker's real-time inference, REST-JSON.
    SageMakerRuntime,
    /// SageMaker's metrics of trial components, REST-JSON.
    SageMakerMetrics,
    /// Application Auto Scaling, JSON 1.1.
    AutoScaling,
    /// CloudWatch Logs, JSON 1.1.
    Logs,
    /// CloudWatch metrics: JSON 1.0, CBOR or query-XML, as the client likes.
    CloudWatch,
    /// Elastic Container Registry, JSON 1.1; what engines speak is [`Target::Registry`].
    Ecr,
    /// Security Token Service, query-XML.
    Sts,
    /// Identity and Access Management, query-XML.
    Iam,
    /// S3, REST-XML.
    S3,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 10] = [
        Self::SageMaker,
        Self::SageMakerRuntime,
        Self::SageMakerMetrics,
        Self::AutoScaling,
        Self::Logs,
        Self::CloudWatch,
        Self::Ecr,
        Self::Sts,
        Self::Iam,
        Self::S3,
    ];

    /// The service's name in a credential scope.
    pub const fn signing_name(self) -> &'static str {
        match self {
            Self::SageMaker | Self::SageMakerRuntime | Self::SageMakerMetrics => "sagemaker",
            Self::AutoScaling => "application-autoscaling",
            Self::Logs => "logs",
            Self::CloudWatch => "monitoring",
            Self::Ecr => "ecr",
            Self::Sts => "sts",
            Self::Iam => "iam",
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
    /// An operation named in the path, with a CBOR body.
    Cbor {
        /// The service of the path.
        service: Service,
        /// The operation's name.
        operation: String,
    },
    /// A form with `Action` in the body; the operation stands there.
    Query(Service),
    /// `POST /endpoints/{name}/invocations`: the endpoint's name, decoded.
    Invoke(String),
    /// `POST /endpoints/{name}/invocations-response-stream`: the endpoint's name, decoded.
    InvokeStream(String),
    /// `POST /endpoints/{name}/async-invocations`: the endpoint's name, decoded.
    InvokeAsync(String),
    /// The distribution protocol of container engines below `/v2/`.
    Registry,
    /// A service that is not known here.
    Unknown {
        /// What was asked for, in words.
        name: String,
        /// How the client expects its error.
        protocol: Protocol,
    },
    /// Everything else.
    S3,
}

const TARGETS: &[(&str, Service)] = &[
    ("SageMaker", Service::SageMaker),
    ("AnyScaleFrontendService", Service::AutoScaling),
    ("Logs_20140328", Service::Logs),
    ("GraniteServiceVersion20100801", Service::CloudWatch),
    ("AmazonEC2ContainerRegistry_V20150921", Service::Ecr),
];

/// Decides by header, path and the service of the credential scope (when there is one).
pub fn recognise(parts: &Parts, scope_service: Option<&str>) -> Target {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if header("smithy-protocol") == Some("rpc-v2-cbor") {
        return cbor(parts.uri.path());
    }
    if let Some(target) = header("x-amz-target") {
        let (prefix, operation) = target.rsplit_once('.').unwrap_or((target, ""));
        return match service_of(prefix) {
            Some(service) => Target::Json { service, operation: operation.to_owned() },
            None => {
                let old = header("content-type").is_some_and(|kind| kind.ends_with("json-1.0"));
                let version = if old { "1.0" } else { "1.1" };
                Target::Unknown { name: target.to_owned(), protocol: Protocol::Json(version) }
            }
        };
    }
    if scope_service == Some("s3") {
        return Target::S3;
    }
    if scope_service.is_none() && is_registry(parts) {
        return Target::Registry;
    }
    if let Some(name) = invoked_endpoint(parts.uri.path(), "/invocations") {
        return Target::Invoke(name);
    }
    if let Some(name) = invoked_endpoint(parts.uri.path(), "/invocations-response-stream") {
        return Target::InvokeStream(name);
    }
    if let Some(name) = invoked_endpoint(parts.uri.path(), "/async-invocations") {
        return Target::InvokeAsync(name);
    }
    match (parts.method.as_str(), parts.uri.path()) {
        ("PUT", "/BatchPutMetrics") => return metrics("BatchPutMetrics"),
        ("POST", "/BatchGetMetrics") => return metrics("BatchGetMetrics"),
        _ => {}
    }
    match scope_service {
        Some("sts") => Target::Query(Service::Sts),
        Some("monitoring") => Target::Query(Service::CloudWatch),
        Some("iam") => Target::Query(Service::Iam),
        // Without a signature nothing says which service of forms is meant; none of them is S3.
        None if is_form(parts) => Target::Query(Service::Sts),
        None => Target::S3,
        Some(other) => {
            let form = header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form"));
            let protocol = if form { Protocol::Query } else { Protocol::RestJson };
            Target::Unknown { name: format!("{} {} ({other})", parts.method, parts.uri.path()), protocol }
        }
    }
}

/// Engines send a user name and a password, or nothing before they are asked. No bucket is named `v2`, but a
/// bucket in the host name may have such keys: those are asked for with a signature of S3's.
fn is_registry(parts: &Parts) -> bool {
    let path = parts.uri.path();
    let authorization = parts.headers.get(http::header::AUTHORIZATION);
    let is_basic = |value: &http::HeaderValue| {
        value.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
    };
    let presigned = parts.uri.query().is_some_and(|query| query.contains("Signature="));
    (path == "/v2" || path.starts_with("/v2/")) && authorization.is_none_or(is_basic) && !presigned
}

fn metrics(operation: &str) -> Target {
    Target::Json { service: Service::SageMakerMetrics, operation: operation.to_owned() }
}

fn service_of(prefix: &str) -> Option<Service> {
    TARGETS.iter().find(|(name, _)| *name == prefix).map(|(_, service)| *service)
}

/// `/service/{service}/operation/{operation}`, where the service may have a namespace before it.
fn cbor(path: &str) -> Target {
    let named = path.strip_prefix("/service/").and_then(|rest| rest.split_once("/operation/"));
    let found = named.and_then(|(name, operation)| {
        let service = service_of(name.rsplit_once('.').map_or(name, |(_, name)| name))?;
        Some(Target::Cbor { service, operation: operation.to_owned() })
    });
    found.unwrap_or_else(|| Target::Unknown { name: path.to_owned(), protocol: Protocol::Cbor })
}

fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    parts.method == http::Method::POST
        && parts.uri.path() == "/"
        && kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

fn invoked_endpoint(path: &str, operation: &str) -> Option<String> {
    let name = path.strip_prefix("/endpoints/")?.strip_suffix(operation)?;
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
        let unknown = Target::Unknown { name: "Elsewhere.Do".into(), protocol: Protocol::Json("1.1") };
        assert_eq!(recognise(&request, Some("x")), unknown);
    }

    #[test]
    fn cloudwatch_is_found_in_three_protocols() {
        let expected = Target::Json { service: Service::CloudWatch, operation: "ListMetrics".into() };
        let request = parts("POST", "/", Some("GraniteServiceVersion20100801.ListMetrics"));
        assert_eq!(recognise(&request, Some("monitoring")), expected);
        assert_eq!(
            recognise(&parts("POST", "/", None), Some("monitoring")),
            Target::Query(Service::CloudWatch)
        );
        let mut request = parts("POST", "/service/GraniteServiceVersion20100801/operation/ListMetrics", None);
        request.headers.insert("smithy-protocol", http::HeaderValue::from_static("rpc-v2-cbor"));
        let expected = Target::Cbor { service: Service::CloudWatch, operation: "ListMetrics".into() };
        assert_eq!(recognise(&request, Some("monitoring")), expected);
    }

    #[test]
    fn unknown_services_are_refused_in_their_own_protocol() {
        let request = parts("PUT", "/FeatureGroup/ratings", None);
        let unknown = |request| match recognise(request, Some("sagemaker")) {
            Target::Unknown { name, protocol } => (name, protocol),
            other => panic!("{other:?}"),
        };
        assert_eq!(unknown(&request), ("PUT /FeatureGroup/ratings (sagemaker)".into(), Protocol::RestJson));
        let mut request = parts("POST", "/", None);
        let form = http::HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        request.headers.insert("content-type", form);
        assert_eq!(unknown(&request).1, Protocol::Query);
    }

    #[test]
    fn a_bucket_named_endpoints_stays_a_bucket() {
        let request = parts("POST", "/endpoints/a/invocations", None);
        assert_eq!(recognise(&request, Some("s3")), Target::S3);
        assert_eq!(recognise(&request, Some("sagemaker")), Target::Invoke("a".into()));
        let request = parts("POST", "/endpoints/a%2Db/async-invocations", None);
        assert_eq!(recognise(&request, Some("sagemaker")), Target::InvokeAsync("a-b".into()));
        let request = parts("POST", "/endpoints/a/invocations-response-stream", None);
        assert_eq!(recognise(&request, Some("sagemaker")), Target::InvokeStream("a".into()));
    }

    #[test]
    fn engines_speak_below_v2_without_a_signature() {
        assert_eq!(recognise(&parts("GET", "/v2/", None), None), Target::Registry);
        let mut request = parts("PUT", "/v2/a/b/manifests/latest", None);
        request.headers.insert("authorization", http::HeaderValue::from_static("Basic QVdTOng="));
        assert_eq!(recognise(&request, None), Target::Registry);
        // A key of a bucket in the host name, signed in three ways.
        assert_eq!(recognise(&request, Some("s3")), Target::S3);
        request.headers.insert("authorization", http::HeaderValue::from_static("AWS AKIA1:c2ln"));
        assert_eq!(recognise(&request, None), Target::S3);
        assert_eq!(recognise(&parts("GET", "/v2/k?X-Amz-Signature=1", None), None), Target::S3);
        assert_eq!(recognise(&parts("GET", "/v2x/k", None), None), Target::S3);
    }

    #[test]
    fn requests_without_a_scope_are_s3_requests() {
        assert_eq!(recognise(&parts("GET", "/b/k?AWSAccessKeyId=A", None), None), Target::S3);
        assert_eq!(recognise(&parts("POST", "/", None), Some("sts")), Target::Query(Service::Sts));
        let mut form = parts("POST", "/", None);
        let kind = http::HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        form.headers.insert("content-type", kind);
        assert_eq!(recognise(&form, None), Target::Query(Service::Sts));
    }
}
