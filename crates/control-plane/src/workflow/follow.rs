//! Following a running program: its lines become log events and metric points, a stop signal or a
//! time limit ends it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use sagebrush_metastore::{LogLine, MetricPoint, MetricSeries};
use sagebrush_runner::{Exit, Run, RunEvent};
use sagebrush_types::Outcome;
use sagebrush_types::limits::{LOG_LINES_PER_JOB, METRIC_POINTS_PER_JOB, STOP_GRACE};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Limit, MetricReader, Signal, told_to_end};
use crate::{ControlPlane, failure};

/// Lines written to the metastore at once, and the longest a line waits for others.
const BATCH: usize = 500;
const BATCH_WAIT: Duration = Duration::from_millis(100);

/// What to follow.
pub struct Follow<'a> {
    /// Region of the log group and the metrics.
    pub region: &'a str,
    /// Log group.
    pub group: &'a str,
    /// Log stream.
    pub stream: &'a str,
    /// Namespace and dimension of the metrics.
    pub metrics: (&'a str, &'a str, &'a str),
    /// How long the program may run, and which limit of its job that is.
    pub limit: Option<(Duration, Limit)>,
}

/// How a followed program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exited(Exit),
    /// After the user asked for a stop.
    Stopped,
    /// After a time limit of its job.
    Expired(Limit),
    /// Because the server went down.
    ShutDown,
}

/// Follows a program to its end. A program told to end has [`STOP_GRACE`] before it is killed.
pub async fn follow(
    plane: &ControlPlane,
    mut run: Run,
    follow: &Follow<'_>,
    reader: &mut MetricReader,
    signal: &mut watch::Receiver<Signal>,
) -> Outcome<Ended> {
    let mut sink =
        Sink { plane, follow, lines: Vec::new(), points: Vec::new(), kept: 0, dropped: 0, measured: 0 };
    let expiry = follow.limit.map(|(span, limit)| (Instant::now() + span, limit));
    let mut kill_at: Option<Instant> = None;
    let mut asked: Option<Ended> = None;
    let mut flush_at: Option<Instant> = None;
    let exit = loop {
        tokio::select! {
            event = run.next_event() => match event.map_err(failure::of_run)? {
                RunEvent::Line(line) => {
                    sink.take(line, reader);
                    if sink.lines.len() >= BATCH {
                        sink.flush().await?;
                        flush_at = None;
                    } else if flush_at.is_none() {
                        flush_at = Some(Instant::now() + BATCH_WAIT);
                    }
                }
                RunEvent::Exited(exit) => break exit,
            },
            () = sleep_until(flush_at) => {
                sink.flush().await?;
                flush_at = None;
            }
            told = told_to_end(signal), if asked.is_none() => {
                asked = Some(if told == Signal::Stop { Ended::Stopped } else { Ended::ShutDown });
                run.stopper().terminate();
                // At shutdown nobody waits two minutes for a job that cannot be resumed.
                let grace = if told == Signal::Stop { STOP_GRACE } else { Duration::from_secs(2) };
                kill_at = Some(Instant::now() + grace);
            }
            limit = expired(expiry), if asked.is_none() => {
                asked = Some(Ended::Expired(limit));
                run.stopper().terminate();
                kill_at = Some(Instant::now() + STOP_GRACE);
            }
            () = sleep_until(kill_at) => {
                run.stopper().kill();
                kill_at = None;
            }
        }
    };
    sink.finish().await?;
    Ok(asked.unwrap_or(Ended::Exited(exit)))
}

/// Follows the programs of a job's hosts to their end. When one fails, the others are told to end; the
/// job ended as the first that did not end well.
pub async fn follow_all<'a>(
    plane: &ControlPlane,
    runs: Vec<Run>,
    what: impl Fn(usize) -> Follow<'a>,
    reader: &mut MetricReader,
    signal: &mut watch::Receiver<Signal>,
) -> Outcome<Ended> {
    let (tell, told) = watch::channel(Signal::Run);
    let mut followers = FuturesUnordered::new();
    for (host, run) in runs.into_iter().enumerate() {
        let (follow_this, mut reader, mut told) = (what(host), reader.clone(), told.clone());
        followers.push(async move {
            let ended = follow(plane, run, &follow_this, &mut reader, &mut told).await;
            (reader, ended)
        });
    }
    let mut bad = None;
    let mut relayed = false;
    loop {
        tokio::select! {
            ended = followers.next() => match ended {
                None => return Ok(bad.unwrap_or(Ended::Exited(Exit::Code(0)))),
                Some((of_host, ended)) => {
                    reader.absorb(of_host);
                    let ended = ended?;
                    if ended != Ended::Exited(Exit::Code(0)) && bad.is_none() {
                        bad = Some(ended);
                        tell.send_replace(Signal::Stop);
                    }
                }
            },
            asked = told_to_end(signal), if !relayed => {
                relayed = true;
                tell.send_replace(asked);
            }
        }
    }
}

async fn expired(expiry: Option<(Instant, Limit)>) -> Limit {
    match expiry {
        Some((at, limit)) => {
            tokio::time::sleep_until(at).await;
            limit
        }
        None => std::future::pending().await,
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Lines and points on their way to the metastore.
struct Sink<'a> {
    plane: &'a ControlPlane,
    follow: &'a Follow<'a>,
    lines: Vec<LogLine>,
    points: Vec<(MetricSeries, MetricPoint)>,
    kept: u64,
    dropped: u64,
    measured: u64,
}

impl Sink<'_> {
    fn take(&mut self, line: String, reader: &mut MetricReader) {
        let at = self.plane.now();
        for (metric, value) in reader.read(&line, at) {
            self.measured += 1;
            if self.measured <= METRIC_POINTS_PER_JOB {
                let (namespace, dimension, name) = self.follow.metrics;
                let dimensions = BTreeMap::from([(dimension.to_owned(), name.to_owned())]);
                let series = MetricSeries { namespace: namespace.to_owned(), metric, dimensions };
                self.points.push((series, MetricPoint { at, value }));
            }
        }
        if self.kept < LOG_LINES_PER_JOB {
            self.kept += 1;
            self.lines.push(LogLine { at, message: line });
        } else {
            self.dropped += 1;
        }
    }

    async fn flush(&mut self) -> Outcome<()> {
        let Follow { region, group, stream, .. } = self.follow;
        if !self.lines.is_empty() {
            self.plane
                .store()
                .append_log(region, group, stream, &self.lines)
                .await
                .map_err(failure::of_metastore)?;
            self.lines.clear();
        }
        if !self.points.is_empty() {
            self.plane.store().append_metrics(region, &self.points).await.map_err(failure::of_metastore)?;
            self.points.clear();
            self.plane.shared.live.changed();
        }
        Ok(())
    }

    async fn finish(&mut self) -> Outcome<()> {
        if self.dropped > 0 {
            let message =
                format!("{} further lines were not kept: a job may log {LOG_LINES_PER_JOB}.", self.dropped);
            self.lines.push(LogLine { at: self.plane.now(), message });
        }
        self.flush().await
    }
}
