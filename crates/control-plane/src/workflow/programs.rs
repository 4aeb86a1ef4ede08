//! The programs of a job's hosts: started, followed to their end, and nothing of them left.

use std::convert::Infallible;
use std::path::Path;

use futures::future::join_all;
use sagebrush_metastore::Record;
use sagebrush_runner::{PipeFeed, Run, Shard, StageError, stage_prefix};
use sagebrush_types::{Failure, Outcome, s3_uri};
use tokio::sync::watch;

use super::job::{Ending, Job};
use super::mirror::Mirror;
use super::network::HostNetwork;
use super::{Ended, Follow, Hosts, MetricReader, Signal, TimeLimits, follow_all};
use crate::image::Image;
use crate::{ControlPlane, failure, reconcile};

/// Runs the program of every host to its end.
///
/// # Errors
/// `Invalid` for an image that cannot be had or started, with words for the user; `Internal`.
pub async fn run<J: Job>(
    plane: &ControlPlane,
    record: &Record,
    job: &J,
    hosts: &Hosts,
    metrics: &mut MetricReader,
    signal: &mut watch::Receiver<Signal>,
) -> Outcome<Ended> {
    *metrics = job.metrics(record)?;
    let image = job.image(plane, record)?;
    let work = plane.work_folder(&record.key);
    let network = HostNetwork::make(plane, &work, &image, job.host_count(), job.is_isolated()).await?;
    let ended = match start(plane, record, job, hosts, &image, &network).await {
        Ok(started) => follow::<J>(plane, record, hosts, started, metrics, signal).await,
        Err(failure) => Err(failure),
    };
    network.remove().await;
    ended
}

/// Programs that run, with what goes on beside them.
struct Started {
    runs: Vec<Run>,
    mirrors: Vec<Mirror>,
    /// Fed as long as they are held.
    _pipes: Vec<PipeFeed>,
}

/// Starts the program of every host, in order. Their pipes are there before, and so are the mirrors, for
/// which what lies in their folders now is not new.
async fn start<J: Job>(
    plane: &ControlPlane,
    record: &Record,
    job: &J,
    hosts: &Hosts,
    image: &Image,
    network: &HostNetwork,
) -> Outcome<Started> {
    let work = plane.work_folder(&record.key);
    let (mirrors, pipes) = (job.mirrors(hosts)?, job.pipes(hosts)?);
    let mut runs = Vec::new();
    for host in hosts.each() {
        let program = job.program(plane, record, image, host, network.network()).await?;
        let run = Run::start(&program).await.map_err(failure::of_run)?;
        reconcile::remember(&work, host.index as u64 + 1, &run).map_err(Failure::internal)?;
        runs.push(run);
    }
    Ok(Started { runs, mirrors, _pipes: pipes })
}

/// Follows running programs to their end, and copies what they leave meanwhile.
async fn follow<J: Job>(
    plane: &ControlPlane,
    record: &Record,
    hosts: &Hosts,
    started: Started,
    metrics: &mut MetricReader,
    signal: &mut watch::Receiver<Signal>,
) -> Outcome<Ended> {
    let key = &record.key;
    let Started { runs, mut mirrors, _pipes } = started;
    let limit = TimeLimits::of(record).of_run(plane.now());
    let now = plane.now() / 1000;
    let streams: Vec<String> =
        hosts.names().iter().map(|host| format!("{}/{host}-{now}", key.name)).collect();
    let what = |host: usize| Follow {
        region: &key.region,
        group: J::LOG_GROUP,
        stream: &streams[host],
        metrics: (J::LOG_GROUP, J::DIMENSION, &key.name),
        limit,
    };
    let watch = async {
        join_all(mirrors.iter_mut().map(|mirror| mirror.watch(plane))).await;
        std::future::pending::<Infallible>().await
    };
    let ended = tokio::select! {
        ended = follow_all(plane, runs, what, metrics, signal) => ended?,
        never = watch => match never {},
    };
    for mirror in &mut mirrors {
        mirror.pass(plane).await?;
    }
    Ok(ended)
}

/// Lays out one input; an ending when the user's data cannot be.
pub async fn stage_input(
    plane: &ControlPlane,
    what: &str,
    uri: &str,
    shard: Shard,
    folder: &Path,
) -> Outcome<Option<Ending>> {
    let (bucket, prefix) = s3_uri("S3Uri", uri)?;
    match stage_prefix(plane.objects(), bucket, prefix, shard, folder).await {
        Ok(_) => Ok(None),
        Err(StageError::Io(error)) => Err(Failure::internal(error)),
        Err(error) => Ok(Some(Ending::failed(&format!(
            "ClientError: Data download failed: {error} Please ensure that the bucket exists, and that objects exist \
             under the prefix of {what} ({uri})."
        )))),
    }
}
