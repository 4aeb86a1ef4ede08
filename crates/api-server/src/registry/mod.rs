//! The registry's front door: the OCI distribution protocol below `/v2/`, which container engines speak.
//! A request is routed, its sender proven by a password of GetAuthorizationToken, allowed by the policies
//! that ECR's operations ask, and carried out by the registry.
//!
//! Promises: no byte of a body is read for a sender who is not proven and allowed; layers are streamed, never
//! held; every request leaves a line in the audit log; failures have the protocol's codes. Never: files, SQL,
//! rules of images.
//!
//! Sources: OCI Distribution Specification 1.1; what Amazon ECR answers to engines.

mod blob;
mod error;
mod listing;
mod login;
mod manifest;
mod route;
mod source;
mod upload;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sagebrush_access::audit::{Effect, Entry};
use sagebrush_access::{Access, RegistryLogin};
use sagebrush_auth::Origin;
use sagebrush_registry::limits::MANIFEST_BYTES;
use sagebrush_registry::{Registry, RepositoryName};
use uuid::Uuid;

use crate::unread::{self, Watched};
pub(crate) use error::words;
use error::{Refusal, refused};
use route::{Route, Step};
pub use source::ImageSource;

const VERSION_HEADER: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const DIGEST_HEADER: HeaderName = HeaderName::from_static("docker-content-digest");
const UPLOAD_HEADER: HeaderName = HeaderName::from_static("docker-upload-uuid");

type Answer = Result<Response, Refusal>;

/// The registry for engines. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RegistryFrontDoor {
    /// Where images are.
    pub registry: Registry,
    /// Who is let in, and for what.
    pub access: Arc<Access>,
    /// Where engines reach this server: `http://127.0.0.1:9400`.
    pub url: String,
}

/// Bytes of a request's body that are held in memory: layers are streamed.
pub fn body_in_memory(parts: &Parts) -> usize {
    let is_manifest = parts.method == Method::PUT && parts.uri.path().contains("/manifests/");
    if is_manifest { MANIFEST_BYTES } else { 0 }
}

/// A request of a sender who is proven, for a place that exists.
struct Asked<'a> {
    door: &'a RegistryFrontDoor,
    login: RegistryLogin,
    origin: Origin,
    headers: HeaderMap,
    query: String,
    method: Method,
}

impl RegistryFrontDoor {
    /// The host that stands in names of images.
    pub fn host(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, host)| host)
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request) -> Response {
        let id = Uuid::new_v4().to_string();
        let (parts, body) = request.into_parts();
        let headers = parts.headers.clone();
        let origin = Origin::of(&parts.headers, &parts.extensions);
        let (body, rest) = unread::watch(body);
        let mut entry = Entry { request_id: id.clone(), service: "ecr".into(), ..Entry::default() };
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let answer = self.answer(parts, body, origin.clone(), &mut entry).await;
        let mut response = answer.unwrap_or_else(|refusal| {
            entry.error = refusal.code.to_owned();
            refusal.response()
        });
        entry.status = response.status().as_u16();
        let effect = if is_read { Effect::Reads } else { Effect::Changes };
        self.access.audit.write(entry, &origin, effect).await;
        let fixed = response.headers_mut();
        fixed.insert(VERSION_HEADER, HeaderValue::from_static("registry/2.0"));
        if let Ok(value) = HeaderValue::from_str(&id) {
            fixed.insert("x-amzn-requestid", value);
        }
        if !rest.read_away(&headers).await {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn answer(&self, parts: Parts, body: Watched, origin: Origin, entry: &mut Entry) -> Answer {
        let login = self.login(&parts.headers)?;
        entry.access_key_id.clone_from(&login.caller.access_key_id);
        entry.principal.clone_from(&login.caller.principal.arn);
        let path = percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        let route = Route::of(&path).ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", format!("there is nothing at {path}"))
        })?;
        let step = route.step(&parts.method).ok_or_else(|| {
            let message = format!("{} {path} is not supported by this registry", parts.method);
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
        })?;
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let asked = Asked { door: self, login, origin, headers: parts.headers, query, method: parts.method };
        step.action().clone_into(&mut entry.operation);
        entry.resource = asked.resource(route.name());
        asked.may(step.action(), route.name())?;
        asked.carry_out(route, step, body).await
    }
}

impl Asked<'_> {
    fn registry(&self) -> &Registry {
        &self.door.registry
    }

    /// The repository of a name: the password says in which region.
    fn repository<'n>(&'n self, name: &'n str) -> RepositoryName<'n> {
        RepositoryName { region: &self.login.caller.region, name }
    }

    fn resource(&self, name: Option<&str>) -> String {
        let account = self.door.access.directory.account();
        name.map_or_else(
            || "*".to_owned(),
            |name| format!("arn:aws:ecr:{}:{account}:repository/{name}", self.login.caller.region),
        )
    }

    /// May the sender do this to a repository, or to all of them?
    fn may(&self, action: &str, name: Option<&str>) -> Result<(), Refusal> {
        if action.is_empty() {
            return Ok(());
        }
        let reads =
            matches!(action, "BatchGetImage" | "GetDownloadUrlForLayer" | "BatchCheckLayerAvailability");
        if let Some(only) = &self.login.only
            && (!reads || name != Some(only.as_str()))
        {
            return Err(Refusal::denied("this password is for pulling from one repository alone".to_owned()));
        }
        let resource = match name {
            Some(_) => self.resource(name),
            None => self.resource(Some("*")),
        };
        let action = format!("ecr:{action}");
        let access = &self.door.access;
        access
            .check(&self.login.caller, &self.origin, &action, &resource, &Vec::new())
            .map_err(Refusal::denied)
    }

    async fn carry_out(&self, route: Route<'_>, step: Step, body: Watched) -> Answer {
        let answer = match (route, step) {
            (Route::Version, _) => Ok(Response::new(Body::from("{}"))),
            (Route::Catalog, _) => listing::catalog(self).await,
            (Route::Tags { name }, _) => listing::tags(self, name).await,
            (Route::Manifest { name, reference }, Step::PutManifest) => {
                manifest::put(self, name, reference, body).await
            }
            (Route::Manifest { name, reference }, Step::DeleteManifest) => {
                manifest::delete(self, name, reference).await
            }
            (Route::Manifest { name, reference }, _) => manifest::get(self, name, reference).await,
            (Route::Blob { name, digest }, Step::DeleteBlob) => blob::delete(self, name, digest).await,
            (Route::Blob { name, digest }, _) => blob::get(self, name, digest).await,
            (Route::Uploads { name }, _) => upload::begin(self, name, body).await,
            (Route::Upload { name, id }, Step::Append) => upload::append(self, name, id, body).await,
            (Route::Upload { name, id }, Step::Finish) => upload::finish(self, name, id, body).await,
            (Route::Upload { name, id }, Step::Cancel) => upload::cancel(self, name, id).await,
            (Route::Upload { name, id }, _) => upload::status(self, name, id).await,
        };
        answer.map_err(|failure| refused(&failure, self.door.access.directory.account()))
    }
}

/// An answer without a body.
fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Adds a header whose value is made of digests, numbers and names that were checked.
fn put_header(response: &mut Response, name: impl http::header::IntoHeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests;
