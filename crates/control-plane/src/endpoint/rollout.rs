//! How an update moves traffic from the old servers to the new: the steps of a deployment
//! configuration, as AWS defines its blue/green and rolling policies.

use std::time::Duration;

use sagebrush_types::{Failure, Outcome};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeploymentConfig {
    blue_green_update_policy: Option<BlueGreen>,
    rolling_update_policy: Option<Rolling>,
    auto_rollback_configuration: Option<AutoRollback>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct BlueGreen {
    traffic_routing_configuration: TrafficRouting,
    #[serde(default)]
    termination_wait_in_seconds: u64,
    maximum_execution_timeout_in_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TrafficRouting {
    r#type: String,
    wait_interval_in_seconds: u64,
    canary_size: Option<Capacity>,
    linear_step_size: Option<Capacity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Rolling {
    maximum_batch_size: Capacity,
    wait_interval_in_seconds: u64,
    maximum_execution_timeout_in_seconds: Option<u64>,
    /// A rollback here starts every missing old server at once, which is no more than was there.
    #[serde(rename = "RollbackMaximumBatchSize")]
    _rollback_maximum_batch_size: Option<Capacity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AutoRollback {
    #[serde(default)]
    alarms: Vec<Value>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Capacity {
    r#type: CapacityType,
    value: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum CapacityType {
    #[serde(rename = "INSTANCE_COUNT")]
    Instances,
    #[serde(rename = "CAPACITY_PERCENT")]
    Percent,
}

impl Capacity {
    /// As a part of `total` instances, above 0 and at most 1.
    fn part(self, total: u64) -> f64 {
        let part = match self.r#type {
            CapacityType::Instances => self.value as f64 / total.max(1) as f64,
            CapacityType::Percent => self.value as f64 / 100.0,
        };
        part.min(1.0)
    }
}

/// One step: what is up, where the traffic goes, and how long to watch it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Part of the new servers that are up.
    pub new_capacity: f64,
    /// Part of the traffic that goes to them.
    pub traffic: f64,
    /// Part of the old servers that stay up.
    pub old_capacity: f64,
    /// Time before the next step, in which a new server that cannot be kept up undoes the update.
    pub wait: Duration,
}

/// A whole deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Its steps; the last one sends everything to the new servers.
    pub steps: Vec<Step>,
    /// Time after which it is undone when it has not ended.
    pub limit: Option<Duration>,
}

impl Rollout {
    /// The steps of a deployment configuration (null for AWS's default, everything at once) for
    /// `total` new instances.
    ///
    /// # Errors
    /// `Invalid` for a policy that contradicts itself; `Unsupported` for alarms.
    pub fn of(config: &Value, total: u64) -> Outcome<Self> {
        if config.is_null() {
            return Ok(Self { steps: vec![step(1.0, Duration::ZERO)], limit: None });
        }
        let config: DeploymentConfig = crate::request::decode("DeploymentConfig", config)?;
        if config.auto_rollback_configuration.is_some_and(|rollback| !rollback.alarms.is_empty()) {
            return Err(Failure::unsupported(
                "DeploymentConfig.AutoRollbackConfiguration.Alarms: alarms are not supported by this server. An \
                 update is rolled back when a new model server cannot be kept up.",
            ));
        }
        match (config.blue_green_update_policy, config.rolling_update_policy) {
            (Some(_), Some(_)) => Err(Failure::invalid(
                "DeploymentConfig: give either BlueGreenUpdatePolicy or RollingUpdatePolicy, not both.",
            )),
            (Some(policy), None) => blue_green(policy, total),
            (None, Some(policy)) => rolling(&policy, total),
            (None, None) => Self::of(&Value::Null, total),
        }
    }
}

/// A step in which all old and all new servers are up.
fn step(traffic: f64, wait: Duration) -> Step {
    Step { new_capacity: 1.0, traffic, old_capacity: 1.0, wait }
}

fn blue_green(policy: BlueGreen, total: u64) -> Outcome<Rollout> {
    let routing = &policy.traffic_routing_configuration;
    let wait = Duration::from_secs(routing.wait_interval_in_seconds);
    let field = "DeploymentConfig.BlueGreenUpdatePolicy.TrafficRoutingConfiguration";
    let size = |name: &str, size: Option<Capacity>, least: f64| {
        let size = size.ok_or_else(|| {
            Failure::invalid(format!("{field}.{name}: the type {} needs this member.", routing.r#type))
        })?;
        let part = size.part(total);
        // One instance of few may be more than half; as a count it is what was asked for.
        let fits = match size.r#type {
            CapacityType::Percent => (least..=0.5).contains(&part),
            CapacityType::Instances => size.value <= total,
        };
        if !fits {
            return Err(Failure::invalid(format!(
                "{field}.{name}: {} does not fit. Give {} to 50 percent, or at most the {total} instances of the \
                 new configuration.",
                size.value,
                least * 100.0
            )));
        }
        Ok(part)
    };
    let mut steps = match routing.r#type.as_str() {
        "CANARY" => {
            vec![step(size("CanarySize", routing.canary_size, 0.01)?, wait), step(1.0, Duration::ZERO)]
        }
        "LINEAR" => shares(size("LinearStepSize", routing.linear_step_size, 0.1)?)
            .into_iter()
            .map(|traffic| step(traffic, wait))
            .collect(),
        _ => vec![step(1.0, wait)],
    };
    if let Some(last) = steps.last_mut() {
        last.wait = if routing.r#type == "CANARY" { Duration::ZERO } else { wait };
        last.wait += Duration::from_secs(policy.termination_wait_in_seconds);
    }
    let limit = policy.maximum_execution_timeout_in_seconds.map(Duration::from_secs);
    Ok(Rollout { steps, limit })
}

fn rolling(policy: &Rolling, total: u64) -> Outcome<Rollout> {
    let batch = policy.maximum_batch_size;
    if matches!(batch.r#type, CapacityType::Percent) && batch.value > 100 {
        return Err(Failure::invalid(
            "DeploymentConfig.RollingUpdatePolicy.MaximumBatchSize: a batch is at most 100 percent.",
        ));
    }
    let wait = Duration::from_secs(policy.wait_interval_in_seconds);
    // A batch has at least one instance.
    let part = batch.part(total).max(1.0 / total.max(1) as f64);
    let steps = shares(part)
        .into_iter()
        .map(|done| Step { new_capacity: done, traffic: done, old_capacity: 1.0 - done, wait })
        .collect();
    let limit = policy.maximum_execution_timeout_in_seconds.map(Duration::from_secs);
    Ok(Rollout { steps, limit })
}

/// Steps of size `part` up to exactly 1.
fn shares(part: f64) -> Vec<f64> {
    // Sizes are whole percents or whole instances, of which an endpoint has a few hundred at most.
    let count = ((1.0 / part) - 1e-9).ceil().clamp(1.0, 10_000.0) as u32;
    (1..=count).map(|number| (part * f64::from(number)).min(1.0)).map(snap).collect()
}

fn snap(share: f64) -> f64 {
    if share > 1.0 - 1e-9 { 1.0 } else { share }
}

/// `part` of `count` servers, rounded up.
pub fn at_least(part: f64, count: u64) -> u64 {
    ((part * count as f64) - 1e-9).ceil().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shares_of(config: Value, total: u64) -> Result<Vec<f64>, String> {
        let rollout = Rollout::of(&config, total).map_err(|failure| failure.message)?;
        Ok(rollout.steps.iter().map(|step| step.traffic).collect())
    }

    fn traffic(kind: &str, size: Value) -> Value {
        let mut routing = json!({"Type": kind, "WaitIntervalInSeconds": 3});
        if let (Some(all), Some(more)) = (routing.as_object_mut(), size.as_object()) {
            all.extend(more.clone());
        }
        json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 4}})
    }

    #[test]
    fn every_policy_ends_with_the_whole_traffic() {
        assert_eq!(shares_of(Value::Null, 2), Ok(vec![1.0]));
        assert_eq!(shares_of(traffic("ALL_AT_ONCE", json!({})), 2), Ok(vec![1.0]));
        let canary = json!({"CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10}});
        assert_eq!(shares_of(traffic("CANARY", canary), 2), Ok(vec![0.1, 1.0]));
        let linear = json!({"LinearStepSize": {"Type": "INSTANCE_COUNT", "Value": 1}});
        assert_eq!(shares_of(traffic("LINEAR", linear), 4), Ok(vec![0.25, 0.5, 0.75, 1.0]));
        let linear = json!({"LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 30}});
        assert_eq!(shares_of(traffic("LINEAR", linear), 4).map(|steps| steps.len()), Ok(4));
    }

    #[test]
    fn waits_stand_where_the_policy_puts_them() -> Result<(), Failure> {
        let canary = json!({"CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10}});
        let rollout = Rollout::of(&traffic("CANARY", canary), 1)?;
        let waits: Vec<u64> = rollout.steps.iter().map(|step| step.wait.as_secs()).collect();
        assert_eq!(waits, [3, 4]);
        let rollout = Rollout::of(&traffic("ALL_AT_ONCE", json!({})), 1)?;
        assert_eq!(rollout.steps[0].wait.as_secs(), 7);
        Ok(())
    }

    #[test]
    fn a_rolling_update_never_has_less_than_the_whole_capacity() -> Result<(), Failure> {
        let policy = json!({"RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 5}, "WaitIntervalInSeconds": 0}});
        let rollout = Rollout::of(&policy, 3)?;
        assert_eq!(rollout.steps.len(), 3);
        for step in rollout.steps {
            assert!(at_least(step.new_capacity, 3) + at_least(step.old_capacity, 3) >= 3);
        }
        Ok(())
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let refused = |config| shares_of(config, 2).err().unwrap_or_default();
        assert!(refused(traffic("CANARY", json!({}))).contains("CanarySize"));
        let large = json!({"CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 60}});
        assert!(refused(traffic("CANARY", large)).contains("50 percent"));
        let alarms = json!({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}});
        assert!(refused(alarms).contains("Alarms"));
    }
}
