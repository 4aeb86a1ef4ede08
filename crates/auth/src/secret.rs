//! Access keys and the place they are looked up.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::{AuthFailure, Principal};

/// A secret access key: zeroed when dropped, redacted when printed.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<String>);

impl SecretKey {
    /// Wraps a secret.
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret itself, for signing only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("SecretKey(redacted)")
    }
}

/// An access key id with its secret.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// The public half, such as `AKIA…`.
    pub id: String,
    /// The secret half.
    pub secret: SecretKey,
}

/// An access key that may sign, and who signs with it.
#[derive(Debug, Clone)]
pub struct Found {
    /// The secret half.
    pub secret: SecretKey,
    /// Who holds it.
    pub principal: Arc<Principal>,
}

/// Where access keys are found.
pub trait KeyRing: Send + Sync {
    /// The active access key of an id, with the session token that came with it.
    ///
    /// # Errors
    /// `UnknownKey`, `InvalidToken` or `ExpiredToken`.
    fn find(&self, access_key_id: &str, token: Option<&str>) -> Result<Found, AuthFailure>;
}

/// One key alone, whose holder may do everything.
impl KeyRing for AccessKey {
    fn find(&self, access_key_id: &str, token: Option<&str>) -> Result<Found, AuthFailure> {
        if access_key_id != self.id {
            return Err(AuthFailure::UnknownKey);
        }
        if token.is_some() {
            return Err(AuthFailure::InvalidToken);
        }
        let principal = Arc::new(Principal::first("123456789012", access_key_id));
        Ok(Found { secret: self.secret.clone(), principal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let key = AccessKey { id: "AKIAEXAMPLE".into(), secret: SecretKey::new("wJalrXUt".into()) };
        assert!(!format!("{key:?}").contains("wJalr"));
        assert_eq!(key.find("AKIAOTHER", None).err(), Some(AuthFailure::UnknownKey));
    }
}
