//! After a restart: every workflow that was open goes on or ends with a reason, and nothing that an
//! earlier server process started keeps running.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use sagebrush_env::durable::{self, Readers};
use sagebrush_metastore::OpenWorkflow;
use sagebrush_runner::{Leftovers, Run, kill_leftover};
use sagebrush_types::{Failure, Outcome, Resource};

use crate::processing_job::CreateProcessingJob;
use crate::training_job::CreateTrainingJob;
use crate::transform_job::CreateTransformJob;
use crate::workflow::job;
use crate::{ControlPlane, endpoint, failure, tuning_job};

/// The reason of a job whose server went away.
pub const INTERRUPTED: &str = "InternalServerError: The server stopped while the job was running. Its work is lost; create the job again.";

/// Names the working folder in the environment of every program started for it, so that a process
/// id that was reused by a stranger is not mistaken for the program.
const MARKER: &str = "SAGEBRUSH_ML_ROOT";
/// Files in a working folder that hold the process ids of its programs begin so.
const PROCESS_FILE: &str = "process-";

impl ControlPlane {
    /// Goes on with what was open when the last server process ended. To be called once, before
    /// the first request.
    ///
    /// # Errors
    /// `Internal` when the metastore cannot be read.
    pub async fn reconcile(&self) -> Outcome<()> {
        self.remove_containers().await;
        let open = self.store().open_workflows().await.map_err(failure::of_metastore)?;
        for OpenWorkflow { key, step } in open {
            tracing::info!(resource = %key, step, "going on after a restart");
            match key.kind {
                Resource::TrainingJob => job::resume::<CreateTrainingJob>(self, key, step).await,
                Resource::ProcessingJob => job::resume::<CreateProcessingJob>(self, key, step).await,
                Resource::TransformJob => job::resume::<CreateTransformJob>(self, key, step).await,
                Resource::HyperParameterTuningJob => tuning_job::resume(self, key),
                Resource::Endpoint => endpoint::resume(self, key, step).await,
                // The others have no workflow.
                _ => {}
            }
        }
        self.resume_invocations().await
    }

    /// Removes the containers that earlier processes of this server left, where there is an engine.
    async fn remove_containers(&self) {
        let Some(engine) = &self.shared.settings.engine else { return };
        match engine.remove_leftovers(Leftovers::Server).await {
            Ok(0) => {}
            Ok(removed) => tracing::warn!(removed, "removed containers of an earlier server process"),
            // Most servers never need one; a job that does says so.
            Err(error) => tracing::debug!(%error, "no containers were looked for"),
        }
    }
}

/// The environment of a program: the job's own, and the folder that stands for `/opt/ml`.
pub fn marked(mut environment: BTreeMap<String, String>, root: &Path) -> BTreeMap<String, String> {
    environment.insert(MARKER.into(), root.to_string_lossy().into_owned());
    // A built-in ends when its standard input does: the server's death, however it dies.
    environment.insert("SAGEBRUSH_LIFELINE".into(), "stdin".into());
    environment
}

/// Notes a started program in its working folder, under its instance's number.
pub fn remember(folder: &Path, instance: u64, run: &Run) -> io::Result<()> {
    // Containers bear labels.
    let Some(id) = run.process_id() else { return Ok(()) };
    let id = id.to_string();
    let path = folder.join(format!("{PROCESS_FILE}{instance}"));
    durable::write(&path, id.as_bytes(), Readers::Default)
}

/// Kills the programs noted in a working folder, and in those of the containers inside it, that still run.
pub fn kill_leftovers(folder: &Path) {
    let inner = fs::read_dir(folder).into_iter().flatten().flatten();
    for container in inner.filter(|entry| entry.file_name().to_string_lossy().starts_with("container-")) {
        kill_noted(&container.path());
    }
    kill_noted(folder);
}

fn kill_noted(folder: &Path) {
    let marker = format!("{MARKER}={}", folder.join("opt-ml").to_string_lossy());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PROCESS_FILE) {
            continue;
        }
        let noted = fs::read_to_string(entry.path()).ok().and_then(|text| text.trim().parse().ok());
        if let Some(id) = noted
            && kill_leftover(id, &marker)
        {
            tracing::warn!(process = id, "killed a program of an earlier server process");
        }
    }
}

/// Removes a working folder and everything in it.
pub fn clear_folder(folder: &Path) -> Outcome<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::internal(error)),
        _ => Ok(()),
    }
}
