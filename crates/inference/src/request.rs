//! The headers of an invocation: what they ask for, what of it is passed on to the model server, and
//! what is refused because it would not be done.

use http::{HeaderMap, HeaderName, HeaderValue};
use sagebrush_auth::policy::Facts;
use sagebrush_types::Backend;
use sagebrush_wire::{ErrorShape, Service, model, violations_message};
use serde_json::{Map, Value};

use crate::refuse;

/// How the answer comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// In one piece: InvokeEndpoint.
    Whole,
    /// As an event stream: InvokeEndpointWithResponseStream.
    Stream,
}

impl Manner {
    /// The operation's name.
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Whole => "InvokeEndpoint",
            Self::Stream => "InvokeEndpointWithResponseStream",
        }
    }
}

const TARGET_VARIANT: HeaderName = HeaderName::from_static("x-amzn-sagemaker-target-variant");
const TARGET_MODEL: HeaderName = HeaderName::from_static("x-amzn-sagemaker-target-model");
const TARGET_CONTAINER: HeaderName = HeaderName::from_static("x-amzn-sagemaker-target-container-hostname");
const INFERENCE_ID: HeaderName = HeaderName::from_static("x-amzn-sagemaker-inference-id");
const ACCEPT: HeaderName = http::header::ACCEPT;
const STREAM_ACCEPT: HeaderName = HeaderName::from_static("x-amzn-sagemaker-accept");

const MODEL: &str = "TargetModel";
const CONTAINER: &str = "TargetContainerHostname";

/// Members by header that are read, with the header under which the hosting contract passes them on.
/// All other headers of a request are stripped.
const READ: [(&str, HeaderName); 6] = [
    ("ContentType", http::header::CONTENT_TYPE),
    ("CustomAttributes", HeaderName::from_static("x-amzn-sagemaker-custom-attributes")),
    ("TargetVariant", TARGET_VARIANT),
    (MODEL, TARGET_MODEL),
    (CONTAINER, TARGET_CONTAINER),
    ("InferenceId", INFERENCE_ID),
];

/// Members that ask for something that is not done here.
const REFUSED: [(&str, &str, &str); 4] = [
    (
        "x-amzn-sagemaker-enable-explanations",
        "EnableExplanations",
        "the endpoint has no explainer; endpoint configurations with ExplainerConfig are not supported",
    ),
    (
        "x-amzn-sagemaker-inference-component",
        "InferenceComponentName",
        "the endpoint has no inference components; name a variant with TargetVariant",
    ),
    ("x-amzn-sagemaker-session-id", "SessionId", "stateful sessions are not supported"),
    ("x-amzn-sagemaker-prefix-aware-id", "PrefixAwareId", "prefix-aware routing is not supported"),
];

/// What an invocation asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// How the answer comes back.
    pub manner: Manner,
    /// The variant it must go to.
    pub target: Option<HeaderValue>,
    /// The model it must go to, of many.
    model: Option<String>,
    /// The container it must go to, of several.
    container: Option<String>,
    /// The caller's own identity for it.
    pub inference_id: Option<String>,
    /// Its content type; empty when none was given.
    pub content_type: String,
    /// What the model server gets.
    pub passed: HeaderMap,
}

impl Asked {
    /// Reads and checks the headers of a request.
    ///
    /// # Errors
    /// `ValidationError` for a member that AWS's model does not allow or that is not supported here.
    pub fn read(manner: Manner, endpoint: &str, headers: &HeaderMap) -> Result<Self, ErrorShape> {
        if let Some((_, member, why)) = REFUSED.iter().find(|(name, ..)| headers.contains_key(*name)) {
            return Err(refuse::invalid(format!("{member}: {why}. Leave it out.")));
        }
        let accept = match manner {
            Manner::Whole => ACCEPT,
            Manner::Stream => STREAM_ACCEPT,
        };
        let mut passed = HeaderMap::new();
        let mut document = Map::new();
        document.insert("EndpointName".into(), endpoint.into());
        document.insert("Body".into(), "".into());
        if manner == Manner::Stream && headers.contains_key(TARGET_MODEL) {
            return Err(refuse::invalid(format!(
                "{MODEL}: use InvokeEndpoint, which names one of many models."
            )));
        }
        for (member, name) in READ.iter().chain(&[("Accept", accept)]) {
            let Some(value) = headers.get(name) else { continue };
            let text = value
                .to_str()
                .map_err(|_| refuse::invalid(format!("{member}: the header {name} must be ASCII text.")))?;
            document.insert((*member).into(), text.into());
            passed.insert(if *member == "Accept" { ACCEPT } else { name.clone() }, value.clone());
        }
        let document = Value::Object(document);
        let violations = model(Service::SageMakerRuntime)
            .map(|model| model.violations(manner.operation(), &document))
            .unwrap_or_default();
        if !violations.is_empty() {
            return Err(refuse::invalid(violations_message(&violations)));
        }
        let text = |member: &str| document[member].as_str().map(str::to_owned);
        Ok(Self {
            manner,
            target: passed.get(TARGET_VARIANT).cloned(),
            model: text(MODEL),
            container: text(CONTAINER),
            inference_id: text("InferenceId"),
            content_type: text("ContentType").unwrap_or_default(),
            passed,
        })
    }

    /// Refuses a request that names a model or a container where there is none to name, or none where it must.
    ///
    /// # Errors
    /// `ValidationError`, as AWS says.
    pub fn fits(&self, endpoint: &str, request_id: &str, backend: &Backend) -> Result<(), ErrorShape> {
        let wrong = |message: String| Err(refuse::invalid(message));
        match (backend, &self.model, &self.container) {
            (Backend::Models, None, _) => wrong(format!(
                "Request {request_id} is missing a target model header: endpoint {endpoint} is a multi-model endpoint, so \
                 InvokeEndpoint needs TargetModel."
            )),
            (Backend::Model | Backend::Pipeline | Backend::Containers(_), Some(_), _) => wrong(format!(
                "Endpoint {endpoint} is not a multi-model endpoint and does not support target model header. Leave \
                 TargetModel out."
            )),
            (Backend::Model | Backend::Pipeline | Backend::Models, _, Some(_)) => wrong(format!(
                "Endpoint {endpoint} is not configured for direct invocation of its containers. Leave \
                 TargetContainerHostname out."
            )),
            (Backend::Containers(names), _, asked)
                if !asked.as_ref().is_some_and(|asked| names.contains(asked)) =>
            {
                let names = names.join(", ");
                let asked = asked.as_deref().map_or_else(
                    || "the request names none".to_owned(),
                    |asked| format!("there is no '{asked}'"),
                );
                wrong(format!(
                    "TargetContainerHostname: endpoint {endpoint} is configured for direct invocation, and {asked}. Its \
                     containers are: {names}."
                ))
            }
            _ => Ok(()),
        }
    }
}

/// What policies may ask of a request beside its endpoint.
pub fn facts(headers: &HeaderMap) -> Facts {
    let keys =
        [(TARGET_MODEL, "sagemaker:TargetModel"), (TARGET_CONTAINER, "sagemaker:TargetContainerHostname")];
    let stated = keys.into_iter().filter_map(|(name, key)| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((key.into(), vec![value.to_owned()]))
    });
    stated.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(manner: Manner, headers: &[(&'static str, &'static str)]) -> Result<Asked, String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Asked::read(manner, "e", &headers).map_err(|error| error.message)
    }

    #[test]
    fn only_the_contracts_headers_are_passed_on() {
        let asked = read(
            Manner::Whole,
            &[("accept", "text/csv"), ("authorization", "secret"), ("x-amzn-sagemaker-inference-id", "i")],
        );
        let Ok(asked) = asked else { panic!("{asked:?}") };
        assert_eq!(asked.passed.len(), 2);
        assert_eq!(asked.inference_id.as_deref(), Some("i"));
        let asked = read(Manner::Stream, &[("accept", "a/b"), ("x-amzn-sagemaker-accept", "c/d")]);
        assert_eq!(asked.map(|asked| asked.passed[ACCEPT].clone()), Ok(HeaderValue::from_static("c/d")));
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (header, member, _) in REFUSED {
            let refused = read(Manner::Whole, &[(header, "x")]).err().unwrap_or_default();
            assert!(refused.starts_with(member), "{refused}");
        }
        let model = [("x-amzn-sagemaker-target-model", "a.tar.gz")];
        assert!(read(Manner::Stream, &model).is_err_and(|why| why.starts_with("TargetModel")));
        let long: &'static str = "i".repeat(65).leak();
        let refused =
            read(Manner::Whole, &[("x-amzn-sagemaker-inference-id", long)]).err().unwrap_or_default();
        assert!(refused.contains("less than or equal to 64"), "{refused}");
    }

    #[test]
    fn a_target_must_fit_what_is_behind_the_endpoint() {
        let model = ("x-amzn-sagemaker-target-model", "a.tar.gz");
        let container = ("x-amzn-sagemaker-target-container-hostname", "a");
        let other = ("x-amzn-sagemaker-target-container-hostname", "c");
        let several = || Backend::Containers(vec!["a".into(), "b".into()]);
        type Case<'a> = (Backend, &'a [(&'static str, &'static str)], Option<&'a str>);
        let cases: [Case<'_>; 10] = [
            (Backend::Model, &[], None),
            (Backend::Model, &[model], Some("is not a multi-model endpoint")),
            (Backend::Model, &[container], Some("is not configured for direct invocation")),
            (Backend::Pipeline, &[container], Some("is not configured for direct invocation")),
            (Backend::Pipeline, &[], None),
            (Backend::Models, &[model], None),
            (Backend::Models, &[], Some("Request r is missing a target model header")),
            (several(), &[container], None),
            (several(), &[], Some("the request names none. Its containers are: a, b.")),
            (several(), &[other], Some("there is no 'c'")),
        ];
        for (backend, headers, expected) in cases {
            let Ok(asked) = read(Manner::Whole, headers) else { panic!("{headers:?}") };
            let answer = asked.fits("e", "r", &backend).map_err(|error| error.message);
            match expected {
                None => assert_eq!(answer, Ok(())),
                Some(words) => {
                    assert!(answer.is_err_and(|why| why.contains(words)), "{backend:?} {headers:?}")
                }
            }
        }
    }
}
