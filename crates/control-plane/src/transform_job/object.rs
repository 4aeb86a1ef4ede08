//! One object through the model: fetched, taken apart, sent, and its answers written in order.
//!
//! Memory: a payload is read only when there is a seat for it, and keeps the seat until its answer
//! is written; there are two seats for each request that may be in flight, so that servers are busy
//! while an answer waits for an earlier one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use sagebrush_object_store::{Error, ObjectStore};
use sagebrush_runner::{Answer, Invocation, InvokeError, ModelClient, Payload};
use sagebrush_types::Failure;
use sagebrush_types::limits::TRANSFORM_ANSWER_BYTES;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::input::Source;
use super::processing::Processing;
use super::records::{Batch, Payloads, Plan, ReadError};

/// Characters of a model's error that are repeated.
const ERROR_CHARS: usize = 400;
/// Wait before the first retry; it doubles.
const RETRY_WAIT: Duration = Duration::from_millis(200);

/// What all objects of a job share.
pub struct Work {
    /// The object store.
    pub objects: ObjectStore,
    /// Sends requests.
    pub client: ModelClient,
    /// How objects are taken apart.
    pub plan: Plan,
    /// What is done with each record.
    pub processing: Option<Processing>,
    /// Media type of requests.
    pub content_type: Option<String>,
    /// Media type that is asked for.
    pub accept: Option<String>,
    /// Time for one answer.
    pub timeout: Duration,
    /// Times a request is sent again.
    pub retries: u32,
    /// Does every answer end with a line feed?
    pub lines: bool,
    /// Folder of inputs and outputs.
    pub folder: PathBuf,
    /// Places at the servers.
    pub places: Places,
}

/// The places for requests at the servers, and the seats for payloads in memory.
pub struct Places {
    seats: Arc<Semaphore>,
    turns: Semaphore,
    free: Mutex<Vec<SocketAddr>>,
    count: usize,
}

impl Places {
    /// `concurrent` places at each server.
    pub fn new(servers: &[SocketAddr], concurrent: usize) -> Self {
        // Servers take turns: every server once, then every server again.
        let free: Vec<SocketAddr> = (0..concurrent).flat_map(|_| servers.iter().copied()).collect();
        Self {
            seats: Arc::new(Semaphore::new(2 * free.len())),
            turns: Semaphore::new(free.len()),
            count: free.len(),
            free: Mutex::new(free),
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<SocketAddr>> {
        // The list is whole after every statement, so a panic elsewhere does not spoil it.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an object has no output.
#[derive(Debug)]
pub enum Trouble {
    /// The object, the model or the request; what is wrong.
    Object(String),
    /// This server.
    Server(Failure),
}

impl Trouble {
    fn server(error: impl std::fmt::Display) -> Self {
        Self::Server(Failure::internal(error))
    }
}

/// An object whose every record was answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    /// The output, durable on disk.
    pub path: PathBuf,
    /// Media type of the first answer.
    pub content_type: Option<String>,
}

type Answered = Result<(Batch, Answer, OwnedSemaphorePermit), Trouble>;

impl Work {
    /// How many requests may be in flight.
    pub fn requests_at_once(&self) -> usize {
        self.places.count
    }

    /// Transforms object number `number`.
    ///
    /// # Errors
    /// `Object` when it, or its answers, cannot be used; nothing of it is kept then.
    pub async fn transform(self: &Arc<Self>, number: usize, source: &Source) -> Result<Done, Trouble> {
        let (input, output) =
            (self.folder.join(format!("{number}.in")), self.folder.join(format!("{number}.out")));
        let done = match self.objects.fetch_object_to(&source.bucket, &source.key, &input).await {
            Ok(_) => self.through(&input, &output).await,
            Err(error @ (Error::Io(_) | Error::Index(_))) => Err(Trouble::server(error)),
            Err(error) => Err(Trouble::Object(format!("it cannot be read: {error}"))),
        };
        remove(&input).await?;
        if done.is_err() {
            remove(&output).await?;
        }
        Ok(Done { content_type: done?, path: output })
    }

    async fn through(self: &Arc<Self>, input: &Path, output: &Path) -> Result<Option<String>, Trouble> {
        let (path, plan) = (input.to_path_buf(), self.plan);
        let opened = tokio::task::spawn_blocking(move || Payloads::open(&path, plan)).await;
        let mut payloads = Some(opened.map_err(Trouble::server)?.map_err(Trouble::server)?);
        let mut file = File::create(output).await.map_err(Trouble::server)?;
        let mut waiting: FuturesOrdered<AbortOnDropHandle<Answered>> = FuturesOrdered::new();
        let mut content_type = None;
        loop {
            tokio::select! {
                biased;
                Some(answered) = waiting.next() => {
                    let (batch, answer, _seat) = answered.map_err(Trouble::server)??;
                    let body = self.stored(&batch, &answer)?;
                    file.write_all(&body).await.map_err(Trouble::server)?;
                    content_type = content_type.or(answer.content_type);
                }
                seat = self.places.seats.clone().acquire_owned(), if payloads.is_some() => {
                    let seat = seat.map_err(Trouble::server)?;
                    if let Some(mut open) = payloads.take() {
                        let read = tokio::task::spawn_blocking(move || open.next().map(|batch| (open, batch)));
                        let (open, batch) = read.await.map_err(Trouble::server)?.map_err(unread)?;
                        if let Some(batch) = batch {
                            let work = Arc::clone(self);
                            let sent = tokio::spawn(async move { work.send(batch, seat).await });
                            waiting.push_back(AbortOnDropHandle::new(sent));
                            payloads = Some(open);
                        }
                    }
                }
                else => break,
            }
        }
        file.sync_all().await.map_err(Trouble::server)?;
        Ok(content_type)
    }

    /// Sends a payload, again when that may help.
    async fn send(&self, mut batch: Batch, seat: OwnedSemaphorePermit) -> Answered {
        let body = match &self.processing {
            Some(processing) => processing.request(&batch).map_err(Trouble::Object)?,
            // Nobody reads the records again.
            None => std::mem::take(&mut batch.body),
        };
        let invocation = Invocation {
            content_type: self.content_type.clone(),
            accept: self.accept.clone(),
            custom_attributes: None,
            payload: Payload::Bytes(body.into()),
            timeout: self.timeout,
            limit: TRANSFORM_ANSWER_BYTES,
        };
        let mut wait = RETRY_WAIT;
        let mut retries = self.retries;
        loop {
            let why = match self.invoke(&invocation).await? {
                Ok(answer) if answer.is_success() => return Ok((batch, answer, seat)),
                Ok(answer) => {
                    let text: String =
                        String::from_utf8_lossy(&answer.body).chars().take(ERROR_CHARS).collect();
                    let whose =
                        answer.container.map_or_else(String::new, |name| format!(" container {name}"));
                    let why =
                        format!("Bad HTTP status received from algorithm{whose}: {}. {text}", answer.status);
                    if answer.status < 500 && answer.status != 429 {
                        return Err(Trouble::Object(why));
                    }
                    why
                }
                Err(error @ (InvokeError::TimedOut(_) | InvokeError::Broken(_))) => error.to_string(),
                Err(error) => return Err(Trouble::Object(error.to_string())),
            };
            if retries == 0 {
                return Err(Trouble::Object(why));
            }
            retries -= 1;
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }

    /// One request at a server that has a place for it.
    async fn invoke(&self, invocation: &Invocation) -> Result<Result<Answer, InvokeError>, Trouble> {
        let _turn = self.places.turns.acquire().await.map_err(Trouble::server)?;
        // As many servers are in the list as there are turns.
        let server = self.places.free().pop();
        let server = server.ok_or_else(|| Trouble::server("a turn without a server"))?;
        let answer = self.client.invoke(server, invocation).await;
        self.places.free().insert(0, server);
        Ok(answer)
    }

    fn stored(&self, batch: &Batch, answer: &Answer) -> Result<Bytes, Trouble> {
        if let Some(processing) = &self.processing {
            let stored = processing.answer(batch, answer.content_type.as_deref(), &answer.body);
            return stored.map(Bytes::from).map_err(Trouble::Object);
        }
        if !self.lines || answer.body.ends_with(b"\n") {
            return Ok(answer.body.clone());
        }
        Ok([&answer.body[..], b"\n"].concat().into())
    }
}

fn unread(error: ReadError) -> Trouble {
    match error {
        ReadError::Io(error) => Trouble::server(error),
        ReadError::Data(why) => Trouble::Object(why),
    }
}

async fn remove(path: &Path) -> Result<(), Trouble> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Trouble::server(error)),
        _ => Ok(()),
    }
}
