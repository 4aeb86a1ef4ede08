//! The lines of a model server's programs on their way to its log streams.

use sagebrush_metastore::{Key, LogLine};

use crate::ControlPlane;

/// Lines that are written together.
const BATCH: usize = 500;

/// The lines of one program.
pub struct ServerLog {
    plane: ControlPlane,
    key: Key,
    group: String,
    stream: String,
    lines: Vec<LogLine>,
    last: Option<String>,
}

impl ServerLog {
    /// The log of a program of an endpoint's server, in a stream of this name.
    pub fn new(plane: &ControlPlane, key: &Key, stream: String) -> Self {
        let group = format!("/aws/sagemaker/Endpoints/{}", key.name);
        Self { plane: plane.clone(), key: key.clone(), group, stream, lines: Vec::new(), last: None }
    }

    /// The last line.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Takes a line.
    pub async fn take(&mut self, line: String) {
        self.last = Some(line.clone());
        self.lines.push(LogLine { at: self.plane.now(), message: line });
        if self.lines.len() >= BATCH {
            self.flush().await;
        }
    }

    /// Writes what is there.
    pub async fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let store = self.plane.store();
        let stored = store.append_log(&self.key.region, &self.group, &self.stream, &self.lines).await;
        if let Err(error) = stored {
            tracing::error!(endpoint = %self.key, %error, "log lines of a model server were lost");
        }
        self.lines.clear();
    }
}
