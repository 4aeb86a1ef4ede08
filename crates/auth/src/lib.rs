//! Signature Version 4: verifying requests and making signed ones; access keys whose secret cannot
//! be printed.
//!
//! Promises: pure computation, no sockets, no stores, no clock; secrets are compared in constant
//! time, zeroed when dropped and never shown by `Debug`.
//! Source: "Signature Version 4 signing process", AWS General Reference.

mod canonical;
mod failure;
mod secret;
mod sign;
mod verify;

pub use failure::AuthFailure;
pub use secret::{AccessKey, KeyRing, SecretKey};
pub use sign::{Payload, sign_request};
pub use verify::{Caller, Credential, Signed, sha256_hex};
