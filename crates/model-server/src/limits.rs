//! Ceilings of the model server, each with its reason.

/// Largest body of a request, in bytes: what SageMaker allows for real-time inference.
pub const BODY: usize = 25 << 20;

/// Bytes of bodies held at a time: ten of the largest, so that memory stays bounded whatever clients send.
pub const BODY_BUDGET: usize = 10 * BODY;

/// Requests held at a time, computing or waiting: at a millisecond each the last waits a second, well within the 60
/// seconds that callers have.
pub const CONCURRENT: usize = 1024;

/// Payload that batch transform should send, in MiB: SageMaker's default.
pub const TRANSFORM_PAYLOAD_MIB: usize = 6;
