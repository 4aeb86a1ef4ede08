//! Application Auto Scaling for production variants: targets with bounds, target tracking policies
//! over invocations per instance, and the loop that carries them out.
//!
//! Promises: a variant's number of servers changes as UpdateEndpointWeightsAndCapacities changes it,
//! so no request fails; every change is told as an activity. Never: another service, another
//! metric; both are refused by name.

mod decide;
mod drive;
mod policy;
mod target;

use sagebrush_env::random_hex;
use sagebrush_metastore::{MetastoreError, NewRecord, WorkflowChange};
use sagebrush_types::limits::INSTANCES_PER_VARIANT;
use sagebrush_types::{Failure, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::seconds;
use crate::{ControlPlane, failure, request};

use target::{ACTIVITIES, DIMENSION, NAMESPACE, VariantId, check_kind, key, list, no_target, page, shown};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RegisterScalableTarget {
    service_namespace: String,
    resource_id: String,
    scalable_dimension: String,
    min_capacity: Option<u64>,
    max_capacity: Option<u64>,
    #[serde(rename = "RoleARN")]
    role_arn: Option<String>,
    suspended_state: Option<SuspendedState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SuspendedState {
    #[serde(default)]
    dynamic_scaling_in_suspended: bool,
    #[serde(default)]
    dynamic_scaling_out_suspended: bool,
    /// There are no scheduled actions, so both values hold.
    #[serde(default)]
    scheduled_scaling_suspended: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OneTarget {
    service_namespace: String,
    resource_id: String,
    scalable_dimension: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeScalableTargets {
    service_namespace: String,
    #[serde(default, rename = "ResourceIds")]
    resource_ids: Vec<String>,
    scalable_dimension: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeScalingActivities {
    service_namespace: String,
    resource_id: Option<String>,
    scalable_dimension: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
    /// Only changes that were made are kept, so there are no others to include.
    #[serde(default, rename = "IncludeNotScaledActivities")]
    _include_not_scaled_activities: bool,
}

impl ControlPlane {
    /// RegisterScalableTarget: a new target, or other bounds of one that is there.
    ///
    /// # Errors
    /// `Invalid` for a variant that is not there or bounds that cannot be; `Unsupported` for
    /// another service.
    pub async fn register_scalable_target(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: RegisterScalableTarget = request::decode("RegisterScalableTarget", document)?;
        check_kind(&request.service_namespace, Some(&request.scalable_dimension))?;
        self.check_variant(scope, &VariantId::parse(&request.resource_id)?).await?;
        let key = key(scope, &request.resource_id);
        let old = self.store().get(&key).await.map_err(failure::of_metastore)?;
        let bounds = |member: &str, given: Option<u64>| {
            let kept = old.as_ref().and_then(|old| old.document[member].as_u64());
            given
                .or(kept)
                .ok_or_else(|| Failure::invalid(format!("{member}: a new scalable target needs it.")))
        };
        let least = bounds("MinCapacity", request.min_capacity)?;
        let most = bounds("MaxCapacity", request.max_capacity)?;
        if least < 1 || least > most || most > INSTANCES_PER_VARIANT {
            return Err(Failure::invalid(format!(
                "MinCapacity and MaxCapacity: {least} to {most} is not a range within 1 and the {INSTANCES_PER_VARIANT} \
                 instances that one variant may have on this machine."
            )));
        }
        let change = json!({
            "MinCapacity": least,
            "MaxCapacity": most,
            "RoleARN": request.role_arn,
            "SuspendedState": request.suspended_state.map(|state| json!({
                "DynamicScalingInSuspended": state.dynamic_scaling_in_suspended,
                "DynamicScalingOutSuspended": state.dynamic_scaling_out_suspended,
                "ScheduledScalingSuspended": state.scheduled_scaling_suspended,
            })),
        });
        let arn = match old {
            Some(old) => {
                self.change_target(scope, &request.resource_id, |document| {
                    merge(document, &change);
                    Ok(())
                })
                .await?;
                old.arn
            }
            None => self.create_target(scope, &request.resource_id, &change).await?,
        };
        Ok(json!({"ScalableTargetARN": arn}))
    }

    async fn create_target(&self, scope: &Scope, id: &str, change: &Value) -> Outcome<String> {
        let now = self.now();
        let Scope { account, region } = scope;
        let arn =
            format!("arn:aws:application-autoscaling:{region}:{account}:scalable-target/{}", random_hex(17));
        let mut document = json!({
            "ServiceNamespace": NAMESPACE,
            "ResourceId": id,
            "ScalableDimension": DIMENSION,
            "RoleARN": format!(
                "arn:aws:iam::{account}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/\
                 AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
            ),
            "CreationTime": seconds(now),
            "SuspendedState": {
                "DynamicScalingInSuspended": false,
                "DynamicScalingOutSuspended": false,
                "ScheduledScalingSuspended": false,
            },
            "ScalableTargetARN": arn,
        });
        merge(&mut document, change);
        let record = NewRecord {
            key: key(scope, id),
            arn: arn.clone(),
            status: String::new(),
            created: now,
            document,
            tags: Vec::new(),
            workflow: None,
        };
        match self.store().create(&record).await {
            Ok(()) => Ok(arn),
            // Registered at the same time by somebody else: their request was first.
            Err(MetastoreError::AlreadyExists(_)) => {
                self.change_target(scope, id, |document| {
                    merge(document, change);
                    Ok(())
                })
                .await?;
                Ok(arn)
            }
            Err(error) => Err(failure::of_metastore(error)),
        }
    }

    async fn check_variant(&self, scope: &Scope, id: &VariantId) -> Outcome<()> {
        let endpoint = self
            .find(scope, Resource::Endpoint, &id.endpoint)
            .await
            .map_err(|failure| Failure { kind: sagebrush_types::FailureKind::Invalid, ..failure })?;
        let variants = list(&endpoint.document, "ProductionVariants");
        if variants.iter().any(|variant| variant["VariantName"] == *id.variant) {
            return Ok(());
        }
        Err(Failure::invalid(format!(
            "ResourceId: the endpoint \"{}\" has no production variant \"{}\".",
            id.endpoint, id.variant
        )))
    }

    /// DeregisterScalableTarget, with its policies.
    ///
    /// # Errors
    /// `NotFound`; `Unsupported` for another service.
    pub async fn deregister_scalable_target(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: OneTarget = request::decode("DeregisterScalableTarget", document)?;
        check_kind(&request.service_namespace, Some(&request.scalable_dimension))?;
        match self.store().delete(&key(scope, &request.resource_id)).await {
            Ok(_) => Ok(json!({})),
            Err(MetastoreError::NotFound(_)) => Err(no_target(&request.resource_id)),
            Err(error) => Err(failure::of_metastore(error)),
        }
    }

    /// DescribeScalableTargets.
    ///
    /// # Errors
    /// `Unsupported` for another service; `Invalid` for a strange token.
    pub async fn describe_scalable_targets(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: DescribeScalableTargets = request::decode("DescribeScalableTargets", document)?;
        check_kind(&request.service_namespace, request.scalable_dimension.as_deref())?;
        let targets = self.targets_of(scope).await?;
        let asked = |id: &str| {
            request.resource_ids.is_empty() || request.resource_ids.iter().any(|asked| asked == id)
        };
        let found = targets
            .iter()
            .filter(|target| asked(&target.key.name))
            .map(|target| shown(&target.document))
            .collect();
        page("ScalableTargets", found, request.max_results, request.next_token.as_deref())
    }

    /// DescribeScalingActivities, newest first.
    ///
    /// # Errors
    /// `Unsupported` for another service; `Invalid` for a strange token.
    pub async fn describe_scaling_activities(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: DescribeScalingActivities = request::decode("DescribeScalingActivities", document)?;
        check_kind(&request.service_namespace, request.scalable_dimension.as_deref())?;
        let mut found: Vec<Value> = self
            .targets_of(scope)
            .await?
            .iter()
            .filter(|target| request.resource_id.as_ref().is_none_or(|id| *id == target.key.name))
            .flat_map(|target| list(&target.document, ACTIVITIES).iter().map(shown))
            .collect();
        let started = |activity: &Value| activity["StartTime"].as_f64().unwrap_or_default();
        found.sort_by(|a, b| started(b).total_cmp(&started(a)));
        page("ScalingActivities", found, request.max_results, request.next_token.as_deref())
    }

    /// The targets of a region, by resource id.
    async fn targets_of(&self, scope: &Scope) -> Outcome<Vec<sagebrush_metastore::Record>> {
        let all = self.store().all(Resource::ScalableTarget).await.map_err(failure::of_metastore)?;
        Ok(all.into_iter().filter(|target| target.key.region == scope.region).collect())
    }

    /// Changes a target's document in one transaction.
    async fn change_target<T>(
        &self,
        scope: &Scope,
        id: &str,
        change: impl FnOnce(&mut Value) -> Outcome<T>,
    ) -> Outcome<T> {
        let changed = self
            .store()
            .update(&key(scope, id), &WorkflowChange::Keep, |record| change(&mut record.document))
            .await;
        match changed {
            Ok(outcome) => outcome,
            Err(MetastoreError::NotFound(_)) => Err(no_target(id)),
            Err(error) => Err(failure::of_metastore(error)),
        }
    }

    /// Removes the targets of an endpoint that is gone.
    pub(crate) async fn forget_targets(&self, region: &str, endpoint: &str) -> Outcome<()> {
        let prefix = format!("endpoint/{endpoint}/variant/");
        for target in self.targets_of(&self.scope(region)).await? {
            if target.key.name.starts_with(&prefix) {
                match self.store().delete(&target.key).await {
                    Ok(_) | Err(MetastoreError::NotFound(_)) => {}
                    Err(error) => return Err(failure::of_metastore(error)),
                }
            }
        }
        Ok(())
    }
}

/// Takes over the members of `change` that have a value.
fn merge(document: &mut Value, change: &Value) {
    for (name, value) in change.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        document[name.as_str()] = value.clone();
    }
}
