//! The answer to InvokeEndpointWithResponseStream: the model server's bytes as they come, each piece
//! an event, and an error in the middle as the event that AWS's model has for it.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use sagebrush_types::limits::INVOKE_BODY_BYTES;
use sagebrush_types::{CapturedBody, InFlight};
use sagebrush_wire::{ErrorShape, event_stream};
use serde_json::json;

use crate::forward::{self, Sent};
use crate::observe::Observed;

const ANSWER_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-amzn-sagemaker-content-type");

/// An answer under way.
struct Flow {
    sent: Sent,
    observed: Observed,
    /// What has come so far, when the answer is captured.
    output: Option<BytesMut>,
    content_type: String,
    status: u16,
    /// The server is taken until its last byte.
    _place: InFlight,
}

/// Answers with the model server's bytes as they come.
///
/// # Errors
/// The model server's error, when its answer begins with one.
pub async fn respond(sent: Sent, observed: Observed, place: InFlight) -> Result<Response, ErrorShape> {
    let status = sent.answer.status();
    if !status.is_success() {
        let (error, status, took) = match forward::read(sent).await {
            Ok(answer) => {
                let error = forward::model_error(observed.variant(), observed.backend(), &answer);
                (error, status.as_u16(), Some(answer.took))
            }
            Err(failure) => {
                let (error, status) = failure.told(observed.endpoint(), observed.variant());
                (error, status, None)
            }
        };
        observed.answered(status, took, None);
        return Err(error);
    }
    let headers = sent.answer.headers().clone();
    let variant = observed.variant().to_owned();
    let flow = Flow {
        sent,
        output: observed.keeps_output().then(BytesMut::new),
        observed,
        content_type: forward::content_type(&headers),
        status: status.as_u16(),
        _place: place,
    };
    let mut response = Response::new(Body::from_stream(stream::unfold(Some(flow), next)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(event_stream::EVENT_STREAM));
    forward::pass_back(&headers, CONTENT_TYPE, ANSWER_CONTENT_TYPE, &mut response);
    forward::mark(&variant, &headers, &mut response);
    Ok(response)
}

async fn next(flow: Option<Flow>) -> Option<(Result<Bytes, Infallible>, Option<Flow>)> {
    let mut flow = flow?;
    match flow.sent.answer.chunk().await {
        Ok(Some(chunk)) => {
            flow.keep(&chunk);
            Some((Ok(event_stream::event("PayloadPart", &chunk).into()), Some(flow)))
        }
        Ok(None) => {
            flow.end(true);
            None
        }
        Err(error) => {
            let code = if error.is_timeout() { "ModelInvocationTimeExceeded" } else { "StreamBroken" };
            let message = if error.is_timeout() {
                "The model server did not finish its answer in time."
            } else {
                "The model server closed the connection in the middle of its answer."
            };
            tracing::warn!(endpoint = flow.observed.endpoint(), variant = flow.observed.variant(), %error, "a stream broke");
            flow.end(false);
            let members = json!({"Message": message, "ErrorCode": code});
            Some((Ok(event_stream::exception("ModelStreamError", &members).into()), None))
        }
    }
}

impl Flow {
    fn keep(&mut self, chunk: &Bytes) {
        let fits = self.output.as_ref().is_some_and(|output| output.len() + chunk.len() <= INVOKE_BODY_BYTES);
        match &mut self.output {
            Some(output) if fits => output.extend_from_slice(chunk),
            // Half an answer would be a wrong record.
            _ => self.output = None,
        }
    }

    fn end(self, whole: bool) {
        let took = whole.then(|| self.sent.at.elapsed());
        let kept = self.output.filter(|_| whole);
        let input_only = !self.observed.keeps_output() && whole;
        let output = kept.or_else(|| input_only.then(BytesMut::new));
        let body = output.map(|data| CapturedBody { content_type: self.content_type, data: data.freeze() });
        let status = if whole { self.status } else { 500 };
        self.observed.answered(status, took, body);
    }
}
