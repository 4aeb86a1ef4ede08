//! The transport-free outcome of an operation: what went wrong in terms of the domain, a public
//! message, and a cause that only the log sees. One place in the API server maps it to AWS codes.

use crate::Resource;

/// What an operation returns.
pub type Outcome<T> = Result<T, Failure>;

/// The closed set of ways in which an operation can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The request contradicts the service model or a rule of the operation.
    Invalid,
    /// Members of the request exclude each other.
    Contradiction,
    /// The named resource does not exist.
    NotFound(Resource),
    /// A resource of that name exists already.
    AlreadyExists(Resource),
    /// The resource exists, but its state does not allow the operation.
    WrongState(Resource),
    /// The resource is at work and cannot be deleted yet.
    InUse(Resource),
    /// The named log group or log stream does not exist.
    NoSuchLog,
    /// A log group or log stream of that name exists already.
    LogExists,
    /// What others hang on cannot be removed.
    Conflict(Resource),
    /// A ceiling of this server would be exceeded.
    LimitExceeded,
    /// A field or operation that AWS has and this server does not perform.
    Unsupported,
    /// The caller may not do this.
    Denied,
    /// Something needed is busy or not up; the same request may succeed later.
    Unavailable,
    /// A defect or an environment failure of this server.
    Internal,
}

/// A failed operation.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind, from which code and status follow.
    pub kind: FailureKind,
    /// What was wrong, where, and what to do: shown to the caller.
    pub message: String,
    /// What happened inside: logged, never shown.
    pub cause: Option<String>,
}

impl Failure {
    /// A failure of any kind with a public message.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }

    /// A request that breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Invalid, message)
    }

    /// A feature of AWS that is not performed here.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unsupported, message)
    }

    /// A failure inside this server: the cause goes to the log only.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self {
            kind: FailureKind::Internal,
            message: "An internal error occurred. The server's log has the cause.".into(),
            cause: Some(cause.to_string()),
        }
    }

    /// May the same request succeed when sent again unchanged?
    pub const fn is_retryable(&self) -> bool {
        match self.kind {
            FailureKind::Unavailable | FailureKind::Internal => true,
            FailureKind::Invalid
            | FailureKind::Contradiction
            | FailureKind::NotFound(_)
            | FailureKind::NoSuchLog
            | FailureKind::LogExists
            | FailureKind::AlreadyExists(_)
            | FailureKind::WrongState(_)
            | FailureKind::Conflict(_)
            | FailureKind::InUse(_)
            | FailureKind::LimitExceeded
            | FailureKind::Unsupported
            | FailureKind::Denied => false,
        }
    }
}
