//! Why a run ended early, and whose fault it was.
//!
//! Promises: the message says what was wrong and where, in one text fit for the user.

use std::io;

use datafusion::error::DataFusionError;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The script, its arguments or its input data: running it again unchanged fails again.
    Client,
    /// The machine, for instance a full disk: running it again may succeed.
    Internal,
}

/// The end of a run that did not reach the end of its script.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PrepareFailure {
    /// Whose fault it was.
    pub kind: FailureKind,
    /// What was wrong, where, and, if known, what to do.
    pub message: String,
}

impl PrepareFailure {
    pub(crate) fn client(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Client, message: message.into() }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Internal, message: message.into() }
    }

    /// A failure of the file system while doing `what`.
    pub(crate) fn io(what: impl std::fmt::Display, error: &io::Error) -> Self {
        let message = format!("{what}: {error}");
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Self::client(message)
            }
            _ => Self::internal(message),
        }
    }

    /// What the query library reported while doing `what`. Its stack of causes is folded into one line.
    pub(crate) fn query(what: impl std::fmt::Display, error: &DataFusionError) -> Self {
        let root = error.find_root();
        let kind = match root {
            DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) | DataFusionError::Internal(_) => {
                FailureKind::Internal
            }
            _ => FailureKind::Client,
        };
        let hint = match root {
            DataFusionError::ResourcesExhausted(_) => {
                " (the memory limit was reached: raise --memory-limit or keep fewer rows in tables)"
            }
            _ => "",
        };
        Self { kind, message: format!("{what}: {}{hint}", error.strip_backtrace()) }
    }
}
