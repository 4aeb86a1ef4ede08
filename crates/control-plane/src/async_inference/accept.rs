//! InvokeEndpointAsync: into the queue.

use sagebrush_env::random_hex;
use sagebrush_metastore::{Key, NewInvocation};
use sagebrush_types::limits::{ASYNC_BODY_BYTES, ASYNC_INVOKE_TIMEOUT, ASYNC_QUEUE, ASYNC_TTL};
use sagebrush_types::{EndpointStatus, Failure, FailureKind, Outcome, Resource, Scope, s3_uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AsyncInferenceConfig, Request};
use crate::endpoint::CONFIG;
use crate::{ControlPlane, failure, request};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct InvokeEndpointAsync {
    endpoint_name: String,
    content_type: Option<String>,
    accept: Option<String>,
    custom_attributes: Option<String>,
    inference_id: Option<String>,
    input_location: Option<String>,
    #[serde(rename = "S3OutputPathExtension")]
    path_extension: Option<String>,
    filename: Option<String>,
    #[serde(rename = "RequestTTLSeconds")]
    ttl_seconds: Option<u64>,
    invocation_timeout_seconds: Option<u64>,
}

impl ControlPlane {
    /// InvokeEndpointAsync: the answer says where the result will lie.
    ///
    /// # Errors
    /// `Invalid` for an endpoint that is not there, not asynchronous or not in service, and for a
    /// payload that is missing or given twice; `Unavailable` when the endpoint's queue is full.
    pub async fn invoke_endpoint_async(
        &self,
        scope: &Scope,
        document: &Value,
        body: Vec<u8>,
    ) -> Outcome<Value> {
        let asked: InvokeEndpointAsync = request::decode("InvokeEndpointAsync", document)?;
        let config = self.async_config(scope, &asked.endpoint_name).await?;
        check_payload(&asked, &body)?;
        let request = queued(&asked, &config, self.now());
        let invocation = NewInvocation {
            region: scope.region.clone(),
            endpoint: asked.endpoint_name.clone(),
            document: serde_json::to_value(&request).map_err(Failure::internal)?,
            body: (!body.is_empty()).then_some(body),
        };
        let taken = self.store().queue_invocation(&invocation, ASYNC_QUEUE).await;
        if !taken.map_err(failure::of_metastore)? {
            return Err(Failure::new(
                FailureKind::Unavailable,
                format!(
                    "The queue of the endpoint {} holds {ASYNC_QUEUE} requests, the most it takes. Try again later.",
                    asked.endpoint_name
                ),
            ));
        }
        self.work_on((invocation.region, invocation.endpoint));
        let mut answer = json!({"InferenceId": request.inference_id, "OutputLocation": request.output});
        if let Some(failure) = request.failure {
            answer["FailureLocation"] = json!(failure);
        }
        Ok(answer)
    }

    /// The configuration of an asynchronous endpoint in service.
    async fn async_config(&self, scope: &Scope, name: &str) -> Outcome<AsyncInferenceConfig> {
        let key = Key { kind: Resource::Endpoint, region: scope.region.clone(), name: name.to_owned() };
        let found = self.store().get(&key).await.map_err(failure::of_metastore)?.ok_or_else(|| {
            Failure::invalid(format!("Endpoint {name} of account {} not found.", scope.account))
        })?;
        let serving = [EndpointStatus::InService, EndpointStatus::Updating];
        if !serving.iter().any(|status| status.as_str() == found.status) {
            return Err(Failure::invalid(format!(
                "Endpoint {name} is in status {} and takes no requests. Wait until it is InService.",
                found.status
            )));
        }
        AsyncInferenceConfig::of(&found.document[CONFIG])?.ok_or_else(|| {
            Failure::invalid(format!(
                "Endpoint {name} has no AsyncInferenceConfig, so it answers in real time only. Use InvokeEndpoint."
            ))
        })
    }
}

fn check_payload(asked: &InvokeEndpointAsync, body: &[u8]) -> Outcome<()> {
    match (&asked.input_location, body.is_empty()) {
        (Some(_), false) => Err(Failure::invalid("Give either InputLocation or Body, not both.")),
        (None, true) => Err(Failure::invalid(
            "InputLocation: a request needs a payload, as an object that InputLocation names or as its Body.",
        )),
        (None, false) if body.len() > ASYNC_BODY_BYTES => Err(Failure::invalid(format!(
            "Body: a payload within the request may have {ASYNC_BODY_BYTES} bytes. Store a larger one as an object and \
             give its InputLocation."
        ))),
        (None, false) => Ok(()),
        (Some(location), true) => match s3_uri("InputLocation", location)? {
            (_, "") => Err(Failure::invalid(format!("InputLocation: '{location}' names no object."))),
            _ => Ok(()),
        },
    }
}

fn queued(asked: &InvokeEndpointAsync, config: &AsyncInferenceConfig, now: i64) -> Request {
    let id = asked.inference_id.clone().unwrap_or_else(identifier);
    // The caller's own identifier may hold characters that a file name must not.
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let stem = if plain { id.clone() } else { identifier() };
    let file = asked.filename.clone().unwrap_or_else(|| format!("{stem}.out"));
    let (name, extension) = file.rsplit_once('.').unwrap_or((&file, "out"));
    let error_file = format!("{name}-error.{extension}");
    let place = |base: &str, file: &str| {
        let inner = asked.path_extension.as_deref().unwrap_or_default().trim_matches('/');
        let parts = [base.trim_end_matches('/'), inner, file];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    };
    let ttl = asked.ttl_seconds.unwrap_or(ASYNC_TTL.as_secs());
    Request {
        output: place(config.output_path(), &file),
        failure: config.failure_path().map(|path| place(path, &error_file)),
        inference_id: id,
        input: asked.input_location.clone(),
        content_type: asked.content_type.clone(),
        accept: asked.accept.clone(),
        custom_attributes: asked.custom_attributes.clone(),
        expires: now.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX).saturating_mul(1000)),
        timeout: asked.invocation_timeout_seconds.unwrap_or(ASYNC_INVOKE_TIMEOUT.as_secs()),
        concurrent: config.concurrent(),
    }
}

/// A random identifier in the form of a UUID.
fn identifier() -> String {
    let hex = random_hex(16);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(members: Value) -> InvokeEndpointAsync {
        let mut document = json!({"EndpointName": "e"});
        for (name, value) in members.as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        request::decode("InvokeEndpointAsync", &document).expect("a request")
    }

    #[test]
    fn results_are_named_after_the_request() {
        let config = json!({"OutputConfig": {"S3OutputPath": "s3://b/out/", "S3FailurePath": "s3://b/err"}});
        let config: AsyncInferenceConfig = request::decode("x", &config).expect("a configuration");
        let plain = queued(&asked(json!({"InferenceId": "id-1"})), &config, 0);
        assert_eq!(
            (&*plain.output, plain.failure.as_deref()),
            ("s3://b/out/id-1.out", Some("s3://b/err/id-1-error.out"))
        );
        assert_eq!((plain.expires, plain.timeout), (21_600_000, 900));
        let named =
            asked(json!({"Filename": "x.json", "S3OutputPathExtension": "a/b/", "RequestTTLSeconds": 60}));
        let named = queued(&named, &config, 1);
        assert_eq!(named.output, "s3://b/out/a/b/x.json");
        assert_eq!(named.failure.as_deref(), Some("s3://b/err/a/b/x-error.json"));
        assert_eq!(named.expires, 60_001);
        let strange = queued(&asked(json!({"InferenceId": "../x"})), &config, 0);
        assert_eq!(strange.inference_id, "../x");
        assert!(!strange.output.contains(".."), "{}", strange.output);
    }

    #[test]
    fn exactly_one_payload_is_taken() {
        let located = asked(json!({"InputLocation": "s3://b/k"}));
        let inline = asked(json!({}));
        assert!(check_payload(&located, b"").is_ok() && check_payload(&inline, b"x").is_ok());
        assert!(check_payload(&located, b"x").is_err() && check_payload(&inline, b"").is_err());
        assert!(check_payload(&asked(json!({"InputLocation": "s3://b"})), b"").is_err());
        assert!(check_payload(&inline, &vec![0; ASYNC_BODY_BYTES + 1]).is_err());
    }
}
