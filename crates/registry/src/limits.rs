//! Ceilings of the registry, each with its reason. Sizes are bytes.

use std::time::Duration;

/// One manifest: 4 MiB, what ECR and the OCI specification name. It is held in memory while it is read,
/// checked and stored.
pub const MANIFEST_BYTES: usize = 4 << 20;

/// Manifests of one answer together, which is put together in memory: four of the largest, or the hundred that
/// ECR's model allows when they are of the usual few KiB.
pub const MANIFESTS_BYTES: usize = 16 << 20;

/// One layer: ECR's quota of 52,000 MiB.
pub const LAYER_BYTES: u64 = 52_000 << 20;

/// Repositories of a region: a tenth of ECR's default quota, and far more than one machine's images need;
/// a listing of them stays quick.
pub const REPOSITORIES: i64 = 10_000;

/// Images of a repository: ECR's default quota.
pub const IMAGES: i64 = 20_000;

/// Tags of one image: ECR's quota.
pub const TAGS_PER_IMAGE: i64 = 1_000;

/// Tags of a repository as a resource: AWS's quota.
pub const RESOURCE_TAGS: usize = 50;

/// Characters of a repository's name: ECR's bound.
pub const NAME_CHARS: usize = 256;

/// Characters of a tag: the OCI specification's bound.
pub const TAG_CHARS: usize = 128;

/// Descriptors of one manifest. Docker's largest images have 127 layers, and an index an entry per
/// platform; each costs a look into the index of this store.
pub const DESCRIPTORS: usize = 1_000;

/// Uploads that are open at once. Clients push five layers at a time, and a push that was killed leaves as
/// many until [`UPLOAD_LIFETIME`] is over.
pub const UPLOADS: i64 = 1_000;

/// Uploads that take bytes at once; more wait. Each holds at most [`INGEST_QUEUE`] + 2 batches of
/// [`INGEST_BATCH`], so 64 of them hold 256 MiB.
pub const WRITES_AT_ONCE: usize = 64;

/// Bytes gathered before they are handed to the thread that writes and digests them: enough that the
/// hand-over costs nothing beside the work.
pub const INGEST_BATCH: usize = 1 << 20;

/// Batches that wait for that thread.
pub const INGEST_QUEUE: usize = 2;

/// Bytes written between two flushes of a layer, so that the disk works while the body arrives and the
/// last flush is short.
pub const FLUSH_BYTES: u64 = 32 << 20;

/// Bytes that a reader takes from a layer at a time: 50 pulls at once hold 50 MiB at most.
pub const READ_CHUNK: usize = 512 << 10;

/// Time that a body may be silent before the request is given up; what had arrived is kept for a
/// continuation.
pub const BODY_IDLE: Duration = Duration::from_secs(60);

/// Time after its last byte that an upload waits for its continuation. Clients that lose their connection
/// come back within minutes or begin anew.
pub const UPLOAD_LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// Time without any request of a push after which a repository counts as idle, so that layers which no
/// image needs are garbage. A push asks for its next layer within seconds.
pub const PUSH_IDLE: Duration = Duration::from_secs(15 * 60);

/// Age at which an unneeded layer is garbage in a repository that is pushed to all the time.
pub const UNUSED_AGE: Duration = Duration::from_secs(24 * 3600);

/// Time between two looks for garbage.
pub const COLLECT_EVERY: Duration = Duration::from_secs(5 * 60);

/// Time that an operation waits for the index before it answers [`crate::Error::Busy`].
pub const INDEX_WAIT: Duration = Duration::from_secs(20);

/// Connections that read the index.
pub const INDEX_READERS: u32 = 4;

/// Entries of one page of any listing: what ECR's model allows.
pub const PAGE: usize = 1_000;
