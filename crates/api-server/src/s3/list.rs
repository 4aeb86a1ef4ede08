//! ListObjects in both versions.
//!
//! Names are percent-encoded when the client asks with `encoding-type=url`; XML cannot carry all
//! of them otherwise.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as TOKEN;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    ChecksumAlgorithm, CommonPrefix, ETag, EncodingType, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, Timestamp,
};
use s3s::{S3Result, s3_error};
use sagebrush_object_store::{ListQuery, Listing, limits};

use super::error::from_store;
use super::get::as_i64;
use super::{Operations, checksum};

/// What stays as it is: the unreserved characters and the slash.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// How names are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    pub fn of(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None | Some("") => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    pub fn name(self, name: String) -> String {
        match self {
            Self::Plain => name,
            Self::Url => utf8_percent_encode(&name, ESCAPED).to_string(),
        }
    }
}

/// The most entries of a page that a request asks for.
pub(super) fn page_size(asked: Option<i32>) -> S3Result<usize> {
    let asked = asked.map_or(Ok(limits::PAGE), usize::try_from);
    match asked {
        Ok(size) => Ok(size.min(limits::PAGE)),
        Err(_) => {
            Err(s3_error!(InvalidArgument, "Argument max-keys must be an integer between 0 and 2147483647"))
        }
    }
}

impl Operations {
    pub(super) async fn list(&self, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let query = ListQuery {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            start_after: input.marker.clone().unwrap_or_default(),
            max_keys: page_size(input.max_keys)?,
        };
        let page = self.store.list(&input.bucket, &query).await.map_err(from_store)?;
        let next = page.next.clone();
        let (contents, common_prefixes) = self.entries(page, encoding, true);
        Ok(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(encoding.name(query.prefix)),
            marker: Some(encoding.name(query.start_after)),
            max_keys: i32::try_from(query.max_keys).ok(),
            is_truncated: Some(next.is_some()),
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            delimiter: input.delimiter.map(|delimiter| encoding.name(delimiter)),
            next_marker: next.map(|next| encoding.name(next)),
            encoding_type: input.encoding_type,
            request_charged: None,
        })
    }

    pub(super) async fn list_v2(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let start_after = match &input.continuation_token {
            Some(token) => from_token(token)?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let query = ListQuery {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            start_after,
            max_keys: page_size(input.max_keys)?,
        };
        let page = self.store.list(&input.bucket, &query).await.map_err(from_store)?;
        let next = page.next.as_deref().map(to_token);
        let count = i32::try_from(page.entries()).ok();
        let with_owner = input.fetch_owner == Some(true);
        let (contents, common_prefixes) = self.entries(page, encoding, with_owner);
        Ok(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(encoding.name(query.prefix)),
            max_keys: i32::try_from(query.max_keys).ok(),
            key_count: count,
            continuation_token: input.continuation_token,
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            delimiter: input.delimiter.map(|delimiter| encoding.name(delimiter)),
            encoding_type: input.encoding_type,
            start_after: input.start_after.map(|start| encoding.name(start)),
            request_charged: None,
        })
    }

    fn entries(
        &self,
        page: Listing,
        encoding: Encoding,
        with_owner: bool,
    ) -> (Vec<Object>, Vec<CommonPrefix>) {
        let objects = page.objects.into_iter().map(|found| Object {
            checksum_algorithm: Some(vec![ChecksumAlgorithm::from_static(found.checksum_algorithm.name())]),
            checksum_type: Some(checksum::type_of(found.checksum_kind)),
            e_tag: Some(ETag::Strong(found.etag)),
            key: Some(encoding.name(found.key)),
            last_modified: Some(Timestamp::from(found.modified)),
            owner: with_owner.then(|| self.owner()),
            restore_status: None,
            size: Some(as_i64(found.size)),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        });
        let prefixes = page
            .common_prefixes
            .into_iter()
            .map(|prefix| CommonPrefix { prefix: Some(encoding.name(prefix)) });
        (objects.collect(), prefixes.collect())
    }
}

/// A continuation token: the format's number and the last entry of the page before.
fn to_token(last: &str) -> String {
    TOKEN.encode(format!("1{last}"))
}

fn from_token(token: &str) -> S3Result<String> {
    let text = TOKEN.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let last = text.as_deref().and_then(|text| text.strip_prefix('1'));
    last.map(str::to_owned)
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_are_checked() {
        assert_eq!(from_token(&to_token("a/ü b")).ok().as_deref(), Some("a/ü b"));
        assert!(from_token("!").is_err());
        assert!(from_token(&TOKEN.encode("2a")).is_err());
    }

    #[test]
    fn names_are_escaped_so_that_both_ways_of_decoding_agree() {
        assert_eq!(Encoding::Url.name("a/b +ü(1)".to_owned()), "a/b%20%2B%C3%BC%281%29");
        assert_eq!(Encoding::Plain.name("a +".to_owned()), "a +");
    }
}
