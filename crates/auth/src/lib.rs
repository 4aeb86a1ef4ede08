//! Who asks, and may they: Signature Version 4 (verifying requests and making signed ones), access keys
//! whose secret cannot be printed, temporary credentials, principals, and policy documents.
//!
//! Promises: pure computation, no sockets, no stores, no clock; secrets are compared in constant
//! time, zeroed when dropped and never shown by `Debug`.
//! Source: "Signature Version 4 signing process", AWS General Reference.

mod canonical;
mod failure;
pub mod limits;
pub mod policy;
mod principal;
mod secret;
mod session;
mod sign;
mod verify;

pub use failure::AuthFailure;
pub use principal::{EXECUTION_ROLE, Origin, Peer, Principal};
pub use secret::{AccessKey, Found, KeyRing, SecretKey};
pub use session::{AssumedRole, RegistryGrant, SESSION_KEY_PREFIX, Session, SessionSeal};
pub use sign::{Payload, sign_request};
pub use verify::{Caller, Credential, Signed, sha256_hex};
