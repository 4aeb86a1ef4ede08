//! The identities as requests need them: read once per change, looked up without a lock that blocks.

mod registry;
mod roles;
mod session;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use sagebrush_auth::policy::{Policy, PolicyKind};
use sagebrush_auth::{
    AccessKey, AuthFailure, EXECUTION_ROLE, Found, Principal, SESSION_KEY_PREFIX, SecretKey, SessionSeal,
};
use time::OffsetDateTime;

use crate::IdentityFailure;
use crate::identities::{IdentityFile, KeyStatus, Policies, Records, Stamp};
use crate::limits::ROLE_SESSION_SECONDS_MAX;

pub use registry::{RegistryLogin, RegistryPassword};
pub use session::{NewSession, SessionKey};

/// The id of the role that every data folder has.
const EXECUTION_ROLE_ID: &str = "AROASAGEBRUSHEXECUTE";

/// Who exists, and who a signature's sender is.
#[derive(Debug)]
pub struct Directory {
    file: IdentityFile,
    account: String,
    first: AccessKey,
    first_principal: Arc<Principal>,
    seal: SessionSeal,
    compiled: RwLock<Arc<Compiled>>,
    unverifiable: Mutex<roles::Unverifiable>,
}

/// One state of the file.
#[derive(Debug)]
struct Compiled {
    stamp: Option<Stamp>,
    /// Active keys.
    keys: HashMap<String, (SecretKey, Arc<Principal>)>,
    roles: HashMap<String, Role>,
}

/// A role as requests need it.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// `AROA…`.
    pub id: String,
    /// `arn:aws:iam::<account>:role<path><name>`.
    pub arn: String,
    /// Who may assume it.
    pub trust: Arc<Policy>,
    /// What it may do.
    pub policies: Vec<Arc<Policy>>,
    /// Longest session in seconds.
    pub max_session: i64,
}

/// The trust policy of the execution role: services, and everybody in the account whose own policies
/// allow it.
pub(crate) fn execution_trust(account: &str) -> String {
    format!(
        "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Principal\":{{\"Service\":\"sagemaker.amazonaws.com\",\"AWS\":\"arn:aws:iam::{account}:root\"}},\"Action\":\"sts:AssumeRole\"}}]}}"
    )
}

impl Directory {
    /// The directory of the data folder `root`, whose first key is `first`. Blocks.
    ///
    /// # Errors
    /// `Internal` when the files cannot be read or made.
    pub fn open(root: &Path, account: &str, first: AccessKey) -> Result<Self, IdentityFailure> {
        let file = IdentityFile::of(root);
        let seal = SessionSeal::new(file.session_key()?);
        let stamp = file.stamp().map_err(|error| IdentityFailure::Internal(error.to_string()))?;
        let compiled = Arc::new(compile(&file.read()?, account, stamp)?);
        let first_principal = Arc::new(Principal::first(account, &first.id));
        Ok(Self {
            file,
            account: account.to_owned(),
            first,
            first_principal,
            seal,
            compiled: RwLock::new(compiled),
            unverifiable: Mutex::default(),
        })
    }

    /// The stored identities, for reading and changing them.
    pub fn file(&self) -> &IdentityFile {
        &self.file
    }

    /// Twelve-digit account id.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Id of the data folder's first key.
    pub fn first_key(&self) -> &str {
        &self.first.id
    }

    /// The key of an id, with the session token that came with it.
    ///
    /// # Errors
    /// `UnknownKey`, `InvalidToken` or `ExpiredToken`.
    pub fn find(&self, id: &str, token: Option<&str>, now: OffsetDateTime) -> Result<Found, AuthFailure> {
        if id.starts_with(SESSION_KEY_PREFIX) {
            let token = token.ok_or(AuthFailure::InvalidToken)?;
            return self.find_session(id, token, now);
        }
        let found = if id == self.first.id {
            Found { secret: self.first.secret.clone(), principal: Arc::clone(&self.first_principal) }
        } else {
            let current = self.current();
            let (secret, principal) = current.keys.get(id).ok_or(AuthFailure::UnknownKey)?;
            Found { secret: secret.clone(), principal: Arc::clone(principal) }
        };
        // A long-term key has no token; one beside it is another key's.
        if token.is_some() { Err(AuthFailure::InvalidToken) } else { Ok(found) }
    }

    /// The user of a name as a principal, for simulations.
    pub fn user(&self, name: &str) -> Result<Principal, IdentityFailure> {
        let records = self.file.read()?;
        let user = records.user(name)?;
        let mut principal = Principal::user(&self.account, name, &user.id);
        principal.policies = read_policies(&format!("user {name}"), &user.policies);
        Ok(principal)
    }

    /// The role of a name.
    pub fn role(&self, name: &str) -> Option<Role> {
        self.current().roles.get(name).cloned()
    }

    /// The present state. When the file has changed, it is read; when that fails, only the first key is
    /// let in until it can be read again.
    fn current(&self) -> Arc<Compiled> {
        let held = Arc::clone(&self.compiled.read().unwrap_or_else(PoisonError::into_inner));
        let stamp = match self.file.stamp() {
            Ok(stamp) if stamp == held.stamp => return held,
            Ok(stamp) => stamp,
            Err(error) => return self.closed(&error.to_string()),
        };
        let read = self.file.read().and_then(|records| compile(&records, &self.account, stamp));
        match read {
            Ok(compiled) => {
                let compiled = Arc::new(compiled);
                *self.compiled.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&compiled);
                compiled
            }
            Err(error) => self.closed(&error.to_string()),
        }
    }

    fn closed(&self, cause: &str) -> Arc<Compiled> {
        tracing::error!(cause, "the identities cannot be read: only the first key is let in");
        let roles = execution_role(&self.account).map(|role| (role.name.clone(), role));
        Arc::new(Compiled { stamp: None, keys: HashMap::new(), roles: roles.into_iter().collect() })
    }
}

fn compile(records: &Records, account: &str, stamp: Option<Stamp>) -> Result<Compiled, IdentityFailure> {
    let users: HashMap<&str, Principal> = records
        .users
        .iter()
        .map(|(name, user)| {
            let mut principal = Principal::user(account, name, &user.id);
            principal.policies = read_policies(&format!("user {name}"), &user.policies);
            (name.as_str(), principal)
        })
        .collect();
    let keys = records
        .access_keys
        .iter()
        .filter(|(_, key)| key.status == KeyStatus::Active)
        .filter_map(|(id, key)| {
            let mut principal = users.get(key.user.as_str())?.clone();
            principal.root_key.clone_from(id);
            Some((id.clone(), (key.secret.clone(), Arc::new(principal))))
        })
        .collect();
    let mut roles: HashMap<String, Role> = HashMap::new();
    for (name, role) in &records.roles {
        roles.insert(
            name.clone(),
            Role {
                name: name.clone(),
                id: role.id.clone(),
                arn: format!("arn:aws:iam::{account}:role{}{name}", role.path),
                trust: Arc::new(Policy::read(&role.trust, PolicyKind::Trust)?),
                policies: read_policies(&format!("role {name}"), &role.policies),
                max_session: role.max_session,
            },
        );
    }
    roles.extend(execution_role(account).map(|role| (role.name.clone(), role)));
    Ok(Compiled { stamp, keys, roles })
}

/// The policies, or none and a line in the log when one of them cannot be read: leaving out that one alone
/// could grant what it denies.
fn read_policies(whose: &str, policies: &Policies) -> Vec<Arc<Policy>> {
    policies.read().unwrap_or_else(|error| {
        tracing::error!(whose, error, "a stored policy cannot be read: its owner may do nothing");
        Vec::new()
    })
}

/// The role that the first key acts as. It may do everything, as its one user may.
fn execution_role(account: &str) -> Option<Role> {
    Some(Role {
        name: EXECUTION_ROLE.to_owned(),
        id: EXECUTION_ROLE_ID.to_owned(),
        arn: format!("arn:aws:iam::{account}:role/{EXECUTION_ROLE}"),
        trust: Arc::new(Policy::read(&execution_trust(account), PolicyKind::Trust).ok()?),
        policies: Principal::first(account, "").policies,
        max_session: ROLE_SESSION_SECONDS_MAX,
    })
}

#[cfg(test)]
mod tests;
