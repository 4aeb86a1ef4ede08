//! Access keys and the place they are looked up.

use zeroize::Zeroizing;

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

/// Where the secret of an access key is found.
pub trait KeyRing: Send + Sync {
    /// The secret of an active access key, or `None` when there is no such key.
    fn secret(&self, access_key_id: &str) -> Option<SecretKey>;
}

impl KeyRing for AccessKey {
    fn secret(&self, access_key_id: &str) -> Option<SecretKey> {
        (access_key_id == self.id).then(|| self.secret.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let key = AccessKey { id: "AKIAEXAMPLE".into(), secret: SecretKey::new("wJalrXUt".into()) };
        assert!(!format!("{key:?}").contains("wJalr"));
        assert!(key.secret("AKIAOTHER").is_none());
    }
}
