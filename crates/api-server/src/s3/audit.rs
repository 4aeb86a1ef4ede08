//! The audit log's line of an S3 request.

use http::{Method, StatusCode};
use sagebrush_access::audit::{Effect, Entry};

use super::access::Sender;

/// The line of a request that was answered, and whether it may have changed something.
pub(super) fn entry(
    sender: &Sender,
    method: &Method,
    status: StatusCode,
    code: String,
    request_id: String,
) -> (Entry, Effect) {
    let mut entry = Entry {
        request_id,
        service: "s3".into(),
        status: status.as_u16(),
        // An answer to HEAD has no document and so no code.
        error: match (code.is_empty(), status) {
            (false, _) => code,
            (true, StatusCode::FORBIDDEN) => "AccessDenied".into(),
            (true, status) if status.is_client_error() || status.is_server_error() => {
                status.as_u16().to_string()
            }
            (true, _) => String::new(),
        },
        access_key_id: sender.claimed.clone().unwrap_or_default(),
        ..Entry::default()
    };
    let Some(proven) = &sender.proven else { return (entry, Effect::Reads) };
    entry.principal.clone_from(&proven.principal);
    entry.operation.clone_from(&proven.operation);
    entry.resource.clone_from(&proven.resource);
    let reads = *method == Method::GET || *method == Method::HEAD;
    (entry, if reads { Effect::Reads } else { Effect::Changes })
}
