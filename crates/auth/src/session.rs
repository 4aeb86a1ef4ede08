//! Temporary credentials. A session is its token: what it grants stands in the token, sealed with a key
//! that never leaves the data folder, and the secret access key follows from the access key id. So a
//! session survives a restart, costs no memory, and needs no ceiling on how many there are.
//!
//! Promises: a token that was not sealed with this key, or was changed, is refused; times are checked
//! by the caller, who has the clock. The token is readable by its holder and holds no secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::canonical::hmac;
use crate::limits::{REGISTRY_PASSWORD_BYTES, SESSION_TOKEN_BYTES};
use crate::{AuthFailure, SecretKey};

/// What is sealed. The label keeps one kind from being taken for another.
struct Kind {
    /// What the text begins with; another version of the format has another one.
    version: &'static str,
    label: &'static [u8],
    /// The longest text that is read.
    bytes: usize,
}

const SESSION: Kind = Kind { version: "SGB1.", label: b"token:", bytes: SESSION_TOKEN_BYTES };
const GRANT: Kind = Kind { version: "SGR1.", label: b"registry:", bytes: REGISTRY_PASSWORD_BYTES };

/// What access key ids of sessions begin with, as in AWS.
pub const SESSION_KEY_PREFIX: &str = "ASIA";

/// What a session grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Access key id of the session: the token is of no use with another one.
    #[serde(rename = "k")]
    pub access_key_id: String,
    /// The long-term key that asked for the session, at the root of a chain of sessions. The session ends
    /// with it.
    #[serde(rename = "p")]
    pub parent: String,
    /// Seconds since 1970 when it was issued.
    #[serde(rename = "i")]
    pub issued: i64,
    /// Seconds since 1970 when it expires.
    #[serde(rename = "e")]
    pub expires: i64,
    /// The role and session name of AssumeRole; `None` for GetSessionToken.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none", default)]
    pub role: Option<AssumedRole>,
    /// The session policy's document.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
}

/// The role a session acts as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssumedRole {
    /// The role's name.
    #[serde(rename = "n")]
    pub name: String,
    /// The role's id: a role made anew under the same name is another role.
    #[serde(rename = "i")]
    pub id: String,
    /// The session's name.
    #[serde(rename = "s")]
    pub session: String,
}

/// What the password of a container registry grants: to act as the holder of an access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryGrant {
    /// Access key id of whoever asked for it. The grant ends with the key.
    #[serde(rename = "k")]
    pub access_key_id: String,
    /// The session token that came with a temporary key. The grant ends with the session, too.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    /// Region whose repositories it is for.
    #[serde(rename = "r")]
    pub region: String,
    /// Seconds since 1970 when it expires.
    #[serde(rename = "e")]
    pub expires: i64,
    /// The one repository that may be read with it, and nothing else; `None` for whatever the holder may.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none", default)]
    pub only: Option<String>,
}

/// The key that seals sessions and registry passwords.
#[derive(Clone)]
pub struct SessionSeal(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for SessionSeal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("SessionSeal(redacted)")
    }
}

impl SessionSeal {
    /// A seal with a key of at least 32 random bytes.
    pub fn new(key: Vec<u8>) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The session's token.
    pub fn seal(&self, session: &Session) -> String {
        self.sealed(&SESSION, session)
    }

    /// The session of a token.
    ///
    /// # Errors
    /// `InvalidToken` when it is not one of ours, was changed, or is of another access key id.
    pub fn open(&self, token: &str, access_key_id: &str) -> Result<Session, AuthFailure> {
        let session: Session = self.opened(&SESSION, token)?;
        if session.access_key_id == access_key_id { Ok(session) } else { Err(AuthFailure::InvalidToken) }
    }

    /// The password of a registry grant.
    pub fn seal_grant(&self, grant: &RegistryGrant) -> String {
        self.sealed(&GRANT, grant)
    }

    /// The grant of a registry password.
    ///
    /// # Errors
    /// `InvalidToken` when it is not one of ours or was changed.
    pub fn open_grant(&self, password: &str) -> Result<RegistryGrant, AuthFailure> {
        self.opened(&GRANT, password)
    }

    fn sealed(&self, kind: &Kind, content: &impl Serialize) -> String {
        // A structure of texts and numbers always has a JSON form.
        let document = serde_json::to_vec(content).unwrap_or_default();
        let mark = hmac(&self.0, &[kind.label, document.as_slice()].concat());
        format!("{}{}.{}", kind.version, URL_SAFE_NO_PAD.encode(document), URL_SAFE_NO_PAD.encode(mark))
    }

    fn opened<T: DeserializeOwned>(&self, kind: &Kind, text: &str) -> Result<T, AuthFailure> {
        let refused = || AuthFailure::InvalidToken;
        if text.len() > kind.bytes {
            return Err(refused());
        }
        let (document, mark) =
            text.strip_prefix(kind.version).and_then(|rest| rest.split_once('.')).ok_or_else(refused)?;
        let document = URL_SAFE_NO_PAD.decode(document).map_err(|_| refused())?;
        let mark = URL_SAFE_NO_PAD.decode(mark).map_err(|_| refused())?;
        let expected = hmac(&self.0, &[kind.label, document.as_slice()].concat());
        if !bool::from(expected.as_slice().ct_eq(&mark)) {
            return Err(refused());
        }
        serde_json::from_slice(&document).map_err(|_| refused())
    }

    /// The secret access key of a session's access key id.
    pub fn secret(&self, access_key_id: &str) -> SecretKey {
        let bytes = hmac(&self.0, &[b"secret:", access_key_id.as_bytes()].concat());
        SecretKey::new(URL_SAFE_NO_PAD.encode(&bytes[..30]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn session() -> Session {
        Session {
            access_key_id: "ASIA1".into(),
            parent: "AKIA1".into(),
            issued: 1,
            expires: 2,
            role: Some(AssumedRole { name: "r".into(), id: "AROA1".into(), session: "s".into() }),
            policy: None,
        }
    }

    #[test]
    fn a_token_opens_with_its_seal_and_its_key_only() {
        let seal = SessionSeal::new(vec![7; 32]);
        let token = seal.seal(&session());
        assert_eq!(seal.open(&token, "ASIA1"), Ok(session()));
        assert_eq!(seal.open(&token, "ASIA2"), Err(AuthFailure::InvalidToken));
        assert_eq!(SessionSeal::new(vec![8; 32]).open(&token, "ASIA1"), Err(AuthFailure::InvalidToken));
        assert_eq!(seal.secret("ASIA1").expose().len(), 40);
        assert_ne!(seal.secret("ASIA1").expose(), seal.secret("ASIA2").expose());
        assert_eq!(format!("{seal:?}"), "SessionSeal(redacted)");
    }

    #[test]
    fn a_registry_password_is_no_session_and_a_session_no_password() {
        let seal = SessionSeal::new(vec![7; 32]);
        let token = seal.seal(&session());
        let grant = RegistryGrant {
            access_key_id: "ASIA1".into(),
            token: Some(token.clone()),
            region: "us-east-1".into(),
            expires: 2,
            only: None,
        };
        let password = seal.seal_grant(&grant);
        assert_eq!(seal.open_grant(&password), Ok(grant));
        assert_eq!(seal.open_grant(&token), Err(AuthFailure::InvalidToken));
        assert_eq!(seal.open(&password, "ASIA1"), Err(AuthFailure::InvalidToken));
        // Not even under the other's name.
        let renamed = token.replacen(SESSION.version, GRANT.version, 1);
        assert_eq!(seal.open_grant(&renamed), Err(AuthFailure::InvalidToken));
        assert_eq!(SessionSeal::new(vec![8; 32]).open_grant(&password), Err(AuthFailure::InvalidToken));
    }

    proptest! {
        #[test]
        fn every_change_of_a_token_is_noticed(at in 0usize..10_000, to in "[A-Za-z0-9_.-]") {
            let seal = SessionSeal::new(vec![7; 32]);
            let token = seal.seal(&session());
            let at = at % token.len();
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            // The last character of base64 has bits that say nothing; a strict decoder refuses other ones.
            if changed != token {
                prop_assert_eq!(seal.open(&changed, "ASIA1"), Err(AuthFailure::InvalidToken));
            }
        }
    }
}
