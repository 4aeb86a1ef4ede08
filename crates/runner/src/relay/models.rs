//! The models that one container holds, by the contract of multi-model containers: `POST /models` loads one
//! from a folder, `DELETE /models/NAME` unloads it, 507 says that there is no more memory.
//!
//! Promises: a model is loaded once however many requests wait for it, and stays while a request uses it;
//! when the container or a bound has no room, the models that were not used for longest go. Whoever waits
//! for a failed load learns why; the next request tries again. Never: holds a lock while anything is loaded.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sagebrush_types::limits::{MODEL_LOAD_TIMEOUT, MODEL_LOAD_WAIT, MODELS_DISK_BYTES, MODELS_LOADED};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ModelPrefix;
use super::load::check_target;
use super::pass::Sender;
use super::refusal::Refusal;

/// Characters of a model's name in the container: what it is called is the container's business only.
const NAME_CHARS: usize = 32;

/// The models of one container.
#[derive(Debug)]
pub struct Models {
    pub(super) prefix: ModelPrefix,
    pub(super) container: String,
    pub(super) address: SocketAddr,
    pub(super) sender: Sender,
    pub(super) closing: CancellationToken,
    pub(super) tasks: TaskTracker,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    slots: HashMap<String, Arc<Slot>>,
    /// Counts uses, so that it says which was last.
    turn: u64,
}

/// A model that is asked for.
#[derive(Debug)]
pub(super) struct Slot {
    /// As requests call it.
    pub target: String,
    /// As the container calls it.
    pub name: String,
    /// What it has on disk.
    pub bytes: AtomicU64,
    users: AtomicUsize,
    used: AtomicU64,
    progress: watch::Sender<Progress>,
}

/// How far a model has come. It changes only while the shelf is locked.
#[derive(Debug, Clone)]
enum Progress {
    /// It is being loaded or unloaded; one task does it.
    Moving,
    /// The container has it.
    Loaded,
    /// It could not be loaded; it stands on the shelf no more.
    Failed(Refusal),
}

/// A loaded model in use; it stays loaded until this is dropped.
#[derive(Debug)]
pub struct InUse {
    models: Arc<Models>,
    slot: Arc<Slot>,
}

impl InUse {
    /// Its name in the container.
    pub fn name(&self) -> &str {
        &self.slot.name
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let left = self.slot.users.fetch_sub(1, Ordering::AcqRel) - 1;
        if left == 0 && !self.models.prefix.cached {
            self.models.clone().begin_unload_if_idle(&self.slot);
        }
    }
}

/// The name of a model in its container: opaque, and fit for a path.
pub(super) fn name_of(target: &str) -> String {
    let mut name = hex::encode(Sha256::digest(target));
    name.truncate(NAME_CHARS);
    name
}

impl Models {
    /// No model yet.
    pub fn new(
        prefix: ModelPrefix,
        container: String,
        address: SocketAddr,
        sender: Sender,
        closing: CancellationToken,
    ) -> Arc<Self> {
        let (tasks, shelf) = (TaskTracker::new(), Mutex::default());
        Arc::new(Self { prefix, container, address, sender, closing, tasks, shelf })
    }

    /// The model that a request names, loaded; the load goes on when the request is gone.
    ///
    /// # Errors
    /// Why there is no such model, or that it is not loaded yet.
    pub async fn acquire(self: &Arc<Self>, target: Option<&str>) -> Result<InUse, Refusal> {
        let target = target.ok_or_else(|| {
            Refusal::invalid(
                "The request is missing a target model header: set TargetModel to the model's name.",
            )
        })?;
        check_target(target)?;
        let in_use = self.enter(target);
        let mut progress = in_use.slot.progress.subscribe();
        let settled = progress.wait_for(|progress| !matches!(progress, Progress::Moving));
        let settled = match tokio::time::timeout(MODEL_LOAD_WAIT, settled).await {
            Ok(Ok(progress)) => progress.clone(),
            Ok(Err(_)) | Err(_) => Progress::Moving,
        };
        match settled {
            Progress::Loaded => Ok(in_use),
            Progress::Failed(refusal) => Err(refusal),
            Progress::Moving => {
                Err(Refusal::not_ready(format!("The model {target} is still being loaded. Try again.")))
            }
        }
    }

    /// Completes when nothing is being loaded or unloaded any more; only after `closing` is cancelled.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes a place on the shelf, and begins to load what is not there.
    fn enter(self: &Arc<Self>, target: &str) -> InUse {
        let name = name_of(target);
        let mut shelf = self.shelf();
        shelf.turn += 1;
        let turn = shelf.turn;
        let slot = match shelf.slots.get(&name) {
            Some(slot) => Arc::clone(slot),
            None => {
                let slot = Arc::new(Slot {
                    target: target.to_owned(),
                    name: name.clone(),
                    bytes: AtomicU64::new(0),
                    users: AtomicUsize::new(0),
                    used: AtomicU64::new(0),
                    progress: watch::Sender::new(Progress::Moving),
                });
                shelf.slots.insert(name, Arc::clone(&slot));
                self.begin_load(&slot);
                slot
            }
        };
        slot.users.fetch_add(1, Ordering::AcqRel);
        slot.used.store(turn, Ordering::Relaxed);
        InUse { models: Arc::clone(self), slot }
    }

    fn begin_load(self: &Arc<Self>, slot: &Arc<Slot>) {
        let (models, slot, closing) = (Arc::clone(self), Arc::clone(slot), self.closing.clone());
        self.tasks.spawn(async move {
            let loaded = tokio::select! {
                loaded = tokio::time::timeout(MODEL_LOAD_TIMEOUT, models.load(&slot)) => loaded,
                () = closing.cancelled() => Ok(Err(Refusal::not_ready("The model server is being ended. Try again."))),
            };
            let loaded = match loaded {
                Ok(loaded) => loaded,
                Err(_) => {
                    models.delete(&slot).await;
                    let (target, seconds) = (&slot.target, MODEL_LOAD_TIMEOUT.as_secs());
                    Err(Refusal::not_ready(format!("The model {target} was not loaded within {seconds} seconds.")))
                }
            };
            if loaded.is_err() {
                models.remove_files(&slot).await;
            }
            let mut shelf = models.shelf();
            slot.progress.send_replace(match loaded {
                Ok(()) => Progress::Loaded,
                Err(refusal) => {
                    shelf.slots.remove(&slot.name);
                    Progress::Failed(refusal)
                }
            });
        });
    }

    /// Makes room for one more model within the bounds; `bytes` is what it has on disk.
    pub(super) async fn make_room(self: &Arc<Self>, bytes: u64) -> Result<(), Refusal> {
        loop {
            let (count, held) = {
                let shelf = self.shelf();
                let loaded = shelf.slots.values().filter(|slot| slot.is_loaded());
                loaded.fold((0, 0), |(count, held), slot| {
                    (count + 1, held + slot.bytes.load(Ordering::Relaxed))
                })
            };
            if count < MODELS_LOADED && held.saturating_add(bytes) <= MODELS_DISK_BYTES {
                return Ok(());
            }
            if !self.unload_oldest().await {
                return Err(Refusal::not_ready(format!(
                    "A model server holds at most {MODELS_LOADED} models of {MODELS_DISK_BYTES} bytes together, and all \
                     that are loaded are in use. Try again."
                )));
            }
        }
    }

    /// Unloads the model that was not used for longest and is not in use; `false` when there is none.
    pub(super) async fn unload_oldest(self: &Arc<Self>) -> bool {
        let victim = {
            let shelf = self.shelf();
            let idle = shelf.slots.values().filter(|slot| slot.is_idle());
            let victim = idle.min_by_key(|slot| slot.used.load(Ordering::Relaxed)).cloned();
            if let Some(slot) = &victim {
                slot.progress.send_replace(Progress::Moving);
            }
            victim
        };
        let Some(slot) = victim else { return false };
        // A task of its own: whoever asks for room may give up in the middle.
        self.begin_unload(slot).await.is_ok()
    }

    fn begin_unload_if_idle(self: Arc<Self>, slot: &Arc<Slot>) {
        {
            let _shelf = self.shelf();
            if !slot.is_idle() {
                return;
            }
            slot.progress.send_replace(Progress::Moving);
        }
        self.begin_unload(Arc::clone(slot));
    }

    /// Unloads a model that is marked as moving.
    fn begin_unload(self: &Arc<Self>, slot: Arc<Slot>) -> JoinHandle<()> {
        let models = Arc::clone(self);
        self.tasks.spawn(async move { models.unload(&slot).await })
    }

    /// Takes a model out of the container and off the disk. When a request came for it meanwhile, it is loaded
    /// again.
    async fn unload(self: &Arc<Self>, slot: &Arc<Slot>) {
        self.delete(slot).await;
        self.remove_files(slot).await;
        let mut shelf = self.shelf();
        if slot.users.load(Ordering::Acquire) > 0 {
            self.begin_load(slot);
        } else {
            shelf.slots.remove(&slot.name);
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn is_loaded(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Loaded)
    }

    /// Loaded and unused: only under the shelf's lock does this stay true.
    fn is_idle(&self) -> bool {
        self.is_loaded() && self.users.load(Ordering::Acquire) == 0
    }
}
