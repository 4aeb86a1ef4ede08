//! Images: what the image URI of a request means here, and the program that it becomes.
//!
//! The operator's file comes first. A built-in algorithm is known by its repository's name, whatever the
//! registry, and so are the AWS framework images, for which a Python environment stands; every other image
//! is a container's. All obey the container contract, so the workflows do not know which one they run.

mod built_in;
mod instance;
mod launch;

use std::future::Future;
use std::pin::Pin;

use sagebrush_runner::python::Wanted;
use sagebrush_runner::{Engine, Pull};
use sagebrush_types::{Failure, Outcome};

pub use built_in::{BuiltIn, MetricDefinition, Task};
pub use launch::{GuardPlace, Launch, LaunchMount, memory_of};

use crate::script_mode::{Stand, framework};
use crate::{ControlPlane, failure};

/// What an image URI means.
#[derive(Debug, Clone)]
pub enum Image {
    /// A built-in algorithm.
    BuiltIn(BuiltIn),
    /// An image for the container engine.
    Container(ContainerImage),
    /// A Python environment for scripts.
    Python(Wanted),
}

/// An image for the container engine, as the request names it.
#[derive(Debug, Clone)]
pub struct ContainerImage {
    name: String,
}

/// The server's own container registry, as the control plane needs it.
pub trait ImageRegistry: Send + Sync {
    /// How the container engine pulls an image, when its name means this registry; an error in words for
    /// the user when the registry has no such image.
    fn pull<'a>(
        &'a self,
        image: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Pull>, String>> + Send + 'a>>;
}

impl Image {
    /// Is it one of the built-in algorithms?
    pub const fn is_built_in(&self) -> bool {
        matches!(self, Self::BuiltIn(_))
    }

    /// Does the container engine run it?
    pub const fn is_container(&self) -> bool {
        matches!(self, Self::Container(_))
    }
}

impl ControlPlane {
    /// What an image URI means for a task; `field` is the request's member.
    ///
    /// # Errors
    /// `Invalid` for a built-in that does not do the task, and for a name that is no image's.
    pub(crate) fn image(&self, field: &str, image: &str, task: Task) -> Outcome<Image> {
        match self.shared.settings.python.catalogue.mapped(image) {
            Some(Stand::Python(wanted)) => return Ok(Image::Python(wanted)),
            Some(Stand::Container(name)) => return self.container_image(field, &name),
            None => {}
        }
        let all = &self.shared.settings.built_ins;
        let name = built_in::repository(image);
        if let Some(found) = all.iter().find(|built_in| built_in.repository == name) {
            if found.arguments(task).is_some() {
                return Ok(Image::BuiltIn(found.clone()));
            }
            let able: Vec<&str> = all
                .iter()
                .filter(|built_in| built_in.arguments(task).is_some())
                .map(|built_in| built_in.repository)
                .collect();
            return Err(Failure::invalid(format!(
                "{field}: the built-in '{name}' does not {}. Those that do: {}.",
                task.verb(),
                able.join(", ")
            )));
        }
        if let Some(wanted) = framework(image) {
            return Ok(Image::Python(wanted));
        }
        self.container_image(field, image)
    }

    fn container_image(&self, field: &str, image: &str) -> Outcome<Image> {
        if self.shared.settings.engine.is_none() {
            let all = &self.shared.settings.built_ins;
            return Err(Failure::invalid(format!(
                "{field}: '{image}' is not built in and needs a container engine, which this server was told not to use. \
                 Built in: {}.",
                all.iter().map(|built_in| built_in.repository).collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(Image::Container(ContainerImage { name: image.to_owned() }))
    }

    /// As [`ControlPlane::image`]; an image that needs a container engine is refused when none answers.
    ///
    /// # Errors
    /// As [`ControlPlane::image`]; `Invalid` without a container engine, with what to do.
    pub(crate) async fn runnable_image(&self, field: &str, image: &str, task: Task) -> Outcome<Image> {
        let found = self.image(field, image, task)?;
        if let Image::Container(_) = found {
            self.engine()?.check().await.map_err(|error| {
                Failure::invalid(format!("{field}: '{image}' is not built in, and {error}."))
            })?;
        }
        Ok(found)
    }

    /// The container engine.
    pub(crate) fn engine(&self) -> Outcome<&Engine> {
        self.shared
            .settings
            .engine
            .as_ref()
            .ok_or_else(|| Failure::invalid("This server was told not to use a container engine."))
    }

    /// The id of an image in the engine, pulled from the own registry where its name means that one.
    async fn image_id(&self, image: &ContainerImage) -> Outcome<String> {
        let pull = match &self.shared.settings.registry {
            Some(registry) => registry.pull(&image.name).await.map_err(Failure::invalid)?,
            None => None,
        };
        self.engine()?.image(&image.name, pull.as_ref()).await.map_err(failure::of_container)
    }
}
