//! The route table: which model servers answer for which endpoint. The control plane publishes
//! snapshots of it, the serving plane reads them; nothing else passes between the two.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Region and name of an endpoint.
pub type EndpointName = (String, String);

/// A snapshot of every endpoint that answers requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteTable {
    /// Endpoints by region and name.
    pub endpoints: BTreeMap<EndpointName, Arc<EndpointRoute>>,
}

/// The variants of one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointRoute {
    /// Its production variants, in the configuration's order.
    pub variants: Vec<VariantRoute>,
}

/// The servers of one production variant.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantRoute {
    /// The variant's name.
    pub name: String,
    /// Its weight: its share is the weight over the sum of weights.
    pub weight: f64,
    /// Its model servers that answer pings; none while they are being replaced.
    pub servers: Vec<SocketAddr>,
}
