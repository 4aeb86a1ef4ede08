//! The connection to a container engine that speaks Docker's HTTP API, and what a server keeps in it:
//! everything bears the server's label, so that nothing is left behind and nothing foreign is touched.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    RemoveContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::TryStreamExt;
use tokio::sync::OnceCell;

use super::ContainerError;

/// Label whose value is the server that a container or network belongs to.
pub const SERVER_LABEL: &str = "sagebrush.server";
/// Label whose value is the process of the server, at random.
pub const PROCESS_LABEL: &str = "sagebrush.process";
/// Label whose value is the working folder that a container or network was made for.
pub const WORK_LABEL: &str = "sagebrush.work";
/// Seconds that a call of the engine may take: a loaded engine starts containers slowly.
const CALL_SECONDS: u64 = 300;
/// Time in which an engine says that it is there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Where engines listen when nothing else is said, in the order they are looked for.
const SOCKETS: [&str; 3] = ["/var/run/docker.sock", "/run/podman/podman.sock", "/run/docker.sock"];

/// A container engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    address: String,
    server: String,
    process: String,
    docker: OnceCell<Docker>,
}

/// Whose containers and networks.
#[derive(Debug, Clone, Copy)]
pub enum Leftovers<'a> {
    /// This server's, of all its processes.
    Server,
    /// This process's.
    Process,
    /// Those made for one working folder.
    Work(&'a Path),
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Engine({})", self.shared.address)
    }
}

/// Where an image comes from when the engine has not got it.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The name to pull.
    pub reference: String,
    /// User name and password of the registry.
    pub credentials: Option<(String, String)>,
}

impl Engine {
    /// An engine at `unix:///path/to/socket` or `http://host:port`; `server` names the server whose
    /// containers these are, for all its processes, and `process` this one. Nothing is connected yet.
    pub fn new(address: &str, server: &str, process: &str) -> Self {
        let shared = Shared {
            address: address.into(),
            server: server.into(),
            process: process.into(),
            docker: OnceCell::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The address that engines of this machine are looked for at: `DOCKER_HOST`'s value when there is
    /// one, else the first socket that is there, else Docker's.
    pub fn default_address(docker_host: Option<&str>) -> String {
        let socket = SOCKETS.iter().find(|path| Path::new(path).exists()).unwrap_or(&SOCKETS[0]);
        docker_host.filter(|host| !host.is_empty()).map_or_else(|| format!("unix://{socket}"), str::to_owned)
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// The labels of what is made for a working folder.
    pub(super) fn labels(&self, work: &Path) -> HashMap<String, String> {
        let work = work.to_string_lossy();
        let pairs = [(SERVER_LABEL, self.server()), (PROCESS_LABEL, self.process()), (WORK_LABEL, &work)];
        pairs.map(|(label, value)| (label.to_owned(), value.to_owned())).into()
    }

    /// The server whose containers these are.
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    /// This process of the server.
    pub fn process(&self) -> &str {
        &self.shared.process
    }

    /// The connection, once the engine has said which version it speaks.
    pub(super) async fn docker(&self) -> Result<&Docker, ContainerError> {
        let connect = async || {
            let address = &self.shared.address;
            let docker = if address.starts_with("http://") || address.starts_with("tcp://") {
                Docker::connect_with_http(address, CALL_SECONDS, API_DEFAULT_VERSION)
            } else {
                Docker::connect_with_socket(address, CALL_SECONDS, API_DEFAULT_VERSION)
            };
            let silent = |why: String| ContainerError::NoEngine { address: address.clone(), why };
            let docker = docker.map_err(|error| silent(error.to_string()))?;
            match tokio::time::timeout(ANSWERS_WITHIN, docker.negotiate_version()).await {
                Ok(Ok(docker)) => Ok(docker),
                Ok(Err(error)) => Err(silent(error.to_string())),
                Err(_) => Err(silent("it did not answer in time".into())),
            }
        };
        self.shared.docker.get_or_try_init(connect).await
    }

    /// Does the engine answer?
    ///
    /// # Errors
    /// `NoEngine`, with what to do.
    pub async fn check(&self) -> Result<(), ContainerError> {
        let docker = self.docker().await?;
        let silent = |why: String| ContainerError::NoEngine { address: self.shared.address.clone(), why };
        match tokio::time::timeout(ANSWERS_WITHIN, docker.ping()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(silent(error.to_string())),
            Err(_) => Err(silent("it did not answer in time".into())),
        }
    }

    /// The id of an image, which is pulled when the engine has not got it or `pull` asks for it.
    ///
    /// # Errors
    /// `NoImage` when it is not there and cannot be pulled; `NoEngine`, `Engine`.
    pub async fn image(&self, name: &str, pull: Option<&Pull>) -> Result<String, ContainerError> {
        let docker = self.docker().await?;
        let missing = |why: String| ContainerError::NoImage { image: name.to_owned(), why };
        let name = match pull {
            None => name,
            Some(pull) => {
                let credentials = pull.credentials.clone().map(|(username, password)| DockerCredentials {
                    username: Some(username),
                    password: Some(password),
                    ..DockerCredentials::default()
                });
                let options = CreateImageOptionsBuilder::new().from_image(&pull.reference).build();
                docker
                    .create_image(Some(options), None, credentials)
                    .try_for_each(|_| async { Ok(()) })
                    .await
                    .map_err(|error| missing(super::words(&error)))?;
                &pull.reference
            }
        };
        match docker.inspect_image(name).await {
            Ok(image) => Ok(image.id.unwrap_or_else(|| name.to_owned())),
            Err(error) if super::is_missing(&error) => {
                Err(missing("the engine has no image of this name".into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes containers and networks; returns how many containers there were.
    ///
    /// # Errors
    /// `NoEngine`, `Engine`.
    pub async fn remove_leftovers(&self, whose: Leftovers<'_>) -> Result<usize, ContainerError> {
        let docker = self.docker().await?;
        let mut labels = vec![format!("{SERVER_LABEL}={}", self.server())];
        match whose {
            Leftovers::Server => {}
            Leftovers::Process => labels.push(format!("{PROCESS_LABEL}={}", self.process())),
            Leftovers::Work(work) => labels.push(format!("{WORK_LABEL}={}", work.display())),
        }
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let mut removed = 0;
        for container in docker.list_containers(Some(options)).await? {
            let id = container.id.unwrap_or_default();
            remove_container(docker, &id).await?;
            removed += 1;
        }
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        for network in docker.list_networks(Some(options)).await? {
            match docker.remove_network(&network.id.unwrap_or_default()).await {
                Err(error) if !super::is_missing(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(removed)
    }
}

/// Removes a container, running or not, with its anonymous volumes. One that is gone is what was wanted.
pub(super) async fn remove_container(docker: &Docker, id: &str) -> Result<(), ContainerError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        // 409: it is being removed already.
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) | Ok(()) => {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
