//! A bound on the requests in flight per model server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use sagebrush_types::limits::INVOCATIONS_IN_FLIGHT;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Servers remembered before those without requests are forgotten. Addresses come and go with
/// model servers; without a bound the map would grow for ever.
const REMEMBERED: usize = 1024;

/// The requests in flight of every server.
#[derive(Debug, Default)]
pub struct Admission {
    servers: Mutex<HashMap<SocketAddr, Arc<Semaphore>>>,
}

impl Admission {
    /// A place for one more request at this server, or `None` when all are taken.
    pub fn admit(&self, server: SocketAddr) -> Option<OwnedSemaphorePermit> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= REMEMBERED && !servers.contains_key(&server) {
            servers.retain(|_, places| places.available_permits() < INVOCATIONS_IN_FLIGHT);
        }
        let places = servers.entry(server).or_insert_with(|| Arc::new(Semaphore::new(INVOCATIONS_IN_FLIGHT)));
        Arc::clone(places).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_server_turns_requests_away_until_one_ends() {
        let admission = Admission::default();
        let server = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut held: Vec<_> = (0..INVOCATIONS_IN_FLIGHT).filter_map(|_| admission.admit(server)).collect();
        assert_eq!(held.len(), INVOCATIONS_IN_FLIGHT);
        assert!(admission.admit(server).is_none());
        assert!(admission.admit(SocketAddr::from(([127, 0, 0, 1], 2))).is_some());
        held.pop();
        assert!(admission.admit(server).is_some());
    }
}
