//! Access of a data folder: users, access keys, roles and policies on disk; who a signature's sender is
//! and what they may do; and the audit log of what they did.
//!
//! Promises: a change is on disk before it is answered and holds from the next request on, also when
//! another process made it; a file that cannot be read lets nobody in but the first key; secrets are
//! readable by the folder's owner only and never logged. Never: HTTP, wire formats, resources.

pub mod audit;
mod directory;
mod failure;
mod identities;
pub mod limits;
mod names;

use std::path::Path;
use std::time::Duration;

use sagebrush_auth::policy::{Context, Decision, Facts, decide};
use sagebrush_auth::{AccessKey, AuthFailure, Caller, Found, KeyRing, Origin};
use sagebrush_env::Clock;
use time::OffsetDateTime;

pub use audit::Audit;
pub use directory::{Directory, NewSession, RegistryLogin, RegistryPassword, Role, SessionKey};
pub use failure::IdentityFailure;
pub use identities::{
    AccessKeyRecord, IdentityFile, KeyStatus, NewRole, Owner, Policies, Records, RoleRecord, UserRecord,
};

/// What every front door asks before it does anything.
#[derive(Debug)]
pub struct Access {
    /// Who exists.
    pub directory: Directory,
    /// What they did.
    pub audit: Audit,
    /// The clock that signatures, sessions and conditions are measured with.
    pub clock: Clock,
    /// How far a signature's time may be from the clock.
    pub skew: Duration,
}

impl Access {
    /// Access of the data folder `root` for the holder of its first key and whoever gets one after. Blocks.
    ///
    /// # Errors
    /// `Internal` when the files cannot be read or made.
    pub fn open(
        root: &Path,
        account: &str,
        first: AccessKey,
        clock: Clock,
        skew: Duration,
    ) -> Result<Self, IdentityFailure> {
        let directory = Directory::open(root, account, first)?;
        let audit = Audit::open(root, clock.clone())?;
        Ok(Self { directory, audit, clock, skew })
    }

    /// The present.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// May the caller do `action` (`service:Operation`) to `resource` (an ARN or `*`)?
    ///
    /// # Errors
    /// AWS's message when not.
    pub fn check(
        &self,
        caller: &Caller,
        origin: &Origin,
        action: &str,
        resource: &str,
        facts: &Facts,
    ) -> Result<(), String> {
        match self.decide(caller, origin, action, resource, facts) {
            Decision::Allowed => Ok(()),
            denied => Err(denied.message(&caller.principal, action, resource)),
        }
    }

    /// The decision of [`Access::check`].
    pub fn decide(
        &self,
        caller: &Caller,
        origin: &Origin,
        action: &str,
        resource: &str,
        facts: &Facts,
    ) -> Decision {
        decide(action, resource, &self.context(caller, origin, facts))
    }

    /// The request as a policy's conditions see it.
    pub fn context<'a>(&self, caller: &'a Caller, origin: &'a Origin, facts: &'a Facts) -> Context<'a> {
        Context {
            principal: &caller.principal,
            now: self.now(),
            source: origin.peer.map(|peer| peer.address),
            secure: origin.peer.is_some_and(|peer| peer.secure),
            region: &caller.region,
            user_agent: origin.user_agent.as_deref(),
            facts: facts.as_slice().into(),
        }
    }
}

impl KeyRing for Access {
    fn find(&self, access_key_id: &str, token: Option<&str>) -> Result<Found, AuthFailure> {
        self.directory.find(access_key_id, token, self.now())
    }
}
