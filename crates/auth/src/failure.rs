//! Why a request is not accepted as its sender's.

/// The reasons for which a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// No signature at all.
    #[error("Missing Authentication Token")]
    Missing,
    /// The Authorization header cannot be read; the text says which part.
    #[error("{0}")]
    Incomplete(String),
    /// The access key id is not known.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// The signature was made with another secret or for another request.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// The session token is none of this server's, or of another key.
    #[error("The security token included in the request is invalid.")]
    InvalidToken,
    /// The session has ended.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// The signature's time is too far from the server's; the text gives both.
    #[error("{0}")]
    Expired(String),
}

impl AuthFailure {
    /// AWS's error code in the JSON protocols.
    pub const fn json_code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::UnknownKey | Self::InvalidToken => "UnrecognizedClientException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::Mismatch | Self::Expired(_) => "InvalidSignatureException",
        }
    }

    /// AWS's error code in the query protocol.
    pub const fn query_code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationToken",
            Self::Incomplete(_) => "IncompleteSignature",
            Self::UnknownKey | Self::InvalidToken => "InvalidClientTokenId",
            Self::ExpiredToken => "ExpiredToken",
            Self::Mismatch | Self::Expired(_) => "SignatureDoesNotMatch",
        }
    }

    /// The HTTP status that goes with it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Incomplete(_) => 400,
            Self::Missing
            | Self::UnknownKey
            | Self::InvalidToken
            | Self::ExpiredToken
            | Self::Mismatch
            | Self::Expired(_) => 403,
        }
    }
}
