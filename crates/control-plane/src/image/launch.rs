//! From an image and a task to the program that runs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sagebrush_runner::{Container, Guard, Layout, Mount, Network, Process, Program};
use sagebrush_types::limits::CONTAINER_DISK_BYTES;
use sagebrush_types::{Failure, Outcome};
use tokio::sync::Mutex;

use super::{ContainerImage, Image, Task, instance};
use crate::{ControlPlane, reconcile};

/// What a program is started with.
#[derive(Debug)]
pub struct Launch<'a> {
    /// What it does.
    pub task: Task,
    /// The job's own environment.
    pub environment: BTreeMap<String, String>,
    /// The folder that stands for `/opt/ml`.
    pub layout: &'a Layout,
    /// The working folder of the job or endpoint.
    pub work: &'a Path,
    /// Its host's name.
    pub host: &'a str,
    /// What its host is like.
    pub instance_type: Option<&'a str>,
    /// What its container's files may take, bytes.
    pub disk: u64,
    /// What its container reaches.
    pub network: Network,
    /// What its container sees of the folder that stands for `/opt/ml`.
    pub mounts: Vec<LaunchMount>,
    /// Instead of the image's entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Instead of the task's arguments for a container, and after a built-in's own.
    pub arguments: Option<Vec<String>>,
}

impl<'a> Launch<'a> {
    /// A model server of the model in `layout`.
    pub fn serving(
        environment: BTreeMap<String, String>,
        layout: &'a Layout,
        work: &'a Path,
        host: &'a str,
        instance_type: Option<&'a str>,
        network: Network,
    ) -> Self {
        Self {
            task: Task::Serve,
            environment,
            layout,
            work,
            host,
            instance_type,
            disk: CONTAINER_DISK_BYTES,
            network,
            // Several servers share one folder.
            mounts: vec![LaunchMount::readable("/opt/ml/model")],
            entrypoint: None,
            arguments: None,
        }
    }
}

/// A place under `/opt/ml` that a container sees.
#[derive(Debug, Clone)]
pub struct LaunchMount {
    /// The path in the container.
    pub place: String,
    /// The folder here, when it is not that of the layout.
    pub folder: Option<PathBuf>,
    /// It may be read only.
    pub read_only: bool,
}

impl LaunchMount {
    /// A place that the container may write to.
    pub fn writable(place: &str) -> Self {
        Self { place: place.trim_end_matches('/').to_owned(), folder: None, read_only: false }
    }

    /// A place that the container may read.
    pub fn readable(place: &str) -> Self {
        Self { read_only: true, ..Self::writable(place) }
    }

    /// The mount, whose folder is made: an engine mounts only what is there.
    fn mount(self, layout: &Layout) -> Outcome<Mount> {
        let Self { place, folder, read_only } = self;
        let outside = || Failure::internal(format!("{place} lies outside /opt/ml"));
        let folder = folder.or_else(|| layout.place(&place)).ok_or_else(outside)?;
        std::fs::create_dir_all(&folder).map_err(Failure::internal)?;
        Ok(Mount { folder: absolute(&folder)?, target: place, read_only })
    }
}

/// The guard of this process's containers, once there is one.
pub type GuardPlace = Mutex<Option<Guard>>;

impl ControlPlane {
    /// The program that does a task with an image.
    ///
    /// # Errors
    /// `Invalid` for an image that cannot be had, with words for the user.
    pub(crate) async fn program(&self, image: &Image, launch: Launch<'_>) -> Outcome<Program> {
        match image {
            Image::BuiltIn(built_in) => {
                let mut arguments = built_in.arguments(launch.task).unwrap_or_default();
                arguments.extend(launch.arguments.into_iter().flatten().map(Into::into));
                Ok(Program::Process(Process {
                    executable: self.shared.settings.executable.clone(),
                    arguments,
                    environment: reconcile::marked(launch.environment, launch.layout.root()),
                    folder: launch.layout.root().to_path_buf(),
                }))
            }
            Image::Container(image) => {
                let container = self.container(image, launch).await?;
                Ok(Program::Container(Box::new(container)))
            }
            Image::Python(wanted) => self.script(wanted, launch).await,
        }
    }

    async fn container(&self, image: &ContainerImage, launch: Launch<'_>) -> Outcome<Container> {
        let engine = self.engine()?.clone();
        let image = self.image_id(image).await?;
        self.guard_containers().await?;
        let mounts = launch.mounts.into_iter().map(|mount| mount.mount(launch.layout));
        Ok(Container {
            engine,
            image,
            arguments: match (&launch.entrypoint, launch.task.argument()) {
                (None, Some(argument)) if launch.arguments.is_none() => Some(vec![argument.to_owned()]),
                _ => launch.arguments,
            },
            entrypoint: launch.entrypoint,
            environment: launch.environment,
            host_name: launch.host.to_owned(),
            mounts: mounts.collect::<Outcome<_>>()?,
            limits: instance::limits(launch.instance_type, launch.disk, memory()),
            network: launch.network,
            work: absolute(launch.work)?,
        })
    }

    /// Sees to it that the containers of this process end with it.
    async fn guard_containers(&self) -> Outcome<()> {
        let mut place = self.shared.guard.lock().await;
        if place.is_none() {
            let engine = self.engine()?;
            let arguments =
                ["container-guard", engine.address(), engine.server(), engine.process()].map(str::to_owned);
            let guard =
                Guard::start(&self.shared.settings.executable, &arguments).map_err(Failure::internal)?;
            *place = Some(guard);
        }
        Ok(())
    }
}

impl Task {
    /// The argument that the contract gives a container.
    const fn argument(self) -> Option<&'static str> {
        match self {
            Self::Train => Some("train"),
            Self::Serve => Some("serve"),
            Self::Process => None,
        }
    }

    /// What an image that does it does.
    pub(super) const fn verb(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Serve => "serve",
            Self::Process => "process",
        }
    }
}

fn absolute(folder: &Path) -> Outcome<PathBuf> {
    std::path::absolute(folder).map_err(Failure::internal)
}

/// The memory of an instance of this type, bytes, no more than this machine has to give.
pub fn memory_of(instance_type: Option<&str>) -> u64 {
    instance::limits(instance_type, 0, memory()).memory
}

/// This machine's memory, bytes; 0 where the system does not say.
fn memory() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
