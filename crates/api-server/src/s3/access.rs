//! Who asks, may they, and for which bucket: access keys and session tokens, permissions, the rule that
//! requests are signed, and the reading of the Host header.

use std::cell::RefCell;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::{
    CopyObjectInput, ListMultipartUploadsInput, ListObjectsInput, ListObjectsV2Input, PostObjectInput,
    UploadPartCopyInput,
};
use s3s::host::{S3Host, VirtualHost};
use s3s::path::S3Path;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, s3_error};
use sagebrush_access::Access;
use sagebrush_auth::policy::Facts;
use sagebrush_auth::{AuthFailure, Caller, Found, KeyRing, Origin, Signed};
use sagebrush_wire::bucket_of_aws_host;

use super::permission::{self, bucket_arn, object_arn};
use super::refusal::source_of;

tokio::task_local! {
    /// What is known about the sender of the request at hand before s3s has looked at it, and the key
    /// that was found for it.
    pub(super) static SENDER: RefCell<Sender>;
}

/// The sender of a request as it becomes known.
#[derive(Default)]
pub(super) struct Sender {
    /// The session token that came with the request.
    pub token: Option<String>,
    /// Where the request came from.
    pub origin: Origin,
    /// The key that verified the signature.
    pub found: Option<Found>,
    /// The access key id that was claimed.
    pub claimed: Option<String>,
    /// What was asked for by a proven sender, for the audit.
    pub proven: Option<Proven>,
}

/// What a proven sender asked for.
pub(super) struct Proven {
    /// ARN of the sender.
    pub principal: String,
    /// The operation.
    pub operation: String,
    /// ARN of the bucket or object, or `*`.
    pub resource: String,
}

/// The token of temporary credentials: a header, or a parameter of a presigned URL.
pub(super) fn session_token(request: &http::request::Parts) -> Option<String> {
    if let Some(token) = request.headers.get("x-amz-security-token") {
        return Some(String::from_utf8_lossy(token.as_bytes()).into_owned());
    }
    parameter(request.uri.query()?, "x-amz-security-token")
}

/// A parameter of a query, by its name in any case.
pub(super) fn parameter(query: &str, wanted: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// The proven sender, with what decides about it. Stands in the request's extensions.
#[derive(Clone)]
pub(super) struct Asker {
    access: Arc<Access>,
    caller: Arc<Caller>,
    origin: Origin,
}

impl Asker {
    /// May the sender do it?
    pub fn may(&self, action: &str, resource: &str, facts: &Facts) -> S3Result<()> {
        self.access.check(&self.caller, &self.origin, action, resource, facts).map_err(denied)
    }
}

fn denied(message: String) -> S3Error {
    S3Error::with_message(S3ErrorCode::AccessDenied, message)
}

/// The asker of a request that was let in.
pub(super) fn asker<T>(request: &S3Request<T>) -> S3Result<Asker> {
    // `Gate::check` has put it there; without it nobody is let in.
    request.extensions.get::<Asker>().cloned().ok_or_else(|| denied("Access Denied".to_owned()))
}

/// The access keys that signatures are verified with.
pub(super) struct Keys(pub Arc<Access>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let token = SENDER.try_with(|sender| {
            let mut sender = sender.borrow_mut();
            sender.claimed = Some(access_key.to_owned());
            sender.token.clone()
        });
        let token = token.ok().flatten();
        let found = self.0.find(access_key, token.as_deref()).map_err(|failure| match failure {
            AuthFailure::ExpiredToken => s3_error!(ExpiredToken, "The provided token has expired."),
            AuthFailure::InvalidToken => {
                s3_error!(InvalidToken, "The provided token is malformed or otherwise invalid.")
            }
            _ => s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            ),
        })?;
        let secret = SecretKey::from(found.secret.expose());
        // Outside of a request, as in tests, nobody is let in by `check`.
        let _ = SENDER.try_with(|sender| sender.borrow_mut().found = Some(found));
        Ok(secret)
    }
}

/// Refuses what is not signed, what is signed in a way that can be replayed, and what the sender may not.
pub(super) struct Gate {
    pub access: Arc<Access>,
    /// The region of requests whose signature names none.
    pub region: String,
}

impl Gate {
    fn caller(&self, context: &S3AccessContext<'_>, found: Found) -> Caller {
        // The signature is proven: what it says about the region holds.
        let region = match Signed::parse(context.headers()) {
            Ok(signed) => Some(signed.credential.region),
            Err(_) => context
                .uri()
                .query()
                .and_then(|query| parameter(query, "X-Amz-Credential"))
                .and_then(|credential| credential.split('/').nth(2).map(str::to_owned)),
        };
        Caller {
            access_key_id: context.credentials().map(|key| key.access_key.clone()).unwrap_or_default(),
            region: region.unwrap_or_else(|| self.region.clone()),
            service: "s3".to_owned(),
            principal: found.principal,
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Gate {
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
        let sender = SENDER.try_with(|sender| {
            let mut sender = sender.borrow_mut();
            (sender.found.take(), sender.origin.clone())
        });
        let (Some(_), Ok((Some(found), origin))) = (context.credentials(), sender) else {
            return Err(s3_error!(AccessDenied, "Access Denied: the request is not signed."));
        };
        let caller = Arc::new(self.caller(context, found));
        let asker = Asker { access: Arc::clone(&self.access), caller, origin };
        let operation = context.s3_op().name();
        let path = context.s3_path();
        note(&asker.caller, operation, path);
        let has_tags = context.headers().contains_key("x-amz-tagging");
        let needs = permission::needs(operation, path.get_bucket_name(), path.get_object_key(), has_tags);
        let needs = needs.ok_or_else(|| {
            s3_error!(NotImplemented, "The operation {operation} is not performed by this server.")
        })?;
        for (action, resource) in &needs {
            asker.may(action, resource, &Facts::new())?;
        }
        context.extensions_mut().insert(asker);
        Ok(())
    }

    async fn list_objects(&self, request: &mut S3Request<ListObjectsInput>) -> S3Result<()> {
        let input = &request.input;
        let facts = listing(input.prefix.as_deref(), input.delimiter.as_deref(), input.max_keys);
        asker(request)?.may("s3:ListBucket", &bucket_arn(&input.bucket), &facts)
    }

    async fn list_objects_v2(&self, request: &mut S3Request<ListObjectsV2Input>) -> S3Result<()> {
        let input = &request.input;
        let facts = listing(input.prefix.as_deref(), input.delimiter.as_deref(), input.max_keys);
        asker(request)?.may("s3:ListBucket", &bucket_arn(&input.bucket), &facts)
    }

    async fn list_multipart_uploads(
        &self,
        request: &mut S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<()> {
        let input = &request.input;
        let facts = listing(input.prefix.as_deref(), input.delimiter.as_deref(), input.max_uploads);
        asker(request)?.may("s3:ListBucketMultipartUploads", &bucket_arn(&input.bucket), &facts)
    }

    async fn copy_object(&self, request: &mut S3Request<CopyObjectInput>) -> S3Result<()> {
        let (bucket, key) = source_of(&request.input.copy_source)?;
        asker(request)?.may("s3:GetObject", &object_arn(bucket, key), &Facts::new())
    }

    async fn upload_part_copy(&self, request: &mut S3Request<UploadPartCopyInput>) -> S3Result<()> {
        let (bucket, key) = source_of(&request.input.copy_source)?;
        asker(request)?.may("s3:GetObject", &object_arn(bucket, key), &Facts::new())
    }

    async fn post_object(&self, request: &mut S3Request<PostObjectInput>) -> S3Result<()> {
        let (asker, input) = (asker(request)?, &request.input);
        let resource = object_arn(&input.bucket, &input.key);
        if input.tagging.is_some() {
            asker.may("s3:PutObjectTagging", &resource, &Facts::new())?;
        }
        asker.may("s3:PutObject", &resource, &Facts::new())
    }
}

/// Keeps what a proven sender asked for, for the audit.
fn note(caller: &Caller, operation: &str, path: &S3Path) {
    let resource = match (path.get_bucket_name(), path.get_object_key()) {
        (Some(bucket), Some(key)) => object_arn(bucket, key),
        (Some(bucket), None) => bucket_arn(bucket),
        _ => "*".to_owned(),
    };
    let principal = caller.principal.arn.clone();
    let proven = Proven { principal, operation: operation.to_owned(), resource };
    // Outside of a request, as in tests, nobody reads it.
    let _ = SENDER.try_with(|sender| sender.borrow_mut().proven = Some(proven));
}

/// What conditions may ask about a listing.
fn listing(prefix: Option<&str>, delimiter: Option<&str>, most: Option<i32>) -> Facts {
    let texts = [("s3:prefix", prefix.map(str::to_owned)), ("s3:delimiter", delimiter.map(str::to_owned))];
    texts
        .into_iter()
        .chain([("s3:max-keys", most.map(|most| most.to_string()))])
        .filter_map(|(key, value)| Some((key.into(), vec![value?])))
        .collect()
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
