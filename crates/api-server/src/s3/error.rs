//! From the store's errors to S3's, and the finishing of error documents.

use std::cell::RefCell;

use s3s::{S3Error, S3ErrorCode};
use sagebrush_object_store::Error;

use super::chunked::TOO_LARGE;

tokio::task_local! {
    /// Why the request at hand failed, when that is the server's fault: for the log, not for the
    /// client.
    pub(super) static CAUSE: RefCell<Option<String>>;
}

/// The S3 error of a store error. The server's own failures are told without their cause, which
/// goes to [`CAUSE`].
pub(super) fn from_store(error: Error) -> S3Error {
    let code = match &error {
        Error::NoSuchBucket(_) => S3ErrorCode::NoSuchBucket,
        Error::BucketAlreadyExists(_) => S3ErrorCode::BucketAlreadyExists,
        Error::BucketNotEmpty(_) => S3ErrorCode::BucketNotEmpty,
        Error::InvalidBucketName(_) => S3ErrorCode::InvalidBucketName,
        Error::TooManyBuckets(_) => S3ErrorCode::TooManyBuckets,
        Error::NoSuchKey(_) => S3ErrorCode::NoSuchKey,
        Error::NoSuchUpload => S3ErrorCode::NoSuchUpload,
        Error::InvalidPart(_) => S3ErrorCode::InvalidPart,
        Error::InvalidPartOrder => S3ErrorCode::InvalidPartOrder,
        Error::EntityTooSmall { .. } => S3ErrorCode::EntityTooSmall,
        Error::EntityTooLarge(_) => S3ErrorCode::EntityTooLarge,
        Error::BadDigest(_) => S3ErrorCode::BadDigest,
        Error::InvalidDigest(name) if name == "Content-MD5" => S3ErrorCode::InvalidDigest,
        Error::InvalidDigest(_) => S3ErrorCode::InvalidRequest,
        Error::IncompleteBody { .. } => S3ErrorCode::IncompleteBody,
        Error::BodyTimeout(_) => S3ErrorCode::RequestTimeout,
        Error::Body(cause) => return from_body(cause),
        Error::KeyTooLong(_) => S3ErrorCode::KeyTooLongError,
        Error::MetadataTooLarge(_) => S3ErrorCode::MetadataTooLarge,
        Error::InvalidTag(_) => S3ErrorCode::InvalidTag,
        Error::PreconditionFailed(_) => S3ErrorCode::PreconditionFailed,
        Error::InvalidRange(_) => S3ErrorCode::InvalidRange,
        Error::InvalidArgument(_) => S3ErrorCode::InvalidArgument,
        Error::InvalidRequest(_) => S3ErrorCode::InvalidRequest,
        Error::TooManyObjects(_) => S3ErrorCode::InvalidRequest,
        Error::Busy => S3ErrorCode::SlowDown,
        // The rest is the server's fault, as is whatever the store may add.
        _ => {
            // Outside of a request, as in tests, there is nobody to log it.
            let _ = CAUSE.try_with(|cause| cause.replace(Some(error.to_string())));
            let message = "We encountered an internal error. Please try again.";
            return S3Error::with_message(S3ErrorCode::InternalError, message);
        }
    };
    S3Error::with_message(code, sentence(&error.to_string()))
}

/// The errors of s3s's body readers have private types; their texts tell them apart.
fn from_body(cause: &std::io::Error) -> S3Error {
    let text = cause.to_string();
    if text.contains("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
        let mut error = S3Error::with_message(code, message);
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        return error;
    }
    if text.contains("SignatureMismatch") {
        return S3Error::with_message(
            S3ErrorCode::SignatureDoesNotMatch,
            "The signature of a chunk of the body does not match its content.",
        );
    }
    if text.contains("FormatError") || text.contains("TooLarge") || text.contains(TOO_LARGE) {
        let message = sentence(&format!("the aws-chunked body is malformed: {text}"));
        return S3Error::with_message(S3ErrorCode::InvalidRequest, message);
    }
    S3Error::with_message(S3ErrorCode::IncompleteBody, sentence(&format!("The body ended: {text}")))
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let ended = text.ends_with('.');
    first.into_iter().chain(letters).chain((!ended).then_some('.')).collect()
}

/// Adds the request's identifier to an error document, and a message when it has none, so that
/// clients do not print `None`.
pub(super) fn complete_document(document: &str, request_id: &str) -> String {
    let Some(end) = document.rfind("</Error>") else { return document.to_owned() };
    let mut text = document[..end].to_owned();
    if !document.contains("<Message>") {
        text.push_str("<Message>");
        text.push_str(message_of(code_of(document).unwrap_or_default()));
        text.push_str("</Message>");
    }
    if !document.contains("<RequestId>") {
        text.push_str("<RequestId>");
        text.push_str(request_id);
        text.push_str("</RequestId>");
    }
    text.push_str(&document[end..]);
    text
}

/// The code of an error document.
pub(super) fn code_of(document: &str) -> Option<&str> {
    let (_, rest) = document.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code)
}

/// Messages for codes that s3s answers without one.
fn message_of(code: &str) -> &'static str {
    match code {
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check \
             your secret access key and the clock and method of signing."
        }
        "InvalidBucketName" => {
            "The specified bucket is not valid: 3 to 63 characters a-z, 0-9, '.' and '-', beginning \
             and ending with a letter or digit."
        }
        "KeyTooLongError" => "Your key is too long: at most 1024 bytes of UTF-8.",
        "InvalidURI" => "Couldn't parse the specified URI.",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "MaxMessageLengthExceeded" => "Your request was too big.",
        "IncompleteBody" => {
            "You did not provide the number of bytes specified by the Content-Length HTTP header."
        }
        "MalformedXML" => "The XML you provided was not well-formed or did not validate.",
        _ => "The request could not be served.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_completed_once() {
        let bare = "<?xml?><Error><Code>SignatureDoesNotMatch</Code></Error>";
        let whole = complete_document(bare, "ID");
        assert!(whole.contains("<Message>The request signature"));
        assert!(whole.ends_with("<RequestId>ID</RequestId></Error>"));
        assert_eq!(complete_document(&whole, "OTHER"), whole);
    }

    #[test]
    fn causes_of_internal_errors_stay_inside() {
        let error = from_store(Error::Damaged("secret path".to_owned()));
        assert_eq!(error.code(), &S3ErrorCode::InternalError);
        assert!(!format!("{:?}", error.message()).contains("secret"));
        let error = from_store(Error::NoSuchKey("k".to_owned()));
        assert_eq!(error.message(), Some("The key does not exist: k."));
    }
}
