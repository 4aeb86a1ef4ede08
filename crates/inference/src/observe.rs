//! What is told about an invocation: its counts and times always, its bodies when it was drawn to be
//! captured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;
use sagebrush_env::Clock;
use sagebrush_types::{
    Backend, ByteBudget, CaptureRoute, Captured, CapturedBody, EndpointRoute, Invocation, VariantRoute,
};
use tokio::sync::mpsc;

use crate::Call;

/// The ways up. An event that finds no place is lost, counted and logged.
#[derive(Debug, Clone)]
pub struct Events {
    invocations: mpsc::Sender<Invocation>,
    captures: mpsc::Sender<Captured>,
    budget: ByteBudget,
    lost: Arc<AtomicU64>,
}

/// One invocation while it is under way.
pub struct Observed {
    events: Events,
    clock: Clock,
    started: Instant,
    invocation: Invocation,
    backend: Backend,
    draw: Option<Draw>,
}

/// What is kept of an invocation that was drawn to be captured.
struct Draw {
    capture: Arc<CaptureRoute>,
    event_id: String,
    inference_id: Option<String>,
    input: CapturedBody,
}

impl Events {
    /// Ways up to whoever reads the other ends; captured bodies that wait there take at most
    /// `budget`.
    pub fn new(
        invocations: mpsc::Sender<Invocation>,
        captures: mpsc::Sender<Captured>,
        budget: ByteBudget,
    ) -> Self {
        Self { invocations, captures, budget, lost: Arc::default() }
    }

    /// Begins to observe a request to a variant.
    pub(crate) fn begin(
        &self,
        clock: &Clock,
        call: &Call<'_>,
        route: &EndpointRoute,
        variant: &VariantRoute,
    ) -> Observed {
        let drawn = |capture: &&Arc<CaptureRoute>| rand::rng().random_range(0.0..100.0) < capture.percentage;
        let draw = route.capture.as_ref().filter(drawn).map(|capture| Draw {
            capture: Arc::clone(capture),
            event_id: call.id.to_owned(),
            inference_id: call.asked.inference_id.clone(),
            input: CapturedBody { content_type: call.asked.content_type.clone(), data: call.body.clone() },
        });
        let invocation = Invocation {
            endpoint: (call.region.clone(), call.endpoint.to_owned()),
            variant: variant.name.clone(),
            instances: variant.servers.len(),
            at: 0,
            status: 0,
            model_latency: None,
            overhead_latency: 0,
        };
        Observed {
            events: self.clone(),
            clock: clock.clone(),
            started: call.started,
            invocation,
            backend: variant.backend.clone(),
            draw,
        }
    }

    fn lost(&self, what: &str) {
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        // Under a flood, one line for every doubling says enough.
        if lost.is_power_of_two() {
            tracing::warn!(lost, "{what} were lost: they come faster than they can be kept");
        }
    }
}

impl Observed {
    /// The variant's name.
    pub fn variant(&self) -> &str {
        &self.invocation.variant
    }

    /// What stands at the addresses of its servers.
    pub const fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The endpoint's name.
    pub fn endpoint(&self) -> &str {
        &self.invocation.endpoint.1
    }

    /// Will the answer be captured?
    pub fn keeps_output(&self) -> bool {
        self.draw.as_ref().is_some_and(|draw| draw.capture.output)
    }

    /// The request was answered: `status` is the model server's. `output` is a good answer's body.
    pub fn answered(mut self, status: u16, took: Option<Duration>, output: Option<CapturedBody>) {
        let whole = self.started.elapsed();
        self.invocation.at = self.clock.now_milliseconds();
        self.invocation.status = status;
        self.invocation.model_latency = took.map(microseconds);
        self.invocation.overhead_latency = microseconds(whole.saturating_sub(took.unwrap_or_default()));
        if let Some(output) = output {
            self.capture(output);
        }
        if self.events.invocations.try_send(self.invocation).is_err() {
            self.events.lost("Metrics of invocations");
        }
    }

    fn capture(&mut self, output: CapturedBody) {
        let Some(draw) = self.draw.take() else { return };
        let input = draw.capture.input.then_some(draw.input);
        let output = draw.capture.output.then_some(output);
        let bytes = [&input, &output].into_iter().flatten().map(|body| body.data.len()).sum();
        let Some(held) = self.events.budget.take(bytes) else {
            self.events.lost("Captured invocations");
            return;
        };
        let captured = Captured {
            endpoint: self.invocation.endpoint.clone(),
            variant: self.invocation.variant.clone(),
            capture: draw.capture,
            event_id: draw.event_id,
            inference_id: draw.inference_id,
            at: self.invocation.at,
            input,
            output,
            held,
        };
        if self.events.captures.try_send(captured).is_err() {
            self.events.lost("Captured invocations");
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
