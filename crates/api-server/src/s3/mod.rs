//! The S3 front door: the S3 REST protocol over the object store.
//!
//! `s3s` parses, verifies signatures and encodes; what is here decides which requests are served,
//! turns them into calls of the store and answers as S3 does.
//!
//! Promises: every request is signed or refused; a field that would change what happens and is not
//! supported is refused with `NotImplemented`; no body is held in memory.
//!
//! Never: files, SQL, or a second copy of a rule that the store already checks.

mod access;
mod audit;
mod bucket;
mod checksum;
mod chunked;
mod condition;
mod copy;
mod delete;
mod error;
mod get;
mod list;
mod multipart;
mod operations;
mod permission;
mod prepare;
mod put;
mod refusal;
mod tagging;

use std::cell::RefCell;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use sagebrush_access::Access;
use sagebrush_auth::Origin;
use sagebrush_object_store::ObjectStore;
use tokio::sync::Semaphore;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use uuid::Uuid;

use crate::unread;
use access::{Gate, Hosts, Keys, SENDER, Sender};
use chunked::Bounded;

/// XML bodies: the largest honest one, a CompleteMultipartUpload of 10,000 parts, has about
/// 2.5 MiB. They are held in memory.
const XML_BYTES: usize = 4 << 20;

/// Objects posted as HTML forms: s3s holds the file in memory until the form's policy is checked.
const FORM_BYTES: u64 = 16 << 20;

/// Forms at once, with [`FORM_BYTES`] each. Their memory is taken before their signature is known.
const FORMS_AT_ONCE: usize = 4;

/// Fields of a form beside its file.
const FORM_FIELD_BYTES: usize = 64 << 10;

/// The S3 API of one object store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct S3FrontDoor {
    service: S3Service,
    access: Arc<Access>,
    forms: Arc<Semaphore>,
}

/// What the operations know.
pub(crate) struct Operations {
    store: ObjectStore,
    account: String,
    region: String,
}

/// The S3 API over `store` for the account that owns everything in it, for whom `access` lets in.
/// `region` is where buckets lie when a request does not say; buckets have host names under `domain`
/// beside those under localhost.
pub fn service(
    store: ObjectStore,
    access: Arc<Access>,
    region: String,
    domain: Option<String>,
) -> S3FrontDoor {
    let account = access.directory.account().to_owned();
    let mut config = S3Config::default();
    config.presigned_url_max_skew_time_secs = u32::try_from(access.skew.as_secs()).unwrap_or(u32::MAX);
    config.xml_max_body_size = XML_BYTES;
    config.post_object_max_file_size = FORM_BYTES;
    config.form_max_field_size = FORM_FIELD_BYTES;
    config.form_max_fields_size = FORM_FIELD_BYTES;
    config.form_max_parts = 100;
    let mut builder = S3ServiceBuilder::new(Operations { store, account, region: region.clone() });
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.set_auth(Keys(Arc::clone(&access)));
    builder.set_access(Gate { access: Arc::clone(&access), region });
    builder.set_host(Hosts::new(domain));
    S3FrontDoor { service: builder.build(), access, forms: Arc::new(Semaphore::new(FORMS_AT_ONCE)) }
}

impl S3FrontDoor {
    /// Answers one request.
    pub async fn handle(&self, request: Request) -> Response {
        let request_id = Uuid::new_v4().simple().to_string()[..16].to_ascii_uppercase();
        let _place = if is_form(request.headers()) {
            let Ok(place) = self.forms.try_acquire() else {
                return complete(too_many_forms(), &request_id).0;
            };
            Some(place)
        } else {
            None
        };
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let (mut parts, body) = request.into_parts();
        prepare::prepare(&mut parts);
        let sender = Sender {
            token: access::session_token(&parts),
            origin: Origin::of(&parts.headers, &parts.extensions),
            ..Sender::default()
        };
        let (body, rest) = unread::watch(body);
        let body = match chunked::signed_chunks(&headers) {
            Some(signed) => s3s::Body::http_body_unsync(Bounded::new(body, signed)),
            None => s3s::Body::http_body_unsync(body),
        };
        let request = Request::from_parts(parts, body);
        // s3s logs every refusal as an error; those are the clients' affair. What fails here is
        // noted in the cause and logged below.
        let call = async {
            let answer = self.service.call(request).with_subscriber(NoSubscriber::default()).await;
            (answer, error::CAUSE.with(RefCell::take), SENDER.with(RefCell::take))
        };
        let call = SENDER.scope(RefCell::new(sender), call);
        let (answer, cause, sender) = error::CAUSE.scope(RefCell::default(), call).await;
        if let Some(cause) = cause {
            tracing::error!(request_id, cause, "the object store failed");
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::error!(request_id, ?failure, "an S3 answer could not be encoded");
                let mut answer = s3s::HttpResponse::new(s3s::Body::empty());
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                answer
            }
        };
        let (mut answer, code) = complete(answer, &request_id);
        let (entry, effect) = audit::entry(&sender, &method, answer.status(), code, request_id);
        self.access.audit.write(entry, &sender.origin, effect).await;
        if !rest.read_away(&headers).await {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"))
}

fn too_many_forms() -> s3s::HttpResponse {
    let refusal = s3s::s3_error!(SlowDown, "Too many form uploads at once. Please try again.");
    refusal.to_http_response().unwrap_or_else(|_| s3s::HttpResponse::new(s3s::Body::empty()))
}

/// Adds what s3s leaves out: the request's identifier, and in errors a message. Answers the error's code
/// too, or nothing.
fn complete(mut answer: s3s::HttpResponse, request_id: &str) -> (Response, String) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        answer.headers_mut().insert("x-amz-request-id", value.clone());
        answer.headers_mut().insert("x-amz-id-2", value);
    }
    let status = answer.status();
    if status == StatusCode::NOT_MODIFIED {
        answer.headers_mut().remove(CONTENT_LENGTH);
        answer.headers_mut().remove(CONTENT_TYPE);
        return (answer.map(|_| Body::empty()), String::new());
    }
    if (status.is_client_error() || status.is_server_error())
        && let Some(document) = answer.body().bytes()
        && let Ok(text) = std::str::from_utf8(&document)
        && text.contains("</Error>")
    {
        let code = error::code_of(text).unwrap_or_default().to_owned();
        let text = error::complete_document(text, request_id);
        answer.headers_mut().remove(CONTENT_LENGTH);
        return (answer.map(|_| Body::from(text)), code);
    }
    (answer.map(Body::new), String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use sagebrush_auth::{AccessKey, SecretKey};

    async fn answer(request: http::request::Builder, body: Body) -> (StatusCode, HeaderMap, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = ObjectStore::open(folder.path()).await.expect("a store");
        let first = AccessKey { id: "AKIAFIRST".into(), secret: SecretKey::new("first".into()) };
        let (clock, skew) = (sagebrush_env::Clock::system(), std::time::Duration::from_secs(900));
        let access = Access::open(folder.path(), "123456789012", first, clock, skew).expect("access");
        let front = service(store, Arc::new(access), "us-east-1".into(), None);
        let answer = front.handle(request.body(body).expect("a request")).await;
        let (parts, body) = answer.into_parts();
        let text = body.collect().await.expect("a body").to_bytes();
        (parts.status, parts.headers, String::from_utf8_lossy(&text).into_owned())
    }

    #[tokio::test]
    async fn what_is_not_signed_is_refused_with_a_message_and_an_identifier() {
        let requests = [
            ("GET", "/bucket/key", Body::empty()),
            ("PUT", "/bucket/key", Body::from("small")),
            ("POST", "/bucket?delete", Body::from("<Delete/>")),
        ];
        for (method, path, body) in requests {
            let (status, headers, text) = answer(Request::builder().method(method).uri(path), body).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
            assert!(text.contains("<Code>AccessDenied</Code>"));
            assert!(text.contains("<Message>Access Denied"));
            let id = headers["x-amz-request-id"].to_str().expect("text");
            assert!(text.contains(&format!("<RequestId>{id}</RequestId>")));
            assert!(!headers.contains_key(CONNECTION));
        }
    }

    #[tokio::test]
    async fn a_refusal_without_reading_a_large_body_closes_the_connection() {
        let request = Request::builder().method("PUT").uri("/bucket/key");
        let (status, headers, _) = answer(request, Body::from(vec![0; 4 << 20])).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(headers[CONNECTION], "close");
    }

    #[tokio::test]
    async fn unknown_keys_and_replayable_signatures_are_refused() {
        let presigned = "/bucket/key?AWSAccessKeyId=NOBODY&Signature=c2ln&Expires=99999999999";
        let (status, _, text) = answer(Request::builder().uri(presigned), Body::empty()).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(text.contains("InvalidAccessKeyId"), "{text}");
        let form = Request::builder()
            .method("POST")
            .uri("/bucket")
            .header(CONTENT_TYPE, "multipart/form-data; boundary=b");
        let body = "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--b\r\n\
            Content-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n";
        let (status, _, text) = answer(form, Body::from(body)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
    }
}
