//! Signing a request of our own: what the client side of the binary does.

use http::HeaderValue;
use http::request::Parts;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::canonical::{CanonicalRequest, sha256_hex, signature};
use crate::{AccessKey, AuthFailure};

/// How the body enters the signature.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// The body itself.
    Bytes(&'a [u8]),
    /// The lower-case hexadecimal SHA-256 of the body.
    Sha256(&'a str),
    /// Not at all; only S3 accepts it.
    Unsigned,
}

/// Adds `Host` (when absent), `X-Amz-Date`, `X-Amz-Content-Sha256` (for S3) and `Authorization` to
/// a request. The URI must be absolute, its path and query percent-encoded.
///
/// # Errors
/// `Incomplete` when the URI has no host or a header value cannot be formed.
pub fn sign_request(
    parts: &mut Parts,
    payload: Payload<'_>,
    key: &AccessKey,
    region: &str,
    service: &str,
    at: OffsetDateTime,
) -> Result<(), AuthFailure> {
    let incomplete = |text: &str| AuthFailure::Incomplete(text.to_owned());
    let stamp = format_description!("[year][month][day]T[hour][minute][second]Z");
    let date_time = at
        .to_offset(time::UtcOffset::UTC)
        .format(&stamp)
        .map_err(|_| incomplete("the time cannot be written"))?;
    let date = &date_time[..8];
    let authority = parts.uri.authority().ok_or_else(|| incomplete("the address has no host"))?;
    let host =
        HeaderValue::from_str(authority.as_str()).map_err(|_| incomplete("the host cannot be sent"))?;
    parts.headers.entry(http::header::HOST).or_insert(host);
    let hash = match payload {
        Payload::Bytes(bytes) => sha256_hex(bytes),
        Payload::Sha256(hash) => hash.to_owned(),
        Payload::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
    };
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| incomplete("a header cannot be sent"));
    parts.headers.insert("x-amz-date", value(&date_time)?);
    if service == "s3" {
        parts.headers.insert("x-amz-content-sha256", value(&hash)?);
    }
    let mut signed: Vec<&str> = parts
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| *name == "host" || *name == "content-type" || name.starts_with("x-amz"))
        .collect();
    signed.sort_unstable();
    let canonical = CanonicalRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        signed_headers: &signed,
        payload_hash: &hash,
        service,
    }
    .text()
    .map_err(|name| AuthFailure::Incomplete(format!("the header '{name}' is missing")))?;
    let signature = signature(key.secret.expose(), &canonical, &date_time, date, region, service);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{date}/{region}/{service}/aws4_request, SignedHeaders={}, Signature={}",
        key.id,
        signed.join(";"),
        hex::encode(signature)
    );
    parts.headers.insert(http::header::AUTHORIZATION, value(&authorization)?);
    Ok(())
}
