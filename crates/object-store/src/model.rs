//! The nouns: buckets, objects and what is said about them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::digest::{Algorithm, Checksum, ChecksumKind};
use crate::{Error, Result, limits};

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// The region it was created in.
    pub region: String,
    /// The account that owns it.
    pub owner: String,
    /// When it was created, UTC.
    pub created: OffsetDateTime,
}

/// What an object says about itself: kept and given back, never interpreted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// `Content-Type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Content-Encoding`, without the `aws-chunked` of the transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `Cache-Control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// `Expires`, as seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// User metadata, names in lower case.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Tags in the order they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags(pub Vec<(String, String)>);

/// Everything known about one object.
#[derive(Debug, Clone)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its entity tag without quotes: the MD5 in hexadecimal, or `<md5 of md5s>-<parts>`.
    pub etag: String,
    /// When it was written, UTC.
    pub modified: OffsetDateTime,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its checksum: the one its writer chose, or CRC64NVME.
    pub checksum: Checksum,
    /// How many tags it has.
    pub tag_count: usize,
    /// How many parts it was put together from; `None` when it was written in one piece.
    pub part_count: Option<u32>,
    /// Names this content: changes with every write of the key.
    pub(crate) generation: String,
    /// Whether its bytes lie in the index.
    pub(crate) inline: bool,
}

/// One part of an object that was put together from parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// Its place in the object, from 1, without gaps.
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Its checksum in base64, of the object's algorithm.
    pub checksum: String,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its entity tag without quotes.
    pub etag: String,
    /// When it was written, UTC.
    pub modified: OffsetDateTime,
    /// The algorithm of its checksum.
    pub checksum_algorithm: Algorithm,
    /// What its checksum covers.
    pub checksum_kind: ChecksumKind,
}

/// A condition on what the key holds when a write commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// Whatever it holds.
    #[default]
    Always,
    /// It holds nothing (`If-None-Match: *`).
    Absent,
    /// It holds an object with this entity tag (`If-Match`); `*` is any object.
    Matches(String),
}

/// Which checksum to keep, and what it must be.
#[derive(Default)]
pub enum ChecksumRequest {
    /// The store's own choice, CRC64NVME.
    #[default]
    Default,
    /// Compute this one.
    Compute(Algorithm),
    /// Compute this one; it must have this value, in base64.
    Expect(Algorithm, String),
    /// Compute this one; its value, in base64, is known once the body has ended.
    AfterBody(Algorithm, Box<dyn FnOnce() -> Option<String> + Send>),
}

impl ChecksumRequest {
    /// The algorithm to compute.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Default => Algorithm::Crc64Nvme,
            Self::Compute(algorithm) | Self::Expect(algorithm, _) | Self::AfterBody(algorithm, _) => {
                *algorithm
            }
        }
    }

    /// The value that was announced, asked for once the body has ended.
    pub(crate) fn announced(self) -> Result<Option<String>> {
        match self {
            Self::Default | Self::Compute(_) => Ok(None),
            Self::Expect(_, value) => Ok(Some(value)),
            Self::AfterBody(algorithm, value) => value().map(Some).ok_or_else(|| {
                let name = algorithm.name();
                Error::InvalidRequest(format!("the {name} announced for after the body is missing"))
            }),
        }
    }
}

impl fmt::Debug for ChecksumRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChecksumRequest").field(&self.algorithm()).finish()
    }
}

/// What a body must turn out to be.
#[derive(Debug)]
pub struct Expectations {
    /// Its MD5 (16 bytes, base64), from `Content-MD5`.
    pub content_md5: Option<String>,
    /// Its checksum.
    pub checksum: ChecksumRequest,
    /// Its length in bytes.
    pub length: Option<u64>,
    /// The most bytes to accept.
    pub limit: u64,
}

impl Default for Expectations {
    fn default() -> Self {
        Self { content_md5: None, checksum: ChecksumRequest::Default, length: None, limit: limits::PUT_BYTES }
    }
}

/// The time of a count of milliseconds since the Unix epoch.
pub(crate) fn time_of(milliseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A count as SQLite keeps it.
pub(crate) fn as_stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as SQLite kept it.
pub(crate) fn from_stored(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

impl Tags {
    /// The stored form; `None` when there are none.
    pub(crate) fn to_stored(&self) -> Result<Option<String>> {
        Ok(if self.0.is_empty() { None } else { Some(serde_json::to_string(self)?) })
    }

    /// The tags of a stored form.
    pub(crate) fn from_stored(stored: Option<&str>) -> Result<Self> {
        Ok(stored.map(serde_json::from_str).transpose()?.unwrap_or_default())
    }
}
