//! Temporary credentials: GetSessionToken and AssumeRole.

use std::sync::Arc;

use sagebrush_auth::limits::SESSION_POLICY_CHARS;
use sagebrush_auth::policy::{Context, Decision, Policy, PolicyKind, Trust, decide, trusts};
use sagebrush_auth::{AssumedRole, AuthFailure, Found, Principal, SESSION_KEY_PREFIX, SecretKey, Session};
use time::OffsetDateTime;

use super::{Directory, Role};
use crate::limits::{ROLE_SESSION_SECONDS, SESSION_SECONDS_MIN, TOKEN_SECONDS, TOKEN_SECONDS_MAX};
use crate::{IdentityFailure, names};

/// Credentials of a session, given out once.
#[derive(Debug, Clone)]
pub struct SessionKey {
    /// `ASIA…`.
    pub id: String,
    /// Its secret.
    pub secret: SecretKey,
    /// What must be sent with every request.
    pub token: String,
    /// Seconds since 1970.
    pub expires: i64,
}

/// What AssumeRole is asked for.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// ARN of the role.
    pub role_arn: &'a str,
    /// Name of the session.
    pub name: &'a str,
    /// Seconds it shall last.
    pub seconds: Option<i64>,
    /// A policy that takes away from the role's.
    pub policy: Option<&'a str>,
}

impl Directory {
    pub(super) fn find_session(
        &self,
        id: &str,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<Found, AuthFailure> {
        let session = self.seal.open(token, id)?;
        if session.expires <= now.unix_timestamp() {
            return Err(AuthFailure::ExpiredToken);
        }
        let principal = self.session_principal(&session).ok_or(AuthFailure::InvalidToken)?;
        Ok(Found { secret: self.seal.secret(id), principal: Arc::new(principal) })
    }

    /// Who acts in a session; `None` when its key, user or role is no more.
    fn session_principal(&self, session: &Session) -> Option<Principal> {
        let current = self.current();
        let parent = if session.parent == self.first.id {
            &self.first_principal
        } else {
            &current.keys.get(&session.parent)?.1
        };
        let mut principal = match &session.role {
            None => Principal::clone(parent),
            Some(assumed) => {
                let role = current.roles.get(&assumed.name).filter(|role| role.id == assumed.id)?;
                role_principal(&self.account, role, &assumed.session)
            }
        };
        principal.root_key.clone_from(&session.parent);
        principal.session = match &session.policy {
            None => None,
            Some(document) => Some(Arc::new(Policy::read(document, PolicyKind::Identity).ok()?)),
        };
        principal.token_issued = OffsetDateTime::from_unix_timestamp(session.issued).ok();
        Some(principal)
    }

    /// GetSessionToken: a session of the caller itself.
    ///
    /// # Errors
    /// `Denied` for a caller that is a session itself, `Invalid` for a duration out of bounds.
    pub fn session_token(
        &self,
        caller: &Principal,
        seconds: Option<i64>,
        now: OffsetDateTime,
    ) -> Result<SessionKey, IdentityFailure> {
        if caller.is_temporary() {
            return Err(IdentityFailure::Denied(
                "Cannot call GetSessionToken with session credentials".into(),
            ));
        }
        let seconds = seconds.unwrap_or(TOKEN_SECONDS);
        check_seconds(seconds, TOKEN_SECONDS_MAX)?;
        Ok(self.issue(caller, None, None, seconds, now))
    }

    /// AssumeRole: a session of a role that trusts the caller.
    ///
    /// # Errors
    /// `Denied` when the role is not there, does not trust the caller or the caller's policies do not allow
    /// it; `Invalid` for values out of bounds; `MalformedPolicy`.
    pub fn assume_role(
        &self,
        context: &Context<'_>,
        asked: NewSession<'_>,
    ) -> Result<(SessionKey, Role, Principal), IdentityFailure> {
        const ACTION: &str = "sts:AssumeRole";
        let caller = context.principal;
        let own = decide(ACTION, asked.role_arn, context);
        let denied = || {
            let decision = if own.is_allowed() { Decision::ImplicitDeny } else { own };
            IdentityFailure::Denied(decision.message(caller, ACTION, asked.role_arn))
        };
        let name = asked.role_arn.rsplit('/').next().unwrap_or_default();
        let role = self.role(name).filter(|role| role.arn == asked.role_arn).ok_or_else(denied)?;
        let allowed = match trusts(&role.trust, ACTION, context) {
            Trust::None => false,
            Trust::Account => own.is_allowed(),
            Trust::Named => matches!(own, Decision::Allowed | Decision::ImplicitDeny),
        };
        if !allowed {
            return Err(denied());
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        if !(2..=64).contains(&asked.name.len()) || !asked.name.bytes().all(plain) {
            return Err(IdentityFailure::Invalid(format!(
                "RoleSessionName '{}' is not valid: 2 to 64 letters, digits and + = , . @ _ -",
                asked.name
            )));
        }
        let seconds = asked.seconds.unwrap_or(ROLE_SESSION_SECONDS);
        // A session that makes a session lasts an hour at most, as in AWS.
        let most = if caller.is_temporary() { ROLE_SESSION_SECONDS } else { role.max_session };
        check_seconds(seconds, most)?;
        if let Some(document) = asked.policy {
            if document.chars().count() > SESSION_POLICY_CHARS {
                return Err(IdentityFailure::Invalid(format!(
                    "Policy is longer than {SESSION_POLICY_CHARS} characters."
                )));
            }
            Policy::read(document, PolicyKind::Identity)?;
        }
        let assumed =
            AssumedRole { name: role.name.clone(), id: role.id.clone(), session: asked.name.to_owned() };
        let key = self.issue(caller, Some(assumed), asked.policy, seconds, context.now);
        let principal = role_principal(&self.account, &role, asked.name);
        Ok((key, role, principal))
    }

    fn issue(
        &self,
        caller: &Principal,
        role: Option<AssumedRole>,
        policy: Option<&str>,
        seconds: i64,
        now: OffsetDateTime,
    ) -> SessionKey {
        let id = names::identifier(SESSION_KEY_PREFIX);
        let issued = now.unix_timestamp();
        let session = Session {
            access_key_id: id.clone(),
            parent: caller.root_key.clone(),
            issued,
            expires: issued + seconds,
            role,
            policy: policy.map(str::to_owned),
        };
        SessionKey {
            secret: self.seal.secret(&id),
            token: self.seal.seal(&session),
            expires: session.expires,
            id,
        }
    }
}

fn role_principal(account: &str, role: &Role, session: &str) -> Principal {
    let mut principal = Principal::role_session(account, &role.name, &role.id, session);
    principal.source_arn.clone_from(&role.arn);
    principal.policies.clone_from(&role.policies);
    principal
}

fn check_seconds(seconds: i64, most: i64) -> Result<(), IdentityFailure> {
    if (SESSION_SECONDS_MIN..=most).contains(&seconds) {
        return Ok(());
    }
    Err(IdentityFailure::Invalid(format!(
        "The requested DurationSeconds {seconds} is out of bounds: between {SESSION_SECONDS_MIN} and {most} here."
    )))
}
