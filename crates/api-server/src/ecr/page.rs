//! Pages of lists: how long, and where they begin. A token is what the page before it ended with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Asked, EcrFailure, invalid};

/// Entries of a page when the caller names no number: ECR's default.
const DEFAULT: usize = 100;

/// A page that was asked for.
pub(super) struct Page {
    /// Where it begins; empty for the first one.
    pub after: String,
    /// Entries at most.
    pub limit: usize,
}

impl Page {
    pub fn of(asked: &Asked<'_>) -> Result<Self, EcrFailure> {
        let most = asked.document.get("maxResults").and_then(Value::as_u64);
        let limit = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(DEFAULT);
        let token = asked.text("nextToken");
        let after = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let after = after.ok_or_else(|| invalid("nextToken: it is not one of this server.".to_owned()))?;
        Ok(Self { after, limit })
    }

    /// Cuts a list that has one entry more than the page when there is a next one, and adds the token of the
    /// next page to the answer.
    pub fn finish<T>(&self, answer: &mut Value, found: &mut Vec<T>, last: impl Fn(&T) -> String) {
        if found.len() > self.limit {
            found.truncate(self.limit);
            if let Some(entry) = found.last() {
                answer["nextToken"] = URL_SAFE_NO_PAD.encode(last(entry)).into();
            }
        }
    }
}
