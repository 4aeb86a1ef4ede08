//! The audit log: one line of JSON for every request that was let in or refused, in `audit/` of the data
//! folder. Never a body, a secret or a token.
//!
//! Promises: the line of an operation that changes something is in the file before its answer is sent, or
//! the server's log has it as an error; lines of other operations never hold a request up, and when there
//! are more of them than the disk takes, the file says how many are missing. Files are rotated by size and
//! the oldest are removed, so the log has a ceiling.

mod queue;
mod read;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sagebrush_auth::Origin;
use sagebrush_env::Clock;
use sagebrush_env::durable::create_folder;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;

use crate::IdentityFailure;
use crate::limits::{AUDIT_FIELD_CHARS, AUDIT_UNPROVEN_BURST};

pub use read::{Filter, read};

use queue::Queue;

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// When the answer was ready, RFC 3339 in UTC.
    pub time: String,
    /// The identifier that the answer carries.
    pub request_id: String,
    /// The access key id; only claimed when the signature was refused.
    pub access_key_id: String,
    /// ARN of the proven sender; empty when there was none.
    pub principal: String,
    /// Address of the connection's other end.
    pub source_ip: String,
    /// Service, as actions have it: `sagemaker`, `s3`.
    pub service: String,
    /// Operation, or empty when the request was refused before it was known.
    pub operation: String,
    /// ARN of the (first) resource, or `*`.
    pub resource: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Code of the error, or empty.
    pub error: String,
    /// The client.
    pub user_agent: String,
    /// Lines that could not be kept before this one; then nothing else is set.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature is serde's.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Entry {
    /// Was the sender refused, unproven or without permission?
    pub fn is_denied(&self) -> bool {
        const CODES: [&str; 4] = ["Denied", "Signature", "Token", "AccessKey"];
        self.status == 403
            || CODES.iter().any(|code| self.error.contains(code))
            || self.error == "UnrecognizedClientException"
    }
}

/// Whether an operation changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does: its line is awaited.
    Changes,
    /// It does not.
    Reads,
}

impl Effect {
    /// The effect of an operation by its name, as AWS names operations.
    pub fn of(operation: &str) -> Self {
        const READS: [&str; 11] = [
            "BatchCheck",
            "BatchDescribe",
            "BatchGet",
            "Describe",
            "Filter",
            "Get",
            "Head",
            "InvokeEndpoint",
            "List",
            "Search",
            "Simulate",
        ];
        // Two give out credentials, the third puts a request into a queue.
        const CHANGES: [&str; 3] = ["GetAuthorizationToken", "GetSessionToken", "InvokeEndpointAsync"];
        // What is refused before its operation is known changes nothing.
        let reads = operation.is_empty() || READS.iter().any(|start| operation.starts_with(start));
        if reads && !CHANGES.contains(&operation) { Self::Reads } else { Self::Changes }
    }
}

/// The audit log of a data folder.
#[derive(Debug)]
pub struct Audit {
    queue: Arc<Queue>,
    clock: Clock,
    unproven: Mutex<Allowance>,
    writer: Option<JoinHandle<()>>,
}

impl Audit {
    /// The log in `audit/` of the data folder `root`.
    ///
    /// # Errors
    /// `Internal` when the folder or its file cannot be made.
    pub fn open(root: &Path, clock: Clock) -> Result<Self, IdentityFailure> {
        let failed = |error: std::io::Error| IdentityFailure::Internal(error.to_string());
        let folder = root.join("audit");
        create_folder(&folder).map_err(failed)?;
        let files = writer::Files::open(&folder, clock.clone()).map_err(failed)?;
        let queue = Arc::new(Queue::default());
        let lines = Arc::clone(&queue);
        let writer = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer::run(files, &lines))
            .map_err(failed)?;
        let unproven = Mutex::new(Allowance { left: AUDIT_UNPROVEN_BURST, at: clock.now_milliseconds() });
        Ok(Self { queue, clock, unproven, writer: Some(writer) })
    }

    /// Writes a line: for an operation that changes something it returns when the line is in the file.
    pub async fn write(&self, mut entry: Entry, origin: &Origin, effect: Effect) {
        // Whoever cannot prove who they are must not push the lines of others out of the log.
        if entry.principal.is_empty() {
            let mut allowance = self.unproven.lock().unwrap_or_else(PoisonError::into_inner);
            if !allowance.take(self.clock.now_milliseconds()) {
                drop(allowance);
                self.queue.count_lost(1);
                return;
            }
        }
        entry.time = self.clock.now().format(&Rfc3339).unwrap_or_default();
        entry.source_ip = origin.peer.map(|peer| peer.address.to_string()).unwrap_or_default();
        entry.user_agent = origin.user_agent.clone().unwrap_or_default();
        for text in [&mut entry.user_agent, &mut entry.resource, &mut entry.access_key_id] {
            shorten(text);
        }
        let mut line = serde_json::to_vec(&entry).unwrap_or_default();
        line.push(b'\n');
        match effect {
            Effect::Reads => self.queue.push(&line),
            Effect::Changes => {
                if self.queue.push_and_wait(&line).await.is_err() {
                    tracing::error!(?entry, "a change is not in the audit log");
                }
            }
        }
    }
}

/// Lines that senders without proof may leave: so many at once, and one more with every second.
#[derive(Debug)]
struct Allowance {
    left: i64,
    /// Milliseconds since 1970 up to which seconds were counted.
    at: i64,
}

impl Allowance {
    fn take(&mut self, now: i64) -> bool {
        let seconds = (now - self.at).max(0) / 1000;
        self.at += seconds * 1000;
        self.left = self.left.saturating_add(seconds).min(AUDIT_UNPROVEN_BURST);
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Cuts a text at [`AUDIT_FIELD_CHARS`].
fn shorten(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(AUDIT_FIELD_CHARS) {
        text.truncate(at);
        text.push('…');
    }
}

#[cfg(test)]
mod tests;
