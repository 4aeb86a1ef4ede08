//! The built-in algorithms: which image names mean them and how they are started. They obey the
//! same contract as any container, so the rest of the control plane does not know them.

use std::collections::BTreeMap;
use std::ffi::OsString;

use sagebrush_runner::{Layout, Program};
use sagebrush_types::{Failure, Outcome};

use crate::{ControlPlane, reconcile};

/// A metric that is read off log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricDefinition {
    /// The metric's name.
    pub name: &'static str,
    /// A regular expression whose first group is the value.
    pub regex: &'static str,
}

/// A built-in algorithm or processing program.
#[derive(Debug, Clone)]
pub struct BuiltIn {
    /// Repository name in image URIs, whatever the registry's account and region are.
    pub repository: &'static str,
    /// Arguments that train, when it trains.
    pub train: Option<&'static [&'static str]>,
    /// Arguments that serve a model, when it serves.
    pub serve: Option<&'static [&'static str]>,
    /// Arguments before the job's own that process data, when it processes.
    pub process: Option<&'static [&'static str]>,
    /// Metrics that its log lines carry.
    pub metric_definitions: Vec<MetricDefinition>,
}

/// What a built-in is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A training job.
    Train,
    /// Serving a model.
    Serve,
    /// A processing job.
    Process,
}

impl BuiltIn {
    /// The arguments for a task.
    pub fn arguments(&self, task: Task) -> Option<Vec<OsString>> {
        let arguments = match task {
            Task::Train => self.train,
            Task::Serve => self.serve,
            Task::Process => self.process,
        };
        arguments.map(|arguments| arguments.iter().map(OsString::from).collect())
    }
}

impl ControlPlane {
    /// A built-in at work on a task, under the folder that stands for `/opt/ml`.
    pub(crate) fn program(
        &self,
        built_in: &BuiltIn,
        task: Task,
        environment: BTreeMap<String, String>,
        layout: &Layout,
    ) -> Program {
        Program {
            executable: self.shared.settings.executable.clone(),
            arguments: built_in.arguments(task).unwrap_or_default(),
            environment: reconcile::marked(environment, layout.root()),
            folder: layout.root().to_path_buf(),
        }
    }

    /// The built-in that an image URI means, if it can do the task.
    pub(crate) fn built_in(&self, field: &str, image: &str, task: Task) -> Outcome<&BuiltIn> {
        let able = |built_in: &&BuiltIn| built_in.arguments(task).is_some();
        let all = &self.shared.settings.built_ins;
        if let Some(found) = all.iter().find(|built_in| built_in.repository == repository(image)).filter(able)
        {
            return Ok(found);
        }
        let verb = match task {
            Task::Train => "trains",
            Task::Serve => "serves",
            Task::Process => "processes",
        };
        let names: Vec<&str> = all.iter().filter(able).map(|built_in| built_in.repository).collect();
        Err(Failure::invalid(format!(
            "{field}: no built-in algorithm of this server {verb} with the image '{image}'. Built in: {}. \
             Other images need a container engine, which this version does not use.",
            names.join(", ")
        )))
    }
}

/// The repository's last name: registry, path, tag and digest do not matter for built-ins.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    let name = name.rsplit('/').next().unwrap_or(name);
    name.split(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_and_tags_do_not_matter() {
        for image in [
            "382416733822.dkr.ecr.us-east-1.amazonaws.com/object2vec:1",
            "localhost:5000/a/object2vec",
            "object2vec@sha256:0123",
            "object2vec:latest",
        ] {
            assert_eq!(repository(image), "object2vec", "{image}");
        }
    }
}
