//! How long a job may wait for its turn, run, and take in all: its StoppingCondition.

use std::time::Duration;

use sagebrush_metastore::Record;
use tokio::time::sleep;

use crate::ControlPlane;

/// No limit is taken to be longer, seconds.
const LONGEST: u64 = 10 * 365 * 86_400;

/// Which limit a job came up against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// MaxRuntimeInSeconds.
    Runtime,
    /// MaxWaitTimeInSeconds.
    Wait,
    /// MaxPendingTimeInSeconds.
    Pending,
}

/// The limits of one job; moments are milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    /// How long its program may run.
    run: Option<Duration>,
    /// When it must have its turn.
    turn_by: Option<i64>,
    /// When a spot training job must be over, its waiting included.
    over_by: Option<i64>,
}

impl TimeLimits {
    /// The limits in a job's record.
    pub fn of(record: &Record) -> Self {
        let condition = &record.document["StoppingCondition"];
        let limit = |member: &str| condition[member].as_u64().map(|seconds| seconds.min(LONGEST));
        let after = |seconds: u64| record.created + seconds as i64 * 1000;
        Self {
            run: limit("MaxRuntimeInSeconds").map(Duration::from_secs),
            turn_by: limit("MaxPendingTimeInSeconds").map(after),
            over_by: limit("MaxWaitTimeInSeconds").map(after),
        }
    }

    /// Completes when a job that has no turn yet has waited too long.
    pub async fn pending(&self, plane: &ControlPlane) -> Limit {
        reached(plane, self.of_wait()).await
    }

    /// Completes when a job that has its turn has taken too long.
    pub async fn overdue(&self, plane: &ControlPlane) -> Limit {
        reached(plane, self.over_by.map(|by| (by, Limit::Wait))).await
    }

    /// Until when a job may wait for its turn, and which limit that is.
    fn of_wait(&self) -> Option<(i64, Limit)> {
        let pending = self.turn_by.map(|by| (by, Limit::Pending));
        pending.into_iter().chain(self.over_by.map(|by| (by, Limit::Wait))).min_by_key(|&(by, _)| by)
    }

    /// How long a program that starts `now` may run, and which limit that is.
    pub fn of_run(&self, now: i64) -> Option<(Duration, Limit)> {
        let run = self.run.map(|run| (run, Limit::Runtime));
        let left = self.over_by.map(|by| (until(by, now), Limit::Wait));
        run.into_iter().chain(left).min_by_key(|&(span, _)| span)
    }
}

fn until(by: i64, now: i64) -> Duration {
    Duration::from_millis((by - now).max(0) as u64)
}

async fn reached(plane: &ControlPlane, limit: Option<(i64, Limit)>) -> Limit {
    match limit {
        Some((by, limit)) => {
            sleep(until(by, plane.now())).await;
            limit
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use sagebrush_metastore::Key;
    use sagebrush_types::Resource;
    use serde_json::{Value, json};

    use super::*;

    fn limits(condition: Value) -> TimeLimits {
        TimeLimits::of(&Record {
            key: Key { kind: Resource::TrainingJob, region: "r".into(), name: "n".into() },
            arn: String::new(),
            status: "InProgress".into(),
            created: 10_000,
            modified: 10_000,
            document: json!({"StoppingCondition": condition}),
        })
    }

    #[test]
    fn the_earliest_limit_counts() {
        let both = limits(
            json!({"MaxRuntimeInSeconds": 5, "MaxWaitTimeInSeconds": 8, "MaxPendingTimeInSeconds": 7}),
        );
        assert_eq!(both.of_wait(), Some((17_000, Limit::Pending)));
        assert_eq!(both.of_run(11_000), Some((Duration::from_secs(5), Limit::Runtime)));
        assert_eq!(both.of_run(14_000), Some((Duration::from_secs(4), Limit::Wait)));
        assert_eq!(both.of_run(99_000), Some((Duration::ZERO, Limit::Wait)));
        let spot = limits(json!({"MaxRuntimeInSeconds": 5, "MaxWaitTimeInSeconds": 8}));
        assert_eq!(spot.of_wait(), Some((18_000, Limit::Wait)));
    }

    #[test]
    fn a_job_without_limits_may_take_for_ever() {
        let none = limits(json!({}));
        assert_eq!(none.of_wait(), None);
        assert_eq!(none.of_run(0), None);
    }
}
