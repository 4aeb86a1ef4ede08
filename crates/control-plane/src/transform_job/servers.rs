//! The model servers of one transform job: started, pinged, logged, and ended with the job.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::{select_all, try_join_all};
use sagebrush_metastore::{Direction, Key};
use sagebrush_runner::{Program, ping};
use sagebrush_types::limits::SERVER_START_TIMEOUT;
use sagebrush_types::{Failure, Outcome};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::LOG_GROUP;
use crate::workflow::{Ended, Follow, MetricReader, Signal, follow};
use crate::{ControlPlane, failure, model_server};

/// Time between two pings of a server that is starting.
const PING_EVERY: Duration = Duration::from_millis(10);
/// Times a server is started before the job fails: the port that was free may be taken meanwhile.
const STARTS: usize = 3;
/// A job's servers have no time limit of their own.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How to start the servers.
pub struct Fleet<'a> {
    /// The control plane.
    pub plane: &'a ControlPlane,
    /// The job.
    pub key: &'a Key,
    /// The server's program, without its port.
    pub program: Program,
    /// How many.
    pub instances: u64,
}

/// Servers that answer pings. Dropping them kills them.
pub struct Servers {
    lives: Vec<Life>,
    end: watch::Sender<Signal>,
}

struct Life {
    address: SocketAddr,
    stream: String,
    task: AbortOnDropHandle<Outcome<Ended>>,
}

/// Servers that are up, or why the model cannot be served.
pub type Started = Result<Servers, String>;

impl Fleet<'_> {
    /// The log stream of an instance, from 1.
    fn stream(&self, instance: u64) -> String {
        format!("{}/algo-{instance}-{}", self.key.name, self.plane.now() / 1000)
    }

    /// Starts every server and waits until all answer pings.
    pub async fn start(&self) -> Outcome<Started> {
        let (end, signal) = watch::channel(Signal::Run);
        let lives = try_join_all((1..=self.instances).map(|instance| self.bring_up(instance, &signal))).await;
        match lives {
            Ok(lives) => Ok(Ok(Servers { lives, end })),
            Err(Trouble::Model(why)) => Ok(Err(why)),
            Err(Trouble::Server(failure)) => Err(failure),
        }
    }

    async fn bring_up(&self, instance: u64, signal: &watch::Receiver<Signal>) -> Result<Life, Trouble> {
        let stream = self.stream(instance);
        let mut why = String::new();
        for _ in 0..STARTS {
            let mut life = self.spawn(instance, &stream, signal.clone()).await.map_err(Trouble::Server)?;
            let deadline = Instant::now() + SERVER_START_TIMEOUT;
            loop {
                tokio::select! {
                    ended = &mut life.task => {
                        why = describe(self.plane, self.key, &stream, ended).await.map_err(Trouble::Server)?;
                        break;
                    }
                    () = tokio::time::sleep(PING_EVERY) => {}
                }
                if ping(life.address).await {
                    return Ok(life);
                }
                if Instant::now() > deadline {
                    return Err(Trouble::Model(format!(
                        "it did not answer pings within {} seconds.",
                        SERVER_START_TIMEOUT.as_secs()
                    )));
                }
            }
        }
        Err(Trouble::Model(why))
    }

    async fn spawn(&self, instance: u64, stream: &str, mut signal: watch::Receiver<Signal>) -> Outcome<Life> {
        let work = self.plane.work_folder(self.key);
        let (run, address) = model_server::start(self.program.clone(), &work, instance).await?;
        let (plane, key, own) = (self.plane.clone(), self.key.clone(), stream.to_owned());
        let task = tokio::spawn(async move {
            let what = Follow {
                region: &key.region,
                group: LOG_GROUP,
                stream: &own,
                metrics: (LOG_GROUP, "TransformJobName", &key.name),
                limit: NO_LIMIT,
            };
            follow(&plane, run, &what, &mut MetricReader::default(), &mut signal).await
        });
        Ok(Life { address, stream: stream.to_owned(), task: AbortOnDropHandle::new(task) })
    }
}

enum Trouble {
    Model(String),
    Server(Failure),
}

impl Servers {
    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.lives.iter().map(|life| life.address).collect()
    }

    /// The log stream that the job's own lines go to.
    pub fn stream(&self) -> &str {
        self.lives.first().map_or("", |life| &life.stream)
    }

    /// Completes when a server ends that was not told to, with how.
    pub async fn lost(&mut self, plane: &ControlPlane, key: &Key) -> Outcome<String> {
        let (ended, place, _) = select_all(self.lives.iter_mut().map(|life| &mut life.task)).await;
        let life = self.lives.swap_remove(place);
        describe(plane, key, &life.stream, ended).await
    }

    /// Ends the servers and waits until they have.
    pub async fn stop(self, signal: Signal) {
        self.end.send_replace(signal);
        for life in self.lives {
            // How a server ends that is no longer needed changes nothing.
            let _ = life.task.await;
        }
    }
}

/// How a server ended, with the last line of its log.
async fn describe(
    plane: &ControlPlane,
    key: &Key,
    stream: &str,
    ended: Result<Outcome<Ended>, tokio::task::JoinError>,
) -> Outcome<String> {
    let how = match ended.map_err(Failure::internal)?? {
        Ended::Exited(exit) => format!("it ended with {exit}"),
        Ended::Stopped | Ended::TimedOut | Ended::ShutDown => "it was ended".to_owned(),
    };
    let newest = Direction::Before(i64::MAX);
    let last = plane.store().log_events(&key.region, LOG_GROUP, stream, newest, 0..i64::MAX, 1).await;
    Ok(match last.map_err(failure::of_metastore)?.first() {
        Some(event) => format!("{how}: {}", event.message),
        None => format!("{how}."),
    })
}
