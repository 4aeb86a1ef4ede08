//! Target tracking policies: what they may say, and their operations.

use sagebrush_env::random_hex;
use sagebrush_types::limits::SCALING_POLICIES;
use sagebrush_types::{Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::decide::Wish;
use super::target::{DIMENSION, NAMESPACE, POLICIES, VariantId, check_kind, list, page};
use crate::document::{pick, seconds};
use crate::{ControlPlane, request};

/// The only metric: invocations per minute and server of a variant.
const METRIC: &str = "SageMakerVariantInvocationsPerInstance";
/// Seconds between two changes when a policy does not say: AWS's default for production variants.
const COOLDOWN: u64 = 300;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutScalingPolicy {
    policy_name: String,
    service_namespace: String,
    resource_id: String,
    scalable_dimension: String,
    policy_type: Option<String>,
    target_tracking_scaling_policy_configuration: Option<TargetTracking>,
}

/// TargetTrackingScalingPolicyConfiguration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TargetTracking {
    target_value: f64,
    predefined_metric_specification: Option<PredefinedMetric>,
    scale_out_cooldown: Option<u64>,
    scale_in_cooldown: Option<u64>,
    #[serde(default)]
    disable_scale_in: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PredefinedMetric {
    predefined_metric_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteScalingPolicy {
    policy_name: String,
    service_namespace: String,
    resource_id: String,
    scalable_dimension: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeScalingPolicies {
    #[serde(default)]
    policy_names: Vec<String>,
    service_namespace: String,
    resource_id: Option<String>,
    scalable_dimension: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

impl TargetTracking {
    fn check(&self) -> Outcome<()> {
        let field = "TargetTrackingScalingPolicyConfiguration";
        let metric = self.predefined_metric_specification.as_ref().ok_or_else(|| {
            Failure::invalid(format!("{field}.PredefinedMetricSpecification: name the metric {METRIC}."))
        })?;
        if metric.predefined_metric_type != METRIC {
            return Err(Failure::unsupported(format!(
                "{field}.PredefinedMetricSpecification.PredefinedMetricType: only {METRIC} is supported by this \
                 server, not {}.",
                metric.predefined_metric_type
            )));
        }
        if !(self.target_value.is_finite() && self.target_value > 0.0) {
            return Err(Failure::invalid(format!("{field}.TargetValue: give a number above 0.")));
        }
        Ok(())
    }

    /// The wish of a policy in a target's document.
    pub fn wish(policy: &Value) -> Option<Wish> {
        let config = policy["TargetTrackingScalingPolicyConfiguration"].clone();
        let config: Self = serde_json::from_value(config).ok()?;
        let milliseconds = |seconds: Option<u64>| {
            i64::try_from(seconds.unwrap_or(COOLDOWN)).unwrap_or(i64::MAX).saturating_mul(1000)
        };
        Some(Wish {
            target: config.target_value,
            out_cooldown: milliseconds(config.scale_out_cooldown),
            in_cooldown: milliseconds(config.scale_in_cooldown),
            never_shrink: config.disable_scale_in,
        })
    }
}

impl ControlPlane {
    /// PutScalingPolicy: a new policy, or another content of one that is there.
    ///
    /// # Errors
    /// `NotFound` for a target that is not registered; `Unsupported` for policies other than target
    /// tracking of invocations per instance; `LimitExceeded`.
    pub async fn put_scaling_policy(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: PutScalingPolicy = request::decode("PutScalingPolicy", document)?;
        check_kind(&request.service_namespace, Some(&request.scalable_dimension))?;
        VariantId::parse(&request.resource_id)?;
        let kind = request.policy_type.as_deref().unwrap_or("TargetTrackingScaling");
        let config = match (kind, &request.target_tracking_scaling_policy_configuration) {
            ("TargetTrackingScaling", Some(config)) => config,
            ("TargetTrackingScaling", None) => {
                return Err(Failure::invalid(
                    "TargetTrackingScalingPolicyConfiguration: a policy of the type TargetTrackingScaling needs it.",
                ));
            }
            (other, _) => {
                return Err(Failure::unsupported(format!(
                    "PolicyType: only TargetTrackingScaling is supported by this server, not {other}."
                )));
            }
        };
        config.check()?;
        let (id, name, now) = (&request.resource_id, &request.policy_name, self.now());
        let Scope { account, region } = scope;
        let arn = format!(
            "arn:aws:autoscaling:{region}:{account}:scalingPolicy:{}:resource/{NAMESPACE}/{id}:policyName/{name}",
            random_hex(16)
        );
        let shown = pick(document, &["PolicyName", "TargetTrackingScalingPolicyConfiguration"]);
        let arn = self
            .change_target(scope, id, |target| {
                let mut policies = list(target, POLICIES).to_vec();
                let place = policies.iter().position(|policy| policy["PolicyName"] == **name);
                let mut policy = shown;
                for (member, value) in [
                    ("PolicyARN", json!(arn)),
                    ("ServiceNamespace", json!(NAMESPACE)),
                    ("ResourceId", json!(id)),
                    ("ScalableDimension", json!(DIMENSION)),
                    ("PolicyType", json!("TargetTrackingScaling")),
                    ("Alarms", json!([])),
                    ("CreationTime", seconds(now)),
                ] {
                    // Identity and birth stay when the content changes.
                    let kept = place.and_then(|place| policies[place].get(member)).cloned();
                    policy[member] = kept.unwrap_or(value);
                }
                let arn = policy["PolicyARN"].as_str().unwrap_or_default().to_owned();
                match place {
                    Some(place) => policies[place] = policy,
                    None if policies.len() >= SCALING_POLICIES => {
                        return Err(Failure::new(
                            FailureKind::LimitExceeded,
                            format!(
                                "A scalable target has at most {SCALING_POLICIES} policies. Delete one first."
                            ),
                        ));
                    }
                    None => policies.push(policy),
                }
                target[POLICIES] = policies.into();
                Ok(arn)
            })
            .await?;
        Ok(json!({"PolicyARN": arn, "Alarms": []}))
    }

    /// DeleteScalingPolicy.
    ///
    /// # Errors
    /// `NotFound` for a target or policy that is not there.
    pub async fn delete_scaling_policy(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: DeleteScalingPolicy = request::decode("DeleteScalingPolicy", document)?;
        check_kind(&request.service_namespace, Some(&request.scalable_dimension))?;
        let name = &request.policy_name;
        self.change_target(scope, &request.resource_id, |target| {
            let mut policies = list(target, POLICIES).to_vec();
            let before = policies.len();
            policies.retain(|policy| policy["PolicyName"] != **name);
            if policies.len() == before {
                return Err(Failure::new(
                    FailureKind::NotFound(Resource::ScalableTarget),
                    format!(
                        "No scaling policy found for service namespace: {NAMESPACE}, resource ID: {}, scalable \
                         dimension: {DIMENSION}, policy name: {name}",
                        request.resource_id
                    ),
                ));
            }
            target[POLICIES] = policies.into();
            Ok(())
        })
        .await?;
        Ok(json!({}))
    }

    /// DescribeScalingPolicies.
    ///
    /// # Errors
    /// `Unsupported` for another service; `Invalid` for a strange token.
    pub async fn describe_scaling_policies(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: DescribeScalingPolicies = request::decode("DescribeScalingPolicies", document)?;
        check_kind(&request.service_namespace, request.scalable_dimension.as_deref())?;
        let named = |policy: &Value| {
            request.policy_names.is_empty()
                || request.policy_names.iter().any(|name| policy["PolicyName"] == **name)
        };
        let found: Vec<Value> = self
            .targets_of(scope)
            .await?
            .iter()
            .filter(|target| request.resource_id.as_ref().is_none_or(|id| *id == target.key.name))
            .flat_map(|target| list(&target.document, POLICIES).to_vec())
            .filter(named)
            .collect();
        page("ScalingPolicies", found, request.max_results, request.next_token.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: Value) -> Result<(), String> {
        let config: TargetTracking = serde_json::from_value(config).map_err(|error| error.to_string())?;
        config.check().map_err(|failure| failure.message)
    }

    #[test]
    fn only_invocations_per_instance_are_tracked() {
        let metric = |name: &str| json!({"PredefinedMetricType": name});
        assert_eq!(
            check(json!({"TargetValue": 5.0, "PredefinedMetricSpecification": metric(METRIC)})),
            Ok(())
        );
        let refused = check(json!({"TargetValue": 5.0, "PredefinedMetricSpecification": metric("Other")}));
        assert!(refused.is_err_and(|message| message.contains("PredefinedMetricType")));
        assert!(check(json!({"TargetValue": 0.0, "PredefinedMetricSpecification": metric(METRIC)})).is_err());
        assert!(check(json!({"TargetValue": 1.0, "CustomizedMetricSpecification": {}})).is_err());
    }

    #[test]
    fn cooldowns_have_the_defaults_of_production_variants() {
        let policy =
            json!({"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 5.0, "ScaleInCooldown": 7}});
        let wish = TargetTracking::wish(&policy);
        assert!(wish.is_some_and(|wish| wish.out_cooldown == 300_000 && wish.in_cooldown == 7_000));
    }
}
