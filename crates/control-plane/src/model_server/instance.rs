//! One instance of a model: the programs of all its containers and, where requests cannot simply go to one
//! program, the relay before them.

use std::net::SocketAddr;
use std::path::Path;

use sagebrush_runner::{ModelPrefix, Relay, RelayManner, RelayedContainer, Run};
use sagebrush_types::{Backend, Failure, Outcome};

use super::prepare::{PreparedContainer, PreparedModel};
use super::start_program;
use crate::image::{Launch, LaunchMount};
use crate::workflow::HostNetwork;
use crate::{ControlPlane, reconcile};

/// Where a container sees the models that requests name: the contract's place.
const MODELS: &str = "/opt/ml/models";

/// The host that an instance stands for.
#[derive(Debug, Clone, Copy)]
pub struct InstanceHost<'a> {
    /// Its number among those of the model.
    pub number: u64,
    /// Its name, which its only container takes as host name.
    pub name: &'a str,
    /// What it is like.
    pub instance_type: Option<&'a str>,
}

/// An instance that was started. Dropping it ends it.
pub struct Instance {
    /// A program for each container, in their order.
    pub programs: Vec<Run>,
    /// What requests come to.
    pub front: Front,
}

/// What requests to an instance come to, and what goes with it.
pub struct Front {
    /// Where it listens.
    pub address: SocketAddr,
    relay: Option<Relay>,
    network: Option<HostNetwork>,
}

impl Instance {
    /// Starts the programs of an instance, in the order of the containers.
    ///
    /// # Errors
    /// `Invalid` for a container that cannot be started, with words for the user; `Internal`.
    pub async fn start(plane: &ControlPlane, model: &PreparedModel, host: InstanceHost<'_>) -> Outcome<Self> {
        // What only this instance has: its network's label, and the models that it was asked for.
        let own = model.folder.join(format!("instance-{}", host.number));
        reconcile::clear_folder(&own)?;
        std::fs::create_dir_all(&own).map_err(Failure::internal)?;
        let isolated = model.isolated;
        let images = model.containers.iter().map(|container| &container.image);
        let network = HostNetwork::of_server(plane, &own, images, isolated).await?;
        // From here on the network goes with the front, also when a program cannot be started.
        let mut front = Front { address: ([0, 0, 0, 0], 0).into(), relay: None, network: Some(network) };
        let (mut programs, mut behind) = (Vec::new(), Vec::new());
        for container in &model.containers {
            let (run, address) = front.start_program(plane, model, container, &own, host).await?;
            programs.push(run);
            let models = container.models.as_ref().map(|models| ModelPrefix {
                objects: plane.objects().clone(),
                bucket: models.bucket.clone(),
                prefix: models.prefix.clone(),
                folder: own.join("models"),
                seen_at: MODELS.to_owned(),
                cached: models.cached,
            });
            behind.push(RelayedContainer { name: container.name.clone(), address, models });
        }
        if model.backend == Backend::Model {
            let only = behind.first().ok_or_else(|| Failure::internal("a model without a container"))?;
            front.address = only.address;
        } else {
            let direct = matches!(model.backend, Backend::Containers(_));
            let manner = if direct { RelayManner::Direct } else { RelayManner::Serial };
            let relay = Relay::start(manner, behind).await.map_err(Failure::internal)?;
            front.address = relay.address();
            front.relay = Some(relay);
        }
        Ok(Self { programs, front })
    }
}

impl Front {
    async fn start_program(
        &self,
        plane: &ControlPlane,
        model: &PreparedModel,
        container: &PreparedContainer,
        own: &Path,
        host: InstanceHost<'_>,
    ) -> Outcome<(Run, SocketAddr)> {
        let is_container = container.image.is_container();
        let name = match model.containers.as_slice() {
            [_] => host.name.to_owned(),
            // Processes of all instances share this machine, containers have one of their own.
            _ if is_container => container.name.clone(),
            _ => format!("{}-{}", container.name, host.number),
        };
        let work = if is_container { own } else { container.folder() };
        let network = self.network.as_ref().map(|network| network.network_of(&container.image));
        let network = network.ok_or_else(|| Failure::internal("an instance without a network"))?;
        let mut environment = container.environment.clone();
        let models = container
            .models
            .as_ref()
            .map(|_| LaunchMount { folder: Some(own.join("models")), ..LaunchMount::readable(MODELS) });
        if models.is_some() {
            environment.insert("SAGEMAKER_MULTI_MODEL".into(), "true".into());
        }
        let layout = &container.layout;
        let mut launch = Launch::serving(environment, layout, work, &name, host.instance_type, network);
        if let Some(mount) = models {
            launch.mounts = vec![mount];
        }
        let program = plane.program(&container.image, launch).await?;
        start_program(program, container.folder(), host.number).await
    }

    /// Ends the relay and removes the network; to be called when the programs have ended.
    pub async fn close(mut self) {
        if let Some(relay) = self.relay.take() {
            relay.close().await;
        }
        if let Some(network) = self.network.take() {
            network.remove().await;
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // Programs that were not waited for are removed with their network.
        if let (Some(network), Ok(runtime)) = (self.network.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(network.remove());
        }
    }
}
