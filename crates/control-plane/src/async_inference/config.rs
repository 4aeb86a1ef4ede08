//! AsyncInferenceConfig of an endpoint configuration.

use sagebrush_types::limits::ASYNC_CONCURRENT;
use sagebrush_types::{Failure, Outcome, s3_uri};
use serde::Deserialize;
use serde_json::Value;

use crate::request::refuse_if;

/// The members that are acted on.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct AsyncInferenceConfig {
    #[serde(default)]
    client_config: ClientConfig,
    output_config: OutputConfig,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ClientConfig {
    max_concurrent_invocations_per_instance: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OutputConfig {
    #[serde(rename = "S3OutputPath")]
    output_path: Option<String>,
    #[serde(rename = "S3FailurePath")]
    failure_path: Option<String>,
    kms_key_id: Option<String>,
    notification_config: Option<Value>,
}

impl AsyncInferenceConfig {
    /// Refuses what cannot be or is not done here.
    ///
    /// # Errors
    /// `Invalid` for paths that are no S3 URIs; `Unsupported` for notifications, keys and endpoints
    /// of several variants.
    pub fn check(&self, variants: usize) -> Outcome<()> {
        let output = &self.output_config;
        check_place("S3OutputPath", self.output_path())?;
        self.failure_path().map_or(Ok(()), |path| check_place("S3FailurePath", path))?;
        let asked = output.notification_config.as_ref().and_then(Value::as_object);
        refuse_if(
            asked.is_some_and(|members| !members.is_empty()),
            "AsyncInferenceConfig.OutputConfig.NotificationConfig",
            "there are no SNS topics here. Look for the objects at OutputLocation and FailureLocation.",
        )?;
        refuse_if(
            output.kms_key_id.as_deref().is_some_and(|key| !key.is_empty()),
            "AsyncInferenceConfig.OutputConfig.KmsKeyId",
            "encryption with KMS keys is not supported.",
        )?;
        refuse_if(
            variants != 1,
            "AsyncInferenceConfig",
            "asynchronous endpoints have one production variant.",
        )
    }

    /// Requests in flight per model server.
    pub fn concurrent(&self) -> usize {
        self.client_config.max_concurrent_invocations_per_instance.unwrap_or(ASYNC_CONCURRENT)
    }

    /// Where answers go.
    pub fn output_path(&self) -> &str {
        self.output_config.output_path.as_deref().unwrap_or_default()
    }

    /// Where errors go.
    pub fn failure_path(&self) -> Option<&str> {
        self.output_config.failure_path.as_deref()
    }

    /// The configuration inside an endpoint configuration's document; `None` for an endpoint that
    /// answers in real time.
    pub fn of(config: &Value) -> Outcome<Option<Self>> {
        let member = &config["AsyncInferenceConfig"];
        if member.is_null() {
            return Ok(None);
        }
        serde_json::from_value(member.clone()).map(Some).map_err(Failure::internal)
    }
}

fn check_place(member: &str, path: &str) -> Outcome<()> {
    let field = format!("AsyncInferenceConfig.OutputConfig.{member}");
    s3_uri(&field, path)?;
    if path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "{field}: '{path}' may hold visible ASCII characters alone, because answers name it in a header."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::decode;
    use serde_json::json;

    fn check(output: Value, variants: usize) -> Result<(), String> {
        let config: AsyncInferenceConfig =
            decode("x", &json!({"OutputConfig": output})).expect("a configuration");
        config.check(variants).map_err(|failure| failure.message)
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let good =
            json!({"S3OutputPath": "s3://b/out", "S3FailurePath": "s3://b/err", "NotificationConfig": {}});
        assert_eq!(check(good.clone(), 1), Ok(()));
        assert!(check(good, 2).is_err_and(|why| why.contains("one production variant")));
        for (output, expected) in [
            (json!({}), "S3OutputPath"),
            (json!({"S3OutputPath": "s3://b", "S3FailurePath": "x"}), "S3FailurePath"),
            (
                json!({"S3OutputPath": "s3://b", "NotificationConfig": {"ErrorTopic": "arn"}}),
                "NotificationConfig",
            ),
            (json!({"S3OutputPath": "s3://b/\u{e4}"}), "visible ASCII"),
            (json!({"S3OutputPath": "s3://b", "KmsKeyId": "k"}), "KmsKeyId"),
        ] {
            assert!(check(output, 1).is_err_and(|why| why.contains(expected)), "{expected}");
        }
    }
}
