//! The route table: which model servers answer for which endpoint. The control plane publishes
//! snapshots of it, the serving plane reads them; nothing else passes down between the two.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Region and name of an endpoint.
pub type EndpointName = (String, String);

/// A snapshot of every endpoint that answers requests.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    /// Endpoints by region and name.
    pub endpoints: BTreeMap<EndpointName, Arc<EndpointRoute>>,
}

/// The variants of one endpoint.
#[derive(Debug, Clone)]
pub struct EndpointRoute {
    /// Its production variants, in the configuration's order. While an update shifts traffic a name
    /// stands here twice: once for the old servers and once for the new.
    pub variants: Vec<VariantRoute>,
    /// What is kept of requests and answers.
    pub capture: Option<Arc<CaptureRoute>>,
    /// Does it answer through its queue alone, and not in real time?
    pub asynchronous: bool,
}

/// What is kept of an endpoint's requests and answers, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureRoute {
    /// Part of the requests that is kept, in percent.
    pub percentage: f64,
    /// Are requests kept?
    pub input: bool,
    /// Are answers kept?
    pub output: bool,
    /// `s3://bucket/prefix` under which they are kept.
    pub destination: String,
    /// Content types whose bodies are kept as text with the encoding CSV.
    pub csv: Vec<String>,
    /// Content types whose bodies are kept as text with the encoding JSON; all others are kept in
    /// base64.
    pub json: Vec<String>,
}

/// What stands at the address of a variant's server, and so what a request must say beside its variant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Backend {
    /// The server of one model.
    #[default]
    Model,
    /// A relay that sends a request through all containers of a pipeline.
    Pipeline,
    /// A relay that sends a request to the container it names, one of these.
    Containers(Vec<String>),
    /// A relay that sends a request to the model it names.
    Models,
}

/// The header of a relay's answer that has a code of AWS's when the relay refuses a request itself.
pub const RELAY_REFUSAL: &str = "x-sagebrush-refusal";
/// The header of a relay's answer that names the container it comes from, when it is an error.
pub const RELAY_CONTAINER: &str = "x-sagebrush-container";

/// The servers of one production variant.
#[derive(Debug, Clone)]
pub struct VariantRoute {
    /// The variant's name.
    pub name: String,
    /// Its weight: its share is the weight over the sum of weights.
    pub weight: f64,
    /// What stands at the addresses of its servers.
    pub backend: Backend,
    /// Its model servers that answer pings; none while they are being replaced.
    pub servers: Vec<ServerRoute>,
}

/// One model server.
#[derive(Debug, Clone)]
pub struct ServerRoute {
    /// Where it listens.
    pub address: SocketAddr,
    /// Held by everybody who may still send it requests.
    pub lease: Arc<ServerLease>,
}

/// What the two planes share about one model server. Whoever took a server from a snapshot holds
/// its lease until the request is over, so a server that no snapshot names any more is unused
/// exactly when the last lease is gone.
#[derive(Debug, Default)]
pub struct ServerLease {
    in_flight: AtomicUsize,
}

impl ServerLease {
    /// Requests in flight at this server.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts one more request, or `None` when `limit` are in flight already.
    pub fn enter(self: &Arc<Self>, limit: usize) -> Option<InFlight> {
        let more = |count| (count < limit).then_some(count + 1);
        let entered = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.ok().map(|_| InFlight(Arc::clone(self)))
    }

    /// Does only the caller still hold the lease?
    pub fn is_unused(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }
}

/// A request in flight; it ends when this is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<ServerLease>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_server_turns_requests_away_until_one_ends() {
        let lease = Arc::new(ServerLease::default());
        let held: Vec<_> = (0..3).filter_map(|_| lease.enter(2)).collect();
        assert_eq!((held.len(), lease.in_flight()), (2, 2));
        assert!(!lease.is_unused());
        drop(held);
        assert!(lease.is_unused() && lease.enter(2).is_some());
    }
}
