//! What the containers of a job or a model server reach, and their removal when it is done with them.

use std::path::{Path, PathBuf};

use sagebrush_runner::{Engine, Leftovers, Network};
use sagebrush_types::{Failure, Outcome};

use crate::image::Image;
use crate::{ControlPlane, failure};

/// The network of a job's hosts.
#[derive(Debug)]
pub struct HostNetwork {
    network: Network,
    /// Whose containers and networks go at the end, and which.
    made: Option<(Engine, PathBuf)>,
}

impl HostNetwork {
    /// A network for `hosts` hosts of an image: several find each other by their names; isolated ones
    /// reach nothing else.
    ///
    /// # Errors
    /// `Invalid` without a container engine; `Internal` when it makes no network.
    pub async fn make(
        plane: &ControlPlane,
        work: &Path,
        image: &Image,
        hosts: usize,
        isolated: bool,
    ) -> Outcome<Self> {
        if !image.is_container() {
            // Hosts that are processes see each other on this machine's loopback, or nothing.
            if isolated && hosts > 1 {
                return Err(Failure::unsupported(
                    "EnableNetworkIsolation: scripts on several instances share this machine's network; use one \
                     instance, or map the image to a container.",
                ));
            }
            let network = if isolated { Network::None } else { Network::Outside };
            return Ok(Self { network, made: None });
        }
        let engine = plane.engine()?.clone();
        let work = std::path::absolute(work).map_err(Failure::internal)?;
        let network = match (hosts, isolated) {
            (1, false) => Network::Outside,
            (1, true) => Network::None,
            _ => Network::make_private(&engine, &work, isolated).await.map_err(failure::of_container)?,
        };
        Ok(Self { network, made: Some((engine, work)) })
    }

    /// A network for the containers of one instance of a model, which this machine must reach whatever they
    /// reach: isolated ones find each other, and nothing else.
    ///
    /// # Errors
    /// `Invalid` without a container engine; `Internal` when it makes no network.
    pub async fn of_server(
        plane: &ControlPlane,
        work: &Path,
        mut images: impl Iterator<Item = &Image>,
        isolated: bool,
    ) -> Outcome<Self> {
        if !isolated || !images.any(Image::is_container) {
            let network = if isolated { Network::None } else { Network::Outside };
            return Ok(Self { network, made: None });
        }
        let engine = plane.engine()?.clone();
        let work = std::path::absolute(work).map_err(Failure::internal)?;
        let network = Network::make_private(&engine, &work, true).await.map_err(failure::of_container)?;
        Ok(Self { network, made: Some((engine, work)) })
    }

    /// The network for the program of an image: only containers can be in a private one.
    pub fn network_of(&self, image: &Image) -> Network {
        match &self.network {
            Network::Private(_) if !image.is_container() => Network::None,
            network => network.clone(),
        }
    }

    /// The network for a container.
    pub fn network(&self) -> Network {
        self.network.clone()
    }

    /// Removes the network, and every container of the job that is still there.
    pub async fn remove(self) {
        let Some((engine, work)) = self.made else { return };
        if let Err(error) = engine.remove_leftovers(Leftovers::Work(&work)).await {
            tracing::warn!(work = %work.display(), %error, "containers of a job are left until the next start");
        }
    }
}
