//! A running container: started with its output attached, followed to its end, removed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, Mount as BindMount, MountType,
    NetworkingConfig,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    StartContainerOptions, WaitContainerOptions,
};
use futures::{Stream, StreamExt};
use sagebrush_types::limits::CONTAINER_PROCESSES;
use tokio::task::JoinHandle;

use super::engine::remove_container;
use super::{Container, ContainerError, Mount, Network, disk, words};
use crate::lines::Splitter;
use crate::run::{Exit, RunEvent};

/// The exit code of what was killed.
const KILLED: i64 = 137;
/// Shared memory: frameworks pass batches between their worker processes through it.
const SHARED_MEMORY_SHARE: u64 = 2;
/// When memory is short, a container goes before the server does.
const OUT_OF_MEMORY_SCORE: i64 = 500;

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;
type Ending = Pin<Box<dyn Future<Output = Result<End, ContainerError>> + Send>>;

/// What the engine says about a container's end.
struct End {
    code: i64,
    out_of_memory: bool,
}

/// A container that was started. Dropping it removes the container.
pub struct ContainerRun {
    handle: Handle,
    address: Option<IpAddr>,
    output: Option<Output>,
    splitter: Splitter,
    memory: u64,
    disk: JoinHandle<u64>,
    filled: Option<u64>,
    /// Kept from one call to the next: whoever waits for the end may stop waiting in its middle.
    ending: Option<Ending>,
    exit: Option<Exit>,
}

impl std::fmt::Debug for ContainerRun {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ContainerRun")
            .field("handle", &self.handle)
            .field("exit", &self.exit)
            .finish_non_exhaustive()
    }
}

/// Names a container to its engine. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    docker: Docker,
    id: String,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Handle({})", self.id)
    }
}

impl Handle {
    /// Sends a signal to the container's first process.
    pub fn signal(&self, signal: &'static str) {
        let Handle { docker, id } = self.clone();
        tokio::spawn(async move {
            let options = KillContainerOptionsBuilder::new().signal(signal).build();
            // One that has ended is what was wanted; one that cannot be reached is seen by who waits for it.
            if let Err(error) = docker.kill_container(&id, Some(options)).await {
                tracing::debug!(container = id, signal, %error, "a signal was not delivered");
            }
        });
    }
}

impl ContainerRun {
    /// Creates and starts a container.
    ///
    /// # Errors
    /// `NoEngine`; `NoImage`; `Start` with the engine's words when it cannot be started as it is.
    pub async fn start(container: &Container) -> Result<Self, ContainerError> {
        let docker = container.engine.docker().await?.clone();
        let created = docker.create_container(None, body(container)).await.map_err(|error| {
            if super::is_missing(&error) {
                ContainerError::NoImage { image: container.image.clone(), why: words(&error) }
            } else {
                ContainerError::Start(words(&error))
            }
        })?;
        let handle = Handle { docker: docker.clone(), id: created.id };
        match Self::begin(&docker, &handle, container).await {
            Ok(run) => Ok(run),
            Err(error) => {
                remove_container(&docker, &handle.id).await?;
                Err(error)
            }
        }
    }

    async fn begin(docker: &Docker, handle: &Handle, container: &Container) -> Result<Self, ContainerError> {
        let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
        let attached = docker.attach_container(&handle.id, Some(options)).await?;
        docker
            .start_container(&handle.id, None::<StartContainerOptions>)
            .await
            .map_err(|error| ContainerError::Start(words(&error)))?;
        let written = container.mounts.iter().filter(|mount| !mount.read_only);
        let folders = written.map(|mount| mount.folder.clone()).collect();
        let limit = container.limits.disk;
        let watch = disk::filled(docker.clone(), handle.id.clone(), folders, container.work.clone(), limit);
        Ok(Self {
            handle: handle.clone(),
            address: address(docker, &handle.id).await?,
            output: Some(attached.output),
            splitter: Splitter::default(),
            memory: container.limits.memory,
            disk: tokio::spawn(watch),
            filled: None,
            ending: None,
            exit: None,
        })
    }

    /// Its address, where it is in a network.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Ends it, also while it is waited for.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The next line, or the end after the last line. The container is gone when its end is returned.
    ///
    /// # Errors
    /// `Engine` when the engine does not say how it ended.
    pub async fn next_event(&mut self) -> Result<RunEvent, ContainerError> {
        loop {
            if let Some(line) = self.splitter.next_line() {
                return Ok(RunEvent::Line(line));
            }
            let Some(output) = &mut self.output else {
                return self.ended().await.map(RunEvent::Exited);
            };
            tokio::select! {
                chunk = output.next() => match chunk {
                    Some(Ok(chunk)) => self.splitter.feed(&chunk.into_bytes()),
                    Some(Err(_)) | None => {
                        self.output = None;
                        self.splitter.finish();
                    }
                },
                limit = &mut self.disk, if self.filled.is_none() => {
                    self.filled = Some(limit.unwrap_or_default());
                    self.handle.signal("SIGKILL");
                }
            }
        }
    }

    async fn ended(&mut self) -> Result<Exit, ContainerError> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let ending = self.ending.get_or_insert_with(|| Box::pin(end(self.handle.clone())));
        let ended = ending.as_mut().await;
        self.ending = None;
        let End { code, out_of_memory } = ended?;
        // A child that was killed for memory is told of as well; only the first process's end counts.
        let exit = match self.filled {
            Some(limit) => Exit::DiskFull(limit),
            None if code == KILLED && out_of_memory => Exit::OutOfMemory(self.memory),
            None => Exit::Code(i32::try_from(code).unwrap_or(i32::MAX)),
        };
        self.exit = Some(exit);
        Ok(exit)
    }
}

impl Drop for ContainerRun {
    fn drop(&mut self) {
        self.disk.abort();
        if self.exit.is_some() {
            return;
        }
        let Handle { docker, id } = self.handle.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = remove_container(&docker, &id).await {
                    tracing::warn!(container = id, %error, "a container was left behind");
                }
            });
        }
    }
}

/// Waits for a container's end and removes it.
async fn end(Handle { docker, id }: Handle) -> Result<End, ContainerError> {
    let mut wait = Box::pin(docker.wait_container(&id, None::<WaitContainerOptions>));
    let code = match wait.next().await {
        Some(Ok(ended)) => ended.status_code,
        Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) => return Err(error.into()),
        None => return Err(ContainerError::Engine("it does not say how a container ended".into())),
    };
    let found = docker.inspect_container(&id, None::<InspectContainerOptions>).await?;
    remove_container(&docker, &id).await?;
    let out_of_memory = found.state.unwrap_or_default().oom_killed == Some(true);
    Ok(End { code, out_of_memory })
}

/// The address of a container in the one network that it is in.
async fn address(docker: &Docker, id: &str) -> Result<Option<IpAddr>, ContainerError> {
    let found = docker.inspect_container(id, None::<InspectContainerOptions>).await?;
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    Ok(networks.into_values().find_map(|network| network.ip_address?.parse().ok()))
}

fn body(container: &Container) -> ContainerCreateBody {
    let Container { engine, limits, host_name, .. } = container;
    let network = match &container.network {
        Network::Outside => "bridge",
        Network::None => "none",
        Network::Private(name) => name,
    };
    // Docker's own networks know no names.
    let aliases = matches!(container.network, Network::Private(_)).then(|| vec![host_name.clone()]);
    let settings = EndpointSettings { aliases, ..EndpointSettings::default() };
    let memory = i64::try_from(limits.memory).unwrap_or(i64::MAX);
    ContainerCreateBody {
        hostname: Some(host_name.clone()),
        image: Some(container.image.clone()),
        entrypoint: container.entrypoint.clone(),
        cmd: container.arguments.clone(),
        env: Some(container.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        labels: Some(engine.labels(&container.work)),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.to_owned(), settings)])),
        }),
        host_config: Some(HostConfig {
            mounts: Some(container.mounts.iter().map(bind).collect()),
            network_mode: Some(network.to_owned()),
            memory: Some(memory),
            memory_swap: Some(memory),
            nano_cpus: Some((limits.processors * 1e9) as i64),
            pids_limit: Some(CONTAINER_PROCESSES),
            oom_score_adj: Some(OUT_OF_MEMORY_SCORE),
            shm_size: Some(memory / SHARED_MEMORY_SHARE as i64),
            // A first process without a handler for SIGTERM would not end by it.
            init: Some(true),
            // The attached output is the only one: it is stored by the server, within its limits.
            log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn bind(mount: &Mount) -> BindMount {
    BindMount {
        typ: Some(MountType::BIND),
        source: Some(mount.folder.to_string_lossy().into_owned()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..BindMount::default()
    }
}
