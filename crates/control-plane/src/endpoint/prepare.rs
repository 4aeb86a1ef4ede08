//! From a variant's container to a model on disk that any number of servers can serve.

use std::collections::BTreeMap;
use std::path::Path;

use sagebrush_runner::{Layout, unpack};
use sagebrush_types::{Failure, Outcome, s3_uri};

use super::plan::PlannedVariant;
use crate::ControlPlane;
use crate::built_in::Task;

/// A model on disk.
#[derive(Debug, Clone)]
pub struct PreparedModel {
    /// Its image.
    pub image: String,
    /// Environment of its servers.
    pub environment: BTreeMap<String, String>,
    /// The folder that stands for `/opt/ml`.
    pub layout: Layout,
}

/// Fetches and unpacks a variant's model into `folder`.
///
/// # Errors
/// `Invalid` for a model that cannot be fetched, unpacked or served, with words for the user.
pub async fn prepare(
    plane: &ControlPlane,
    variant: &PlannedVariant,
    folder: &Path,
) -> Outcome<PreparedModel> {
    let container = &variant.container;
    let image = container.image.clone().unwrap_or_default();
    plane.built_in("PrimaryContainer.Image", &image, Task::Serve)?;
    let layout = Layout::new(folder.join("opt-ml"));
    std::fs::create_dir_all(layout.model()).map_err(Failure::internal)?;
    let uri = container.model_data_url.clone().unwrap_or_default();
    let (bucket, object) = s3_uri("ModelDataUrl", &uri)?;
    let archive = folder.join("model.tar.gz");
    plane.objects().fetch_object_to(bucket, object, &archive).await.map_err(|error| {
        Failure::invalid(format!(
            "The model data of variant '{}' could not be downloaded from {uri}: {error}",
            variant.name
        ))
    })?;
    unpack_archive(&archive, &layout.model()).await.map_err(|message| {
        Failure::invalid(format!("The model data of variant '{}' ({uri}): {message}", variant.name))
    })?;
    Ok(PreparedModel { image, environment: container.environment.clone(), layout })
}

async fn unpack_archive(archive: &Path, folder: &Path) -> Result<(), String> {
    let (from, to) = (archive.to_path_buf(), folder.to_path_buf());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&from, &to)).await;
    unpacked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    // The archive is in the object store; a second copy here serves nobody.
    std::fs::remove_file(archive).map_err(|error| error.to_string())
}
