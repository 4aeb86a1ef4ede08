//! From what serves a model to folders on disk that any number of servers can use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sagebrush_runner::Layout;
use sagebrush_types::{Backend, Failure, Outcome, s3_uri};

use super::fetch;
use crate::ControlPlane;
use crate::image::{Image, Task};
use crate::model::Serving;

/// A model whose containers have their places on disk.
#[derive(Debug, Clone)]
pub struct PreparedModel {
    /// Its containers, in their order.
    pub containers: Vec<PreparedContainer>,
    /// What stands at the address of each of its servers.
    pub backend: Backend,
    /// Do its containers reach nothing but each other?
    pub isolated: bool,
    /// The folder that everything of it lies in.
    pub folder: PathBuf,
}

/// A container of a model.
#[derive(Debug, Clone)]
pub struct PreparedContainer {
    /// Its name in requests, errors and logs.
    pub name: String,
    /// Its image.
    pub image: Image,
    /// Environment of its servers.
    pub environment: BTreeMap<String, String>,
    /// The folder that stands for `/opt/ml`.
    pub layout: Layout,
    /// Where its artifact lies, `s3://bucket/key`, when it has one and only one.
    artifact: Option<String>,
    /// Where its models lie, when requests name them.
    pub models: Option<PreparedPrefix>,
}

/// Where the models of a container lie that serves many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedPrefix {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with: empty, or with a `/` at its end.
    pub prefix: String,
    /// Does a model stay loaded when its requests are answered?
    pub cached: bool,
}

impl PreparedModel {
    /// The places of a model under `folder`; nothing is fetched yet.
    ///
    /// # Errors
    /// `Invalid` for an image that is not served here.
    pub fn new(plane: &ControlPlane, serving: &Serving, folder: &Path) -> Outcome<Self> {
        let several = serving.containers.len() > 1;
        let mut containers = Vec::with_capacity(serving.containers.len());
        for (place, container) in serving.containers.iter().enumerate() {
            let image = container.image.as_deref().unwrap_or_default();
            let image = plane.image(&format!("{}.Image", serving.field(place)), image, Task::Serve)?;
            let models = match &container.model_data_url {
                Some(uri) if container.is_multi_model() => Some(prefix(uri, container.caches_models())?),
                _ => None,
            };
            let own = if several { folder.join(place_name(place)) } else { folder.to_path_buf() };
            containers.push(PreparedContainer {
                name: serving.name(place),
                image,
                environment: container.environment.clone(),
                layout: Layout::new(own.join("opt-ml")),
                artifact: container.model_data_url.clone().filter(|_| models.is_none()),
                models,
            });
        }
        let (backend, folder) = (serving.backend(), folder.to_path_buf());
        Ok(Self { containers, backend, isolated: serving.isolated, folder })
    }

    /// Fetches and unpacks the artifacts. The inner error says in words for the user why one cannot be used.
    ///
    /// # Errors
    /// `Invalid` for a URI that is none; `Internal`.
    pub async fn fetch(&self, plane: &ControlPlane) -> Outcome<Result<(), String>> {
        for container in &self.containers {
            let folder = container.folder();
            std::fs::create_dir_all(folder).map_err(Failure::internal)?;
            if let Err(why) = fetch(plane, container.artifact.as_deref(), folder, &container.layout).await? {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }

    /// Adds variables to the environment of every container; they go before its own.
    pub fn extend_environment(&mut self, variables: &BTreeMap<String, String>) {
        for container in &mut self.containers {
            container.environment.extend(variables.clone());
        }
    }
}

impl PreparedContainer {
    /// The folder that its `/opt/ml` lies in.
    pub fn folder(&self) -> &Path {
        self.layout.root().parent().unwrap_or(self.layout.root())
    }
}

/// The folder of one of several containers.
fn place_name(place: usize) -> String {
    format!("container-{}", place + 1)
}

fn prefix(uri: &str, cached: bool) -> Outcome<PreparedPrefix> {
    let (bucket, prefix) = s3_uri("ModelDataUrl", uri)?;
    let separator = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
    Ok(PreparedPrefix { bucket: bucket.to_owned(), prefix: format!("{prefix}{separator}"), cached })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_folder_whether_it_says_so_or_not() {
        let read = |uri| prefix(uri, true).ok().map(|found| (found.bucket, found.prefix));
        assert_eq!(read("s3://b/models"), Some(("b".into(), "models/".into())));
        assert_eq!(read("s3://b/models/"), Some(("b".into(), "models/".into())));
        assert_eq!(read("s3://b"), Some(("b".into(), String::new())));
    }
}
