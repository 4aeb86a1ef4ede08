//! What every model server needs, of an endpoint as of a transform job: its model on disk, and a place to
//! listen. A child process gets a free port of this machine, a container has the contract's port at an
//! address of its own, and a model of several containers gets a relay before them.

mod instance;
mod prepare;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use sagebrush_runner::{Layout, Program, Run, unpack};
use sagebrush_types::{Failure, Outcome, s3_uri};

use crate::{ControlPlane, failure, reconcile};

pub use instance::{Front, Instance, InstanceHost};
pub use prepare::PreparedModel;

/// The port that the hosting contract gives a container.
const CONTAINER_PORT: u16 = 8080;

/// Fetches a model's artifact and unpacks it under `layout`; without one the model's folder is empty, as
/// for images that carry their model. The inner error says in words for the user why it cannot be.
///
/// # Errors
/// `Invalid` for a URI that is none; `Internal`.
async fn fetch(
    plane: &ControlPlane,
    uri: Option<&str>,
    folder: &Path,
    layout: &Layout,
) -> Outcome<Result<(), String>> {
    std::fs::create_dir_all(layout.model()).map_err(Failure::internal)?;
    let Some(uri) = uri else { return Ok(Ok(())) };
    let (bucket, object) = s3_uri("ModelDataUrl", uri)?;
    let archive = folder.join("model.tar.gz");
    if let Err(error) = plane.objects().fetch_object_to(bucket, object, &archive).await {
        return Ok(Err(format!("The model data {uri} could not be downloaded: {error}")));
    }
    let (from, to) = (archive.clone(), layout.model());
    let unpacked =
        tokio::task::spawn_blocking(move || unpack(&from, &to)).await.map_err(Failure::internal)?;
    if let Err(error) = unpacked {
        return Ok(Err(format!("The model data {uri} cannot be used: {error}")));
    }
    // The archive is in the object store; a second copy here serves nobody.
    std::fs::remove_file(archive).map_err(Failure::internal)?;
    Ok(Ok(()))
}

/// Starts a program of a model server and says where it will listen. `instance` is its number among those of
/// the working folder.
///
/// # Errors
/// `Invalid` for a container that cannot be started, with words for the user; `Internal`.
async fn start_program(mut program: Program, work: &Path, instance: u64) -> Outcome<(Run, SocketAddr)> {
    let port_for_process = match &mut program {
        Program::Process(process) => {
            let address = free_address()?;
            process.environment.insert("SAGEMAKER_BIND_TO_PORT".into(), address.port().to_string());
            process.environment.insert("SAGEBRUSH_BIND_TO_ADDRESS".into(), address.ip().to_string());
            process.environment.insert("SAGEBRUSH_INSTANCE".into(), instance.to_string());
            Some(address)
        }
        Program::Container(container) => {
            container.environment.insert("SAGEMAKER_BIND_TO_PORT".into(), CONTAINER_PORT.to_string());
            None
        }
    };
    let run = Run::start(&program).await.map_err(failure::of_run)?;
    reconcile::remember(work, instance, &run).map_err(Failure::internal)?;
    let address = port_for_process.or_else(|| match &run {
        Run::Process(_) => None,
        Run::Container(run) => run.address().map(|address| SocketAddr::new(address, CONTAINER_PORT)),
    });
    let address = address.ok_or_else(|| Failure::internal("a container without an address"))?;
    Ok((run, address))
}

/// A port of this machine that is free now. Another program can take it before the server does; the
/// server then fails to start and gets another one.
fn free_address() -> Outcome<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(Failure::internal)
}
