//! Starting and resuming the workflow of an endpoint, its ends, and its place in the route table.

use std::sync::Arc;

use sagebrush_metastore::{Key, MetastoreError};
use sagebrush_types::{EndpointRoute, EndpointStatus, Scope};

use super::operate::Operator;
use super::{DELETE, DEPLOY, record};
use crate::{ControlPlane, reconcile};

/// Starts the workflow of an endpoint that was just accepted.
pub fn start(plane: &ControlPlane, key: Key) {
    spawn(plane, key, true);
}

/// Goes on with an endpoint after a restart: it is brought up again, and an update under way is
/// begun anew; or its deletion is finished.
pub async fn resume(plane: &ControlPlane, key: Key, step: String) {
    let folder = plane.work_folder(&key);
    for version in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        for variant in std::fs::read_dir(version.path()).into_iter().flatten().flatten() {
            reconcile::kill_leftovers(&variant.path());
        }
    }
    if step == DELETE {
        finish_deletion(plane, &key).await;
        return;
    }
    spawn(plane, key, step == DEPLOY);
}

fn spawn(plane: &ControlPlane, key: Key, first: bool) {
    let signal = plane.shared.live.enter(&key);
    let plane = plane.clone();
    plane.shared.live.tasks.clone().spawn(async move {
        if let Err(failure) = Operator::new(&plane, &key, signal).run(first).await {
            match &failure.cause {
                Some(cause) => tracing::error!(endpoint = %key, cause, "deployment failed"),
                None => tracing::info!(endpoint = %key, "deployment failed: {}", failure.message),
            }
            record::failed(&plane, &key, &failure.message).await;
        }
        plane.shared.live.leave(&key);
        // A deletion may have come at any moment, also while the failure was being written.
        if is_deleting(&plane, &key).await {
            finish_deletion(&plane, &key).await;
        }
    });
}

async fn is_deleting(plane: &ControlPlane, key: &Key) -> bool {
    match plane.store().get(key).await {
        Ok(record) => record.is_some_and(|record| record.status == EndpointStatus::Deleting.as_str()),
        Err(error) => {
            tracing::error!(endpoint = %key, %error, "a deletion, if there is one, is finished at the next start");
            false
        }
    }
}

/// Removes the record and the working folder of an endpoint that no longer runs.
pub async fn finish_deletion(plane: &ControlPlane, key: &Key) {
    if let Err(failure) = reconcile::clear_folder(&plane.work_folder(key)) {
        tracing::warn!(endpoint = %key, cause = failure.cause.as_deref(), "the working folder stays behind");
    }
    if let Err(failure) = plane.forget_targets(&key.region, &key.name).await {
        tracing::warn!(endpoint = %key, cause = failure.cause.as_deref(), "its scalable targets stay behind");
    }
    match plane.store().delete(key).await {
        Ok(_) | Err(MetastoreError::NotFound(_)) => tracing::info!(endpoint = %key, "endpoint deleted"),
        Err(error) => tracing::error!(endpoint = %key, %error, "the deletion is retried at the next start"),
    }
}

impl ControlPlane {
    /// The scope of work that no request carries.
    pub(crate) fn scope(&self, region: &str) -> Scope {
        Scope { account: self.shared.settings.account.clone(), region: region.to_owned() }
    }

    pub(super) fn route(&self, key: &Key, route: EndpointRoute) {
        self.shared.routes.send_modify(|table| {
            let mut next = (**table).clone();
            next.endpoints.insert((key.region.clone(), key.name.clone()), Arc::new(route));
            *table = Arc::new(next);
        });
    }

    pub(crate) fn unroute(&self, key: &Key) {
        self.shared.routes.send_if_modified(|table| {
            let name = (key.region.clone(), key.name.clone());
            if !table.endpoints.contains_key(&name) {
                return false;
            }
            let mut next = (**table).clone();
            next.endpoints.remove(&name);
            *table = Arc::new(next);
            true
        });
    }
}
