//! What s3s needs done to a request before it reads it, so that every signature that is right is taken for
//! right: it sorts query parameters by name alone, where the signing process sorts those of one name by
//! value too, and it does not see a session token in the older form of presigned URLs.

use http::request::Parts;
use http::{HeaderValue, Uri};

use super::access::parameter;

/// Prepares a request.
pub(super) fn prepare(parts: &mut Parts) {
    let Some(query) = parts.uri.query() else { return };
    // In the older form everything that is signed as a header stands in the query.
    let token = parameter(query, "x-amz-security-token");
    let is_older_form =
        parameter(query, "AWSAccessKeyId").is_some() && parameter(query, "Signature").is_some();
    let sorted = sorted(query);
    if let (true, Some(token)) = (is_older_form, token)
        && let Ok(value) = HeaderValue::from_str(&token)
    {
        parts.headers.insert("x-amz-security-token", value);
    }
    if let Some(uri) = sorted.and_then(|query| with_query(&parts.uri, &query)) {
        parts.uri = uri;
    }
}

/// The query with parameters of one name sorted by value, or `None` when no name stands twice.
fn sorted(query: &str) -> Option<String> {
    let mut pairs: Vec<(&str, &str)> =
        query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.sort_unstable();
    let repeated = pairs.windows(2).any(|pair| pair[0].0 == pair[1].0);
    repeated.then(|| {
        // A name without `=` means the same with one.
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    })
}

fn with_query(uri: &Uri, query: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{query}", uri.path()).parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_sorted_by_value() {
        assert_eq!(sorted("b=2&a=1&b=1&c").as_deref(), Some("a=1&b=1&b=2&c="));
        assert_eq!(sorted("b=2&a=1&c"), None);
    }
}
