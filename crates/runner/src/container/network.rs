//! What a container can reach.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};

use super::{ContainerError, Engine};

/// What a container can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The engine's usual network: the outside, and this machine.
    Outside,
    /// Nothing.
    None,
    /// The containers of one private network, by their host names.
    Private(String),
}

/// Private networks take their addresses from here, 16 each: the engine's own pool has 30 networks.
const BLOCK: [u8; 2] = [10, 231];
/// Networks in the block.
const NETWORKS: u32 = 1 << 12;
/// Other programs may use addresses of the block; so many places are tried.
const TRIES: u32 = 64;
/// Most containers in one network: 16 addresses less the network's, the gateway's and the broadcast.
pub const MOST_HOSTS: u64 = 13;

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Network {
    /// Makes a network for the containers of one working folder, with which it is removed
    /// ([`Engine::remove_leftovers`]); `isolated` ones reach nothing but each other.
    ///
    /// # Errors
    /// `NoEngine`; `Engine` when no addresses are free.
    pub async fn make_private(engine: &Engine, work: &Path, isolated: bool) -> Result<Self, ContainerError> {
        let docker = engine.docker().await?;
        let labels = engine.labels(work);
        // Spread by process, so that two servers on one machine seldom meet.
        let start = std::process::id().wrapping_mul(61);
        for _ in 0..TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("sagebrush-{}-{number}", engine.process());
            let subnet = subnet(start.wrapping_add(number) % NETWORKS);
            let request = NetworkCreateRequest {
                name: name.clone(),
                driver: Some("bridge".into()),
                internal: Some(isolated),
                labels: Some(labels.clone()),
                ipam: Some(Ipam {
                    config: Some(vec![IpamConfig { subnet: Some(subnet), ..IpamConfig::default() }]),
                    ..Ipam::default()
                }),
                ..NetworkCreateRequest::default()
            };
            match docker.create_network(request).await {
                Ok(_) => return Ok(Self::Private(name)),
                // The addresses are taken.
                Err(Error::DockerResponseServerError { message, .. }) if message.contains("overlap") => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ContainerError::Engine("no addresses are free for a private network".into()))
    }
}

/// The addresses of the network at a place in the block.
fn subnet(place: u32) -> String {
    format!("{}.{}.{}.{}/28", BLOCK[0], BLOCK[1], place >> 4, (place & 15) << 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_lie_side_by_side() {
        assert_eq!(subnet(0), "10.231.0.0/28");
        assert_eq!(subnet(17), "10.231.1.16/28");
        assert_eq!(subnet(NETWORKS - 1), "10.231.255.240/28");
    }
}
