//! PutObject, and what object writes have in common.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http::HeaderMap;
use s3s::dto::{ETag, Metadata, PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp};
use s3s::{S3Request, S3Result, s3_error};
use sagebrush_object_store::{Attributes, Expectations, PutObject, Tags, limits};
use time::OffsetDateTime;

use super::checksum::{self, checksum_values, set_checksum};
use super::error::from_store;
use super::refusal::{check_write, refuse};
use super::{Operations, condition};

impl Operations {
    pub(super) async fn put(&self, request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
        let S3Request { mut input, headers, trailing_headers, .. } = request;
        check_write!(input);
        refuse(&input.write_offset_bytes, "Appending to an object")?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let checksum =
            checksum::request(checksum_values!(input), input.checksum_algorithm.as_ref(), trailing_headers)?;
        let put = PutObject {
            attributes: attributes!(input),
            tags: tags_of_header(input.tagging.as_deref())?,
            condition: condition::of_write(input.if_match.as_ref(), input.if_none_match.as_ref())?,
            expectations: Expectations {
                content_md5: input.content_md5,
                checksum,
                length: body_length(&headers, input.content_length),
                limit: limits::PUT_BYTES,
            },
        };
        let body = body(input.body);
        let info = self.store.put_object(&input.bucket, &input.key, put, body).await;
        let info = info.map_err(from_store)?;
        let mut output = PutObjectOutput {
            e_tag: Some(ETag::Strong(info.etag)),
            checksum_type: Some(checksum::type_of(info.checksum.kind)),
            ..PutObjectOutput::default()
        };
        set_checksum!(output, info.checksum.algorithm, info.checksum.value);
        Ok(output)
    }
}

/// The attributes of a request that writes an object.
macro_rules! attributes {
    ($input:expr) => {
        sagebrush_object_store::Attributes {
            content_type: $input.content_type.take(),
            content_encoding: crate::s3::put::stored_encoding($input.content_encoding.take()),
            cache_control: $input.cache_control.take(),
            content_disposition: $input.content_disposition.take(),
            content_language: $input.content_language.take(),
            expires: $input.expires.take().map(crate::s3::put::seconds),
            metadata: crate::s3::put::metadata($input.metadata.take()),
        }
    };
}

pub(super) use attributes;

/// `aws-chunked` describes the transfer, not the object.
pub(super) fn stored_encoding(encoding: Option<String>) -> Option<String> {
    let encoding = encoding?;
    let kept: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    if kept.is_empty() { None } else { Some(kept.join(",")) }
}

pub(super) fn seconds(time: Timestamp) -> i64 {
    OffsetDateTime::from(time).unix_timestamp()
}

pub(super) fn metadata(metadata: Option<Metadata>) -> BTreeMap<String, String> {
    metadata.into_iter().flatten().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

/// Metadata as s3s answers it; `None` when there is none.
pub(super) fn metadata_of(attributes: &Attributes) -> Option<Metadata> {
    let pairs = attributes.metadata.iter();
    let map: Metadata = pairs.map(|(name, value)| (name.clone(), value.clone())).collect();
    if map.is_empty() { None } else { Some(map) }
}

/// The tags of an `x-amz-tagging` header: `key=value&...`, percent-encoded.
pub(super) fn tags_of_header(header: Option<&str>) -> S3Result<Tags> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
        decoded
            .map(|decoded| decoded.into_owned())
            .map_err(|_| s3_error!(InvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8."))
    };
    let mut tags = Vec::new();
    for pair in header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        tags.push((decode(key)?, decode(value)?));
    }
    Ok(Tags(tags))
}

/// The length of the object's bytes: with `aws-chunked`, that of the decoded body.
pub(super) fn body_length(headers: &HeaderMap, content_length: Option<i64>) -> Option<u64> {
    let decoded = headers.get("x-amz-decoded-content-length");
    let decoded = decoded.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    decoded.or_else(|| content_length.and_then(|length| u64::try_from(length).ok()))
}

/// The body as the store takes it; no body is an empty one.
pub(super) fn body(blob: Option<StreamingBlob>) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin {
    let blob = blob.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
    blob.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_of_the_transfer_is_not_stored() {
        let stored = |text: &str| stored_encoding(Some(text.to_owned()));
        assert_eq!(stored("aws-chunked"), None);
        assert_eq!(stored("gzip, AWS-chunked"), Some("gzip".to_owned()));
        assert_eq!(stored("br"), Some("br".to_owned()));
        assert_eq!(stored(""), None);
    }

    #[test]
    fn tags_come_percent_encoded() {
        let tags = tags_of_header(Some("a=1&b+c=%C3%BC%26&d")).expect("tags");
        let pairs = [("a", "1"), ("b c", "ü&"), ("d", "")];
        assert_eq!(tags.0, pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert!(tags_of_header(Some("a=%ff")).is_err());
    }
}
