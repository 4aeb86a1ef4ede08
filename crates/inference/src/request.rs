//! The headers of an invocation: what they ask for, what of it is passed on to the model server, and
//! what is refused because it would not be done.

use http::{HeaderMap, HeaderName, HeaderValue};
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
const INFERENCE_ID: HeaderName = HeaderName::from_static("x-amzn-sagemaker-inference-id");
const ACCEPT: HeaderName = http::header::ACCEPT;
const STREAM_ACCEPT: HeaderName = HeaderName::from_static("x-amzn-sagemaker-accept");

/// Members by header that are read, with the header under which the hosting contract passes them on.
/// All other headers of a request are stripped.
const READ: [(&str, HeaderName); 4] = [
    ("ContentType", http::header::CONTENT_TYPE),
    ("CustomAttributes", HeaderName::from_static("x-amzn-sagemaker-custom-attributes")),
    ("TargetVariant", TARGET_VARIANT),
    ("InferenceId", INFERENCE_ID),
];

/// Members that ask for something that is not done here.
const REFUSED: [(&str, &str, &str); 6] = [
    (
        "x-amzn-sagemaker-target-model",
        "TargetModel",
        "the endpoint serves one model per variant, not many models behind one name",
    ),
    (
        "x-amzn-sagemaker-target-container-hostname",
        "TargetContainerHostname",
        "a variant has one container, so none of several can be chosen",
    ),
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
            inference_id: text("InferenceId"),
            content_type: text("ContentType").unwrap_or_default(),
            passed,
        })
    }
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
        let long: &'static str = "i".repeat(65).leak();
        let refused =
            read(Manner::Whole, &[("x-amzn-sagemaker-inference-id", long)]).err().unwrap_or_default();
        assert!(refused.contains("less than or equal to 64"), "{refused}");
    }
}
