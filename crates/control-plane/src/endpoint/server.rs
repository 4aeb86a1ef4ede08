//! One model server: started, pinged, logged, and started again when it ends. The programs of all its
//! containers have one life: when one ends, all do, and all are started again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sagebrush_metastore::Key;
use sagebrush_runner::{RunEvent, ping};
use sagebrush_types::limits::{INVOKE_TIMEOUT, SERVER_SILENCE, SERVER_START_TIMEOUT, SERVER_STOP_GRACE};
use sagebrush_types::{Outcome, ServerLease};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::health::{Health, Verdict};
use super::programs::Programs;
use super::server_log::ServerLog;
use crate::model_server::{Instance, InstanceHost, PreparedModel};
use crate::workflow::{Signal, told_to_end};
use crate::{ControlPlane, failure};

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

    /// Waits for the last request, then asks the programs to end, then ends them.
    fn go_on(&mut self, programs: &Programs, lease: &Arc<ServerLease>) {
        let now = Instant::now();
        if self.terminated {
            programs.kill();
            self.next_look = now + SERVER_STOP_GRACE;
        } else if lease.is_unused() || now >= self.terminate_by {
            programs.terminate();
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
        let name = format!("{}-{}", self.variant_name, self.place.instance);
        let (number, instance_type) = (self.place.instance, self.instance_type.as_deref());
        let host = InstanceHost { number, name: &name, instance_type };
        let Instance { programs, front } = Instance::start(&self.plane, &self.model, host).await?;
        let mut programs = Programs::follow(programs);
        let mut logs = self.logs();
        let life = self.follow(&mut programs, front.address, &mut logs, signal).await;
        for log in &mut logs {
            log.flush().await;
        }
        drop(programs);
        front.close().await;
        life
    }

    /// Follows the programs until all have ended.
    async fn follow(
        &self,
        programs: &mut Programs,
        address: SocketAddr,
        logs: &mut [ServerLog],
        signal: &mut watch::Receiver<Signal>,
    ) -> Outcome<Life> {
        let lease = Arc::new(ServerLease::default());
        let limit = self.start_timeout.map_or(SERVER_START_TIMEOUT, Duration::from_secs);
        let mut health = Health::new(Instant::now(), limit);
        let mut ending = Ending::default();
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        // Why all were ended that was not told to.
        let mut fallen: Option<String> = None;
        loop {
            let fall = tokio::select! {
                happened = programs.next() => match happened {
                    Some((place, Ok(RunEvent::Line(line)))) => {
                        if let Some(log) = logs.get_mut(place) {
                            log.take(line).await;
                        }
                        None
                    }
                    Some((place, Ok(RunEvent::Exited(exit)))) => {
                        let last = logs.get(place).and_then(ServerLog::last).map(|line| format!(": {line}"));
                        let last = last.unwrap_or_else(|| ".".to_owned());
                        Some(format!("{} ended with {exit}{last}", self.called(place)))
                    }
                    Some((_, Err(error))) => {
                        let failure = failure::of_run(error);
                        Some(failure.cause.unwrap_or(failure.message))
                    }
                    None if ending.told => return Ok(Life::Told),
                    None => {
                        let message = fallen.unwrap_or_else(|| "it has no program.".to_owned());
                        return Ok(Life::Ended { message, was_up: health.is_up() });
                    }
                },
                _ = ticks.tick() => {
                    for log in &mut *logs {
                        log.flush().await;
                    }
                    None
                }
                () = tokio::time::sleep_until(health.next_ping()), if !ending.told && fallen.is_none() => {
                    self.look(&mut health, address, &lease, limit).await
                }
                told = told_to_end(signal), if !ending.told => {
                    ending.begin(told);
                    None
                }
                () = tokio::time::sleep_until(ending.next_look), if ending.told => {
                    ending.go_on(programs, &lease);
                    None
                }
            };
            if let Some(message) = fall
                && !ending.told
                && fallen.is_none()
            {
                if health.is_up() {
                    self.report(State::Down).await;
                }
                fallen = Some(message);
                programs.kill();
            }
        }
    }

    /// Pings the server; returns why it is to be ended, if it is.
    async fn look(
        &self,
        health: &mut Health,
        address: SocketAddr,
        lease: &Arc<ServerLease>,
        limit: Duration,
    ) -> Option<String> {
        let answered = if lease.in_flight() == 0 { Some(ping(address).await) } else { None };
        match health.judge(answered, Instant::now()) {
            Verdict::AsBefore => None,
            Verdict::Up => {
                self.report(State::Up { address, lease: Arc::clone(lease) }).await;
                None
            }
            Verdict::NeverUp => Some(format!(
                "it did not answer pings within {} seconds and was ended. See its log in CloudWatch Logs.",
                limit.as_secs()
            )),
            Verdict::Silent => Some(format!(
                "it answered no ping for {} seconds, without a request to work on, and was ended.",
                SERVER_SILENCE.as_secs()
            )),
        }
    }

    /// What a program is called in messages.
    fn called(&self, place: usize) -> String {
        match self.model.containers.as_slice() {
            [_] => "it".to_owned(),
            containers => containers.get(place).map_or_else(String::new, |container| container.name.clone()),
        }
    }

    /// A log stream for each program, named as AWS names them.
    fn logs(&self) -> Vec<ServerLog> {
        let stream = format!("{}/i-{}-{}", self.variant_name, self.place.instance, self.plane.now());
        let containers = self.model.containers.as_slice();
        let several = containers.len() > 1;
        let one = |name: &str| if several { format!("{stream}/{name}") } else { stream.clone() };
        let log = |name: &str| ServerLog::new(&self.plane, &self.key, one(name));
        containers.iter().map(|container| log(&container.name)).collect()
    }

    async fn report(&self, state: State) {
        // Nobody reads any more when the endpoint is going down.
        let _ = self.reports.send(ServerReport { place: self.place, state }).await;
    }
}
