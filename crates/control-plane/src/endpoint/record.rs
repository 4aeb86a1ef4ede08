//! The changes that the workflow of an endpoint makes to its record, each in one transaction with
//! the workflow's step. An endpoint that is being deleted is left as it is: the deletion wins.

use sagebrush_metastore::{Key, Record, WorkflowChange};
use sagebrush_types::limits::FAILURE_REASON_CHARS;
use sagebrush_types::{EndpointStatus, Failure, Outcome};
use serde_json::{Value, json};

use super::plan::{CONFIG, CONTAINERS, give_up, settle};
use super::{SERVE, UPDATE_KEPT};
use crate::document::seconds;
use crate::{ControlPlane, failure};

/// A legal change of an endpoint's status.
pub fn enter(record: &mut Record, status: EndpointStatus, now: i64) -> Outcome<()> {
    let from = EndpointStatus::parse(&record.status);
    if !from.is_some_and(|from| from.may_become(status)) {
        return Err(Failure::internal(format!("{}: {} may not become {status}", record.key, record.status)));
    }
    record.status = status.as_str().to_owned();
    record.document["EndpointStatus"] = json!(status.as_str());
    record.document["LastModifiedTime"] = seconds(now);
    record.modified = now;
    Ok(())
}

/// Did the change happen, or is the endpoint being deleted?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is on disk.
    Yes,
    /// The endpoint is being deleted; nothing was changed.
    Deleting,
}

async fn change(
    plane: &ControlPlane,
    key: &Key,
    workflow: WorkflowChange,
    change: impl FnOnce(&mut Record, i64) -> Outcome<()>,
) -> Outcome<Written> {
    let now = plane.now();
    let written = plane
        .store()
        .update(key, &workflow, |record| {
            if record.status == EndpointStatus::Deleting.as_str() {
                return Err(None);
            }
            change(record, now).map_err(Some)
        })
        .await
        .map_err(failure::of_metastore)?;
    match written {
        Ok(()) => Ok(Written::Yes),
        Err(None) => Ok(Written::Deleting),
        Err(Some(failure)) => Err(failure),
    }
}

/// Every server is up as the summaries wish: the first deployment, a change of numbers and weights,
/// or a restart has come to its end.
pub async fn in_service(plane: &ControlPlane, key: &Key) -> Outcome<Written> {
    change(plane, key, WorkflowChange::Step(SERVE.into()), |record, now| {
        if record.status != EndpointStatus::InService.as_str() {
            enter(record, EndpointStatus::InService, now)?;
            remove(record, "FailureReason");
        }
        settle(&mut record.document["ProductionVariants"]);
        Ok(())
    })
    .await
}

/// The update inside the record has been carried out: its version is what the endpoint serves.
pub async fn updated(plane: &ControlPlane, key: &Key) -> Outcome<Written> {
    change(plane, key, WorkflowChange::Step(SERVE.into()), |record, now| {
        enter(record, EndpointStatus::InService, now)?;
        let mut update = remove(record, UPDATE_KEPT).unwrap_or_default();
        settle(&mut update["ProductionVariants"]);
        remove(record, "FailureReason");
        for member in ["EndpointConfigName", "ProductionVariants", CONFIG, CONTAINERS] {
            if let Some(value) = update.get_mut(member) {
                record.document[member] = value.take();
            }
        }
        match update.get_mut("DeploymentConfig") {
            Some(config) if !config.is_null() => record.document["LastDeploymentConfig"] = config.take(),
            _ => {}
        }
        Ok(())
    })
    .await
}

/// An update or a change of numbers could not be carried out; what was served before is still
/// served.
pub async fn rolled_back(plane: &ControlPlane, key: &Key, reason: &str) -> Outcome<Written> {
    change(plane, key, WorkflowChange::Step(SERVE.into()), |record, now| {
        enter(record, EndpointStatus::InService, now)?;
        remove(record, UPDATE_KEPT);
        give_up(&mut record.document["ProductionVariants"]);
        set_reason(record, reason);
        Ok(())
    })
    .await
}

/// Nothing can be served.
pub async fn failed(plane: &ControlPlane, key: &Key, reason: &str) {
    let written = change(plane, key, WorkflowChange::End, |record, now| {
        enter(record, EndpointStatus::Failed, now)?;
        remove(record, UPDATE_KEPT);
        set_reason(record, reason);
        Ok(())
    })
    .await;
    match written {
        Ok(Written::Yes) => {}
        Ok(Written::Deleting) => tracing::info!(endpoint = %key, "the deployment failed while it is deleted"),
        Err(failure) => {
            tracing::error!(endpoint = %key, cause = failure.cause.as_deref(), "the failure was not written");
        }
    }
}

fn set_reason(record: &mut Record, reason: &str) {
    let reason: String = reason.chars().take(FAILURE_REASON_CHARS).collect();
    record.document["FailureReason"] = json!(reason);
}

fn remove(record: &mut Record, member: &str) -> Option<Value> {
    record.document.as_object_mut()?.remove(member)
}
