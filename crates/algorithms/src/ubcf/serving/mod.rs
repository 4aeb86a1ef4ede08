//! Answers to requests: recommendations for users of the training set, or for whoever tells his ratings.
//!
//! Promises: an answer has one entry per instance, in order, the same on any number of threads; a bad request is answered
//! with 400 and a message that names the instance or line and the key. Any number of threads may call at once. Never:
//! writes files or keeps anything of a request.

mod reply;
mod request;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::model::{Asking, Model, Space};
use super::prediction::top;
use super::{MODEL_FILE, model_file};
use crate::contract::{Format, accepted};
use crate::kernels::Pool;
use crate::{InvokeFailure, InvokeReply, LoadError, Predict};
use request::{Kind, Media};

/// Instances per piece of work.
const PIECE: usize = 4;
/// Requests of fewer instances run on the calling thread.
const PARALLEL_FROM: usize = 2 * PIECE;
/// Most threads that pay.
const MAX_THREADS: usize = 8;
/// Spaces kept for the next requests.
const MAX_IDLE: usize = 8;
/// Longest answer, in bytes: far beyond what callers take, and little beside the machine's memory.
const MAX_ANSWER: usize = 64 << 20;

/// A model, ready to answer.
pub struct Predictor {
    model: Model,
    pool: Pool,
    idle: Mutex<Vec<Space>>,
}

/// One instance of a request.
struct Question {
    asking: Asking,
    kind: Kind,
    /// Longest list.
    n: usize,
    with_ratings: bool,
    /// Items among the ratings that the model does not know.
    unknown: Vec<String>,
}

impl Predict for Predictor {
    /// `content_type` is `text/csv`, optionally with `ind=<row>` and `n=<length>`, `application/json` or
    /// `application/jsonlines`; `accept` chooses the format of the answer. The answer to CSV is a list of lists of
    /// names, in JSON unless lines or CSV are accepted; that to other requests has the request's format.
    fn invoke(
        &self,
        content_type: &str,
        accept: Option<&str>,
        body: &[u8],
    ) -> Result<InvokeReply, InvokeFailure> {
        match request::media_type(content_type)? {
            Media::Csv { ind, n } => self.table(accept, ind, n, body),
            Media::Documents(format) => self.documents(format, accept, body),
        }
    }
}

impl Predictor {
    /// Loads the model in a model folder.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the folder or the file.
    pub fn load(model_dir: &Path) -> Result<Self, LoadError> {
        Ok(Self::new(model_file::load(&model_dir.join(MODEL_FILE)).map_err(LoadError)?))
    }

    fn new(model: Model) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        Self { model, pool: Pool::new(threads), idle: Mutex::new(Vec::new()) }
    }

    /// The recommendations for one row of a table.
    fn table(
        &self,
        accept: Option<&str>,
        ind: Option<usize>,
        n: Option<usize>,
        body: &[u8],
    ) -> Result<InvokeReply, InvokeFailure> {
        let as_csv = accept.is_some_and(|accept| accept.trim().eq_ignore_ascii_case("text/csv"));
        let format = if as_csv { Format::Json } else { accepted(accept, Format::Json)? };
        let asking = request::csv(body, ind.unwrap_or(self.model.h.ind), &self.model)?;
        let mut space = self.borrow();
        let predictions = self.model.predict(&asking, &mut space);
        let list = top(predictions, &asking.rated, n.unwrap_or(self.model.h.top_n));
        self.give_back(space);
        let mut answer = Vec::new();
        if as_csv {
            let names = list.iter().map(|&(_, item)| self.model.items.get(item as usize).into_owned());
            return Ok(InvokeReply { content_type: "text/csv".to_owned(), body: line(names)? });
        }
        reply::names(&mut answer, &self.model, &list);
        let body = match format {
            Format::Json => [b"[", &answer[..], b"]"].concat(),
            Format::JsonLines => [&answer[..], b"\n"].concat(),
        };
        Ok(InvokeReply { content_type: format.media_type().to_owned(), body })
    }

    /// The answers to instances.
    fn documents(
        &self,
        format: Format,
        accept: Option<&str>,
        body: &[u8],
    ) -> Result<InvokeReply, InvokeFailure> {
        let answer = accepted(accept, format)?;
        let questions = request::questions(format, body, &self.model)?;
        let mut parts = vec![Vec::new(); questions.len()];
        let total = AtomicUsize::new(0);
        let serial = Pool::new(1);
        let pool = if parts.len() < PARALLEL_FROM { &serial } else { &self.pool };
        pool.chunks_mut(&mut parts, PIECE, |piece, parts| {
            let mut space = self.borrow();
            for (part, question) in parts.iter_mut().zip(&questions[piece * PIECE..]) {
                if total.load(Ordering::Relaxed) <= MAX_ANSWER {
                    let predictions = self.model.predict(&question.asking, &mut space);
                    *part = reply::document(&self.model, question, predictions);
                    total.fetch_add(part.len(), Ordering::Relaxed);
                }
            }
            self.give_back(space);
        });
        if total.into_inner() > MAX_ANSWER {
            return Err(InvokeFailure::bad(format!(
                "The answer would be longer than {MAX_ANSWER} bytes. Ask for fewer instances at a time"
            )));
        }
        let body = match answer {
            Format::Json => [b"{\"predictions\":[", &parts.join(&b',')[..], b"]}"].concat(),
            Format::JsonLines => {
                parts.iter().flat_map(|part| [&part[..], b"\n"]).flatten().copied().collect()
            }
        };
        Ok(InvokeReply { content_type: answer.media_type().to_owned(), body })
    }

    fn borrow(&self) -> Space {
        self.idle.lock().ok().and_then(|mut idle| idle.pop()).unwrap_or_default()
    }

    fn give_back(&self, space: Space) {
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < MAX_IDLE
        {
            idle.push(space);
        }
    }
}

/// One line of CSV.
fn line(names: impl Iterator<Item = String>) -> Result<Vec<u8>, InvokeFailure> {
    let broken =
        |what: String| InvokeFailure { status: 500, message: format!("cannot write the answer: {what}") };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(names).map_err(|e| broken(e.to_string()))?;
    writer.into_inner().map_err(|e| broken(e.to_string()))
}

#[cfg(test)]
mod tests;
