//! How a change or a question about identities fails.

use sagebrush_auth::policy::PolicyError;

/// The reasons, each an error of IAM or STS. The text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFailure {
    /// No such user, role, policy or key.
    #[error("{0}")]
    NoSuchEntity(String),
    /// It exists already.
    #[error("{0}")]
    AlreadyExists(String),
    /// A ceiling would be exceeded.
    #[error("{0}")]
    LimitExceeded(String),
    /// Something still hangs on it.
    #[error("{0}")]
    DeleteConflict(String),
    /// It belongs to the server and stays as it is.
    #[error("{0}")]
    Unmodifiable(String),
    /// A policy document that is not understood.
    #[error("{0}")]
    MalformedPolicy(String),
    /// A value that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The caller may not do this.
    #[error("{0}")]
    Denied(String),
    /// A failure of the file system or of the file's content: for the log.
    #[error("the identities cannot be read or written: {0}")]
    Internal(String),
}

impl From<PolicyError> for IdentityFailure {
    fn from(error: PolicyError) -> Self {
        Self::MalformedPolicy(format!("The policy document is not valid: {error}."))
    }
}
