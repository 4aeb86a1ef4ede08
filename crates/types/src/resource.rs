//! The resources served, by the nouns AWS uses for them.

/// A kind of SageMaker resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// A training job.
    TrainingJob,
    /// A hyperparameter tuning job.
    HyperParameterTuningJob,
    /// A processing job.
    ProcessingJob,
    /// A batch transform job.
    TransformJob,
    /// A model: container image, artifact and environment.
    Model,
    /// An endpoint configuration: production variants.
    EndpointConfig,
    /// A real-time endpoint.
    Endpoint,
    /// A variant whose number of servers follows its load.
    ScalableTarget,
    /// An experiment: a name under which trials are gathered.
    Experiment,
    /// A trial: a group of trial components.
    Trial,
    /// A trial component: what one step was given, made and measured.
    TrialComponent,
    /// A lineage artifact: data, a model or an image.
    Artifact,
    /// A lineage action.
    Action,
    /// A lineage context, such as an endpoint.
    Context,
    /// A model package group.
    ModelPackageGroup,
    /// A model package: a version of a group, or one with a name of its own.
    ModelPackage,
}

impl Resource {
    /// Every kind, in the order of the workflow.
    pub const ALL: [Self; 16] = [
        Self::ProcessingJob,
        Self::TrainingJob,
        Self::HyperParameterTuningJob,
        Self::Model,
        Self::TransformJob,
        Self::EndpointConfig,
        Self::Endpoint,
        Self::ScalableTarget,
        Self::Experiment,
        Self::Trial,
        Self::TrialComponent,
        Self::Artifact,
        Self::Action,
        Self::Context,
        Self::ModelPackageGroup,
        Self::ModelPackage,
    ];

    /// The segment before the name in an ARN; also the kind's key in the metastore.
    pub const fn arn_segment(self) -> &'static str {
        match self {
            Self::TrainingJob => "training-job",
            Self::HyperParameterTuningJob => "hyper-parameter-tuning-job",
            Self::ProcessingJob => "processing-job",
            Self::TransformJob => "transform-job",
            Self::Model => "model",
            Self::EndpointConfig => "endpoint-config",
            Self::Endpoint => "endpoint",
            Self::ScalableTarget => "scalable-target",
            Self::Experiment => "experiment",
            Self::Trial => "experiment-trial",
            Self::TrialComponent => "experiment-trial-component",
            Self::Artifact => "artifact",
            Self::Action => "action",
            Self::Context => "context",
            Self::ModelPackageGroup => "model-package-group",
            Self::ModelPackage => "model-package",
        }
    }

    /// The noun for messages, as AWS writes it.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::TrainingJob => "training job",
            Self::HyperParameterTuningJob => "hyperparameter tuning job",
            Self::ProcessingJob => "processing job",
            Self::TransformJob => "transform job",
            Self::Model => "model",
            Self::EndpointConfig => "endpoint configuration",
            Self::Endpoint => "endpoint",
            Self::ScalableTarget => "scalable target",
            Self::Experiment => "experiment",
            Self::Trial => "trial",
            Self::TrialComponent => "trial component",
            Self::Artifact => "artifact",
            Self::Action => "action",
            Self::Context => "context",
            Self::ModelPackageGroup => "model package group",
            Self::ModelPackage => "model package",
        }
    }

    /// The kind behind a metastore key.
    pub fn from_segment(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.arn_segment() == segment)
    }
}
