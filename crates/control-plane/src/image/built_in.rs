//! The built-in algorithms: which image names mean them and how they are started. They obey the
//! same contract as any container.

use std::ffi::OsString;

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

/// What an image is asked to do.
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

/// The repository's last name: registry, path, tag and digest do not matter for built-ins.
pub(super) fn repository(image: &str) -> &str {
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
