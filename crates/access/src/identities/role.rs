//! Changes of roles, with IAM's rules.

use std::collections::BTreeMap;

use sagebrush_auth::EXECUTION_ROLE;
use sagebrush_auth::policy::{Policy, PolicyKind};

use super::change::{limit, missing, unmodifiable};
use super::{Policies, Records, RoleRecord};
use crate::limits::{ROLE_SESSION_SECONDS, ROLE_SESSION_SECONDS_MAX, ROLES};
use crate::{IdentityFailure, names};

/// A role to be made.
#[derive(Debug, Clone, Default)]
pub struct NewRole<'a> {
    /// Its name.
    pub name: &'a str,
    /// `/` when there is none.
    pub path: Option<&'a str>,
    /// The trust policy's document.
    pub trust: &'a str,
    /// What it is for.
    pub description: Option<&'a str>,
    /// Longest session in seconds, one hour when not named.
    pub max_session: Option<i64>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl Records {
    /// Adds a role without policies.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists`, `LimitExceeded` or `MalformedPolicy`.
    pub fn create_role(&mut self, new: NewRole<'_>, now: i64) -> Result<&RoleRecord, IdentityFailure> {
        names::check("role", new.name)?;
        if new.name == EXECUTION_ROLE || self.roles.contains_key(new.name) {
            return Err(IdentityFailure::AlreadyExists(format!(
                "Role with name {} already exists.",
                new.name
            )));
        }
        if self.roles.len() >= ROLES {
            return Err(limit("roles", ROLES));
        }
        Policy::read(new.trust, PolicyKind::Trust)?;
        let path = new.path.unwrap_or("/");
        if !path.starts_with('/') || !path.ends_with('/') || path.len() > 512 {
            return Err(IdentityFailure::Invalid(format!(
                "The path '{path}' must begin and end with a slash."
            )));
        }
        let max_session = new.max_session.unwrap_or(ROLE_SESSION_SECONDS);
        if !(ROLE_SESSION_SECONDS..=ROLE_SESSION_SECONDS_MAX).contains(&max_session) {
            return Err(IdentityFailure::Invalid(format!(
                "MaxSessionDuration must be between {ROLE_SESSION_SECONDS} and {ROLE_SESSION_SECONDS_MAX} seconds."
            )));
        }
        let role = RoleRecord {
            id: names::identifier("AROA"),
            path: path.to_owned(),
            created: now,
            trust: new.trust.to_owned(),
            description: new.description.map(str::to_owned),
            max_session,
            policies: Policies::default(),
            tags: new.tags,
        };
        Ok(self.roles.entry(new.name.to_owned()).or_insert(role))
    }

    /// Removes a role without policies.
    ///
    /// # Errors
    /// `NoSuchEntity`, `DeleteConflict` or `Unmodifiable`.
    pub fn delete_role(&mut self, name: &str) -> Result<(), IdentityFailure> {
        if name == EXECUTION_ROLE {
            return Err(unmodifiable());
        }
        let role = self.roles.get(name).ok_or_else(|| missing("role", name))?;
        if !role.policies.is_empty() {
            let message = "Cannot delete entity, must delete and detach policies first.";
            return Err(IdentityFailure::DeleteConflict(message.into()));
        }
        self.roles.remove(name);
        Ok(())
    }

    /// Replaces a role's trust policy.
    ///
    /// # Errors
    /// `NoSuchEntity`, `MalformedPolicy` or `Unmodifiable`.
    pub fn set_trust(&mut self, name: &str, document: &str) -> Result<(), IdentityFailure> {
        if name == EXECUTION_ROLE {
            return Err(unmodifiable());
        }
        let role = self.roles.get_mut(name).ok_or_else(|| missing("role", name))?;
        Policy::read(document, PolicyKind::Trust)?;
        role.trust = document.to_owned();
        Ok(())
    }
}
