#![allow(clippy::unwrap_used)]

use super::*;
use crate::tuning_job::definition::Measured;
use crate::tuning_job::state::{Limits, Search};
use sagebrush_metastore::Key;
use sagebrush_tuning::{Completion, Direction, Parameter, Range, Scaling, Settings, Space, Strategy, Tuner};
use sagebrush_types::Resource;
use serde_json::json;

fn state(jobs: usize, strategy: Strategy) -> State {
    let range = Range::Continuous { min: 0.0, max: 1.0, scaling: Scaling::Linear };
    let space = Space::new(vec![Parameter { name: "x".into(), range }]).unwrap();
    let settings = Settings { strategy, direction: Direction::Minimize, seed: 1 };
    let search = Search {
        name: None,
        measured: Measured { metric: "loss".into(), direction: Direction::Minimize },
        tuner: Tuner::new(space, settings).unwrap(),
        exhausted: false,
    };
    let limits =
        Limits { jobs, parallel: 2, deadline: None, completion: Completion::default(), early_stopping: true };
    State {
        limits,
        searches: vec![search],
        children: vec![],
        closing: None,
        converged: None,
        inherited: None,
    }
}

fn seen(status: JobStatus, loss: Option<f64>, curve: &[f64]) -> Seen {
    let metrics: Vec<Value> =
        loss.into_iter().map(|loss| json!({"MetricName": "loss", "Value": loss})).collect();
    let record = Record {
        key: Key { kind: Resource::TrainingJob, region: "r".into(), name: "n".into() },
        arn: String::new(),
        status: status.as_str().into(),
        created: 0,
        modified: 0,
        document: json!({"FinalMetricDataList": metrics, "TrainingStartTime": 1.0, "FailureReason": "why"}),
    };
    Seen::Job(Box::new(record), Some(curve.to_vec()))
}

/// One round as the workflow does it.
fn round(state: &mut State, stopping: bool) {
    close(state, stopping, 1);
    extend(state, "t", 2, 1).unwrap();
    close(state, stopping, 1);
    withdraw(state).unwrap();
}

#[test]
fn jobs_are_started_up_to_the_limits() {
    let mut state = state(3, Strategy::Random);
    round(&mut state, false);
    assert_eq!(state.children.len(), 2);
    assert!(state.children[0].name.starts_with("t-001-") && state.children[1].name.starts_with("t-002-"));
    observe(&mut state, 0, seen(JobStatus::Completed, Some(0.5), &[])).unwrap();
    round(&mut state, false);
    assert_eq!((state.children.len(), state.closing), (3, Some(Closing::Exhausted)));
    assert_eq!(state.best().map(|child| &child.name), Some(&state.children[0].name));
    observe(&mut state, 1, seen(JobStatus::Failed, Some(0.1), &[])).unwrap();
    observe(&mut state, 2, seen(JobStatus::Stopped, Some(0.4), &[])).unwrap();
    assert_eq!(state.open().count(), 0);
    // A failed job's value does not count.
    assert_eq!(state.best().map(|child| &child.name), Some(&state.children[2].name));
    assert_eq!(ending(&state), (JobStatus::Completed, None));
    let (jobs, objectives) = state.counters();
    assert_eq!(
        (jobs["Completed"].as_u64(), jobs["NonRetryableError"].as_u64(), jobs["Stopped"].as_u64()),
        (Some(1), Some(1), Some(1))
    );
    assert_eq!((objectives["Succeeded"].as_u64(), objectives["Failed"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn a_stop_withdraws_what_is_not_there_yet() {
    let mut state = state(9, Strategy::Bayesian);
    round(&mut state, false);
    observe(&mut state, 0, seen(JobStatus::InProgress, None, &[])).unwrap();
    round(&mut state, true);
    assert_eq!((state.children.len(), state.closing), (1, Some(Closing::Stopped)));
    observe(&mut state, 0, seen(JobStatus::Stopped, None, &[])).unwrap();
    round(&mut state, true);
    assert_eq!((state.open().count(), ending(&state).0), (0, JobStatus::Stopped));
}

#[test]
fn after_five_failures_and_no_success_it_gives_up() {
    let mut state = state(50, Strategy::Random);
    for number in 0..5 {
        round(&mut state, false);
        assert_eq!(state.closing, None);
        let seen = if number == 3 { Seen::Refused("no".into()) } else { seen(JobStatus::Failed, None, &[]) };
        observe(&mut state, number, seen).unwrap();
    }
    round(&mut state, false);
    assert_eq!(state.closing, Some(Closing::Hopeless));
    assert_eq!(ending(&state), (JobStatus::Failed, Some(HOPELESS_REASON)));
    assert_eq!(state.children.len(), 5, "the one that was not created is withdrawn");
    assert_eq!(state.children[3].failure.as_deref(), Some("no"));
}

#[test]
fn a_job_worse_than_the_median_is_stopped_once() {
    let mut state = state(9, Strategy::Random);
    for number in 0..3 {
        round(&mut state, false);
        observe(&mut state, number, seen(JobStatus::Completed, Some(0.5), &[1.0, 0.5])).unwrap();
    }
    round(&mut state, false);
    assert!(!observe(&mut state, 3, seen(JobStatus::InProgress, None, &[0.9])).unwrap());
    assert!(observe(&mut state, 3, seen(JobStatus::InProgress, None, &[0.9, 0.9])).unwrap());
    assert!(!observe(&mut state, 3, seen(JobStatus::InProgress, None, &[0.9, 0.9, 0.9])).unwrap());
    assert!(state.children[3].stopped_early);
}

#[test]
fn time_and_deletion_are_ends_too() {
    let mut state = state(2, Strategy::Random);
    state.limits.deadline = Some(1);
    round(&mut state, false);
    assert_eq!((state.children.len(), state.closing), (0, Some(Closing::Time)));
    assert_eq!(ending(&state).0, JobStatus::Stopped);
    let mut state = self::state(1, Strategy::Random);
    round(&mut state, false);
    assert!(!observe(&mut state, 0, Seen::Nothing).unwrap());
    assert!(state.children[0].status.is_none(), "it is only not created yet");
    observe(&mut state, 0, seen(JobStatus::InProgress, None, &[])).unwrap();
    observe(&mut state, 0, Seen::Nothing).unwrap();
    assert_eq!(state.children[0].status, Some(JobStatus::Failed));
    assert_eq!(ending(&state).0, JobStatus::Failed);
}
