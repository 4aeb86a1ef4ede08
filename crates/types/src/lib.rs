//! The vocabulary every crate shares: resources and their ARNs, states and legal transitions,
//! ceilings, and the transport-free outcome of an operation.
//!
//! Promises: no I/O, no clock, no AWS wire shapes, no HTTP. A noun keeps its name in every layer.

mod arn;
mod failure;
mod invocation;
pub mod limits;
mod resource;
mod route;
mod status;

pub use arn::{Partition, Scope, s3_uri};
pub use failure::{Failure, FailureKind, Outcome};
pub use invocation::{ByteBudget, Captured, CapturedBody, HeldBytes, Invocation};
pub use resource::Resource;
pub use route::{
    Backend, CaptureRoute, EndpointName, EndpointRoute, InFlight, RELAY_CONTAINER, RELAY_REFUSAL, RouteTable,
    ServerLease, ServerRoute, VariantRoute,
};
pub use status::{EndpointStatus, JobStatus, SecondaryStatus};
