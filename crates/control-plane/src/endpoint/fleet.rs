//! The model servers of one version of an endpoint: how many each variant has, which of them are
//! up, and the route that follows.

use std::collections::HashMap;
use std::sync::Arc;

use sagebrush_metastore::Key;
use sagebrush_types::{CaptureRoute, ServerRoute, VariantRoute};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::plan::PlannedVariant;
use super::server::{Place, Server, ServerReport, State};
use crate::ControlPlane;
use crate::model_server::PreparedModel;
use crate::workflow::Signal;

/// What keepers are made with.
pub struct Keepers {
    /// The control plane.
    pub plane: ControlPlane,
    /// The endpoint.
    pub key: Key,
    /// Where they report.
    pub reports: mpsc::Sender<ServerReport>,
    /// Their tasks; each ends with its fleet's generation.
    pub tasks: JoinSet<u64>,
    /// How many run, by generation.
    pub running: HashMap<u64, usize>,
}

impl Keepers {
    fn start(&mut self, server: Server, told: watch::Receiver<Signal>) {
        *self.running.entry(server.place.generation).or_default() += 1;
        self.tasks.spawn(server.keep_up(told));
    }

    /// A keeper of a generation has ended: was it the last one?
    pub fn ended(&mut self, generation: u64) -> bool {
        let left = self.running.get_mut(&generation).map(|running| {
            *running = running.saturating_sub(1);
            *running
        });
        if left == Some(0) {
            self.running.remove(&generation);
        }
        left == Some(0)
    }
}

/// The servers of one version.
pub struct Fleet {
    /// Number of the version within this process.
    pub generation: u64,
    /// What is kept of its requests and answers.
    pub capture: Option<Arc<CaptureRoute>>,
    /// Does it answer through its queue alone?
    pub asynchronous: bool,
    variants: Vec<VariantFleet>,
}

struct VariantFleet {
    plan: PlannedVariant,
    model: PreparedModel,
    members: Vec<Member>,
    next_instance: u64,
}

struct Member {
    instance: u64,
    up: Option<ServerRoute>,
    gave_up: Option<String>,
    signal: watch::Sender<Signal>,
}

impl Fleet {
    /// A fleet without servers.
    pub fn new(
        generation: u64,
        models: Vec<(PlannedVariant, PreparedModel)>,
        capture: Option<CaptureRoute>,
        asynchronous: bool,
    ) -> Self {
        let variants = models
            .into_iter()
            .map(|(plan, model)| VariantFleet { plan, model, members: Vec::new(), next_instance: 0 })
            .collect();
        Self { generation, capture: capture.map(Arc::new), asynchronous, variants }
    }

    /// Takes over the numbers and weights of `plans`, by name.
    pub fn plan(&mut self, plans: &[PlannedVariant]) {
        for variant in &mut self.variants {
            if let Some(plan) = plans.iter().find(|plan| plan.name == variant.plan.name) {
                variant.plan = plan.clone();
            }
        }
    }

    /// Starts or retires servers until every variant has as many as `count` says. Retired ones are
    /// in no route any more; they finish their requests and end.
    pub fn scale(&mut self, keepers: &mut Keepers, count: impl Fn(&PlannedVariant) -> u64) {
        for (place, variant) in self.variants.iter_mut().enumerate() {
            let wanted = count(&variant.plan) as usize;
            while variant.members.len() > wanted {
                // One that is not up goes first.
                let victim = variant.members.iter().rposition(|member| member.up.is_none());
                let victim = victim.unwrap_or(variant.members.len() - 1);
                variant.members.remove(victim).tell(Signal::Stop);
            }
            while variant.members.len() < wanted {
                let (signal, told) = watch::channel(Signal::Run);
                let instance = variant.next_instance;
                variant.next_instance += 1;
                let server = Server {
                    plane: keepers.plane.clone(),
                    key: keepers.key.clone(),
                    place: Place { generation: self.generation, variant: place, instance },
                    variant_name: variant.plan.name.clone(),
                    start_timeout: variant.plan.start_timeout,
                    instance_type: variant.plan.instance_type.clone(),
                    model: variant.model.clone(),
                    reports: keepers.reports.clone(),
                };
                keepers.start(server, told);
                variant.members.push(Member { instance, up: None, gave_up: None, signal });
            }
        }
    }

    /// Ends every server: at once when the server program ends, else after its requests.
    pub fn end(self, signal: Signal) {
        for member in self.variants.into_iter().flat_map(|variant| variant.members) {
            member.tell(signal);
        }
    }

    /// Takes a keeper's report.
    pub fn take(&mut self, report: ServerReport) {
        let Place { variant, instance, .. } = report.place;
        let members = self.variants.get_mut(variant).into_iter().flat_map(|variant| &mut variant.members);
        for member in members.filter(|member| member.instance == instance) {
            match &report.state {
                State::Up { address, lease } => {
                    member.up = Some(ServerRoute { address: *address, lease: Arc::clone(lease) });
                    member.gave_up = None;
                }
                State::Down => member.up = None,
                State::GaveUp(message) => member.gave_up = Some(message.clone()),
            }
        }
    }

    /// Is every server up?
    pub fn is_up(&self) -> bool {
        self.variants.iter().flat_map(|variant| &variant.members).all(|member| member.up.is_some())
    }

    /// Why a server could not be started, in words for the user.
    pub fn failed(&self) -> Option<String> {
        self.variants.iter().find_map(|variant| {
            let message = variant.members.iter().find_map(|member| member.gave_up.as_ref())?;
            Some(format!("The model server of variant '{}' did not start: {message}", variant.plan.name))
        })
    }

    /// The fleet's variants in a route, sharing `share` of the whole traffic by their weights.
    pub fn route(&self, share: f64) -> impl Iterator<Item = VariantRoute> {
        let total: f64 = self.variants.iter().map(|variant| variant.plan.weight).sum();
        let unit = if total > 0.0 { share / total } else { 0.0 };
        self.variants.iter().map(move |variant| VariantRoute {
            name: variant.plan.name.clone(),
            weight: variant.plan.weight * unit,
            backend: variant.model.backend.clone(),
            servers: variant.members.iter().filter_map(|member| member.up.clone()).collect(),
        })
    }
}

impl Member {
    fn tell(self, signal: Signal) {
        // A keeper that has ended already needs no telling.
        let _ = self.signal.send(signal);
    }
}
