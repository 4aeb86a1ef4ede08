//! Who may ask, and for which bucket: access keys, the rule that requests are signed, and the
//! reading of the Host header.

use std::sync::Arc;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::host::{S3Host, VirtualHost};
use s3s::{S3Result, s3_error};
use sagebrush_auth::KeyRing;

/// The access keys that signatures are verified with.
pub(super) struct Keys(pub Arc<dyn KeyRing>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.secret(access_key) {
            Some(secret) => Ok(SecretKey::from(secret.expose())),
            None => Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            )),
        }
    }
}

/// Refuses what is not signed, and what is signed in a way that can be replayed.
pub(super) struct SignedOnly;

#[async_trait::async_trait]
impl S3Access for SignedOnly {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        // A SigV2 Authorization header covers neither the body nor, as s3s reads it, the time.
        let header = context.headers().get(http::header::AUTHORIZATION);
        if header.is_some_and(|value| value.as_bytes().starts_with(b"AWS ")) {
            return Err(s3_error!(
                InvalidRequest,
                "The authorization mechanism you have provided is not supported. Please use \
                 AWS4-HMAC-SHA256."
            ));
        }
        match context.credentials() {
            Some(_) => Ok(()),
            None => Err(s3_error!(AccessDenied, "Access Denied: the request is not signed.")),
        }
    }
}

/// `<bucket>.localhost[:port]` names a bucket; under every other name the path does.
pub(super) struct Hosts;

/// Longest first, so that `s3.localhost` is no bucket.
const BASES: [&str; 2] = ["s3.localhost", "localhost"];

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        for base in BASES {
            let Some(cut) = name.len().checked_sub(base.len()) else { continue };
            let Some((front, back)) = name.split_at_checked(cut) else { continue };
            if !back.eq_ignore_ascii_case(base) {
                continue;
            }
            if front.is_empty() {
                return Ok(VirtualHost::new(host));
            }
            if let Some(bucket) = front.strip_suffix('.') {
                return Ok(VirtualHost::new(base).with_bucket(bucket.to_ascii_lowercase()));
            }
        }
        Ok(VirtualHost::new(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let bucket = |host| {
            let found = Hosts.parse_host_header(host).expect("no host is refused");
            found.bucket().map(str::to_owned)
        };
        assert_eq!(bucket("localhost:9000"), None);
        assert_eq!(bucket("s3.localhost"), None);
        assert_eq!(bucket("My-Bucket.localhost:9000").as_deref(), Some("my-bucket"));
        assert_eq!(bucket("a.b.s3.LOCALHOST").as_deref(), Some("a.b"));
        assert_eq!(bucket("example.com"), None);
        assert_eq!(bucket("notlocalhost"), None);
        assert_eq!(bucket("sagebrush.example.com:443"), None);
        assert_eq!(bucket("ü.localhost").as_deref(), Some("ü"));
    }
}
