//! From a model's name in a request to the model in its container: the artifact under the prefix is
//! fetched, unpacked into a folder that the container sees, and loaded there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use sagebrush_object_store::Error;
use serde_json::json;

use super::models::{Models, Slot};
use super::refusal::Refusal;
use crate::artifact::{ArtifactError, unpack};
use crate::stage::plain_files;

/// Bytes of a container's words that are repeated.
const WORDS_BYTES: usize = 4096;

/// Refuses a model's name that would leave the prefix.
///
/// # Errors
/// `ValidationError` with what a name may be.
pub fn check_target(target: &str) -> Result<(), Refusal> {
    let parts = target.strip_prefix('/').unwrap_or(target).split('/');
    if parts.clone().any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Refusal::invalid(format!(
            "TargetModel: '{target}' must be the path of an artifact below the ModelDataUrl of the model, without '.' and \
             '..' and empty parts."
        )));
    }
    Ok(())
}

impl Models {
    /// Fetches, unpacks and loads a model.
    pub(super) async fn load(self: &Arc<Self>, slot: &Slot) -> Result<(), Refusal> {
        self.remove_files(slot).await;
        self.download(slot).await?;
        self.make_room(slot.bytes.load(Ordering::Relaxed)).await?;
        let url = format!("{}/{}/model", self.prefix.seen_at, slot.name);
        let document = json!({"model_name": slot.name, "url": url});
        loop {
            let answer = self.sender.post_json(self.address, "models", &document).await;
            let answer = answer.map_err(|error| Refusal::unreachable(&self.container, &error))?;
            let status = answer.status();
            // 409: it has it already.
            if status.is_success() || status == StatusCode::CONFLICT {
                return Ok(());
            }
            if status == StatusCode::INSUFFICIENT_STORAGE && self.unload_oldest().await {
                continue;
            }
            return Err(Refusal::Container {
                name: self.container.clone(),
                status,
                body: words(answer).await,
            });
        }
    }

    /// Lays a model out in its folder.
    async fn download(self: &Arc<Self>, slot: &Slot) -> Result<(), Refusal> {
        let bucket = &self.prefix.bucket;
        let key = format!("{}{}", self.prefix.prefix, slot.target.trim_start_matches('/'));
        let folder = self.folder(slot);
        let archive = folder.join("model.tar.gz");
        std::fs::create_dir_all(&folder).map_err(Refusal::internal)?;
        match self.prefix.objects.fetch_object_to(bucket, &key, &archive).await {
            Ok(_) => {}
            Err(error @ (Error::Io(_) | Error::Index(_) | Error::Damaged(_))) => {
                return Err(Refusal::internal(error));
            }
            Err(_) => {
                return Err(Refusal::invalid(format!(
                    "Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that there is an object \
                     located at the URL and that the role passed to CreateModel has permissions to download the model."
                )));
            }
        }
        // A task of its own that the relay waits for: its writing cannot be interrupted.
        let unpacked = self.tasks.spawn_blocking(move || -> Result<u64, ArtifactError> {
            let model = folder.join("model");
            unpack(&archive, &model)?;
            std::fs::remove_file(&archive)?;
            let mut bytes = 0;
            for (path, _) in plain_files(&model)? {
                bytes += path.metadata()?.len();
            }
            Ok(bytes)
        });
        match unpacked.await.map_err(Refusal::internal)? {
            Ok(bytes) => {
                slot.bytes.store(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(Refusal::invalid(format!(
                "Failed to extract model data(bucket: {bucket}, key: {key}): {error}."
            ))),
        }
    }

    /// Asks the container to forget a model. One that it has not got is what was wanted.
    pub(super) async fn delete(&self, slot: &Slot) {
        let path = format!("models/{}", slot.name);
        let answer = tokio::select! {
            answer = self.sender.delete(self.address, &path) => answer,
            () = self.closing.cancelled() => return,
        };
        match answer.map(|answer| answer.status()) {
            Ok(status) if status.is_success() || status == StatusCode::NOT_FOUND => {}
            Ok(status) => {
                tracing::warn!(container = self.container, model = slot.target, %status, "a model was not unloaded");
            }
            // The instance is replaced when its container has gone.
            Err(error) => {
                tracing::debug!(container = self.container, model = slot.target, %error, "a model was not unloaded");
            }
        }
    }

    /// Removes what a model has on disk.
    pub(super) async fn remove_files(&self, slot: &Slot) {
        let folder = self.folder(slot);
        slot.bytes.store(0, Ordering::Relaxed);
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
        if let Ok(Err(error)) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(model = slot.target, %error, "the files of a model stay until the instance ends");
        }
    }

    fn folder(&self, slot: &Slot) -> PathBuf {
        self.prefix.folder.join(&slot.name)
    }
}

/// The beginning of an answer's body.
async fn words(mut answer: reqwest::Response) -> Bytes {
    let mut body = BytesMut::new();
    while body.len() < WORDS_BYTES {
        match answer.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(WORDS_BYTES);
    body.freeze()
}
