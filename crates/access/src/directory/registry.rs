//! Passwords of the container registry: an access key or a session in the form that registry clients send.
//!
//! Promises: a password grants no more than the key or session that asked for it, ends with it, and expires.

use std::sync::Arc;

use sagebrush_auth::{AuthFailure, Caller, RegistryGrant};
use time::OffsetDateTime;

use super::Directory;
use crate::limits::{PULL_PASSWORD_SECONDS, REGISTRY_PASSWORD_SECONDS};

/// A password, given out once.
#[derive(Clone)]
pub struct RegistryPassword {
    /// What goes with the user name `AWS`.
    pub text: String,
    /// Seconds since 1970.
    pub expires: i64,
}

impl std::fmt::Debug for RegistryPassword {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RegistryPassword").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Who a password proves its sender to be.
#[derive(Debug, Clone)]
pub struct RegistryLogin {
    /// The holder of the key or session that asked for the password, and the region it is for.
    pub caller: Caller,
    /// The one repository that may be read, and nothing else.
    pub only: Option<String>,
}

impl Directory {
    /// A password for the holder of a proven key (with its session token, when it has one), for the
    /// repositories of a region.
    ///
    /// # Errors
    /// `InvalidToken` when the session token is not of this key.
    pub fn registry_password(
        &self,
        (access_key_id, token): (&str, Option<&str>),
        region: &str,
        now: OffsetDateTime,
    ) -> Result<RegistryPassword, AuthFailure> {
        let expires = now.unix_timestamp() + REGISTRY_PASSWORD_SECONDS;
        let session = token.map(|token| self.seal.open(token, access_key_id)).transpose()?;
        let expires = session.map_or(expires, |session| session.expires.min(expires));
        Ok(self.grant(RegistryGrant {
            access_key_id: access_key_id.to_owned(),
            token: token.map(str::to_owned),
            region: region.to_owned(),
            expires,
            only: None,
        }))
    }

    /// A password with which an engine that works for this server pulls from one repository, and can do
    /// nothing else.
    pub fn pull_password(&self, region: &str, repository: &str, now: OffsetDateTime) -> RegistryPassword {
        self.grant(RegistryGrant {
            access_key_id: self.first_key().to_owned(),
            token: None,
            region: region.to_owned(),
            expires: now.unix_timestamp() + PULL_PASSWORD_SECONDS,
            only: Some(repository.to_owned()),
        })
    }

    fn grant(&self, grant: RegistryGrant) -> RegistryPassword {
        RegistryPassword { text: self.seal.seal_grant(&grant), expires: grant.expires }
    }

    /// Who sends a password.
    ///
    /// # Errors
    /// `InvalidToken` when it was not given out here, `ExpiredToken`; `UnknownKey` when its key is no more.
    pub fn registry_login(&self, password: &str, now: OffsetDateTime) -> Result<RegistryLogin, AuthFailure> {
        let grant = self.seal.open_grant(password)?;
        if grant.expires <= now.unix_timestamp() {
            return Err(AuthFailure::ExpiredToken);
        }
        let found = self.find(&grant.access_key_id, grant.token.as_deref(), now)?;
        let caller = Caller {
            access_key_id: grant.access_key_id,
            region: grant.region,
            service: "ecr".into(),
            principal: Arc::clone(&found.principal),
        };
        Ok(RegistryLogin { caller, only: grant.only })
    }
}
