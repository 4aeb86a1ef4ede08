//! Fields that would change what happens and are not supported: refused, never ignored.

use s3s::dto::{CopySource, ObjectCannedACL, ServerSideEncryption, StorageClass};
use s3s::{S3Error, S3Result, s3_error};

/// The error for a field that is not supported.
pub(super) fn unsupported(what: &str) -> S3Error {
    s3_error!(NotImplemented, "{what}: this server does not support it. Leave the field out.")
}

/// Refuses `what` when it is there.
pub(super) fn refuse<T>(field: &Option<T>, what: &str) -> S3Result<()> {
    if field.is_some() { Err(unsupported(what)) } else { Ok(()) }
}

/// One account owns everything, so `private` and the `bucket-owner-` lists change nothing.
pub(super) fn check_acl(acl: Option<&ObjectCannedACL>) -> S3Result<()> {
    match acl.map(ObjectCannedACL::as_str) {
        None | Some("private" | "bucket-owner-full-control" | "bucket-owner-read") => Ok(()),
        Some(other) => Err(unsupported(&format!("The ACL '{other}'"))),
    }
}

/// There is one class of storage.
pub(super) fn check_storage_class(class: Option<&StorageClass>) -> S3Result<()> {
    match class.map(StorageClass::as_str) {
        None | Some("STANDARD") => Ok(()),
        Some(other) => Err(unsupported(&format!("The storage class '{other}'"))),
    }
}

/// `AES256` and `aws:kms` without a key of the caller's choice say nothing that a reader could
/// see, and the SageMaker SDK sends the latter with every script; they are accepted and, since
/// nothing is encrypted here, not confirmed in the answer.
pub(super) fn check_encryption(
    algorithm: Option<&ServerSideEncryption>,
    key: &Option<String>,
    customer_key: &Option<String>,
) -> S3Result<()> {
    refuse(key, "A KMS key of your own for an object")?;
    refuse(customer_key, "Encryption with a key that you provide")?;
    match algorithm.map(ServerSideEncryption::as_str) {
        None | Some("AES256" | "aws:kms" | "aws:kms:dsse") => Ok(()),
        Some(other) => Err(unsupported(&format!("The encryption '{other}'"))),
    }
}

/// Objects have no versions but the current one, whose identifier is `null`.
pub(super) fn check_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(InvalidArgument, "Invalid version id specified: versioning is off.")),
    }
}

/// Bucket and key of a copy's source.
pub(super) fn source_of(source: &CopySource) -> S3Result<(&str, &str)> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => {
            check_version(version_id.as_deref())?;
            Ok((bucket, key))
        }
        _ => Err(unsupported("A copy source that is an access point")),
    }
}

/// The fields that object writes have in common.
macro_rules! check_write {
    ($input:expr) => {{
        use crate::s3::refusal;
        refusal::check_acl($input.acl.as_ref())?;
        refusal::check_storage_class($input.storage_class.as_ref())?;
        refusal::check_encryption(
            $input.server_side_encryption.as_ref(),
            &$input.ssekms_key_id,
            &$input.sse_customer_key,
        )?;
        refusal::refuse(&$input.grant_full_control, "x-amz-grant-full-control")?;
        refusal::refuse(&$input.grant_read, "x-amz-grant-read")?;
        refusal::refuse(&$input.grant_read_acp, "x-amz-grant-read-acp")?;
        refusal::refuse(&$input.grant_write_acp, "x-amz-grant-write-acp")?;
        refusal::refuse(&$input.object_lock_mode, "Object lock")?;
        refusal::refuse(&$input.object_lock_legal_hold_status, "Object lock")?;
        refusal::refuse(&$input.object_lock_retain_until_date, "Object lock")?;
        refusal::refuse(&$input.website_redirect_location, "A website redirect")?;
    }};
}

pub(super) use check_write;
