//! Roles for IAM's questions, and which of them were asked about in vain.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use sagebrush_auth::{Caller, EXECUTION_ROLE};
use time::{Duration, OffsetDateTime};

use super::{Directory, EXECUTION_ROLE_ID, execution_trust};
use crate::IdentityFailure;
use crate::identities::{Policies, RoleRecord};
use crate::limits::{ROLE_SESSION_SECONDS_MAX, UNVERIFIABLE};

/// How long a simulation that could not be made is remembered: the SDKs ask for the role in the next call.
const UNVERIFIABLE_TIME: Duration = Duration::seconds(60);

/// Access key, role and time of simulations that could not be made.
pub(super) type Unverifiable = Vec<(String, String, OffsetDateTime)>;

impl Directory {
    /// The record of a role; also of the execution role, which is not stored.
    ///
    /// # Errors
    /// `Internal`.
    pub fn role_record(&self, name: &str) -> Result<Option<RoleRecord>, IdentityFailure> {
        Ok(self.role_records()?.remove(name))
    }

    /// The records of all roles by name, with the execution role's.
    ///
    /// # Errors
    /// `Internal`.
    pub fn role_records(&self) -> Result<BTreeMap<String, RoleRecord>, IdentityFailure> {
        let mut roles = self.file().read()?.roles;
        let execution = RoleRecord {
            id: EXECUTION_ROLE_ID.to_owned(),
            path: "/".to_owned(),
            created: 0,
            trust: execution_trust(self.account()),
            description: Some("The role of this server's first access key.".to_owned()),
            max_session: ROLE_SESSION_SECONDS_MAX,
            policies: Policies::default(),
            tags: BTreeMap::new(),
        };
        roles.insert(EXECUTION_ROLE.to_owned(), execution);
        Ok(roles)
    }

    /// Notes that a caller could not simulate a role that does not exist.
    pub fn note_unverifiable(&self, caller: &Caller, role: &str, now: OffsetDateTime) {
        let mut noted = self.unverifiable.lock().unwrap_or_else(PoisonError::into_inner);
        noted.retain(|(_, _, at)| now - *at < UNVERIFIABLE_TIME);
        if noted.len() >= UNVERIFIABLE {
            noted.remove(0);
        }
        noted.push((caller.access_key_id.clone(), role.to_owned(), now));
    }

    /// Could the caller not simulate this role a moment ago?
    pub fn was_unverifiable(&self, caller: &Caller, role: &str, now: OffsetDateTime) -> bool {
        let noted = self.unverifiable.lock().unwrap_or_else(PoisonError::into_inner);
        noted.iter().any(|(key, name, at)| {
            *key == caller.access_key_id && name == role && now - *at < UNVERIFIABLE_TIME
        })
    }
}
