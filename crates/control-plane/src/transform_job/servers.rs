//! The model servers of one transform job: started, pinged, logged, and ended with the job.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::{select_all, try_join_all};
use sagebrush_metastore::{Direction, Key};
use sagebrush_runner::{Run, ping};
use sagebrush_types::limits::SERVER_START_TIMEOUT;
use sagebrush_types::{Failure, Outcome};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::LOG_GROUP;
use crate::model_server::{Front, Instance, InstanceHost, PreparedModel};
use crate::workflow::{Ended, Follow, MetricReader, Signal, follow};
use crate::{ControlPlane, failure};

/// Time between two pings of a server that is starting.
const PING_EVERY: Duration = Duration::from_millis(10);
/// Times a server is started before the job fails: the port that was free may be taken meanwhile.
const STARTS: usize = 3;

/// How to start the servers.
pub struct Fleet<'a> {
    /// The control plane.
    pub plane: &'a ControlPlane,
    /// The job.
    pub key: &'a Key,
    /// What they serve.
    pub model: PreparedModel,
    /// What their hosts are like.
    pub instance_type: Option<&'a str>,
    /// How many.
    pub instances: u64,
}

/// Servers that answer pings. Dropping them kills them.
pub struct Servers {
    lives: Vec<Life>,
    end: watch::Sender<Signal>,
}

/// One server: the programs of all containers of an instance.
struct Life {
    front: Front,
    programs: Vec<Followed>,
}

/// A program that is followed.
struct Followed {
    stream: String,
    task: AbortOnDropHandle<Outcome<Ended>>,
}

/// A program that has ended.
struct Lost {
    stream: String,
    ended: Result<Outcome<Ended>, tokio::task::JoinError>,
}

/// Servers that are up, or why the model cannot be served.
pub type Started = Result<Servers, String>;

impl Fleet<'_> {
    /// The log streams of an instance, from 1: one for each of its containers, named as AWS names them.
    fn streams(&self, instance: u64) -> Vec<String> {
        let stream = format!("{}/algo-{instance}-{}", self.key.name, self.plane.now() / 1000);
        match self.model.containers.as_slice() {
            [_] => vec![stream],
            several => several.iter().map(|container| format!("{stream}/{}", container.name)).collect(),
        }
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
        let streams = self.streams(instance);
        let mut why = String::new();
        for _ in 0..STARTS {
            let mut life = self.spawn(instance, &streams, signal.clone()).await.map_err(Trouble::Server)?;
            let deadline = Instant::now() + SERVER_START_TIMEOUT;
            loop {
                tokio::select! {
                    lost = life.lost() => {
                        why = describe(self.plane, self.key, lost).await.map_err(Trouble::Server)?;
                        break;
                    }
                    () = tokio::time::sleep(PING_EVERY) => {}
                }
                if ping(life.front.address).await {
                    return Ok(life);
                }
                if Instant::now() > deadline {
                    return Err(Trouble::Model(format!(
                        "it did not answer pings within {} seconds.",
                        SERVER_START_TIMEOUT.as_secs()
                    )));
                }
            }
            life.abandon().await;
        }
        Err(Trouble::Model(why))
    }

    async fn spawn(
        &self,
        instance: u64,
        streams: &[String],
        signal: watch::Receiver<Signal>,
    ) -> Outcome<Life> {
        let name = format!("algo-{instance}");
        let host = InstanceHost { number: instance, name: &name, instance_type: self.instance_type };
        let Instance { programs, front } = Instance::start(self.plane, &self.model, host).await?;
        let follow_one = |(run, stream): (Run, &String)| {
            let (plane, key, own) = (self.plane.clone(), self.key.clone(), stream.clone());
            let mut signal = signal.clone();
            let task = tokio::spawn(async move {
                let what = Follow {
                    region: &key.region,
                    group: LOG_GROUP,
                    stream: &own,
                    metrics: (LOG_GROUP, "TransformJobName", &key.name),
                    limit: None,
                };
                follow(&plane, run, &what, &mut MetricReader::default(), &mut signal).await
            });
            Followed { stream: stream.clone(), task: AbortOnDropHandle::new(task) }
        };
        Ok(Life { front, programs: programs.into_iter().zip(streams).map(follow_one).collect() })
    }
}

enum Trouble {
    Model(String),
    Server(Failure),
}

impl Servers {
    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.lives.iter().map(|life| life.front.address).collect()
    }

    /// The log stream that the job's own lines go to.
    pub fn stream(&self) -> &str {
        let first = self.lives.first().and_then(|life| life.programs.first());
        first.map_or("", |program| &program.stream)
    }

    /// Completes when a server ends that was not told to, with how.
    pub async fn lost(&mut self, plane: &ControlPlane, key: &Key) -> Outcome<String> {
        let lives = self.lives.iter_mut().map(|life| Box::pin(life.lost()));
        let (lost, _, others) = select_all(lives).await;
        drop(others);
        describe(plane, key, lost).await
    }

    /// Ends the servers and waits until they have.
    pub async fn stop(self, signal: Signal) {
        self.end.send_replace(signal);
        for life in self.lives {
            life.end().await;
        }
    }
}

impl Life {
    /// Completes when one of its programs ends. Nothing is lost when the wait is given up.
    async fn lost(&mut self) -> Lost {
        let tasks = self.programs.iter_mut().map(|program| &mut program.task);
        let (ended, place, _) = select_all(tasks).await;
        Lost { stream: self.programs.swap_remove(place).stream, ended }
    }

    /// Waits for the end of its programs, which have been told to end.
    async fn end(self) {
        let Self { front, programs } = self;
        for program in programs {
            // How a server ends that is no longer needed changes nothing.
            let _ = program.task.await;
        }
        front.close().await;
    }

    /// Ends what is left of it.
    async fn abandon(self) {
        drop(self.programs);
        self.front.close().await;
    }
}

/// How a server ended, with the last line of its log.
async fn describe(plane: &ControlPlane, key: &Key, lost: Lost) -> Outcome<String> {
    let Lost { stream, ended } = lost;
    let how = match ended.map_err(Failure::internal)?? {
        Ended::Exited(exit) => format!("it ended with {exit}"),
        Ended::Stopped | Ended::Expired(_) | Ended::ShutDown => "it was ended".to_owned(),
    };
    let newest = Direction::Before(i64::MAX);
    let last = plane.store().log_events(&key.region, LOG_GROUP, &stream, newest, 0..i64::MAX, 1).await;
    Ok(match last.map_err(failure::of_metastore)?.first() {
        Some(event) => format!("{how}: {}", event.message),
        None => format!("{how}."),
    })
}
