//! Ceilings of the store, each with its reason. Sizes are bytes.

use std::time::Duration;

/// One object or part in one write: S3's documented 5 GiB.
pub const PUT_BYTES: u64 = sagebrush_types::limits::PUT_OBJECT_BYTES;

/// One object put together from parts: S3's documented 5 TiB.
pub const OBJECT_BYTES: u64 = 5 << 40;

/// The least size of every part but the last: S3's documented 5 MiB.
pub const PART_MIN_BYTES: u64 = 5 << 20;

/// Parts of one upload, and the largest part number: S3's documented 10,000.
pub const PARTS: u32 = 10_000;

/// A key, in bytes of UTF-8: S3's documented 1,024.
pub const KEY_BYTES: usize = 1024;

/// User metadata of one object, names and values together: S3's documented 2 KB.
pub const METADATA_BYTES: usize = 2048;

/// Tags of one object: S3's documented 10.
pub const TAGS: usize = 10;
/// Characters of a tag's key: S3's documented 128.
pub const TAG_KEY_CHARS: usize = 128;
/// Characters of a tag's value: S3's documented 256.
pub const TAG_VALUE_CHARS: usize = 256;

/// Entries of one page of any listing: S3's documented 1,000.
pub const PAGE: usize = 1000;

/// Buckets: S3's documented default quota of 10,000; ListBuckets answers them in one page.
pub const BUCKETS: i64 = 10_000;

/// Keys of one DeleteObjects: S3's documented 1,000.
pub const DELETE_KEYS: usize = 1000;

/// Summaries that [`crate::ObjectStore::list_all`] returns: about 300 bytes each.
pub const LIST_ALL: usize = 1_000_000;

/// Writes that take their bodies at once. Each holds at most [`INGEST_QUEUE`] + 2 batches of
/// [`INGEST_BATCH`], so 64 of them hold 256 MiB.
pub const WRITES_AT_ONCE: usize = 64;

/// Bytes gathered before they are handed to the file and to the digests: large enough that the
/// hand-over costs nothing beside hashing a batch (about 1 ms).
pub const INGEST_BATCH: usize = 1 << 20;

/// An object up to this size lies in the index itself: one commit, shared with others, makes it
/// durable, where a file of its own takes an fsync for the file and one for its folder. SQLite reads
/// blobs of this size from its pages as fast as from files.
pub const INLINE_BYTES: usize = 64 << 10;

/// Pages of the index's write-ahead log (4 KiB each) before they are copied back: 64 MiB, so that a
/// run of small objects is not interrupted by a checkpoint's fsyncs all the time.
pub const INDEX_LOG_PAGES: u32 = 16_384;

/// Batches waiting for the file or for the digests.
pub const INGEST_QUEUE: usize = 2;

/// Bytes written between two flushes of a long file, so that the disk works while the body
/// arrives and the last flush is short.
pub const FLUSH_BYTES: u64 = 32 << 20;

/// Bytes a reader takes from a file at a time.
pub const READ_CHUNK: usize = 512 << 10;

/// Time a body may be silent before the write is given up: a writer holds one of
/// [`WRITES_AT_ONCE`] places.
pub const BODY_IDLE: Duration = Duration::from_secs(60);

/// Time an operation waits for the index before it answers [`crate::Error::Busy`].
pub const INDEX_WAIT: Duration = Duration::from_secs(20);

/// Connections that read the index.
pub const INDEX_READERS: u32 = 4;
