//! The formats of requests and answers, and which of them a client wants.

use crate::InvokeFailure;

/// The two formats of requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/json`: one document.
    Json,
    /// `application/jsonlines`: a document per line.
    JsonLines,
}

impl Format {
    /// The media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonlines",
        }
    }
}

/// The format of a media type without its parameters.
///
/// # Errors
/// 415 when it is another one.
pub(crate) fn format_named(name: &str) -> Result<Format, InvokeFailure> {
    known(name).ok_or_else(|| InvokeFailure {
        status: 415,
        message: format!(
            "The content type '{}' is not supported. Use application/json or application/jsonlines",
            name.trim()
        ),
    })
}

fn known(name: &str) -> Option<Format> {
    match name.trim().to_ascii_lowercase().as_str() {
        "application/json" => Some(Format::Json),
        "application/jsonlines" | "application/x-jsonlines" => Some(Format::JsonLines),
        _ => None,
    }
}

/// The format of the answer: the first known one in `accept`, or that of the request where anything is accepted.
///
/// # Errors
/// 406 when nothing in `accept` is known.
pub(crate) fn accepted(accept: Option<&str>, request: Format) -> Result<Format, InvokeFailure> {
    let Some(accept) = accept.filter(|text| !text.trim().is_empty()) else {
        return Ok(request);
    };
    for choice in accept.split(',') {
        let name = choice.split(';').next().unwrap_or_default().trim();
        if let Some(format) = known(name) {
            return Ok(format);
        }
        if matches!(name, "*/*" | "application/*") {
            return Ok(request);
        }
    }
    Err(InvokeFailure {
        status: 406,
        message: format!(
            "The answer cannot be given as '{accept}'. Accept application/json or application/jsonlines"
        ),
    })
}
