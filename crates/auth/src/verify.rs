//! Verifying the Authorization header of a request.

use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;
use subtle::ConstantTimeEq;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use crate::canonical::{CanonicalRequest, signature};
use crate::{AuthFailure, Found, KeyRing, Principal};

pub use crate::canonical::sha256_hex;

/// The credential scope of a signature, as claimed and not yet proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Access key id.
    pub access_key_id: String,
    /// Day of the scope, `YYYYMMDD`.
    pub date: String,
    /// Region of the scope.
    pub region: String,
    /// Service of the scope.
    pub service: String,
}

/// A parsed signature: what it claims, before anything is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Who claims to have signed, and for which region and service.
    pub credential: Credential,
    signed_headers: Vec<String>,
    /// Lower-case hexadecimal, as it was sent.
    signature: String,
    date_time: String,
    /// The session token, for temporary credentials.
    token: Option<String>,
}

/// The proven sender of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// Access key id.
    pub access_key_id: String,
    /// Region the request was signed for.
    pub region: String,
    /// Service the request was signed for.
    pub service: String,
    /// Who it is.
    pub principal: Arc<Principal>,
}

impl Signed {
    /// Reads the Authorization header.
    ///
    /// # Errors
    /// `Missing` without one, `Incomplete` when a part of it cannot be read.
    pub fn parse(headers: &HeaderMap) -> Result<Self, AuthFailure> {
        let header = headers.get(http::header::AUTHORIZATION).ok_or(AuthFailure::Missing)?;
        let text = header.to_str().map_err(|_| incomplete("Authorization header is not ASCII"))?;
        let fields = text
            .strip_prefix("AWS4-HMAC-SHA256")
            .ok_or_else(|| incomplete("Unsupported AWS 'algorithm': sign with AWS4-HMAC-SHA256"))?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
                .filter(|value| !value.is_empty())
                .ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        let credential = parse_credential(field("Credential")?)?;
        let signed_headers: Vec<String> = field("SignedHeaders")?.split(';').map(str::to_owned).collect();
        if !signed_headers.iter().any(|name| name == "host") {
            return Err(incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization."));
        }
        let signature = field("Signature")?.to_owned();
        let date_time = headers
            .get("x-amz-date")
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| incomplete("Authorization header requires existence of a 'X-Amz-Date' header."))?;
        let token = match headers.get("x-amz-security-token").map(|value| value.to_str()) {
            None => None,
            Some(Ok(token)) => Some(token.to_owned()),
            Some(Err(_)) => return Err(AuthFailure::InvalidToken),
        };
        Ok(Self { credential, signed_headers, signature, date_time: date_time.to_owned(), token })
    }

    /// The session token that came with it, as claimed.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Is the signature scoped to this service?
    ///
    /// # Errors
    /// `Incomplete` naming the service it must be scoped to, or a region that is none.
    pub fn check_scope(&self, service: &str) -> Result<(), AuthFailure> {
        if self.credential.service != service {
            return Err(incomplete(&format!("Credential should be scoped to correct service: '{service}'.")));
        }
        let region = &self.credential.region;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || region.len() > 32 || !region.bytes().all(plain) {
            return Err(incomplete("Credential should be scoped to a valid region."));
        }
        Ok(())
    }

    /// The access key that is claimed, when it is known and active. To be asked before a body is read for
    /// its sender.
    ///
    /// # Errors
    /// `UnknownKey`, `InvalidToken` or `ExpiredToken`.
    pub fn find_key(&self, keys: &dyn KeyRing) -> Result<Found, AuthFailure> {
        keys.find(&self.credential.access_key_id, self.token.as_deref())
    }

    /// Proves that the holder of the access key signed this request with this body hash, no longer
    /// than `skew` ago.
    ///
    /// # Errors
    /// `Expired` or `Mismatch`.
    pub fn verify(
        &self,
        parts: &Parts,
        payload_hash: &str,
        key: &Found,
        now: OffsetDateTime,
        skew: std::time::Duration,
    ) -> Result<Caller, AuthFailure> {
        let Found { secret, principal } = key;
        self.check_time(now, skew)?;
        self.check_declared_hash(parts, payload_hash)?;
        let names: Vec<&str> = self.signed_headers.iter().map(String::as_str).collect();
        let canonical = CanonicalRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            signed_headers: &names,
            payload_hash,
            service: &self.credential.service,
        }
        .text()
        .map_err(|name| incomplete(&format!("The signed header '{name}' is missing from the request.")))?;
        let Credential { access_key_id, date, region, service } = &self.credential;
        let expected = signature(secret.expose(), &canonical, &self.date_time, date, region, service);
        if bool::from(hex::encode(expected).as_bytes().ct_eq(self.signature.as_bytes())) {
            Ok(Caller {
                access_key_id: access_key_id.clone(),
                region: region.clone(),
                service: service.clone(),
                principal: Arc::clone(principal),
            })
        } else {
            Err(AuthFailure::Mismatch)
        }
    }

    /// Some clients declare the body's hash in a header; it must be the hash of what arrived.
    fn check_declared_hash(&self, parts: &Parts, payload_hash: &str) -> Result<(), AuthFailure> {
        match parts.headers.get("x-amz-content-sha256") {
            Some(declared) if declared.as_bytes() != payload_hash.as_bytes() => Err(AuthFailure::Mismatch),
            _ => Ok(()),
        }
    }

    fn check_time(&self, now: OffsetDateTime, skew: std::time::Duration) -> Result<(), AuthFailure> {
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let signed_at = PrimitiveDateTime::parse(&self.date_time, &format)
            .map_err(|_| incomplete("Date must be in ISO-8601 'basic format', such as 20261124T120000Z"))?
            .assume_utc();
        if !self.date_time.starts_with(&self.credential.date) {
            return Err(incomplete("The date of the credential scope is not the date of 'X-Amz-Date'."));
        }
        let skew = Duration::try_from(skew).unwrap_or(Duration::MAX);
        let earliest = now - skew;
        let show = |at: OffsetDateTime| at.format(&format).unwrap_or_default();
        if signed_at < earliest {
            return Err(AuthFailure::Expired(format!(
                "Signature expired: {} is now earlier than {} ({} - {} min.)",
                self.date_time,
                show(earliest),
                show(now),
                skew.whole_minutes()
            )));
        }
        if signed_at > now + skew {
            return Err(AuthFailure::Expired(format!(
                "Signature not yet current: {} is still later than {} ({} + {} min.)",
                self.date_time,
                show(now + skew),
                show(now),
                skew.whole_minutes()
            )));
        }
        Ok(())
    }
}

fn incomplete(text: &str) -> AuthFailure {
    AuthFailure::Incomplete(text.to_owned())
}

fn parse_credential(text: &str) -> Result<Credential, AuthFailure> {
    // The access key id itself never holds a slash, so the scope is what follows the first one.
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        [id, date, region, service, "aws4_request"] => Ok(Credential {
            access_key_id: (*id).to_owned(),
            date: (*date).to_owned(),
            region: (*region).to_owned(),
            service: (*service).to_owned(),
        }),
        _ => Err(incomplete(
            "Credential must have exactly 5 slash-delimited elements, KEYID/DATE/REGION/SERVICE/aws4_request",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccessKey, Payload, SecretKey, sign_request};
    use http::{Method, Request};

    const SKEW: std::time::Duration = std::time::Duration::from_secs(900);

    fn key() -> AccessKey {
        AccessKey {
            id: "AKIDEXAMPLE".into(),
            secret: SecretKey::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
        }
    }

    fn now() -> OffsetDateTime {
        time::macros::datetime!(2026-11-24 12:00:00 UTC)
    }

    fn signed(uri: &str, body: &[u8]) -> Parts {
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "SageMaker.ListModels")
            .body(());
        let (mut parts, ()) = request.map(Request::into_parts).unwrap_or_else(|error| panic!("{error}"));
        let result = sign_request(&mut parts, Payload::Bytes(body), &key(), "us-east-1", "sagemaker", now());
        assert_eq!(result, Ok(()));
        parts
    }

    fn check(
        parts: &Parts,
        body: &[u8],
        keys: &dyn KeyRing,
        at: OffsetDateTime,
    ) -> Result<Caller, AuthFailure> {
        let signed = Signed::parse(&parts.headers)?;
        let key = signed.find_key(keys)?;
        signed.verify(parts, &sha256_hex(body), &key, at, SKEW)
    }

    #[test]
    fn what_we_sign_we_verify() {
        let parts = signed("http://127.0.0.1:9400/endpoints/a%20b/x?z=1&a=%2F", b"{}");
        let caller = check(&parts, b"{}", &key(), now());
        assert_eq!(caller.map(|caller| caller.region), Ok("us-east-1".into()));
    }

    #[test]
    fn every_change_is_noticed() {
        let base = signed("http://127.0.0.1:9400/a?b=1", b"{}");
        assert_eq!(check(&base, b"{ }", &key(), now()), Err(AuthFailure::Mismatch));
        for (change, uri, method) in
            [("path", "/A?b=1", "POST"), ("query", "/a?b=2", "POST"), ("method", "/a?b=1", "PUT")]
        {
            let mut parts = base.clone();
            parts.uri = uri.parse().unwrap_or_default();
            parts.method = method.parse().unwrap_or_default();
            assert_eq!(check(&parts, b"{}", &key(), now()), Err(AuthFailure::Mismatch), "{change}");
        }
        let mut parts = base.clone();
        parts.headers.insert("x-amz-target", http::HeaderValue::from_static("SageMaker.DeleteModel"));
        assert_eq!(check(&parts, b"{}", &key(), now()), Err(AuthFailure::Mismatch));
    }

    #[test]
    fn other_keys_and_other_times_are_refused() {
        let parts = signed("http://127.0.0.1:9400/", b"");
        let other = AccessKey { id: "AKIDEXAMPLE".into(), secret: SecretKey::new("other".into()) };
        assert_eq!(check(&parts, b"", &other, now()), Err(AuthFailure::Mismatch));
        let unknown = AccessKey { id: "AKIDOTHER".into(), ..key() };
        assert_eq!(check(&parts, b"", &unknown, now()), Err(AuthFailure::UnknownKey));
        for minutes in [-16, 16] {
            let result = check(&parts, b"", &key(), now() + Duration::minutes(minutes));
            assert!(matches!(result, Err(AuthFailure::Expired(_))), "{minutes}: {result:?}");
        }
        assert!(check(&parts, b"", &key(), now() + Duration::minutes(14)).is_ok());
    }

    /// The worked example of the AWS General Reference (IAM ListUsers).
    #[test]
    fn the_published_example_verifies() {
        let request = Request::builder()
            .method(Method::GET)
            .uri("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
            .header("host", "iam.amazonaws.com")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("x-amz-date", "20150830T123600Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date, \
                 Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            )
            .body(());
        let (parts, ()) = request.map(Request::into_parts).unwrap_or_else(|error| panic!("{error}"));
        let at = time::macros::datetime!(2015-08-30 12:40:00 UTC);
        assert!(check(&parts, b"", &key(), at).is_ok());
    }

    #[test]
    fn broken_headers_are_named() {
        let mut headers = HeaderMap::new();
        assert_eq!(Signed::parse(&headers), Err(AuthFailure::Missing));
        for text in ["Basic abc", "AWS4-HMAC-SHA256 Credential=a/b", "AWS4-HMAC-SHA256 SignedHeaders=host"] {
            headers.insert("authorization", http::HeaderValue::from_static(text));
            assert!(matches!(Signed::parse(&headers), Err(AuthFailure::Incomplete(_))), "{text}");
        }
    }
}
