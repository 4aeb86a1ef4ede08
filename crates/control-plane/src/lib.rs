//! The control plane: one module per resource, each operation a function from a validated request
//! document to an answer document; durable workflows that carry jobs and endpoints out; reads of
//! their logs and metrics.
//!
//! Promises: an accepted request is on disk before it is answered; every accepted job ends in a
//! terminal state with a reason, also when the server is killed in the middle; no status changes
//! except along the legal transitions. Never: HTTP, wire formats, SQL, algorithms.

mod async_inference;
mod data_capture;
mod document;
mod endpoint;
mod endpoint_config;
mod entity;
mod experiment;
mod failure;
mod image;
mod lineage;
mod logs;
mod metrics;
mod model;
mod model_package;
mod model_server;
mod page;
mod processing_job;
mod reconcile;
mod request;
mod scaling;
mod script_mode;
mod search;
mod tags;
mod tracking;
mod traffic;
mod training_job;
mod transform_job;
mod trial;
mod trial_component;
mod tuning_job;
mod workflow;

use std::path::PathBuf;
use std::sync::Arc;

use sagebrush_env::Clock;
use sagebrush_metastore::{Key, Metastore, Record};
use sagebrush_object_store::ObjectStore;
use sagebrush_runner::Engine;
use sagebrush_types::{Failure, FailureKind, Outcome, Resource, RouteTable, Scope};
use tokio::sync::watch;

pub use image::{BuiltIn, ImageRegistry, MetricDefinition};
pub use script_mode::{Catalogue, PythonSettings, Stand, framework};
pub use search::INDEX_RULES;
pub use tuning_job::{ReportFile, tuning_report};

/// What the control plane is made with.
pub struct Settings {
    /// Twelve-digit account id.
    pub account: String,
    /// Folder for the work of running jobs and endpoints; its content is temporary.
    pub work: PathBuf,
    /// The executable that runs built-in algorithms: this program.
    pub executable: PathBuf,
    /// The built-in algorithms.
    pub built_ins: Vec<BuiltIn>,
    /// What runs the images that are not built in.
    pub engine: Option<Engine>,
    /// The server's own container registry.
    pub registry: Option<Arc<dyn ImageRegistry>>,
    /// What runs scripts.
    pub python: PythonSettings,
}

/// The control plane. Cheap to clone.
#[derive(Clone)]
pub struct ControlPlane {
    shared: Arc<Shared>,
}

struct Shared {
    store: Metastore,
    objects: ObjectStore,
    clock: Clock,
    settings: Settings,
    live: workflow::Live,
    routes: watch::Sender<Arc<RouteTable>>,
    traffic: traffic::Traffic,
    workers: async_inference::Workers,
    guard: image::GuardPlace,
}

impl ControlPlane {
    /// A control plane over its stores. Call [`ControlPlane::reconcile`] before the first request.
    pub fn new(store: Metastore, objects: ObjectStore, clock: Clock, settings: Settings) -> Self {
        let (routes, _) = watch::channel(Arc::default());
        let live = workflow::Live::new();
        let traffic = traffic::Traffic::default();
        let workers = async_inference::Workers::new();
        let guard = image::GuardPlace::default();
        let shared = Shared { store, objects, clock, settings, live, routes, traffic, workers, guard };
        Self { shared: Arc::new(shared) }
    }

    /// The route table, now and whenever it changes.
    pub fn routes(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.shared.routes.subscribe()
    }

    fn store(&self) -> &Metastore {
        &self.shared.store
    }

    fn objects(&self) -> &ObjectStore {
        &self.shared.objects
    }

    fn now(&self) -> i64 {
        self.shared.clock.now_milliseconds()
    }

    /// The record of a name, or AWS's answer for one that is not there.
    async fn find(&self, scope: &Scope, kind: Resource, name: &str) -> Outcome<Record> {
        let key = Key { kind, region: scope.region.clone(), name: name.to_owned() };
        match self.store().get(&key).await {
            Ok(Some(record)) => Ok(record),
            Ok(None) => Err(not_found(scope, kind, name)),
            Err(error) => Err(failure::of_metastore(error)),
        }
    }
}

/// AWS's words for a resource that is not there.
fn not_found(scope: &Scope, kind: Resource, name: &str) -> Failure {
    let message = match kind {
        Resource::TrainingJob
        | Resource::ProcessingJob
        | Resource::TransformJob
        | Resource::HyperParameterTuningJob => {
            format!("Requested resource not found: {} {name}.", kind.noun())
        }
        Resource::Model | Resource::EndpointConfig | Resource::Endpoint | Resource::ScalableTarget => {
            format!("Could not find {} \"{}\".", kind.noun(), scope.arn(kind, name))
        }
        Resource::ModelPackageGroup | Resource::ModelPackage => {
            let arn = if name.starts_with("arn:") { name.to_owned() } else { scope.arn(kind, name) };
            format!(
                "{} {arn} does not exist.",
                if kind == Resource::ModelPackage { "ModelPackage" } else { "ModelPackageGroup" }
            )
        }
        Resource::Experiment
        | Resource::Trial
        | Resource::TrialComponent
        | Resource::Artifact
        | Resource::Action
        | Resource::Context => format!("Resource not found: {} '{name}' does not exist.", kind.noun()),
    };
    Failure::new(FailureKind::NotFound(kind), message)
}
