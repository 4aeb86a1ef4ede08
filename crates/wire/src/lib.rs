//! The AWS wire protocols: which service and operation a request means, bytes to documents and
//! back, validation of documents against the pinned service models, and error shapes.
//!
//! Promises: pure functions of bytes and documents; no sockets, no stores, no policy. A request
//! that passes [`Model::violations`] has every required member, known enum values, and lengths,
//! ranges and patterns within AWS's bounds.

mod cbor;
mod error;
pub mod event_stream;
mod host;
mod model;
mod query;
mod recognise;
mod validate;

pub use cbor::decode_cbor;
pub use error::{ErrorShape, Protocol};
pub use host::{bucket_of_aws_host, is_spoken_here};
pub use model::{Model, Shape, ShapeKind, model};
pub use query::decode_form;
pub use recognise::{Service, Target, recognise};
pub use validate::{Violation, violations_message};
