//! The loop that carries policies out: every few seconds each target is looked at, and its variant's
//! number of servers is changed when it should be another.

use sagebrush_env::random_hex;
use sagebrush_metastore::Record;
use sagebrush_types::limits::{SCALING_ACTIVITIES, SCALING_EVERY};
use sagebrush_types::{EndpointStatus, Outcome, Resource, Scope};
use serde_json::{Value, json};

use super::decide::{Situation, Wish, decide};
use super::policy::TargetTracking;
use super::target::{ACTIVITIES, DIMENSION, LAST_IN, LAST_OUT, NAMESPACE, POLICIES, VariantId, list};
use crate::document::seconds;
use crate::traffic::MINUTE;
use crate::{ControlPlane, failure};

impl ControlPlane {
    /// Scales variants as their policies say, until the server ends.
    pub fn scale_variants(&self) {
        let plane = self.clone();
        self.shared.live.tasks.spawn(async move {
            let started = plane.now();
            let mut ticks = tokio::time::interval(SCALING_EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = plane.shared.live.closing.cancelled() => return,
                }
                let targets = match plane.store().all(Resource::ScalableTarget).await {
                    Ok(targets) => targets,
                    Err(error) => {
                        tracing::error!(%error, "scalable targets could not be read");
                        continue;
                    }
                };
                for target in targets {
                    if let Err(failure) = plane.look_at(&target, started).await {
                        let cause = failure.cause.as_deref();
                        tracing::warn!(target = target.key.name, cause, "not scaled: {}", failure.message);
                    }
                }
            }
        });
    }

    /// Ends an activity that has come to its end, or begins one.
    async fn look_at(&self, target: &Record, started: i64) -> Outcome<()> {
        let scope = self.scope(&target.key.region);
        let id = VariantId::parse(&target.key.name)?;
        let key = self.key(&scope, Resource::Endpoint, &id.endpoint);
        let Some(endpoint) = self.store().get(&key).await.map_err(failure::of_metastore)? else {
            return Ok(());
        };
        let variants = list(&endpoint.document, "ProductionVariants");
        let Some(variant) = variants.iter().find(|variant| variant["VariantName"] == *id.variant) else {
            return Ok(());
        };
        if endpoint.status != EndpointStatus::InService.as_str() {
            return Ok(());
        }
        let current = variant["CurrentInstanceCount"].as_u64().unwrap_or_default();
        if list(&target.document, ACTIVITIES).iter().any(is_open) {
            return self.end_activity(&scope, target, current).await;
        }
        let policies = list(&target.document, POLICIES);
        if policies.is_empty() {
            return Ok(());
        }
        let wishes: Vec<Wish> = policies.iter().filter_map(TargetTracking::wish).collect();
        let situation = self.situation(target, &endpoint, &id, current, started);
        let Some(wanted) = decide(&situation, &wishes) else { return Ok(()) };
        self.begin_activity(&scope, target, &id, &situation, wanted).await
    }

    fn situation(
        &self,
        target: &Record,
        endpoint: &Record,
        id: &VariantId,
        current: u64,
        started: i64,
    ) -> Situation {
        let now = self.now();
        let document = &target.document;
        let number = |member: &str| document[member].as_u64().unwrap_or(1);
        let since = |member: &str| document[member].as_i64().map(|at| now - at);
        let suspended = |member: &str| document["SuspendedState"][member] == true;
        let variant = ((endpoint.key.region.clone(), endpoint.key.name.clone()), id.variant.clone());
        Situation {
            current,
            minimum: number("MinCapacity"),
            maximum: number("MaxCapacity"),
            invocations: self.shared.traffic.last_minute(&variant, now),
            whole_minute: now - started.max(endpoint.modified).max(target.created) >= MINUTE,
            since_out: since(LAST_OUT),
            since_in: since(LAST_IN),
            may_grow: !suspended("DynamicScalingOutSuspended"),
            may_shrink: !suspended("DynamicScalingInSuspended"),
        }
    }

    async fn begin_activity(
        &self,
        scope: &Scope,
        target: &Record,
        id: &VariantId,
        situation: &Situation,
        wanted: u64,
    ) -> Outcome<()> {
        let change = json!({
            "EndpointName": id.endpoint,
            "DesiredWeightsAndCapacities": [{"VariantName": id.variant, "DesiredInstanceCount": wanted}],
        });
        self.update_endpoint_weights_and_capacities(scope, &change).await?;
        let now = self.now();
        let activity = json!({
            "ActivityId": random_hex(16),
            "ServiceNamespace": NAMESPACE,
            "ResourceId": target.key.name,
            "ScalableDimension": DIMENSION,
            "Description": format!("Setting desired instance count to {wanted}."),
            "Cause": cause(situation),
            "StartTime": seconds(now),
            "StatusCode": "InProgress",
            "StatusMessage": format!("Successfully set desired instance count to {wanted}. Waiting for change to be fulfilled by sagemaker."),
            "_Wanted": wanted,
        });
        tracing::info!(target = target.key.name, from = situation.current, to = wanted, "scaling a variant");
        self.change_target(scope, &target.key.name, |document| {
            let last = if wanted > situation.current { LAST_OUT } else { LAST_IN };
            document[last] = json!(now);
            let mut activities = list(document, ACTIVITIES).to_vec();
            activities.insert(0, activity);
            activities.truncate(SCALING_ACTIVITIES);
            document[ACTIVITIES] = activities.into();
            Ok(())
        })
        .await
    }

    /// The endpoint is in service again: the change was carried out, or it was not.
    async fn end_activity(&self, scope: &Scope, target: &Record, current: u64) -> Outcome<()> {
        let now = self.now();
        self.change_target(scope, &target.key.name, |document| {
            for activity in document[ACTIVITIES].as_array_mut().into_iter().flatten().filter(|open| is_open(open)) {
                let done = activity["_Wanted"] == current;
                activity["StatusCode"] = json!(if done { "Successful" } else { "Failed" });
                activity["StatusMessage"] = json!(if done {
                    format!("Successfully set desired instance count to {current}. Change successfully fulfilled by sagemaker.")
                } else {
                    format!("The endpoint has {current} instances of the variant. See its FailureReason.")
                });
                activity["EndTime"] = seconds(now);
                if let Some(members) = activity.as_object_mut() {
                    members.remove("_Wanted");
                }
            }
            Ok(())
        })
        .await
    }
}

fn is_open(activity: &Value) -> bool {
    activity["StatusCode"] == "InProgress"
}

fn cause(situation: &Situation) -> String {
    let Situation { current, minimum, maximum, invocations, .. } = situation;
    if (minimum..=maximum).contains(&current) {
        return format!("{invocations} invocations in the last minute with {current} instances");
    }
    format!("{current} instances are outside the range from {minimum} to {maximum}")
}
