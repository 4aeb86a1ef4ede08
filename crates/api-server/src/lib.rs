//! The control API's front door: one linear pipeline from bytes to bytes. A request is recognised,
//! read within its bound, verified, decoded, validated against the service model, carried out by the
//! control plane, and its outcome encoded.
//!
//! Promises: nothing is carried out for a sender who is not proven; every failure has AWS's code and
//! status and a message that says what and where; internal causes are logged, never sent. Never:
//! decisions about resources, SQL.

mod async_invocation;
mod authorize;
mod body;
mod dispatch;
mod ecr;
mod error;
mod identity;
mod operations;
pub mod registry;
pub mod s3;
mod unread;

pub use dispatch::ApiServer;
