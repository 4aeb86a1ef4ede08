//! Answers to inference requests: scores of pairs, or embeddings of single objects.
//!
//! Promises: an answer has one entry per instance, in order; whether a request is about pairs or single objects
//! follows from the keys it has; a bad request is answered with 400 and a message that names the instance or line and
//! the key. Any number of threads may call at once. Never: writes files or keeps anything of a request.

mod reply;
mod request;

use std::path::Path;
use std::sync::Mutex;

use super::dataset::Tokens;
use super::hyperparameters::{Hyperparameters, OutputLayer};
use super::network::{Batch, Dropouts, Factored, Network, Pair, Workspace, factored, softmax};
use super::{MODEL_FILE, model_file};
use crate::contract::{Format, accepted};
use crate::kernels::{Matrix, Pool};
use crate::{InvokeFailure, InvokeReply, LoadError, Predict};
use request::{Instances, Limits, Mode};

/// Instances that run through the network at a time.
const BATCH: usize = 128;
/// Tokens that run through the network at a time, when there is more than one instance.
const MAX_TOKENS: usize = 16_384;
/// Requests of fewer instances run on the calling thread.
const PARALLEL_FROM: usize = 16;
/// Most threads that pay.
const MAX_THREADS: usize = 8;
/// Workspaces kept for the next requests.
const MAX_IDLE: usize = 4;

/// A model, ready to answer.
pub struct Predictor {
    network: Network,
    max_seq_lens: [usize; 2],
    /// Predictions are brought into this range.
    range: Option<(f32, f32)>,
    /// Outputs are to become probabilities.
    classes: bool,
    factored: Option<Factored>,
    pool: Pool,
    idle: Mutex<Vec<Space>>,
}

impl Predict for Predictor {
    /// `content_type` is `application/json` or `application/jsonlines`, optionally with `infer_max_seqlens=<n0>,<n1>`;
    /// `accept` chooses the format of the answer, by default that of the request.
    fn invoke(
        &self,
        content_type: &str,
        accept: Option<&str>,
        body: &[u8],
    ) -> Result<InvokeReply, InvokeFailure> {
        let media = request::media_type(content_type)?;
        let answer = accepted(accept, media.format)?;
        let lengths = media.max_seq_lens.unwrap_or(self.max_seq_lens);
        let limits =
            Limits { max_seq_lens: lengths, vocab: self.network.shape.sides.each_ref().map(|s| s.vocab) };
        let instances = request::instances(media.format, body, &limits)?;
        let body = match instances.mode {
            Mode::Pairs => self.scores(&instances, answer)?,
            Mode::Single(side) => self.embeddings(side, &instances.sides[side], answer)?,
        };
        Ok(InvokeReply { content_type: answer.media_type().to_owned(), body })
    }
}

impl Predictor {
    /// Loads the model in a model folder.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the folder or the file.
    pub fn load(model_dir: &Path) -> Result<Self, LoadError> {
        let (network, hyperparameters) = model_file::load(&model_dir.join(MODEL_FILE)).map_err(LoadError)?;
        Ok(Self::new(network, &hyperparameters))
    }

    fn new(network: Network, hyperparameters: &Hyperparameters) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let max_seq_lens = hyperparameters.encoders.each_ref().map(|encoder| encoder.max_seq_len);
        let pool = Pool::new(threads);
        Self {
            factored: Factored::new(&pool, &network),
            network,
            max_seq_lens,
            range: hyperparameters.own.output_range,
            classes: hyperparameters.output_layer == OutputLayer::Softmax,
            pool,
            idle: Mutex::new(Vec::new()),
        }
    }

    fn scores(&self, instances: &Instances, format: Format) -> Result<Vec<u8>, InvokeFailure> {
        let count = instances.sides[0].len();
        let mut writer = reply::Writer::new(format, "scores", count, self.network.shape.outputs);
        let mut space = self.borrow();
        let serial = Pool::new(1);
        let pool = if count < PARALLEL_FROM { &serial } else { &self.pool };
        let pairs: Vec<Pair> = (0..count as u32).map(Pair::given).collect();
        let mut result = Ok(());
        let whole = Batch { sides: instances.sides.each_ref(), pairs: &pairs, past: None };
        for batch in whole.pieces(BATCH, MAX_TOKENS) {
            let output = space.run(self, pool, batch);
            result = (0..batch.len()).try_for_each(|row| {
                let values = output.row_mut(row);
                if self.classes {
                    softmax(values);
                }
                if let Some((low, high)) = self.range {
                    values.iter_mut().for_each(|value| *value = value.clamp(low, high));
                }
                writer.entry(values)
            });
            if result.is_err() {
                break;
            }
        }
        self.give_back(space);
        result?;
        Ok(writer.finish())
    }

    fn embeddings(&self, side: usize, tokens: &Tokens, format: Format) -> Result<Vec<u8>, InvokeFailure> {
        let dim = self.network.shape.dim;
        let mut writer = reply::Writer::new(format, "embeddings", tokens.len(), dim);
        let mut space = self.borrow();
        let serial = Pool::new(1);
        let pool = if tokens.len() < PARALLEL_FROM { &serial } else { &self.pool };
        let pairs: Vec<Pair> = (0..tokens.len() as u32).map(Pair::given).collect();
        let whole = Batch { sides: [tokens; 2], pairs: &pairs, past: None };
        let result = whole.pieces(BATCH, MAX_TOKENS).try_for_each(|batch| {
            let encoded = space.encode(self, pool, side, batch);
            (0..batch.len()).try_for_each(|row| writer.entry(encoded.row(row)))
        });
        self.give_back(space);
        result?;
        Ok(writer.finish())
    }

    fn borrow(&self) -> Space {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        idle.unwrap_or_default()
    }

    fn give_back(&self, space: Space) {
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < MAX_IDLE
        {
            idle.push(space);
        }
    }
}

/// What one request computes in; parts are made when first needed.
#[derive(Default)]
struct Space {
    factored: Option<factored::Space>,
    plain: Option<Workspace>,
}

impl Space {
    /// Outputs of a batch.
    fn run(&mut self, model: &Predictor, pool: &Pool, batch: Batch<'_>) -> &mut Matrix {
        let network = &model.network;
        match &model.factored {
            Some(factored) => {
                let space = self.factored.get_or_insert_with(|| factored.space(&network.shape, BATCH));
                factored.forward(network, pool, space, batch)
            }
            None => {
                let space = self.plain(network);
                network.forward(pool, space, batch, Dropouts::default());
                &mut space.output
            }
        }
    }

    /// Encodings of one side of a batch.
    fn encode(&mut self, model: &Predictor, pool: &Pool, side: usize, batch: Batch<'_>) -> &Matrix {
        let space = self.plain(&model.network);
        model.network.encode(pool, space, side, batch);
        &space.encoded[side]
    }

    fn plain(&mut self, network: &Network) -> &mut Workspace {
        self.plain.get_or_insert_with(|| Workspace::new(&network.shape, BATCH, false))
    }
}

#[cfg(test)]
mod tests;
