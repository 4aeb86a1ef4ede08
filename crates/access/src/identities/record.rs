//! The identities as they are stored.

use std::collections::{BTreeMap, BTreeSet};

use sagebrush_auth::policy::{PolicyKind, managed_policy};
use sagebrush_auth::{SecretKey, policy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the file's format that is written and read.
const VERSION: u32 = 1;

/// Everybody there is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    version: u32,
    /// Users by name.
    pub users: BTreeMap<String, UserRecord>,
    /// Access keys by id.
    pub access_keys: BTreeMap<String, AccessKeyRecord>,
    /// Roles by name.
    pub roles: BTreeMap<String, RoleRecord>,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            version: VERSION,
            users: BTreeMap::new(),
            access_keys: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }
}

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRecord {
    /// `AIDA…`.
    pub id: String,
    /// Seconds since 1970.
    pub created: i64,
    /// What the user may do.
    #[serde(default)]
    pub policies: Policies,
}

/// A user's access key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKeyRecord {
    /// Name of the user.
    pub user: String,
    /// The secret half: signatures are checked with it, so it is kept as it is.
    #[serde(serialize_with = "expose", deserialize_with = "conceal")]
    pub secret: SecretKey,
    /// May it be used?
    pub status: KeyStatus,
    /// Seconds since 1970.
    pub created: i64,
}

/// Whether an access key may be used, in IAM's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyStatus {
    /// Yes.
    Active,
    /// Not now.
    Inactive,
}

impl KeyStatus {
    /// IAM's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
        }
    }
}

/// A role.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleRecord {
    /// `AROA…`.
    pub id: String,
    /// `/`, or what stands between slashes before the name.
    pub path: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The trust policy's document.
    pub trust: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Longest session in seconds.
    pub max_session: i64,
    /// What it may do.
    #[serde(default)]
    pub policies: Policies,
    /// Tags: key and value.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// The policies of a user or role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    /// Documents by name.
    #[serde(default)]
    pub inline: BTreeMap<String, String>,
    /// Names of managed policies.
    #[serde(default)]
    pub attached: BTreeSet<String>,
}

impl Policies {
    /// The policies, read.
    ///
    /// # Errors
    /// When one of them cannot be read: its name and why. Then the identity has none, since leaving out
    /// one that denies would grant what it takes away.
    pub fn read(&self) -> Result<Vec<std::sync::Arc<policy::Policy>>, String> {
        let inline = self.inline.iter().map(|(name, document)| {
            policy::Policy::read(document, PolicyKind::Identity)
                .map(std::sync::Arc::new)
                .map_err(|error| format!("{name}: {error}"))
        });
        let attached = self.attached.iter().map(|name| {
            managed_policy(name)
                .map(|managed| std::sync::Arc::clone(&managed.policy))
                .ok_or_else(|| format!("{name}: no managed policy has this name"))
        });
        inline.chain(attached).collect()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.inline.is_empty() && self.attached.is_empty()
    }
}

impl Records {
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let records: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if records.version != VERSION {
            return Err(format!("format {} is not known to this version of sagebrush", records.version));
        }
        Ok(records)
    }
}

fn expose<S: Serializer>(secret: &SecretKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

fn conceal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretKey, D::Error> {
    String::deserialize(deserializer).map(SecretKey::new)
}
