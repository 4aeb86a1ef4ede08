//! Lists: repositories, and the tags of one.

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, LINK};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sagebrush_registry::Result;
use sagebrush_registry::limits::PAGE;
use serde_json::{Value, json};

use super::route::parameter;
use super::{Asked, put_header};

/// Entries of a page when the client names no number.
const DEFAULT: usize = 100;

/// The page that a request asks for.
struct Page {
    after: String,
    limit: usize,
}

impl Page {
    fn of(asked: &Asked<'_>) -> Self {
        let limit = parameter(&asked.query, "n").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT);
        Self { after: parameter(&asked.query, "last").unwrap_or_default(), limit: limit.min(PAGE) }
    }

    /// The answer, with the address of the next page when this one is full.
    fn answer(&self, path: &str, list: &[String], document: &Value) -> Response {
        let mut response = Response::new(Body::from(document.to_string()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(last) = list.last()
            && list.len() == self.limit
        {
            let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
            let next = format!("<{path}?n={}&last={last}>; rel=\"next\"", self.limit);
            put_header(&mut response, LINK, &next);
        }
        response
    }
}

/// `GET /v2/_catalog`.
pub(super) async fn catalog(asked: &Asked<'_>) -> Result<Response> {
    let page = Page::of(asked);
    let region = &asked.login.caller.region;
    let found = asked.registry().repositories(region, &page.after, page.limit).await?;
    let names: Vec<String> = found.into_iter().map(|repository| repository.name).collect();
    Ok(page.answer("/v2/_catalog", &names, &json!({"repositories": names})))
}

/// `GET /v2/<name>/tags/list`.
pub(super) async fn tags(asked: &Asked<'_>, name: &str) -> Result<Response> {
    let page = Page::of(asked);
    let tags = asked.registry().tags(asked.repository(name), &page.after, page.limit).await?;
    Ok(page.answer(&format!("/v2/{name}/tags/list"), &tags, &json!({"name": name, "tags": tags})))
}
