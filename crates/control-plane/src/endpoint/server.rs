//! One model server: started, pinged, logged, and started again when it ends.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use sagebrush_metastore::{Key, LogLine};
use sagebrush_runner::{Exit, ProcessRun, RunEvent, ping};
use sagebrush_types::limits::{SERVER_START_TIMEOUT, SERVER_STOP_GRACE};
use sagebrush_types::{Failure, Outcome};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::deploy::PreparedModel;
use crate::built_in::Task;
use crate::workflow::{Signal, told_to_end};
use crate::{ControlPlane, reconcile};

/// Time between two pings of a server that is starting.
const PING_EVERY: Duration = Duration::from_millis(10);
/// Shortest and longest wait before a server that ended is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A server that was up this long starts with the shortest wait again.
const SETTLED: Duration = Duration::from_secs(60);

/// What a server's keeper tells the endpoint.
#[derive(Debug)]
pub enum ServerReport {
    /// It answers pings.
    Up {
        /// Place of its variant.
        variant: usize,
        /// Where it listens.
        address: SocketAddr,
    },
    /// It no longer runs.
    Down {
        /// Place of its variant.
        variant: usize,
        /// Where it listened.
        address: SocketAddr,
    },
    /// A start failed.
    GaveUp {
        /// Place of its variant.
        variant: usize,
        /// Why.
        message: String,
    },
}

/// One instance of a variant.
pub struct Server {
    /// The control plane.
    pub plane: ControlPlane,
    /// The endpoint.
    pub key: Key,
    /// Place of the variant in the endpoint.
    pub variant: usize,
    /// Name of the variant.
    pub variant_name: String,
    /// Number of the instance, from 0.
    pub instance: u64,
    /// Seconds until the first ping must succeed.
    pub start_timeout: Option<u64>,
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

impl Server {
    /// Keeps the server up until told to end.
    pub async fn keep_up(self, mut signal: watch::Receiver<Signal>) {
        let mut wait = BACKOFF.0;
        loop {
            let born = Instant::now();
            let (message, was_up) = match self.live(&mut signal).await {
                Ok(Life::Told) => return,
                Ok(Life::Ended { message, was_up }) => (message, was_up),
                Err(failure) => (failure.cause.unwrap_or(failure.message), false),
            };
            tracing::warn!(endpoint = %self.key, variant = self.variant_name, "model server ended: {message}");
            if !was_up {
                let report = ServerReport::GaveUp { variant: self.variant, message };
                if self.reports.send(report).await.is_err() {
                    return;
                }
            }
            wait = if born.elapsed() > SETTLED { BACKOFF.0 } else { (wait * 2).min(BACKOFF.1) };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = told_to_end(&mut signal) => return,
            }
        }
    }

    async fn live(&self, signal: &mut watch::Receiver<Signal>) -> Outcome<Life> {
        let address = free_address()?;
        let mut run = self.start(address)?;
        let mut log = ServerLog::new(self);
        let limit = self.start_timeout.map_or(SERVER_START_TIMEOUT, Duration::from_secs);
        let deadline = Instant::now() + limit;
        let mut up = false;
        let mut kill_at: Option<Instant> = None;
        let mut told = false;
        let mut next_ping = Instant::now() + PING_EVERY;
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                event = run.next_event() => match event.map_err(Failure::internal)? {
                    RunEvent::Line(line) => log.take(line).await,
                    RunEvent::Exited(exit) => {
                        log.flush().await;
                        if up {
                            self.report(ServerReport::Down { variant: self.variant, address }).await;
                        }
                        return Ok(if told { Life::Told } else { self.ended(exit, up, &log) });
                    }
                },
                _ = ticks.tick() => log.flush().await,
                () = tokio::time::sleep_until(next_ping), if !up && !told => {
                    if ping(address).await {
                        up = true;
                        self.report(ServerReport::Up { variant: self.variant, address }).await;
                    } else if Instant::now() > deadline {
                        run.stopper().kill();
                    }
                    next_ping = Instant::now() + PING_EVERY;
                }
                _ = told_to_end(signal), if !told => {
                    told = true;
                    run.stopper().terminate();
                    kill_at = Some(Instant::now() + SERVER_STOP_GRACE);
                }
                () = tokio::time::sleep_until(kill_at.unwrap_or(deadline)), if kill_at.is_some() => {
                    run.stopper().kill();
                    kill_at = None;
                }
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

    fn start(&self, address: SocketAddr) -> Outcome<ProcessRun> {
        let built_in = self.plane.built_in("Image", &self.model.image, Task::Serve)?;
        let mut environment = self.model.environment.clone();
        environment.insert("SAGEMAKER_BIND_TO_PORT".into(), address.port().to_string());
        environment.insert("SAGEBRUSH_BIND_TO_ADDRESS".into(), address.ip().to_string());
        let layout = &self.model.layout;
        let program = self.plane.program(built_in, Task::Serve, environment, layout);
        let run = ProcessRun::start(&program).map_err(Failure::internal)?;
        if let Some(folder) = layout.root().parent() {
            reconcile::remember(folder, self.instance, &run).map_err(Failure::internal)?;
        }
        Ok(run)
    }

    async fn report(&self, report: ServerReport) {
        // Nobody reads any more when the endpoint is going down.
        let _ = self.reports.send(report).await;
    }
}

/// A port of this machine that is free now. Another program can take it before the server does; the
/// server then fails to start and gets another one.
fn free_address() -> Outcome<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(Failure::internal)
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
        let stream = format!("{}/i-{}-{}", server.variant_name, server.instance, server.plane.now());
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
