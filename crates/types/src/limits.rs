//! Every ceiling of the server with its reason. Sizes are bytes, times are durations.

use std::time::Duration;

/// Body of a control-plane call. The largest honest request (a tuning job with ten training job
/// definitions) stays under 100 KiB; the service refuses more than 4 MiB here so that one client
/// cannot hold the server's memory.
pub const CONTROL_BODY_BYTES: usize = 4 << 20;

/// Body of InvokeEndpoint: AWS's documented payload limit for real-time inference.
pub const INVOKE_BODY_BYTES: usize = 25 << 20;

/// Time a model server may take to answer one invocation: AWS's limit for real-time inference.
pub const INVOKE_TIMEOUT: Duration = Duration::from_secs(60);

/// Invocations in flight per model server before more are turned away with 429. A built-in model
/// answers a single pair in well under a millisecond, so 256 waiting requests are a backlog that
/// only grows.
pub const INVOCATIONS_IN_FLIGHT: usize = 256;

/// Time a model server may take to stream one whole answer: AWS's limit for streamed inference. It
/// must begin within [`INVOKE_TIMEOUT`].
pub const INVOKE_STREAM_TIMEOUT: Duration = Duration::from_secs(480);

/// Events of invocations that wait to be counted. Counting takes a microsecond, so a second of a
/// hundred thousand requests would have to wait before one is lost.
pub const INVOCATION_EVENTS: usize = 8192;

/// Captured invocations that wait to be written.
pub const CAPTURE_EVENTS: usize = 4096;

/// Bytes of captured bodies that wait to be written: ten of the largest pairs of request and answer.
pub const CAPTURE_BYTES: usize = 512 << 20;

/// Captured lines that become one object without waiting longer.
pub const CAPTURE_FILE_BYTES: usize = 8 << 20;

/// Time that captured lines wait for company before they become an object. AWS delivers within
/// minutes; ten seconds make at most six objects a minute and variant.
pub const CAPTURE_FILE_AGE: Duration = Duration::from_secs(10);

/// Variants whose last minute is remembered; beyond it those without requests are forgotten. Twice
/// what the endpoints that may be open have.
pub const VARIANTS_WATCHED: usize = 2048;

/// Further model servers that are tried for one invocation when a server cannot be reached. A server
/// that has ended leaves the route within milliseconds, so more tries only delay the answer.
pub const INVOKE_RETRIES: usize = 3;

/// Requests that the server works on at once; more wait in the kernel's accept queue.
pub const REQUESTS_IN_FLIGHT: usize = 1024;

/// Bytes of request bodies that are in memory at once, S3's apart, which are streamed. A body is read
/// before its signature can be proven, so this is what a sender without a key can take.
pub const BODIES_IN_MEMORY: usize = 256 << 20;

/// Time that a control-plane call's body may take to arrive: it holds its part of the memory meanwhile, and
/// 4 MiB over the slowest line that is of use take half of it.
pub const BODY_TIME: Duration = Duration::from_secs(60);

/// Tunnels that the intercepting proxy has open at once: far more than the clients of one machine use.
pub const TUNNELS: usize = 256;

/// Time that a tunnel's far end has to accept the connection.
pub const TUNNEL_CONNECT: Duration = Duration::from_secs(10);

/// Time after which a tunnel in which nothing moves is closed. Clients hold idle connections for a
/// minute or two, and slow answers rarely take longer than ten.
pub const TUNNEL_IDLE: Duration = Duration::from_secs(600);

/// Jobs that run at the same time. Training uses every core it is given, so more than a few
/// concurrent jobs only take turns; the rest wait in the state Starting.
pub const JOBS_AT_ONCE: usize = 4;

/// Jobs that may be waiting or running before CreateTrainingJob and CreateProcessingJob answer
/// ResourceLimitExceeded.
pub const JOBS_OPEN: usize = 1000;

/// Payload of one request of a transform job: AWS's documented 100 MB.
pub const TRANSFORM_PAYLOAD_MB: usize = 100;

/// Payload of a transform job's requests when neither request nor model server says: AWS's 6 MB.
pub const TRANSFORM_PAYLOAD_DEFAULT_MB: usize = 6;

/// Requests of a transform job in flight per model server. More only wait inside the server, and
/// each may hold a payload and an answer in memory.
pub const TRANSFORM_CONCURRENT: usize = 64;

/// One answer of a model server to a transform job: as large as the largest payload.
pub const TRANSFORM_ANSWER_BYTES: usize = TRANSFORM_PAYLOAD_MB << 20;

/// Objects of a transform job that are worked on at once: enough to keep every server busy with
/// small objects; each has its input and output on disk.
pub const TRANSFORM_OBJECTS_AT_ONCE: usize = 32;

/// Objects of a transform job that may fail before the rest is left undone: by then the cause is
/// the model or the request, and every further object would take its retries for nothing.
pub const TRANSFORM_FAILED_OBJECTS: usize = 100;

/// Bytes of a manifest: AWS's documented 1 GiB is far more than a list of keys needs; 64 MiB hold
/// about a million keys, the most that a prefix may name here.
pub const MANIFEST_BYTES: u64 = 64 << 20;

/// Time a model server may take to answer one request of a transform job: AWS's default.
pub const TRANSFORM_INVOKE_TIMEOUT: Duration = Duration::from_secs(600);

/// Times a request of a transform job is sent again: AWS's default, which is also its maximum.
pub const TRANSFORM_RETRIES: u32 = 3;

/// Payload of an asynchronous invocation and its answer: AWS's documented 1 GB.
pub const ASYNC_PAYLOAD_BYTES: usize = 1 << 30;

/// Payload that comes within InvokeEndpointAsync: AWS's documented 128,000 bytes.
pub const ASYNC_BODY_BYTES: usize = 128_000;

/// Asynchronous invocations that wait for one endpoint. A row is about 1 KiB, so a full queue of
/// requests without a payload of their own takes 10 MiB; with payloads 1.3 GB of disk.
pub const ASYNC_QUEUE: usize = 10_000;

/// Time an asynchronous invocation may wait: AWS's default of 6 hours.
pub const ASYNC_TTL: Duration = Duration::from_secs(21_600);

/// Time a model server may take for an asynchronous invocation: AWS's default of 15 minutes.
pub const ASYNC_INVOKE_TIMEOUT: Duration = Duration::from_secs(900);

/// Asynchronous invocations in flight per model server when the endpoint does not say.
pub const ASYNC_CONCURRENT: usize = 4;

/// Times an asynchronous invocation is sent when the connection breaks: a payload that ends its
/// model server must not end it for ever.
pub const ASYNC_TRIES: u32 = 3;

/// Tuning jobs that may be open before CreateHyperParameterTuningJob answers ResourceLimitExceeded: AWS's
/// default quota.
pub const TUNING_JOBS_OPEN: usize = 100;

/// Training jobs of one tuning job. AWS's quota is 750 for the model-based strategy; the model of more
/// than 1,000 results would cost seconds a suggestion, and the state of the tuning job, which is written
/// with every step, has about 300 bytes for each.
pub const TUNING_TRAINING_JOBS: usize = 1_000;

/// Training jobs of one tuning job at once: AWS's quota. More than [`JOBS_AT_ONCE`] never run.
pub const TUNING_PARALLEL_JOBS: usize = 100;

/// Containers of one model: AWS's documented 15.
pub const CONTAINERS_PER_MODEL: usize = 15;

/// Models that one server of a multi-model endpoint holds at once. A container says itself when its memory is
/// full (507); this bounds what one that never says it is given.
pub const MODELS_LOADED: usize = 256;

/// Bytes that the models on disk of one server of a multi-model endpoint have together: what a container may
/// fill otherwise.
pub const MODELS_DISK_BYTES: u64 = CONTAINER_DISK_BYTES;

/// Time a request waits for its model to be loaded. Below [`INVOKE_TIMEOUT`], so that the caller learns that the
/// model is on its way and not that a server is silent.
pub const MODEL_LOAD_WAIT: Duration = Duration::from_secs(50);

/// Time that loading a model may take, downloaded and unpacked: as long as a model server has for its start.
pub const MODEL_LOAD_TIMEOUT: Duration = SERVER_START_TIMEOUT;

/// Bytes of an answer without a stated length that are held on the way to the next container of a pipeline, so that
/// it gets a length: many servers take no chunks. Longer answers go in chunks.
pub const RELAY_HELD_BYTES: usize = 8 << 20;

/// Endpoints that may be up or on their way before CreateEndpoint answers ResourceLimitExceeded. Each
/// is at least one process with a whole model in memory.
pub const ENDPOINTS_OPEN: usize = 64;

/// One log line: CloudWatch Logs takes 256 KiB an event less 26 bytes of overhead.
pub const LOG_LINE_BYTES: usize = (256 << 10) - 26;

/// Log lines of one job that are kept; beyond it lines are counted and dropped, and a last line
/// says how many. 100 characters a line make about 100 MB on disk.
pub const LOG_LINES_PER_JOB: u64 = 1_000_000;

/// Lines waiting to be written to the metastore; a job that prints faster waits at its pipe.
pub const LOG_QUEUE_LINES: usize = 4096;

/// Metric points of one job that are kept.
pub const METRIC_POINTS_PER_JOB: u64 = 1_000_000;

/// Characters of `/opt/ml/output/failure` that become the FailureReason: AWS's documented limit.
pub const FAILURE_REASON_CHARS: usize = 1024;

/// Processes and threads of one container: enough for a framework's workers, and an end for one that
/// forks without end.
pub const CONTAINER_PROCESSES: i64 = 4096;

/// Bytes of the disk that a container may fill when its request has no volume, as a model server's.
pub const CONTAINER_DISK_BYTES: u64 = 64 << 30;

/// Time between SIGTERM and SIGKILL for a training or processing job: AWS's documented limit.
pub const STOP_GRACE: Duration = Duration::from_secs(120);

/// Time between SIGTERM and SIGKILL for a model server: AWS's documented limit.
pub const SERVER_STOP_GRACE: Duration = Duration::from_secs(30);

/// Time a model server has until its first successful `/ping`: AWS's current default of 8 minutes.
pub const SERVER_START_TIMEOUT: Duration = Duration::from_secs(480);

/// Time between two pings of a model server that is up. A ping costs it next to nothing, and none is sent while
/// it works on a request: one with a single thread would not answer.
pub const SERVER_PING_EVERY: Duration = Duration::from_secs(10);

/// Time after which a model server that answers no ping and works on no request is replaced: six pings in a row.
/// A request whose caller has gone may keep it busy as long as a request may take.
pub const SERVER_SILENCE: Duration = Duration::from_secs(60);

/// Time a server waits for requests and children after SIGTERM before it exits anyway.
pub const DRAIN: Duration = Duration::from_secs(20);

/// Page size of List operations when the caller names none, and the largest one accepted.
pub const LIST_PAGE: usize = 10;
/// See [`LIST_PAGE`]: AWS's models bound MaxResults by 100.
pub const LIST_PAGE_MAX: usize = 100;

/// Events in one GetLogEvents page: AWS's documented limit.
pub const LOG_PAGE_EVENTS: usize = 10_000;

/// Bytes in one GetLogEvents page: AWS's documented limit of 1 MB.
pub const LOG_PAGE_BYTES: usize = 1 << 20;

/// Data points that GetMetricStatistics may return: AWS's documented limit.
pub const METRIC_STATISTICS_POINTS: usize = 1_440;

/// Metrics in one PutMetricData: AWS's documented limit.
pub const METRIC_DATA_PER_CALL: usize = 1000;

/// Values of one metric in one PutMetricData: AWS's documented limit.
pub const METRIC_VALUES_PER_DATUM: usize = 150;

/// Metrics (each a set of dimension values) that are kept in a region. AWS has no limit and a bill; here
/// a client that puts an identifier into a dimension would fill the disk.
pub const METRIC_SERIES: i64 = 100_000;

/// Queries in one GetMetricData: AWS's documented limit.
pub const METRIC_QUERIES_PER_CALL: usize = 500;

/// Data points in one answer of GetMetricData: AWS's documented limit.
pub const METRIC_DATA_POINTS: usize = 100_800;

/// Points that one percentile is computed from; they are in memory meanwhile, at about 100 bytes each.
pub const METRIC_SAMPLES_PER_CALL: usize = 200_000;

/// Log groups in a region, and streams that clients may make in one of them: far more than jobs and
/// programs of one machine need, and a listing of them stays quick.
pub const LOG_GROUPS: i64 = 10_000;
/// See [`LOG_GROUPS`].
pub const LOG_STREAMS_PER_GROUP: i64 = 100_000;

/// Bytes of one PutLogEvents, each event counted with 26 more: AWS's documented limit.
pub const LOG_BATCH_BYTES: usize = 1 << 20;

/// Streams that one FilterLogEvents searches, those with the earliest events first. Each costs a look at
/// its next line.
pub const LOG_STREAMS_SEARCHED: usize = 10_000;

/// Lines that one FilterLogEvents reads before it answers with what it has found and a token.
pub const LOG_LINES_SEARCHED: usize = 100_000;

/// Instances of one production variant. Each is a process on this machine.
pub const INSTANCES_PER_VARIANT: u64 = 16;

/// Time between two looks at a scalable target. A server of a built-in model is up in under a second,
/// so a longer wait would be most of the time that a rise in load goes unanswered.
pub const SCALING_EVERY: Duration = Duration::from_secs(2);

/// Policies of one scalable target: AWS's documented 50.
pub const SCALING_POLICIES: usize = 50;

/// Activities of one scalable target that are kept, the newest.
pub const SCALING_ACTIVITIES: usize = 100;

/// Items in one page of Application Auto Scaling: AWS's documented 50.
pub const SCALING_PAGE: usize = 50;

/// Age and future of a signature that are accepted: AWS's 15 minutes.
pub const CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);

/// Largest single object or part put in one request: S3's documented 5 GiB.
pub const PUT_OBJECT_BYTES: u64 = 5 << 30;

/// Files in one model artifact, and their total size, when it is unpacked: bounds for archives
/// that would fill the disk.
pub const ARTIFACT_FILES: usize = 100_000;
/// See [`ARTIFACT_FILES`].
pub const ARTIFACT_BYTES: u64 = 64 << 30;

/// Files of checkpoints that one job keeps: each is looked at every second while the job runs.
pub const CHECKPOINT_FILES: usize = 10_000;

/// Filters, nested filters and subexpressions of one search expression: AWS's documented limit.
pub const SEARCH_ELEMENTS: usize = 20;

/// Depth of subexpressions. AWS documents none; with twenty elements each, five levels are more
/// conditions than a request can hold.
pub const SEARCH_DEPTH: usize = 5;

/// Property names in one answer of GetSearchSuggestions.
pub const PROPERTY_SUGGESTIONS: usize = 100;

/// Trials that one trial component may belong to: AWS's documented limit is 50.
pub const TRIALS_PER_COMPONENT: usize = 50;

/// Metrics of one trial component. Each is a summary in its record, which a search reads.
pub const METRICS_PER_COMPONENT: usize = 300;

/// Values of one series that BatchGetMetrics reads; more are said to be truncated.
pub const RUN_POINTS_READ: usize = 100_000;

/// Associations of one entity, or of one listing, that are looked at.
pub const ASSOCIATIONS_LISTED: usize = 10_000;

/// Edges between the start and the farthest entity of QueryLineage: AWS's model bounds MaxDepth by 10.
/// The chain from raw data to an endpoint has twelve, so that is what a query without a bound walks.
pub const LINEAGE_DEPTH: usize = 32;

/// Entities of one page of QueryLineage: AWS's model bounds MaxResults by 50.
pub const LINEAGE_PAGE: usize = 50;

/// Entities that one QueryLineage walks through in one direction.
pub const LINEAGE_VERTICES: usize = 10_000;

/// Artifacts of other places that one input is linked to: those nearest in time of a place that holds
/// more.
pub const RELATED_ARTIFACTS: usize = 100;
