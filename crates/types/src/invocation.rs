//! What the serving plane tells about the requests it answered: events that travel up, as data and
//! never as calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::{CaptureRoute, EndpointName};

/// One request that was sent to a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Region and name of the endpoint.
    pub endpoint: EndpointName,
    /// Name of the variant.
    pub variant: String,
    /// The variant's servers at that time.
    pub instances: usize,
    /// When it was answered, milliseconds since the Unix epoch.
    pub at: i64,
    /// The model server's status; 503 when it gave none.
    pub status: u16,
    /// Microseconds from the request to the model server until its whole answer, if it gave one.
    pub model_latency: Option<u64>,
    /// Microseconds that this server took besides.
    pub overhead_latency: u64,
}

/// Request and answer of one invocation that was drawn to be captured.
#[derive(Debug)]
pub struct Captured {
    /// Region and name of the endpoint.
    pub endpoint: EndpointName,
    /// Name of the variant that answered.
    pub variant: String,
    /// Where and how to keep it.
    pub capture: Arc<CaptureRoute>,
    /// Identity of the request.
    pub event_id: String,
    /// The caller's own identity for it.
    pub inference_id: Option<String>,
    /// When it was answered, milliseconds since the Unix epoch.
    pub at: i64,
    /// The request, if requests are captured.
    pub input: Option<CapturedBody>,
    /// The answer, if answers are captured.
    pub output: Option<CapturedBody>,
    /// The memory it takes, given back when this is dropped.
    pub held: HeldBytes,
}

/// A captured body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedBody {
    /// Its content type as sent; empty when none was.
    pub content_type: String,
    /// The bytes.
    pub data: Bytes,
}

/// A bound on the bytes that wait somewhere.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

impl ByteBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { taken: Arc::default(), limit }
    }

    /// Takes `bytes`, or `None` when they do not fit any more.
    pub fn take(&self, bytes: usize) -> Option<HeldBytes> {
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.limit);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(HeldBytes { taken: Arc::clone(&self.taken), bytes })
    }
}

/// Bytes of a budget; given back when this is dropped.
#[derive(Debug)]
pub struct HeldBytes {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_exceeded_and_comes_back() {
        let budget = ByteBudget::new(10);
        let held = budget.take(8);
        assert!(held.is_some() && budget.take(3).is_none() && budget.take(usize::MAX).is_none());
        drop(held);
        assert!(budget.take(10).is_some());
    }
}
