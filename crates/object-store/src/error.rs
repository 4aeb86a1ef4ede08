//! What can go wrong, one variant per answer that a caller tells apart.

use std::io;

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed. Display texts are fit for users.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No bucket of that name.
    #[error("the bucket '{0}' does not exist")]
    NoSuchBucket(String),
    /// A bucket of that name belongs to someone else.
    #[error("the bucket name '{0}' is taken by another account")]
    BucketAlreadyExists(String),
    /// The bucket still holds objects.
    #[error("the bucket '{0}' is not empty; delete its objects first")]
    BucketNotEmpty(String),
    /// The name breaks S3's rules for bucket names.
    #[error(
        "'{0}' is not a bucket name: 3 to 63 characters a-z, 0-9, '.' and '-', beginning and \
         ending with a letter or digit"
    )]
    InvalidBucketName(String),
    /// The ceiling on buckets is reached.
    #[error("there are {0} buckets already; delete one first")]
    TooManyBuckets(i64),
    /// No object of that key.
    #[error("the key does not exist: {0}")]
    NoSuchKey(String),
    /// No open upload of that id for that key.
    #[error("the multipart upload does not exist; it may have been aborted or completed")]
    NoSuchUpload,
    /// A part named in a completion is missing or not the one that was uploaded.
    #[error("part {0} was not found, or its ETag or checksum is not that of the uploaded part")]
    InvalidPart(u32),
    /// The parts of a completion do not ascend.
    #[error("the list of parts is not in ascending order of part number")]
    InvalidPartOrder,
    /// A part other than the last is under 5 MiB.
    #[error("part {number} has {size} bytes; every part but the last needs at least {minimum}")]
    EntityTooSmall {
        /// The part's number.
        number: u32,
        /// The part's size in bytes.
        size: u64,
        /// The least size in bytes.
        minimum: u64,
    },
    /// The body or the finished object exceeds its ceiling.
    #[error("the object or part is larger than {0} bytes, the most that is accepted")]
    EntityTooLarge(u64),
    /// A digest of the received bytes differs from the one that was sent.
    #[error("the {0} of the received bytes is not the one that was sent")]
    BadDigest(String),
    /// A digest that was sent is not a digest at all.
    #[error("the {0} that was sent is not a base64 digest of the right length")]
    InvalidDigest(String),
    /// Fewer bytes arrived than were announced.
    #[error("the body has {received} bytes, {expected} were announced")]
    IncompleteBody {
        /// Bytes that arrived.
        received: u64,
        /// Bytes that were announced.
        expected: u64,
    },
    /// The body was silent for too long.
    #[error("the body was silent for {0} seconds")]
    BodyTimeout(u64),
    /// Reading the body failed; the sender went away or what it sent is malformed.
    #[error("reading the body failed: {0}")]
    Body(io::Error),
    /// The key is longer than 1,024 bytes.
    #[error("the key has {0} bytes; at most 1024 are accepted")]
    KeyTooLong(usize),
    /// The user metadata is larger than 2 KB.
    #[error("the user metadata has {0} bytes; at most 2048 are accepted")]
    MetadataTooLarge(usize),
    /// A tag breaks S3's rules.
    #[error("invalid tags: {0}")]
    InvalidTag(String),
    /// A condition of the request does not hold.
    #[error("the condition {0} does not hold")]
    PreconditionFailed(&'static str),
    /// The range lies outside the object.
    #[error("the range is not within the object's {0} bytes")]
    InvalidRange(u64),
    /// An argument is out of its domain.
    #[error("{0}")]
    InvalidArgument(String),
    /// The request contradicts itself or the state it acts on.
    #[error("{0}")]
    InvalidRequest(String),
    /// A whole listing would be larger than the ceiling.
    #[error("more than {0} objects; name a longer prefix")]
    TooManyObjects(usize),
    /// The index did not answer in time.
    #[error("the store is busy; try again")]
    Busy,
    /// Another process has the folder open.
    #[error("the folder '{0}' is in use by another process")]
    Locked(String),
    /// The folder was written by a later version.
    #[error("the object index has format {found}; this version reads up to {known}")]
    NewerFormat {
        /// The format on disk.
        found: i64,
        /// The latest format this version reads.
        known: i64,
    },
    /// The index names something that is not there, or holds what it must not.
    #[error("the object store is damaged: {0}")]
    Damaged(String),
    /// The work was cut short by shutdown.
    #[error("the operation was interrupted")]
    Interrupted,
    /// The file system failed.
    #[error("the file system failed: {0}")]
    Io(#[from] io::Error),
    /// The index failed.
    #[error("the object index failed: {0}")]
    Index(sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            other => Self::Index(other),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(format!("an index entry cannot be read: {error}"))
    }
}
