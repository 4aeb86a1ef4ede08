//! Containers: one program of a job or one model server in an image, run by a container engine.
//!
//! Promises: a container gets the mounts, environment and network it is given, within its limits of
//! processors, memory, processes and disk; its output is read as fast as it is stored and kept nowhere
//! else; when its run is dropped, or the server's next process starts, it is removed. Never: decides
//! what an end means.

mod disk;
mod engine;
mod guard;
mod network;
mod run;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use engine::{Engine, Leftovers, Pull};
pub use guard::{Guard, keep_guard};
pub use network::{MOST_HOSTS, Network};
pub use run::{ContainerRun, Handle};

/// A container to run.
#[derive(Debug, Clone)]
pub struct Container {
    /// The engine that runs it.
    pub engine: Engine,
    /// Id or name of an image that the engine has.
    pub image: String,
    /// Instead of the image's entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments; the image's own when `None`.
    pub arguments: Option<Vec<String>>,
    /// Environment beside the image's own.
    pub environment: BTreeMap<String, String>,
    /// Its host name, by which others on its network find it.
    pub host_name: String,
    /// What of this machine's files it sees.
    pub mounts: Vec<Mount>,
    /// What it may use.
    pub limits: ContainerLimits,
    /// What it can reach.
    pub network: Network,
    /// The working folder it is run for.
    pub work: PathBuf,
}

/// A folder of this machine at a place in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The folder here.
    pub folder: PathBuf,
    /// The absolute path there.
    pub target: String,
    /// It may be read only.
    pub read_only: bool,
}

/// What a container may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContainerLimits {
    /// Processors.
    pub processors: f64,
    /// Memory, bytes; no swap beside it.
    pub memory: u64,
    /// What its folders and its own layer may hold together, bytes.
    pub disk: u64,
}

/// Why a container was not started or is no longer followed.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// No engine answers.
    #[error(
        "no container engine answers at {address} ({why}). Start Docker or Podman, or say where one is: sagebrush serve --container-engine ADDRESS"
    )]
    NoEngine {
        /// Where it was looked for.
        address: String,
        /// What came instead of an answer.
        why: String,
    },
    /// The image is not there.
    #[error(
        "the image {image} cannot be had: {why}. Push it to this server's registry, or load it into the container engine"
    )]
    NoImage {
        /// As the user names it.
        image: String,
        /// The engine's or the registry's words.
        why: String,
    },
    /// The container cannot be started as it is: an entry point that the image lacks, for example.
    #[error("the container cannot be started: {0}")]
    Start(String),
    /// The engine failed.
    #[error("the container engine failed: {0}")]
    Engine(String),
}

impl From<bollard::errors::Error> for ContainerError {
    fn from(error: bollard::errors::Error) -> Self {
        Self::Engine(words(&error))
    }
}

/// The engine's own words.
fn words(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message.clone(),
        bollard::errors::Error::DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    }
}

/// Does the engine say that there is no such thing?
fn is_missing(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })
}
