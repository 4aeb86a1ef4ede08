//! One model server: started, pinged, logged, and started again when it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sagebrush_metastore::{Key, LogLine};
use sagebrush_runner::{Exit, Network, Run, RunEvent, ping};
use sagebrush_types::limits::{INVOKE_TIMEOUT, SERVER_START_TIMEOUT, SERVER_STOP_GRACE};
use sagebrush_types::{Outcome, ServerLease};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::prepare::PreparedModel;
use crate::image::Launch;
use crate::workflow::{Signal, told_to_end};
use crate::{ControlPlane, failure, model_server};

/// Time between two pings of a server that is starting.
const PING_EVERY: Duration = Duration::from_millis(10);
/// Shortest and longest wait before a server that ended is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A server that was up this long starts with the shortest wait again.
const SETTLED: Duration = Duration::from_secs(60);

/// Time between two looks at whether a retired server is still in use.
const DRAIN_EVERY: Duration = Duration::from_millis(10);

/// Which server: of which version of the endpoint, which variant, which instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the version.
    pub generation: u64,
    /// Place of the variant in the version.
    pub variant: usize,
    /// Number of the instance in the variant.
    pub instance: u64,
}

/// What became of a server.
#[derive(Debug)]
pub enum State {
    /// It answers pings.
    Up {
        /// Where it listens.
        address: SocketAddr,
        /// Held by whoever may send it requests.
        lease: Arc<ServerLease>,
    },
    /// It was up and no longer runs.
    Down,
    /// A start failed.
    GaveUp(String),
}

/// What a server's keeper tells the endpoint.
#[derive(Debug)]
pub struct ServerReport {
    /// Which server.
    pub place: Place,
    /// What became of it.
    pub state: State,
}

/// One instance of a variant.
pub struct Server {
    /// The control plane.
    pub plane: ControlPlane,
    /// The endpoint.
    pub key: Key,
    /// Which server this is.
    pub place: Place,
    /// Name of the variant.
    pub variant_name: String,
    /// Seconds until the first ping must succeed.
    pub start_timeout: Option<u64>,
    /// What its host is like.
    pub instance_type: Option<String>,
    /// What it serves.
    pub model: PreparedModel,
    /// Where it reports.
    pub reports: mpsc::Sender<ServerReport>,
}

/// How one life of a server ended.
enum Life {
    Told,
    Ended { message: String, was_up: bool },
}

/// How far the end of a server that was told to end has come.
struct Ending {
    told: bool,
    next_look: Instant,
    terminate_by: Instant,
    terminated: bool,
}

impl Default for Ending {
    fn default() -> Self {
        let now = Instant::now();
        Self { told: false, next_look: now, terminate_by: now, terminated: false }
    }
}

impl Ending {
    fn begin(&mut self, told: Signal) {
        self.told = true;
        self.next_look = Instant::now();
        // When the server program ends, its front door has drained already.
        let patience = if told == Signal::ShutDown { Duration::ZERO } else { INVOKE_TIMEOUT };
        self.terminate_by = self.next_look + patience;
    }

    /// Waits for the last request, then asks the program to end, then ends it.
    fn go_on(&mut self, run: &Run, lease: &Arc<ServerLease>) {
        let now = Instant::now();
        if self.terminated {
            run.stopper().kill();
            self.next_look = now + SERVER_STOP_GRACE;
        } else if lease.is_unused() || now >= self.terminate_by {
            run.stopper().terminate();
            self.terminated = true;
            self.next_look = now + SERVER_STOP_GRACE;
        } else {
            self.next_look = now + DRAIN_EVERY;
        }
    }
}

impl Server {
    /// Keeps the server up until told to end: at once when the server program ends, else when its
    /// last request has been answered. Returns its generation.
    pub async fn keep_up(self, mut signal: watch::Receiver<Signal>) -> u64 {
        let mut wait = BACKOFF.0;
        loop {
            let born = Instant::now();
            let (message, was_up) = match self.live(&mut signal).await {
                Ok(Life::Told) => return self.place.generation,
                Ok(Life::Ended { message, was_up }) => (message, was_up),
                Err(failure) => (failure.cause.unwrap_or(failure.message), false),
            };
            tracing::warn!(endpoint = %self.key, variant = self.variant_name, "model server ended: {message}");
            if !was_up {
                self.report(State::GaveUp(message)).await;
            }
            wait = if born.elapsed() > SETTLED { BACKOFF.0 } else { (wait * 2).min(BACKOFF.1) };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = told_to_end(&mut signal) => return self.place.generation,
            }
        }
    }

    async fn live(&self, signal: &mut watch::Receiver<Signal>) -> Outcome<Life> {
        let (mut run, address) = self.start().await?;
        let mut log = ServerLog::new(self);
        let lease = Arc::new(ServerLease::default());
        let limit = self.start_timeout.map_or(SERVER_START_TIMEOUT, Duration::from_secs);
        let deadline = Instant::now() + limit;
        let mut up = false;
        let mut ending = Ending::default();
        let mut next_ping = Instant::now() + PING_EVERY;
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                event = run.next_event() => match event.map_err(failure::of_run)? {
                    RunEvent::Line(line) => log.take(line).await,
                    RunEvent::Exited(exit) => {
                        log.flush().await;
                        if ending.told {
                            return Ok(Life::Told);
                        }
                        if up {
                            self.report(State::Down).await;
                        }
                        return Ok(self.ended(exit, up, &log));
                    }
                },
                _ = ticks.tick() => log.flush().await,
                () = tokio::time::sleep_until(next_ping), if !up && !ending.told => {
                    if ping(address).await {
                        up = true;
                        self.report(State::Up { address, lease: Arc::clone(&lease) }).await;
                    } else if Instant::now() > deadline {
                        run.stopper().kill();
                    }
                    next_ping = Instant::now() + PING_EVERY;
                }
                told = told_to_end(signal), if !ending.told => ending.begin(told),
                () = tokio::time::sleep_until(ending.next_look), if ending.told => ending.go_on(&run, &lease),
            }
        }
    }

    fn ended(&self, exit: Exit, was_up: bool, log: &ServerLog<'_>) -> Life {
        let message = match (exit, was_up) {
            (Exit::Signal(9), false) => {
                "it did not answer pings in time and was ended. See its log in CloudWatch Logs.".to_owned()
            }
            _ => match &log.last {
                Some(line) => format!("it ended with {exit}: {line}"),
                None => format!("it ended with {exit}."),
            },
        };
        Life::Ended { message, was_up }
    }

    async fn start(&self) -> Outcome<(Run, SocketAddr)> {
        let layout = &self.model.layout;
        let work = layout.root().parent().unwrap_or(layout.root());
        let host = format!("{}-{}", self.variant_name, self.place.instance);
        let environment = self.model.environment.clone();
        let instance_type = self.instance_type.as_deref();
        let launch = Launch::serving(environment, layout, work, &host, instance_type, Network::Outside);
        let program = self.plane.program(&self.model.image, launch).await?;
        model_server::start(program, work, self.place.instance).await
    }

    async fn report(&self, state: State) {
        // Nobody reads any more when the endpoint is going down.
        let _ = self.reports.send(ServerReport { place: self.place, state }).await;
    }
}

/// A server's lines on their way to its log stream.
struct ServerLog<'a> {
    server: &'a Server,
    group: String,
    stream: String,
    lines: Vec<LogLine>,
    last: Option<String>,
}

impl<'a> ServerLog<'a> {
    fn new(server: &'a Server) -> Self {
        let group = format!("/aws/sagemaker/Endpoints/{}", server.key.name);
        let stream = format!("{}/i-{}-{}", server.variant_name, server.place.instance, server.plane.now());
        Self { server, group, stream, lines: Vec::new(), last: None }
    }

    async fn take(&mut self, line: String) {
        self.last = Some(line.clone());
        self.lines.push(LogLine { at: self.server.plane.now(), message: line });
        if self.lines.len() >= 500 {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let region = &self.server.key.region;
        let stored =
            self.server.plane.store().append_log(region, &self.group, &self.stream, &self.lines).await;
        if let Err(error) = stored {
            tracing::error!(endpoint = %self.server.key, %error, "log lines of a model server were lost");
        }
        self.lines.clear();
    }
}
