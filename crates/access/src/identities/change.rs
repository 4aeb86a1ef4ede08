//! Changes of users, access keys and policies, with IAM's rules.

use sagebrush_auth::policy::{Policy, PolicyKind, managed_policy};
use sagebrush_auth::{AccessKey, EXECUTION_ROLE};

use super::{AccessKeyRecord, KeyStatus, Policies, Records, UserRecord};
use crate::limits::{KEYS_PER_USER, POLICIES, USERS};
use crate::{IdentityFailure, names};

/// Whose policies are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// A user's.
    User(&'a str),
    /// A role's.
    Role(&'a str),
}

/// IAM's words for a name that is not there.
pub(super) fn missing(what: &str, name: &str) -> IdentityFailure {
    IdentityFailure::NoSuchEntity(format!("The {what} with name {name} cannot be found."))
}

impl Records {
    /// Adds a user without policies.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists` or `LimitExceeded`.
    pub fn create_user(&mut self, name: &str, now: i64) -> Result<&UserRecord, IdentityFailure> {
        names::check("user", name)?;
        if self.users.contains_key(name) {
            return Err(IdentityFailure::AlreadyExists(format!("User with name {name} already exists.")));
        }
        if self.users.len() >= USERS {
            return Err(limit("users", USERS));
        }
        let user = UserRecord { id: names::identifier("AIDA"), created: now, policies: Policies::default() };
        Ok(self.users.entry(name.to_owned()).or_insert(user))
    }

    /// The user of a name.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub fn user(&self, name: &str) -> Result<&UserRecord, IdentityFailure> {
        self.users.get(name).ok_or_else(|| missing("user", name))
    }

    /// Removes a user that has neither keys nor policies.
    ///
    /// # Errors
    /// `NoSuchEntity` or `DeleteConflict`.
    pub fn delete_user(&mut self, name: &str) -> Result<(), IdentityFailure> {
        let conflict =
            |what| Err(IdentityFailure::DeleteConflict(format!("Cannot delete entity, must {what} first.")));
        if self.access_keys.values().any(|key| key.user == name) {
            return conflict("delete access keys");
        }
        if !self.user(name)?.policies.is_empty() {
            return conflict("delete and detach policies");
        }
        self.users.remove(name);
        Ok(())
    }

    /// Makes an access key for a user.
    ///
    /// # Errors
    /// `NoSuchEntity` or `LimitExceeded`.
    pub fn create_access_key(&mut self, user: &str, now: i64) -> Result<AccessKey, IdentityFailure> {
        self.user(user)?;
        if self.access_keys.values().filter(|key| key.user == user).count() >= KEYS_PER_USER {
            return Err(limit("access keys of a user", KEYS_PER_USER));
        }
        let key = AccessKey { id: names::identifier("AKIA"), secret: names::secret() };
        let record = AccessKeyRecord {
            user: user.to_owned(),
            secret: key.secret.clone(),
            status: KeyStatus::Active,
            created: now,
        };
        self.access_keys.insert(key.id.clone(), record);
        Ok(key)
    }

    /// Enables or disables an access key, of `user` when one is named.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub fn set_key_status(
        &mut self,
        id: &str,
        user: Option<&str>,
        status: KeyStatus,
    ) -> Result<(), IdentityFailure> {
        self.key_mut(id, user)?.status = status;
        Ok(())
    }

    /// Removes an access key, of `user` when one is named.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub fn delete_access_key(&mut self, id: &str, user: Option<&str>) -> Result<(), IdentityFailure> {
        self.key_mut(id, user)?;
        self.access_keys.remove(id);
        Ok(())
    }

    fn key_mut(&mut self, id: &str, user: Option<&str>) -> Result<&mut AccessKeyRecord, IdentityFailure> {
        self.access_keys.get_mut(id).filter(|key| user.is_none_or(|user| key.user == user)).ok_or_else(|| {
            IdentityFailure::NoSuchEntity(format!("The Access Key with id {id} cannot be found."))
        })
    }

    /// The policies of a user or role.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub fn policies(&self, owner: Owner<'_>) -> Result<&Policies, IdentityFailure> {
        match owner {
            Owner::User(name) => Ok(&self.user(name)?.policies),
            Owner::Role(name) => {
                self.roles.get(name).map(|role| &role.policies).ok_or_else(|| missing("role", name))
            }
        }
    }

    fn policies_mut(&mut self, owner: Owner<'_>) -> Result<&mut Policies, IdentityFailure> {
        match owner {
            Owner::User(name) => {
                self.users.get_mut(name).map(|user| &mut user.policies).ok_or_else(|| missing("user", name))
            }
            Owner::Role(EXECUTION_ROLE) => Err(unmodifiable()),
            Owner::Role(name) => {
                self.roles.get_mut(name).map(|role| &mut role.policies).ok_or_else(|| missing("role", name))
            }
        }
    }

    /// Adds an inline policy, or replaces the one of that name.
    ///
    /// # Errors
    /// `NoSuchEntity`, `Invalid`, `LimitExceeded` or `MalformedPolicy`.
    pub fn put_policy(
        &mut self,
        owner: Owner<'_>,
        name: &str,
        document: &str,
    ) -> Result<(), IdentityFailure> {
        let policies = self.policies_mut(owner)?;
        names::check("policy", name)?;
        Policy::read(document, PolicyKind::Identity)?;
        if !policies.inline.contains_key(name) && policies.inline.len() >= POLICIES {
            return Err(limit("inline policies of one user or role", POLICIES));
        }
        policies.inline.insert(name.to_owned(), document.to_owned());
        Ok(())
    }

    /// Removes an inline policy.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub fn delete_policy(&mut self, owner: Owner<'_>, name: &str) -> Result<(), IdentityFailure> {
        let removed = self.policies_mut(owner)?.inline.remove(name);
        removed.map(drop).ok_or_else(|| missing("policy", name))
    }

    /// Attaches a managed policy by name or ARN.
    ///
    /// # Errors
    /// `NoSuchEntity` or `LimitExceeded`.
    pub fn attach_policy(&mut self, owner: Owner<'_>, policy: &str) -> Result<(), IdentityFailure> {
        let policies = self.policies_mut(owner)?;
        let managed = managed_policy(policy).ok_or_else(|| {
            IdentityFailure::NoSuchEntity(format!("Policy {policy} does not exist or is not attachable."))
        })?;
        if !policies.attached.contains(managed.name) && policies.attached.len() >= POLICIES {
            return Err(limit("policies attached to one user or role", POLICIES));
        }
        policies.attached.insert(managed.name.to_owned());
        Ok(())
    }

    /// Detaches a managed policy by name or ARN.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub fn detach_policy(&mut self, owner: Owner<'_>, policy: &str) -> Result<(), IdentityFailure> {
        let name = policy.rsplit('/').next().unwrap_or(policy);
        if self.policies_mut(owner)?.attached.remove(name) {
            return Ok(());
        }
        Err(IdentityFailure::NoSuchEntity(format!("Policy {policy} was not found.")))
    }
}

pub(super) fn limit(what: &str, most: usize) -> IdentityFailure {
    IdentityFailure::LimitExceeded(format!("Cannot exceed quota: {what} are at most {most}."))
}

pub(super) fn unmodifiable() -> IdentityFailure {
    IdentityFailure::Unmodifiable(format!(
        "The role {EXECUTION_ROLE} belongs to the server and cannot be changed. Create a role of your own."
    ))
}
