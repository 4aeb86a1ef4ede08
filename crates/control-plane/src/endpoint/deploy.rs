//! The workflow of an endpoint: fetch the models, start the servers, keep them up, take them down.

use std::path::Path;
use std::sync::Arc;

use sagebrush_metastore::{Key, MetastoreError, Record, WorkflowChange};
use sagebrush_runner::{Layout, unpack};
use sagebrush_types::{
    EndpointRoute, EndpointStatus, Failure, Outcome, Resource, Scope, VariantRoute, s3_uri,
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::server::{Server, ServerReport};
use crate::built_in::Task;
use crate::document::seconds;
use crate::endpoint_config::ProductionVariant;
use crate::workflow::{Signal, told_to_end};
use crate::{ControlPlane, failure, model, reconcile};

/// Being deployed for the first time.
pub const DEPLOY: &str = "deploy";
/// In service: brought up again after a restart.
pub const SERVE: &str = "serve";
/// Being deleted.
pub const DELETE: &str = "delete";

/// Reports of model servers that wait to be read.
const REPORTS: usize = 64;

/// Starts the workflow of an endpoint that was just accepted.
pub fn start(plane: &ControlPlane, key: Key, config: Value) {
    spawn(plane, key, config);
}

/// Goes on with an endpoint after a restart: it is brought up again, or its deletion is finished.
pub async fn resume(plane: &ControlPlane, key: Key, step: String) {
    let folder = plane.work_folder(&key);
    for variant in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        reconcile::kill_leftovers(&variant.path());
    }
    if step == DELETE {
        finish_deletion(plane, &key).await;
        return;
    }
    match config(plane, &key).await {
        Ok(config) => spawn(plane, key, config),
        Err(failure) => fail(plane, &key, &failure.message).await,
    }
}

/// The configuration an endpoint was made from.
async fn config(plane: &ControlPlane, key: &Key) -> Outcome<Value> {
    let record = plane.store().get(key).await.map_err(failure::of_metastore)?;
    let record = record.ok_or_else(|| Failure::internal(format!("{key}: no record")))?;
    Ok(record.document[super::KEPT_CONFIG].clone())
}

fn spawn(plane: &ControlPlane, key: Key, config: Value) {
    let mut signal = plane.shared.live.enter(&key);
    let plane = plane.clone();
    plane.shared.live.tasks.clone().spawn(async move {
        let failed = drive(&plane, &key, &config, &mut signal).await.err();
        plane.unroute(&key);
        if let Some(failure) = failed {
            match &failure.cause {
                Some(cause) => tracing::error!(endpoint = %key, cause, "deployment failed"),
                None => tracing::info!(endpoint = %key, "deployment failed: {}", failure.message),
            }
            fail(&plane, &key, &failure.message).await;
        }
        plane.shared.live.leave(&key);
        // A deletion may have come at any moment, also while the failure was being written.
        if is_deleting(&plane, &key).await {
            finish_deletion(&plane, &key).await;
        }
    });
}

/// Deploys and serves until told to end.
async fn drive(
    plane: &ControlPlane,
    key: &Key,
    config: &Value,
    signal: &mut watch::Receiver<Signal>,
) -> Outcome<()> {
    let variants: Vec<ProductionVariant> =
        serde_json::from_value(config["ProductionVariants"].clone()).map_err(Failure::internal)?;
    reconcile::clear_folder(&plane.work_folder(key))?;
    let (reports, mut inbox) = mpsc::channel(REPORTS);
    let mut servers = JoinSet::new();
    for (place, variant) in variants.iter().enumerate() {
        let prepared = tokio::select! {
            prepared = prepare(plane, key, variant) => prepared?,
            _ = told_to_end(signal) => return Ok(()),
        };
        for instance in 0..variant.initial_instance_count {
            let server = Server {
                plane: plane.clone(),
                key: key.clone(),
                variant: place,
                variant_name: variant.variant_name.clone(),
                instance,
                start_timeout: variant.container_startup_health_check_timeout_in_seconds,
                model: prepared.clone(),
                reports: reports.clone(),
            };
            servers.spawn(server.keep_up(signal.clone()));
        }
    }
    drop(reports);
    let mut board =
        Board { plane, key, variants: &variants, up: vec![Vec::new(); variants.len()], ready: false };
    loop {
        tokio::select! {
            Some(report) = inbox.recv() => board.take(report).await?,
            _ = told_to_end(signal) => break,
        }
    }
    plane.unroute(key);
    while servers.join_next().await.is_some() {}
    Ok(())
}

/// A model on disk, ready to be served by any number of servers.
#[derive(Debug, Clone)]
pub struct PreparedModel {
    /// Its image.
    pub image: String,
    /// Environment of its servers.
    pub environment: std::collections::BTreeMap<String, String>,
    /// The folder that stands for `/opt/ml`.
    pub layout: Layout,
}

/// Fetches and unpacks a variant's model.
async fn prepare(plane: &ControlPlane, key: &Key, variant: &ProductionVariant) -> Outcome<PreparedModel> {
    let scope = plane.scope(&key.region);
    let record = plane.find(&scope, Resource::Model, &variant.model_name).await?;
    let container = model::container(&record)?;
    let image = container.image.unwrap_or_default();
    plane.built_in("PrimaryContainer.Image", &image, Task::Serve)?;
    let folder = plane.work_folder(key).join(&variant.variant_name);
    let layout = Layout::new(folder.join("opt-ml"));
    std::fs::create_dir_all(layout.model()).map_err(Failure::internal)?;
    let uri = container.model_data_url.unwrap_or_default();
    let (bucket, object) = s3_uri("ModelDataUrl", &uri)?;
    let archive = folder.join("model.tar.gz");
    plane.objects().fetch_object_to(bucket, object, &archive).await.map_err(|error| {
        Failure::invalid(format!(
            "The model data of variant '{}' could not be downloaded from {uri}: {error}",
            variant.variant_name
        ))
    })?;
    unpack_archive(&archive, &layout.model()).await.map_err(|message| {
        Failure::invalid(format!("The model data of variant '{}' ({uri}): {message}", variant.variant_name))
    })?;
    Ok(PreparedModel { image, environment: container.environment, layout })
}

async fn unpack_archive(archive: &Path, folder: &Path) -> Result<(), String> {
    let (from, to) = (archive.to_path_buf(), folder.to_path_buf());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&from, &to)).await;
    unpacked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    // The archive is in the object store; a second copy here serves nobody.
    std::fs::remove_file(archive).map_err(|error| error.to_string())
}

/// Which servers are up, and what follows from it.
struct Board<'a> {
    plane: &'a ControlPlane,
    key: &'a Key,
    variants: &'a [ProductionVariant],
    up: Vec<Vec<std::net::SocketAddr>>,
    ready: bool,
}

impl Board<'_> {
    async fn take(&mut self, report: ServerReport) -> Outcome<()> {
        match report {
            ServerReport::Up { variant, address } => self.up[variant].push(address),
            ServerReport::Down { variant, address } => self.up[variant].retain(|up| *up != address),
            ServerReport::GaveUp { variant, message } if !self.ready => {
                return Err(Failure::invalid(format!(
                    "The model server of variant '{}' did not start: {message}",
                    self.variants[variant].variant_name
                )));
            }
            // One that was in service is started again and again; the log says why it fails.
            ServerReport::GaveUp { .. } => {}
        }
        let complete = self
            .up
            .iter()
            .zip(self.variants)
            .all(|(up, variant)| up.len() as u64 == variant.initial_instance_count);
        if self.ready || complete {
            self.publish();
        }
        if complete && !self.ready {
            self.ready = true;
            self.in_service().await?;
        }
        Ok(())
    }

    fn publish(&self) {
        let variants = self
            .variants
            .iter()
            .zip(&self.up)
            .map(|(variant, up)| VariantRoute {
                name: variant.variant_name.clone(),
                weight: variant.initial_variant_weight,
                servers: up.clone(),
            })
            .collect();
        self.plane.route(self.key, EndpointRoute { variants });
    }

    /// Every server answered: the endpoint is in service.
    async fn in_service(&self) -> Outcome<()> {
        let now = self.plane.now();
        self.plane
            .store()
            .update(self.key, &WorkflowChange::Step(SERVE.into()), |record| {
                if record.status == EndpointStatus::Creating.as_str() {
                    enter(record, EndpointStatus::InService, now)?;
                }
                for variant in record.document["ProductionVariants"].as_array_mut().into_iter().flatten() {
                    variant["CurrentInstanceCount"] = variant["DesiredInstanceCount"].clone();
                }
                Outcome::Ok(())
            })
            .await
            .map_err(failure::of_metastore)?
    }
}

/// A legal change of an endpoint's status.
pub fn enter(record: &mut Record, status: EndpointStatus, now: i64) -> Outcome<()> {
    let from = EndpointStatus::parse(&record.status);
    if !from.is_some_and(|from| from.may_become(status)) {
        return Err(Failure::internal(format!("{}: {} may not become {status}", record.key, record.status)));
    }
    record.status = status.as_str().to_owned();
    record.document["EndpointStatus"] = json!(status.as_str());
    record.document["LastModifiedTime"] = seconds(now);
    Ok(())
}

async fn fail(plane: &ControlPlane, key: &Key, reason: &str) {
    let now = plane.now();
    let written = plane
        .store()
        .update(key, &WorkflowChange::End, |record| {
            enter(record, EndpointStatus::Failed, now)?;
            record.document["FailureReason"] = json!(reason);
            Outcome::Ok(())
        })
        .await;
    match written {
        Ok(Ok(())) => {}
        // It is being deleted, and that is its end.
        Ok(Err(_)) => tracing::info!(endpoint = %key, "the deployment failed while the endpoint is deleted"),
        Err(error) => tracing::error!(endpoint = %key, %error, "the failure was not written"),
    }
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

    fn route(&self, key: &Key, route: EndpointRoute) {
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
