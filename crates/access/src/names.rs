//! Names and identifiers as IAM makes them.

use sagebrush_auth::SecretKey;
use sagebrush_env::secret_text;

use crate::IdentityFailure;

const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+";

/// A new identifier: `AKIA`, `ASIA`, `AIDA` or `AROA` and 16 characters.
pub fn identifier(prefix: &str) -> String {
    format!("{prefix}{}", secret_text(16, UPPER))
}

/// A new secret access key of 40 characters.
pub fn secret() -> SecretKey {
    SecretKey::new(secret_text(40, SECRET))
}

/// Refuses what is no name of a user, role or policy.
pub fn check(what: &str, name: &str) -> Result<(), IdentityFailure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err(IdentityFailure::Invalid(format!(
            "The {what} name '{name}' is not valid: 1 to 64 letters, digits and + = , . @ _ -"
        )));
    }
    Ok(())
}
