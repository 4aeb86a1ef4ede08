//! The one port: invocations go to the serving plane, everything else to the control API.

use axum::extract::Request;
use axum::response::Response;
use sagebrush_api_server::ApiServer;
use sagebrush_auth::Signed;
use sagebrush_inference::{Inference, Manner};
use sagebrush_wire::{Target, recognise};

/// Both front doors.
pub struct Front {
    /// The control API.
    pub api: ApiServer,
    /// The serving plane.
    pub inference: Inference,
}

impl Front {
    /// Answers one request.
    pub async fn handle(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        // Only a claim so far: each door verifies it before anything is done.
        let scope = Signed::parse(&parts.headers).ok().map(|signed| signed.credential.service);
        let target = recognise(&parts, scope.as_deref());
        let request = Request::from_parts(parts, body);
        match target {
            Target::Invoke(endpoint) => self.inference.invoke(Manner::Whole, &endpoint, request).await,
            Target::InvokeStream(endpoint) => self.inference.invoke(Manner::Stream, &endpoint, request).await,
            other => self.api.handle(other, request).await,
        }
    }
}
