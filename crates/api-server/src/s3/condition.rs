//! Conditional requests.
//!
//! Source: RFC 9110 section 13.2.2 for the order, and the Amazon S3 API Reference, GetObject and
//! CopyObject, for what an absent condition means.

use http::{HeaderMap, HeaderValue};
use s3s::dto::{ETag, ETagCondition, Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use sagebrush_object_store::{Condition, ObjectInfo};
use time::OffsetDateTime;

/// The four conditions of a read or of a copy's source.
#[derive(Debug, Default)]
pub(super) struct ReadConditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

fn holds(condition: &ETagCondition, info: &ObjectInfo) -> bool {
    condition.as_etag().is_none_or(|etag| etag.value() == info.etag)
}

/// HTTP dates have whole seconds.
fn later(info: &ObjectInfo, than: Timestamp) -> bool {
    let than: OffsetDateTime = than.into();
    info.modified.unix_timestamp() > than.unix_timestamp()
}

impl ReadConditions {
    /// Whether the object may be read.
    ///
    /// # Errors
    /// `PreconditionFailed`; `NotModified` when the reader has it already.
    pub fn check(self, info: &ObjectInfo) -> S3Result<()> {
        if let Some(condition) = &self.if_match {
            if !holds(condition, info) {
                return Err(failed("If-Match"));
            }
        } else if self.if_unmodified_since.is_some_and(|time| later(info, time)) {
            return Err(failed("If-Unmodified-Since"));
        }
        let unchanged = match &self.if_none_match {
            Some(condition) => holds(condition, info),
            None => self.if_modified_since.is_some_and(|time| !later(info, time)),
        };
        if unchanged { Err(not_modified(info)) } else { Ok(()) }
    }

    /// As [`ReadConditions::check`], for the source of a copy, where every failure is
    /// `PreconditionFailed`.
    pub fn check_source(self, info: &ObjectInfo) -> S3Result<()> {
        self.check(info).map_err(|error| match error.code() {
            S3ErrorCode::NotModified => failed("of the copy source"),
            _ => error,
        })
    }
}

fn failed(name: &str) -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold: {name}.")
}

fn not_modified(info: &ObjectInfo) -> S3Error {
    let mut headers = HeaderMap::new();
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", info.etag)) {
        headers.insert(http::header::ETAG, etag);
    }
    let mut date = Vec::new();
    let modified = Timestamp::from(info.modified);
    if modified.format(TimestampFormat::HttpDate, &mut date).is_ok()
        && let Ok(date) = HeaderValue::from_bytes(&date)
    {
        headers.insert(http::header::LAST_MODIFIED, date);
    }
    let mut error = s3_error!(NotModified, "Not Modified");
    error.set_headers(headers);
    error
}

/// The condition of a write.
///
/// # Errors
/// `NotImplemented` for `If-None-Match` with an entity tag, as S3 answers.
pub(super) fn of_write(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::Always),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(condition), None) => {
            let etag = condition.as_etag().map_or("*", ETag::value);
            Ok(Condition::Matches(etag.to_owned()))
        }
        _ => Err(s3_error!(NotImplemented, "A write takes either If-Match or 'If-None-Match: *'.")),
    }
}
