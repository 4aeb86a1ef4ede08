//! What every model that was trained here can do: answer requests.

/// A model, ready to answer. Any number of threads may ask at once.
pub trait Predict: Send + Sync {
    /// Answers one request. `content_type` and `accept` are media types with their parameters; without `accept` the
    /// model chooses the format of its answer.
    ///
    /// # Errors
    /// 400 for a request that cannot be read, 406 and 415 for formats that are not known, 500 for what is the model's
    /// fault.
    fn invoke(
        &self,
        content_type: &str,
        accept: Option<&str>,
        body: &[u8],
    ) -> Result<InvokeReply, InvokeFailure>;
}

/// Why a model folder cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// Answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvokeReply {
    /// Media type of the body.
    pub content_type: String,
    /// One entry per instance, in the order of the request.
    pub body: Vec<u8>,
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvokeFailure {
    /// HTTP status that fits.
    pub status: u16,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl InvokeFailure {
    /// The request is at fault: 400.
    pub fn bad(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }
}
