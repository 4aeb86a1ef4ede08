//! Who may ask, and for which bucket: access keys, the rule that requests are signed, and the
//! reading of the Host header.

use std::sync::Arc;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::host::{S3Host, VirtualHost};
use s3s::{S3Result, s3_error};
use sagebrush_auth::KeyRing;
use sagebrush_wire::bucket_of_aws_host;

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

/// `<bucket>.localhost[:port]`, the same under the server's own domain, and AWS's names of buckets; under
/// every other name the path says which bucket is meant.
pub(super) struct Hosts {
    /// Longest first, so that `s3.localhost` is no bucket.
    bases: Vec<String>,
}

impl Hosts {
    /// The names of this machine, and those under `domain`.
    pub(super) fn new(domain: Option<String>) -> Self {
        let mut bases: Vec<String> = domain
            .into_iter()
            .chain(["localhost".to_owned()])
            .flat_map(|base| [format!("s3.{base}"), base])
            .collect();
        bases.sort_by_key(|base| std::cmp::Reverse(base.len()));
        Self { bases }
    }
}

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        for base in &self.bases {
            let Some(cut) = name.len().checked_sub(base.len()) else { continue };
            let Some((front, back)) = name.split_at_checked(cut) else { continue };
            if !back.eq_ignore_ascii_case(base) {
                continue;
            }
            if front.is_empty() {
                return Ok(VirtualHost::new(host));
            }
            if let Some(bucket) = front.strip_suffix('.') {
                return Ok(VirtualHost::new(base.as_str()).with_bucket(bucket.to_ascii_lowercase()));
            }
        }
        match bucket_of_aws_host(name) {
            Some((bucket, rest)) => Ok(VirtualHost::new(rest).with_bucket(bucket.to_ascii_lowercase())),
            None => Ok(VirtualHost::new(host)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let hosts = Hosts::new(Some("example.test".into()));
        let bucket = |host| {
            let found = hosts.parse_host_header(host).expect("no host is refused");
            found.bucket().map(str::to_owned)
        };
        assert_eq!(bucket("localhost:9000"), None);
        assert_eq!(bucket("s3.localhost"), None);
        assert_eq!(bucket("My-Bucket.localhost:9000").as_deref(), Some("my-bucket"));
        assert_eq!(bucket("a.b.s3.LOCALHOST").as_deref(), Some("a.b"));
        assert_eq!(bucket("a.example.test:80").as_deref(), Some("a"));
        assert_eq!(bucket("a.s3.example.test").as_deref(), Some("a"));
        assert_eq!(bucket("example.test"), None);
        assert_eq!(bucket("B.s3.eu-west-1.amazonaws.com").as_deref(), Some("b"));
        assert_eq!(bucket("s3.eu-west-1.amazonaws.com"), None);
        assert_eq!(bucket("127.0.0.1:9400"), None);
        assert_eq!(bucket("example.com"), None);
        assert_eq!(bucket("notlocalhost"), None);
        assert_eq!(bucket("sagebrush.example.com:443"), None);
        assert_eq!(bucket("ü.localhost").as_deref(), Some("ü"));
    }
}
