//! What serves a model: its containers in their order and how requests reach them. The record of a model
//! says it, and what endpoints and transform jobs keep of a model for as long as they live.

use std::collections::BTreeMap;

use sagebrush_metastore::Record;
use sagebrush_types::limits::CONTAINERS_PER_MODEL;
use sagebrush_types::{Backend, Failure, Outcome, s3_uri};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ControlPlane;
use crate::document::pick;
use crate::image::{Image, Task};
use crate::request::{check_environment, refuse_if};

/// Members of a model's document that say what serves it.
pub const MEMBERS: [&str; 4] =
    ["PrimaryContainer", "Containers", "InferenceExecutionConfig", "EnableNetworkIsolation"];
/// The name of a model's only container in errors.
const ONLY: &str = "primary";

/// A container of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Container {
    /// Image URI.
    pub image: Option<String>,
    /// Artifact, `s3://bucket/key` of a gzipped tar; in multi-model mode the prefix of all artifacts.
    pub model_data_url: Option<String>,
    /// Environment of the model server.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    mode: Option<String>,
    container_hostname: Option<String>,
    multi_model_config: Option<MultiModelConfig>,
    /// Kept for Describe: what the package says was taken over when the model was made.
    #[serde(default, rename = "ModelPackageName")]
    _model_package_name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct MultiModelConfig {
    model_cache_setting: Option<String>,
}

/// How requests reach the containers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct InferenceExecutionConfig {
    mode: String,
}

impl Container {
    /// Does it serve the models under a prefix?
    pub fn is_multi_model(&self) -> bool {
        self.mode.as_deref() == Some("MultiModel")
    }

    /// In multi-model mode: do models stay loaded?
    pub fn caches_models(&self) -> bool {
        let setting =
            self.multi_model_config.as_ref().and_then(|config| config.model_cache_setting.as_deref());
        setting != Some("Disabled")
    }
}

/// What serves a model.
#[derive(Debug, Clone)]
pub struct Serving {
    /// The containers, at least one, in their order.
    pub containers: Vec<Container>,
    /// Does a request go to the container it names, and not through all?
    pub direct: bool,
    /// Do the containers reach nothing but each other?
    pub isolated: bool,
    /// Is it written as `PrimaryContainer`?
    primary: bool,
}

/// The members as requests and records write them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    primary_container: Option<Container>,
    #[serde(default)]
    containers: Vec<Container>,
    inference_execution_config: Option<InferenceExecutionConfig>,
    #[serde(default)]
    enable_network_isolation: bool,
}

impl Serving {
    /// What a request's members say.
    ///
    /// # Errors
    /// `Invalid` without a container, or with both ways to give one.
    pub fn new(
        primary: Option<Container>,
        containers: Vec<Container>,
        execution: Option<&InferenceExecutionConfig>,
        isolated: bool,
    ) -> Outcome<Self> {
        let (containers, primary) = match (primary, containers) {
            (Some(container), others) if others.is_empty() => (vec![container], true),
            (None, containers) if !containers.is_empty() => (containers, false),
            (None, _) => return Err(Failure::invalid("PrimaryContainer: a model needs a container.")),
            (Some(_), _) => {
                return Err(Failure::invalid("Give either PrimaryContainer or Containers, not both."));
            }
        };
        let direct = execution.is_some_and(|execution| execution.mode == "Direct");
        Ok(Self { containers, direct, isolated, primary })
    }

    /// What was kept of a model; earlier versions of this server kept its only container.
    ///
    /// # Errors
    /// `Internal` for a document that is none.
    pub fn kept(document: &Value) -> Outcome<Self> {
        let document = match document.get("Image") {
            Some(_) => json!({"PrimaryContainer": document}),
            None => document.clone(),
        };
        let kept: Kept = serde_json::from_value(document).map_err(Failure::internal)?;
        let execution = kept.inference_execution_config;
        Self::new(kept.primary_container, kept.containers, execution.as_ref(), kept.enable_network_isolation)
    }

    /// What is to be kept of a model, which may be deleted while it is served.
    pub fn document(record: &Record) -> Value {
        pick(&record.document, &MEMBERS)
    }

    /// A container's name in requests, errors and logs: its host name, or AWS's for one that has none.
    pub fn name(&self, place: usize) -> String {
        let named = self.containers.get(place).and_then(|container| container.container_hostname.clone());
        named.unwrap_or_else(|| {
            if self.containers.len() == 1 { ONLY.to_owned() } else { format!("container-{}", place + 1) }
        })
    }

    /// Where a container stands in a request.
    pub fn field(&self, place: usize) -> String {
        if self.primary { "PrimaryContainer".to_owned() } else { format!("Containers[{place}]") }
    }

    /// The containers' images, as they are called.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().map(|container| container.image.as_deref().unwrap_or_default())
    }

    /// Does it serve the models that requests name?
    pub fn is_multi_model(&self) -> bool {
        self.containers.iter().any(Container::is_multi_model)
    }

    /// What stands at a server's address.
    pub fn backend(&self) -> Backend {
        match self.containers.len() {
            _ if self.is_multi_model() => Backend::Models,
            1 => Backend::Model,
            count if self.direct => Backend::Containers((0..count).map(|place| self.name(place)).collect()),
            _ => Backend::Pipeline,
        }
    }

    /// Refuses what cannot be served.
    ///
    /// # Errors
    /// `Invalid` or `Unsupported`, by the member.
    pub fn check(&self, plane: &ControlPlane) -> Outcome<()> {
        if self.containers.len() > CONTAINERS_PER_MODEL {
            return Err(Failure::invalid(format!(
                "Containers: a model has at most {CONTAINERS_PER_MODEL} containers."
            )));
        }
        for (place, container) in self.containers.iter().enumerate() {
            let field = self.field(place);
            check_environment(&format!("{field}.Environment"), &container.environment)?;
            let image = container.image.as_deref().ok_or_else(|| {
                Failure::invalid(format!("{field}.Image: a model needs the image of its algorithm."))
            })?;
            let image = plane.image(&format!("{field}.Image"), image, Task::Serve)?;
            check_data(&field, container, &image)?;
            let name = self.name(place);
            if (0..place).any(|earlier| self.name(earlier) == name) {
                return Err(Failure::invalid(format!(
                    "{field}.ContainerHostname: '{name}' is the name of two containers."
                )));
            }
        }
        self.check_execution()
    }

    fn check_execution(&self) -> Outcome<()> {
        let many = self.containers.iter().filter(|container| container.is_multi_model()).count();
        refuse_if(many > 1, "Containers", "one container of a pipeline may be in multi-model mode.")?;
        if !self.direct {
            return Ok(());
        }
        if self.containers.len() < 2 {
            return Err(Failure::invalid(
                "InferenceExecutionConfig.Mode: Direct chooses one of several Containers.",
            ));
        }
        if self.containers.iter().any(|container| container.container_hostname.is_none()) {
            return Err(Failure::invalid(
                "Containers: with InferenceExecutionConfig.Mode Direct every container needs a ContainerHostname, by which \
                 requests name it.",
            ));
        }
        refuse_if(
            many > 0,
            "InferenceExecutionConfig.Mode",
            "a container in multi-model mode cannot be invoked directly; use Serial.",
        )
    }
}

fn check_data(field: &str, container: &Container, image: &Image) -> Outcome<()> {
    if let Some(uri) = container.model_data_url.as_deref() {
        s3_uri(&format!("{field}.ModelDataUrl"), uri)?;
    }
    let missing = container.model_data_url.is_none();
    if container.is_multi_model() {
        refuse_if(
            !image.is_container(),
            &format!("{field}.Mode"),
            "only images that the container engine runs can serve many models; a built-in algorithm serves one.",
        )?;
        if missing {
            return Err(Failure::invalid(format!(
                "{field}.ModelDataUrl: in multi-model mode it names the prefix of the models' artifacts."
            )));
        }
        return Ok(());
    }
    if container.multi_model_config.is_some() {
        return Err(Failure::invalid(format!("{field}.MultiModelConfig: it goes with Mode MultiModel.")));
    }
    // Another image may carry its model.
    if missing && image.is_built_in() {
        return Err(Failure::invalid(format!(
            "{field}.ModelDataUrl: a built-in algorithm serves a model artifact."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(document: Value) -> Result<Serving, String> {
        Serving::kept(&document).map_err(|failure| failure.message)
    }

    #[test]
    fn what_earlier_versions_kept_is_one_container() {
        let old = kept(json!({"Image": "i", "Mode": "SingleModel"}));
        assert!(old.is_ok_and(|serving| serving.backend() == Backend::Model && serving.name(0) == ONLY));
    }

    #[test]
    fn names_are_the_containers_own_or_their_numbers() {
        let pipeline = json!({"Containers": [{"Image": "a"}, {"Image": "b", "ContainerHostname": "second"}]});
        let Ok(pipeline) = kept(pipeline) else { panic!("no pipeline") };
        assert_eq!((pipeline.name(0), pipeline.name(1)), ("container-1".into(), "second".into()));
        assert_eq!((pipeline.backend(), pipeline.field(1)), (Backend::Pipeline, "Containers[1]".into()));
        assert_eq!(pipeline.images().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn requests_name_a_container_or_a_model_or_nothing() {
        let two = json!([{"Image": "a", "ContainerHostname": "x"}, {"Image": "b", "ContainerHostname": "y"}]);
        let direct = kept(json!({"Containers": two, "InferenceExecutionConfig": {"Mode": "Direct"}}));
        let names = Backend::Containers(vec!["x".into(), "y".into()]);
        assert!(direct.is_ok_and(|serving| serving.backend() == names && serving.check_execution().is_ok()));
        let many = kept(json!({"PrimaryContainer": {"Image": "a", "Mode": "MultiModel"}}));
        assert!(many.is_ok_and(|serving| serving.backend() == Backend::Models));
        for (document, expected) in [
            (
                json!({"PrimaryContainer": {"Image": "a"}, "InferenceExecutionConfig": {"Mode": "Direct"}}),
                "one of several",
            ),
            (
                json!({"Containers": [{"Image": "a"}, {"Image": "b"}], "InferenceExecutionConfig": {"Mode": "Direct"}}),
                "needs a ContainerHostname",
            ),
            (
                json!({"Containers": [{"Image": "a", "Mode": "MultiModel"}, {"Image": "b", "Mode": "MultiModel"}]}),
                "one container of a pipeline",
            ),
        ] {
            let refused =
                kept(document).and_then(|serving| serving.check_execution().map_err(|why| why.message));
            assert!(refused.is_err_and(|why| why.contains(expected)), "{expected}");
        }
        assert!(kept(json!({})).is_err());
        assert!(kept(json!({"PrimaryContainer": {"Image": "a"}, "Containers": two})).is_err());
    }
}
