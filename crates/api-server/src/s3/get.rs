//! GetObject, HeadObject and GetObjectAttributes.

use std::ops::Range as Span;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use s3s::dto::{
    Checksum, ChecksumMode, ETag, GetObjectAttributesInput, GetObjectAttributesOutput,
    GetObjectAttributesParts, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    ObjectAttributes, ObjectPart, Range, StorageClass, StreamingBlob, Timestamp,
};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Error, S3Result, StdError, s3_error};
use sagebrush_object_store::{ObjectInfo, ObjectReader, ObjectStream, limits};
use time::OffsetDateTime;

use super::Operations;
use super::checksum::{self, set_checksum};
use super::condition::ReadConditions;
use super::error::from_store;
use super::put::metadata_of;
use super::refusal::{check_version, refuse};

/// Which bytes an answer holds.
struct Selection {
    span: Span<u64>,
    /// `Content-Range`, when the answer is a part of the object.
    content_range: Option<String>,
    /// `x-amz-mp-parts-count`, when a part was asked for by its number.
    parts_count: Option<i32>,
}

/// Sets what GetObject and HeadObject answer about the object.
macro_rules! describe {
    ($output:expr, $info:expr, $selection:expr, $checksum_mode:expr) => {{
        let attributes = &$info.attributes;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.cache_control = attributes.cache_control.clone();
        $output.content_disposition = attributes.content_disposition.clone();
        $output.content_encoding = attributes.content_encoding.clone();
        $output.content_language = attributes.content_language.clone();
        $output.content_type = Some(content_type($info));
        $output.expires = attributes.expires.and_then(expires);
        $output.metadata = metadata_of(attributes);
        $output.content_length = Some(length(&$selection.span));
        $output.content_range = $selection.content_range.clone();
        $output.parts_count = $selection.parts_count;
        $output.e_tag = Some(ETag::Strong($info.etag.clone()));
        $output.last_modified = Some(Timestamp::from($info.modified));
        // A checksum of the whole would be wrong for a part of it.
        if $selection.content_range.is_none() && enabled($checksum_mode) {
            $output.checksum_type = Some(checksum::type_of($info.checksum.kind));
            set_checksum!($output, $info.checksum.algorithm, $info.checksum.value.clone());
        }
    }};
}

impl Operations {
    pub(super) async fn get(&self, input: GetObjectInput) -> S3Result<GetObjectOutput> {
        check_version(input.version_id.as_deref())?;
        refuse(&input.sse_customer_key, "Encryption with a key that you provide")?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let opened = self.store.get_object(&input.bucket, &input.key).await;
        let (info, reader) = opened.map_err(from_store)?;
        let conditions = ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        conditions.check(&info)?;
        let selection = select(&info, &reader, input.range.as_ref(), input.part_number)?;
        let mut output = GetObjectOutput::default();
        describe!(output, &info, &selection, input.checksum_mode.as_ref());
        output.tag_count = i32::try_from(info.tag_count).ok().filter(|count| *count > 0);
        let body = ObjectBody(reader.stream_begun(selection.span).await.map_err(from_store)?);
        output.body = Some(StreamingBlob::new(body));
        Ok(output)
    }

    pub(super) async fn head_of_object(&self, input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
        check_version(input.version_id.as_deref())?;
        refuse(&input.sse_customer_key, "Encryption with a key that you provide")?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let part_asked_for = input.range.is_some() || input.part_number.is_some();
        let (info, selection) = if part_asked_for {
            let opened = self.store.get_object(&input.bucket, &input.key).await;
            let (info, reader) = opened.map_err(from_store)?;
            let selection = select(&info, &reader, input.range.as_ref(), input.part_number)?;
            (info, selection)
        } else {
            let info = self.store.head_object(&input.bucket, &input.key).await;
            let info = info.map_err(from_store)?;
            let span = 0..info.size;
            (info, Selection { span, content_range: None, parts_count: None })
        };
        let conditions = ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        conditions.check(&info)?;
        let mut output = HeadObjectOutput::default();
        describe!(output, &info, &selection, input.checksum_mode.as_ref());
        // Response overrides are GetObject's in s3s; HeadObject has them too.
        output.content_type = input.response_content_type.or(output.content_type);
        output.cache_control = input.response_cache_control.or(output.cache_control);
        output.content_disposition = input.response_content_disposition.or(output.content_disposition);
        output.content_encoding = input.response_content_encoding.or(output.content_encoding);
        output.content_language = input.response_content_language.or(output.content_language);
        output.expires = input.response_expires.or(output.expires);
        Ok(output)
    }

    pub(super) async fn attributes(
        &self,
        input: GetObjectAttributesInput,
    ) -> S3Result<GetObjectAttributesOutput> {
        check_version(input.version_id.as_deref())?;
        refuse(&input.sse_customer_key, "Encryption with a key that you provide")?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let info = self.store.head_object(&input.bucket, &input.key).await.map_err(from_store)?;
        // Clients send several names in one header, which s3s takes for one name.
        let names: Vec<&str> = input
            .object_attributes
            .iter()
            .flat_map(|header| header.as_str().split(',').map(str::trim))
            .collect();
        let wanted = |name: &str| names.contains(&name);
        let mut output = GetObjectAttributesOutput {
            last_modified: Some(Timestamp::from(info.modified)),
            ..GetObjectAttributesOutput::default()
        };
        if wanted(ObjectAttributes::ETAG) {
            output.e_tag = Some(ETag::Strong(info.etag.clone()));
        }
        if wanted(ObjectAttributes::CHECKSUM) {
            let mut found = Checksum {
                checksum_type: Some(checksum::type_of(info.checksum.kind)),
                ..Checksum::default()
            };
            set_checksum!(found, info.checksum.algorithm, info.checksum.value.clone());
            output.checksum = Some(found);
        }
        if wanted(ObjectAttributes::OBJECT_SIZE) {
            output.object_size = Some(as_i64(info.size));
        }
        if wanted(ObjectAttributes::STORAGE_CLASS) {
            output.storage_class = Some(StorageClass::from_static(StorageClass::STANDARD));
        }
        if wanted(ObjectAttributes::OBJECT_PARTS) && info.part_count.is_some() {
            output.object_parts = Some(self.parts(&info, input.part_number_marker, input.max_parts).await?);
        }
        Ok(output)
    }

    async fn parts(
        &self,
        info: &ObjectInfo,
        marker: Option<i32>,
        max_parts: Option<i32>,
    ) -> S3Result<GetObjectAttributesParts> {
        let all = self.store.object_parts(info).await.map_err(from_store)?;
        let marker = marker.unwrap_or(0).max(0);
        let max = max_parts.map_or(limits::PAGE, |max| usize::try_from(max).unwrap_or(0));
        let max = max.min(limits::PAGE);
        let total = all.len();
        let skipped = usize::try_from(marker).unwrap_or(0);
        let page: Vec<ObjectPart> = all
            .into_iter()
            .skip(skipped)
            .take(max)
            .map(|found| {
                let mut part = ObjectPart {
                    part_number: i32::try_from(found.number).ok(),
                    size: Some(as_i64(found.size)),
                    ..ObjectPart::default()
                };
                set_checksum!(part, info.checksum.algorithm, found.checksum);
                part
            })
            .collect();
        let more = skipped.saturating_add(page.len()) < total && !page.is_empty();
        Ok(GetObjectAttributesParts {
            is_truncated: Some(more),
            max_parts: i32::try_from(max).ok(),
            next_part_number_marker: page.last().and_then(|part| part.part_number),
            part_number_marker: Some(marker),
            parts: Some(page),
            total_parts_count: i32::try_from(total).ok(),
        })
    }
}

/// The bytes that a range or a part number names.
fn select(
    info: &ObjectInfo,
    reader: &ObjectReader,
    range: Option<&Range>,
    part: Option<i32>,
) -> S3Result<Selection> {
    let outside = || -> S3Error { s3_error!(InvalidRange, "The requested range is not satisfiable") };
    let (span, parts_count) = match (range, part) {
        (None, None) => {
            return Ok(Selection { span: 0..info.size, content_range: None, parts_count: None });
        }
        (Some(_), Some(_)) => {
            return Err(s3_error!(
                InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter"
            ));
        }
        (Some(range), None) => {
            let span = range.check(info.size).map_err(|_| outside())?;
            (Some(span).filter(|span| !span.is_empty()).ok_or_else(outside)?, None)
        }
        (None, Some(number)) => {
            let found = u32::try_from(number).ok().and_then(|number| reader.part(number));
            let count = info.part_count.and_then(|count| i32::try_from(count).ok());
            let code = s3s::S3ErrorCode::Custom("InvalidPartNumber".into());
            let span = found.ok_or_else(|| {
                let mut error = S3Error::with_message(code, "The requested partnumber is not satisfiable");
                error.set_status_code(http::StatusCode::RANGE_NOT_SATISFIABLE);
                error
            })?;
            (span, count)
        }
    };
    // An empty object has no range to name.
    let content_range =
        (!span.is_empty()).then(|| format!("bytes {}-{}/{}", span.start, span.end - 1, info.size));
    Ok(Selection { span, content_range, parts_count })
}

fn enabled(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str().eq_ignore_ascii_case(ChecksumMode::ENABLED))
}

/// S3's type for objects that were stored without one.
fn content_type(info: &ObjectInfo) -> String {
    let stored = info.attributes.content_type.clone();
    stored.unwrap_or_else(|| "binary/octet-stream".to_owned())
}

fn expires(seconds: i64) -> Option<Timestamp> {
    OffsetDateTime::from_unix_timestamp(seconds).ok().map(Timestamp::from)
}

fn length(span: &Span<u64>) -> i64 {
    as_i64(span.end - span.start)
}

pub(super) fn as_i64(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The store's stream with the length that HTTP wants to know.
struct ObjectBody(ObjectStream);

impl Stream for ObjectBody {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(context).map_err(|error| {
            // The status has been sent; the reader sees a body that is too short.
            tracing::error!(%error, "reading an object failed");
            StdError::from(error)
        })
    }
}

impl ByteStream for ObjectBody {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(usize::try_from(self.0.remaining()).unwrap_or(usize::MAX))
    }
}
