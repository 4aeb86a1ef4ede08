//! From a variant's container to a model on disk that any number of servers can serve.

use std::collections::BTreeMap;
use std::path::Path;

use sagebrush_runner::Layout;
use sagebrush_types::{Failure, Outcome};

use super::plan::PlannedVariant;
use crate::image::{Image, Task};
use crate::{ControlPlane, model_server};

/// A model on disk.
#[derive(Debug, Clone)]
pub struct PreparedModel {
    /// Its image.
    pub image: Image,
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
    let image = container.image.as_deref().unwrap_or_default();
    let image = plane.image("PrimaryContainer.Image", image, Task::Serve)?;
    let layout = Layout::new(folder.join("opt-ml"));
    std::fs::create_dir_all(folder).map_err(Failure::internal)?;
    model_server::fetch(plane, container.model_data_url.as_deref(), folder, &layout)
        .await?
        .map_err(|why| Failure::invalid(format!("Variant '{}': {why}", variant.name)))?;
    Ok(PreparedModel { image, environment: container.environment.clone(), layout })
}
