//! How a training run fails: whose fault it is, and the message the user reads.

use std::fmt;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The request or its data: changing them helps.
    Client,
    /// The algorithm or the machine under it.
    Algorithm,
}

/// Why a training run ended without a model. Displays as SageMaker's failure reasons begin: `ClientError: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainFailure {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl TrainFailure {
    /// A failure the user can mend.
    pub fn client(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Client, message: message.into() }
    }

    /// A failure of the algorithm or the machine.
    pub fn algorithm(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Algorithm, message: message.into() }
    }
}

impl fmt::Display for TrainFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FailureKind::Client => "ClientError",
            FailureKind::Algorithm => "AlgorithmError",
        };
        write!(f, "{kind}: {}", self.message)
    }
}

impl std::error::Error for TrainFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_with_its_kind() {
        assert_eq!(TrainFailure::client("x").to_string(), "ClientError: x");
        assert_eq!(TrainFailure::algorithm("y").to_string(), "AlgorithmError: y");
    }
}
