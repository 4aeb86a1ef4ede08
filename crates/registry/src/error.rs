//! What can go wrong, one variant per answer that a caller tells apart.

use std::io;

/// The result of a registry operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed. Display texts are fit for users.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No repository of that name.
    #[error("the repository '{0}' does not exist; create it first")]
    NoSuchRepository(String),
    /// A repository of that name is there already.
    #[error("the repository '{0}' already exists")]
    RepositoryExists(String),
    /// The repository still holds images.
    #[error("the repository '{0}' still contains images; delete them first, or force the deletion")]
    RepositoryNotEmpty(String),
    /// The name breaks the rules for names of repositories.
    #[error(
        "'{0}' is not a repository name: 2 to 256 characters a-z and 0-9, with single '.', '_', '__' or \
         dashes between them and '/' between parts"
    )]
    InvalidName(String),
    /// The tag breaks the rules for tags.
    #[error("'{0}' is not a tag: 1 to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'")]
    InvalidTag(String),
    /// Not a digest that is understood here.
    #[error("'{0}' is not a digest of the form sha256:<64 hexadecimal digits>")]
    InvalidDigest(String),
    /// No image of that tag or digest in the repository.
    #[error("the image '{reference}' does not exist in the repository '{repository}'")]
    NoSuchImage {
        /// The repository's name.
        repository: String,
        /// The tag or digest.
        reference: String,
    },
    /// No layer of that digest in the repository.
    #[error("the layer '{0}' does not exist in the repository")]
    NoSuchBlob(String),
    /// No open upload of that id in the repository.
    #[error("the upload does not exist; it was finished, cancelled or too old. Begin it again")]
    NoSuchUpload,
    /// The received bytes are not those that the digest announced.
    #[error(
        "the received bytes have the digest {received}, announced was {announced}; begin the upload again"
    )]
    DigestMismatch {
        /// What the client said.
        announced: String,
        /// What it sent.
        received: String,
    },
    /// A piece of an upload does not begin where the last one ended.
    #[error("the upload has {received} bytes; the next piece must begin there")]
    OutOfOrder {
        /// Bytes received so far.
        received: u64,
    },
    /// The manifest breaks a rule.
    #[error("the manifest is not valid: {0}")]
    ManifestInvalid(String),
    /// The manifest names layers that the repository does not have.
    #[error("the manifest names layers that are not in the repository: {}; push them first", .0.join(", "))]
    BlobsMissing(Vec<String>),
    /// The manifest names manifests that the repository does not have.
    #[error("the manifest names images that are not in the repository: {}; push them first", .0.join(", "))]
    ImagesMissing(Vec<String>),
    /// The tag names another image, and tags of this repository cannot be moved.
    #[error("the tag '{tag}' exists already in the repository '{repository}', whose tags are immutable")]
    TagImmutable {
        /// The repository's name.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// An index names the image.
    #[error("the image '{0}' is part of another one and cannot be deleted before it")]
    ImageReferenced(String),
    /// An image needs the layer.
    #[error("the layer '{0}' is part of an image and cannot be deleted before it")]
    BlobReferenced(String),
    /// A tag of a repository as a resource breaks AWS's rules.
    #[error("the tags are not valid: {0}")]
    InvalidResourceTag(String),
    /// A repository would have more tags as a resource than AWS allows.
    #[error("a repository has at most 50 tags; these would be {0}")]
    TooManyTags(usize),
    /// A body exceeds its ceiling.
    #[error("the body is larger than {0} bytes, the most that is accepted")]
    TooLarge(u64),
    /// A ceiling on the number of things is reached.
    #[error("{0}")]
    TooMany(String),
    /// The body was silent for too long.
    #[error("the body was silent for {0} seconds")]
    BodyTimeout(u64),
    /// Reading the body failed: the sender went away or what it sent is malformed.
    #[error("reading the body failed: {0}")]
    Body(io::Error),
    /// The index did not answer in time.
    #[error("the registry is busy; try again")]
    Busy,
    /// Another process has the folder open.
    #[error("the folder '{0}' is in use by another process")]
    Locked(String),
    /// The folder was written by a later version.
    #[error("the registry's index has format {found}; this version reads up to {known}")]
    NewerFormat {
        /// The format on disk.
        found: i64,
        /// The latest format this version reads.
        known: i64,
    },
    /// The index names something that is not there, or holds what it must not.
    #[error("the registry is damaged: {0}")]
    Damaged(String),
    /// The work was cut short by shutdown.
    #[error("the operation was interrupted")]
    Interrupted,
    /// The file system failed.
    #[error("the file system failed: {0}")]
    Io(#[from] io::Error),
    /// The index failed.
    #[error("the registry's index failed: {0}")]
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
