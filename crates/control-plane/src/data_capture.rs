//! Data capture: what an endpoint configuration asks to be kept of requests and answers, and the
//! writer that keeps it as JSON lines in the object store.
//!
//! Promises: a line holds one whole request or answer pair in AWS's layout; what was taken from the
//! serving plane is written after at most [`CAPTURE_FILE_AGE`] and when the server ends. Never:
//! slows an invocation; what cannot be written is logged and lost.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sagebrush_env::random_hex;
use sagebrush_types::limits::{CAPTURE_FILE_AGE, CAPTURE_FILE_BYTES};
use sagebrush_types::{
    CaptureRoute, Captured, CapturedBody, EndpointName, Failure, HeldBytes, Outcome, s3_uri,
};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::ControlPlane;
use crate::request::refuse_if;

/// DataCaptureConfig of an endpoint configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct DataCaptureConfig {
    #[serde(default)]
    enable_capture: bool,
    initial_sampling_percentage: u8,
    destination_s3_uri: String,
    #[serde(default)]
    kms_key_id: String,
    capture_options: Vec<CaptureOption>,
    #[serde(default)]
    capture_content_type_header: ContentTypes,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CaptureOption {
    capture_mode: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ContentTypes {
    #[serde(default)]
    csv_content_types: Vec<String>,
    #[serde(default)]
    json_content_types: Vec<String>,
}

impl DataCaptureConfig {
    /// Refuses what cannot be kept.
    pub fn check(&self) -> Outcome<()> {
        s3_uri("DataCaptureConfig.DestinationS3Uri", &self.destination_s3_uri)?;
        refuse_if(
            !self.kms_key_id.is_empty(),
            "DataCaptureConfig.KmsKeyId",
            "this server has no key management, so nothing can be encrypted with a key of it. Leave it out.",
        )?;
        if self.capture_options.is_empty() {
            return Err(Failure::invalid("DataCaptureConfig.CaptureOptions: name at least one CaptureMode."));
        }
        Ok(())
    }

    /// What the serving plane needs to know; `None` while capture is off.
    pub fn route(&self) -> Option<CaptureRoute> {
        let takes = |mode: &str| {
            self.capture_options
                .iter()
                .any(|option| option.capture_mode == mode || option.capture_mode == "InputAndOutput")
        };
        self.enable_capture.then(|| CaptureRoute {
            percentage: f64::from(self.initial_sampling_percentage),
            input: takes("Input"),
            output: takes("Output"),
            destination: self.destination_s3_uri.clone(),
            csv: self.capture_content_type_header.csv_content_types.clone(),
            json: self.capture_content_type_header.json_content_types.clone(),
        })
    }

    /// What DescribeEndpoint shows of it.
    pub fn summary(&self) -> Value {
        json!({
            "EnableCapture": self.enable_capture,
            "CaptureStatus": if self.enable_capture { "Started" } else { "Stopped" },
            "CurrentSamplingPercentage": self.initial_sampling_percentage,
            "DestinationS3Uri": self.destination_s3_uri,
            "KmsKeyId": self.kms_key_id,
        })
    }
}

/// The DataCaptureConfig in an endpoint configuration's document.
pub fn of_config(config: &Value) -> Outcome<Option<DataCaptureConfig>> {
    config
        .get("DataCaptureConfig")
        .cloned()
        .map(serde_json::from_value)
        .transpose()
        .map_err(Failure::internal)
}

/// Lines of one variant that wait to become an object.
struct Buffer {
    since: Instant,
    first: i64,
    lines: Vec<u8>,
    held: Vec<HeldBytes>,
}

type Place = (EndpointName, String, String);

impl ControlPlane {
    /// Keeps what the serving plane captures until its end of the channel is gone or the server
    /// ends.
    pub fn keep_captures(&self, inbox: mpsc::Receiver<Captured>) {
        let plane = self.clone();
        self.shared.live.tasks.spawn(async move { plane.capture(inbox).await });
    }

    async fn capture(&self, mut inbox: mpsc::Receiver<Captured>) {
        let mut buffers: HashMap<Place, Buffer> = HashMap::new();
        let mut ticks = tokio::time::interval(CAPTURE_FILE_AGE / 4);
        let mut closing = false;
        loop {
            tokio::select! {
                captured = inbox.recv() => match captured {
                    Some(captured) => self.add(&mut buffers, captured).await,
                    None => break,
                },
                _ = ticks.tick() => {
                    let due = buffers.extract_if(|_, buffer| buffer.since.elapsed() >= CAPTURE_FILE_AGE);
                    let due: Vec<(Place, Buffer)> = due.collect();
                    for (place, buffer) in due {
                        self.write(&place, buffer).await;
                    }
                }
                () = self.shared.live.closing.cancelled(), if !closing => {
                    // What is in the channel is still taken; then `recv` has nothing more.
                    closing = true;
                    inbox.close();
                }
            }
        }
        for (place, buffer) in buffers {
            self.write(&place, buffer).await;
        }
    }

    async fn add(&self, buffers: &mut HashMap<Place, Buffer>, captured: Captured) {
        let line = line(&captured).to_string();
        let place = (captured.endpoint, captured.variant, captured.capture.destination.clone());
        let buffer = buffers.entry(place.clone()).or_insert_with(|| Buffer {
            since: Instant::now(),
            first: captured.at,
            lines: Vec::new(),
            held: Vec::new(),
        });
        buffer.lines.extend_from_slice(line.as_bytes());
        buffer.lines.push(b'\n');
        buffer.held.push(captured.held);
        if buffer.lines.len() >= CAPTURE_FILE_BYTES
            && let Some(buffer) = buffers.remove(&place)
        {
            self.write(&place, buffer).await;
        }
    }

    async fn write(&self, place: &Place, buffer: Buffer) {
        let ((_, endpoint), variant, destination) = place;
        // The configuration was checked when it was made.
        let Ok((bucket, prefix)) = s3_uri("DestinationS3Uri", destination) else { return };
        let key = key(prefix, endpoint, variant, buffer.first);
        let stored = self.objects().store_bytes(bucket, &key, buffer.lines, "application/jsonlines").await;
        if let Err(error) = stored {
            tracing::warn!(endpoint, variant, "captured data could not be written to {destination}: {error}");
        }
    }
}

/// AWS's layout: `prefix/endpoint/variant/yyyy/mm/dd/hh/mm-ss-millis-identity.jsonl`.
fn key(prefix: &str, endpoint: &str, variant: &str, at: i64) -> String {
    let time = time_of(at);
    let prefix = prefix.trim_end_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let hex = random_hex(16);
    format!(
        "{prefix}{endpoint}/{variant}/{:04}/{:02}/{:02}/{:02}/{:02}-{:02}-{:03}-{}-{}-{}-{}-{}.jsonl",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond(),
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn time_of(milliseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn line(captured: &Captured) -> Value {
    let mut data = json!({});
    for (member, mode, body) in
        [("endpointInput", "INPUT", &captured.input), ("endpointOutput", "OUTPUT", &captured.output)]
    {
        if let Some(body) = body {
            data[member] = body_document(&captured.capture, mode, body);
        }
    }
    let time = time_of(captured.at).replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut metadata = json!({"eventId": captured.event_id});
    if let Some(id) = &captured.inference_id {
        metadata["inferenceId"] = json!(id);
    }
    metadata["inferenceTime"] = json!(time.format(&Rfc3339).unwrap_or_default());
    json!({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"})
}

fn body_document(capture: &CaptureRoute, mode: &str, body: &CapturedBody) -> Value {
    let essence = body.content_type.split(';').next().unwrap_or_default().trim();
    let listed = |types: &[String]| types.iter().any(|listed| listed.eq_ignore_ascii_case(essence));
    let text = std::str::from_utf8(&body.data).ok();
    let (data, encoding) = match text {
        Some(text) if listed(&capture.csv) => (text.to_owned(), "CSV"),
        Some(text) if listed(&capture.json) => (text.to_owned(), "JSON"),
        _ => (STANDARD.encode(&body.data), "BASE64"),
    };
    json!({"observedContentType": body.content_type, "mode": mode, "data": data, "encoding": encoding})
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use sagebrush_types::ByteBudget;

    use super::*;

    fn config(more: Value) -> DataCaptureConfig {
        let mut config = json!({"EnableCapture": true, "InitialSamplingPercentage": 100,
            "DestinationS3Uri": "s3://b/p", "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}});
        if let (Some(all), Some(more)) = (config.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn a_line_has_the_layout_of_model_monitor() {
        let body = |kind: &str, data: &'static [u8]| {
            Some(CapturedBody { content_type: kind.into(), data: bytes::Bytes::from_static(data) })
        };
        let captured = Captured {
            endpoint: ("r".into(), "e".into()),
            variant: "v".into(),
            capture: Arc::new(config(json!({})).route().unwrap()),
            event_id: "id".into(),
            inference_id: Some("mine".into()),
            at: 1_500,
            input: body("text/csv; charset=utf-8", b"1,2"),
            output: body("application/x-thing", b"\xff"),
            held: ByteBudget::new(4).take(4).unwrap(),
        };
        let expected = json!({
            "captureData": {
                "endpointInput": {"observedContentType": "text/csv; charset=utf-8", "mode": "INPUT", "data": "1,2",
                                  "encoding": "CSV"},
                "endpointOutput": {"observedContentType": "application/x-thing", "mode": "OUTPUT", "data": "/w==",
                                   "encoding": "BASE64"}},
            "eventMetadata": {"eventId": "id", "inferenceId": "mine", "inferenceTime": "1970-01-01T00:00:01Z"},
            "eventVersion": "0"});
        assert_eq!(line(&captured), expected);
    }

    #[test]
    fn keys_sort_by_time_under_endpoint_and_variant() {
        let key = key("a/b/", "e", "v", 1_700_000_000_123);
        assert!(key.starts_with("a/b/e/v/2023/11/14/22/13-20-123-"), "{key}");
        assert!(key.ends_with(".jsonl"));
    }

    #[test]
    fn what_is_off_is_not_routed_and_keys_are_refused() {
        assert_eq!(config(json!({"EnableCapture": false})).route(), None);
        assert!(config(json!({"KmsKeyId": "k"})).check().is_err());
        let only_input = config(json!({"CaptureOptions": [{"CaptureMode": "Input"}]})).route();
        assert!(only_input.is_some_and(|route| route.input && !route.output));
    }
}
