//! Reading and checking `hyperparameters.json`.
//!
//! Promises: every name is known, every value has its type and lies in its range, and everything that is valid but
//! does not go together is refused by name, never ignored. All values arrive as JSON strings; bare numbers and booleans
//! are taken as well. Names of sagebrush's own options begin with an underscore, as those of SageMaker's internal ones do;
//! their defaults change nothing.

mod own;
mod table;

use std::collections::BTreeMap;

use super::ALGORITHM_NAME;
use crate::TrainFailure;
use crate::contract::{Spec, Values, pairs};
pub(crate) use own::{History, Own};
use table::SPECS;

/// How a token list becomes a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EncoderNetwork {
    /// Hierarchical convolutions.
    Hcnn,
    /// Recurrent in both directions.
    BiLstm,
    /// Mean of the token embeddings.
    PooledEmbedding,
}

/// How the two encodings are put side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparator {
    /// `e0 e1`, width d.
    Hadamard,
    /// `e0, e1`, width 2 d.
    Concat,
    /// `|e0 - e1|`, width d.
    AbsDiff,
}

impl Comparator {
    /// Width of its output for encodings of width `dim`.
    pub(crate) fn width(self, dim: usize) -> usize {
        if self == Self::Concat { 2 * dim } else { dim }
    }
}

/// What follows each hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Linear,
    Relu,
    Tanh,
}

/// What the network's output means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputLayer {
    /// A number; the loss is the squared error.
    MeanSquaredError,
    /// Classes; the loss is the cross-entropy of their probabilities.
    Softmax,
}

/// How weights follow gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptimizerKind {
    Adam,
    Sgd,
    AdaGrad,
    RmsProp,
    AdaDelta,
}

/// One of the two inputs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EncoderConfig {
    pub network: EncoderNetwork,
    pub max_seq_len: usize,
    pub vocab_size: usize,
    pub token_embedding_dim: usize,
    /// Layers of `hcnn` (by default 4) or `bilstm` (by default 1).
    pub layers: usize,
    /// Tokens that one convolution of `hcnn` sees.
    pub cnn_filter_width: usize,
    pub pretrained: Option<Pretrained>,
}

impl EncoderConfig {
    /// Width of a token's embedding: pooled embeddings are encodings already.
    pub(crate) fn width(&self, enc_dim: usize) -> usize {
        if self.network == EncoderNetwork::PooledEmbedding { enc_dim } else { self.token_embedding_dim }
    }
}

/// Files of the auxiliary channel that embeddings start from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pretrained {
    pub embeddings: String,
    pub vocabulary: String,
    /// Whether the table stays as it was read.
    pub freeze: bool,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(crate) struct Hyperparameters {
    pub encoders: [EncoderConfig; 2],
    pub enc_dim: usize,
    /// Tokens per bucket of lengths; 0 for a single bucket.
    pub bucket_width: usize,
    pub comparators: Vec<Comparator>,
    pub dropout: f32,
    pub early_stopping_patience: usize,
    pub early_stopping_tolerance: f64,
    pub epochs: usize,
    pub learning_rate: f64,
    pub mini_batch_size: usize,
    pub mlp_activation: Activation,
    pub mlp_dim: usize,
    pub mlp_layers: usize,
    pub negative_sampling_rate: usize,
    pub num_classes: usize,
    pub optimizer: OptimizerKind,
    pub output_layer: OutputLayer,
    pub tied: bool,
    pub row_sparse: bool,
    pub weight_decay: f64,
    pub seed: u64,
    /// What goes beyond SageMaker's algorithm.
    pub own: Own,
    /// Every name with its value in force, as strings.
    pub values: BTreeMap<String, String>,
}

impl Hyperparameters {
    /// Checks a whole `hyperparameters.json`.
    ///
    /// # Errors
    /// A client failure that names the hyperparameter and the value.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, TrainFailure> {
        Self::from_pairs(pairs(bytes)?)
    }

    /// Checks names and values.
    ///
    /// # Errors
    /// As [`Hyperparameters::from_json`].
    pub(crate) fn from_pairs(given: BTreeMap<String, String>) -> Result<Self, TrainFailure> {
        for (name, value) in &given {
            Spec::find(SPECS, ALGORITHM_NAME, name, value)?.check(value.trim())?;
        }
        let values = Values(effective(given)?);
        values.build()
    }

    /// Number of outputs of the network.
    pub(crate) fn outputs(&self) -> usize {
        match self.output_layer {
            OutputLayer::MeanSquaredError => 1,
            OutputLayer::Softmax => self.num_classes,
        }
    }

    /// The documented defaults, as AWS prints them at the start of a run.
    pub(crate) fn defaults() -> BTreeMap<&'static str, &'static str> {
        SPECS.iter().filter_map(|spec| Some((spec.name, spec.default?))).collect()
    }
}

/// Fills in defaults, and encoder 1 from encoder 0 where `enc1_network` says so.
fn effective(given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, TrainFailure> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let follows = given.get("enc1_network").is_none_or(|network| network.trim() == "enc0");
    for spec in SPECS {
        let from_first =
            spec.name.strip_prefix("enc1_").map(|rest| format!("enc0_{rest}")).filter(|_| follows);
        let stated =
            given.get(spec.name).filter(|value| !(spec.name == "enc1_network" && value.trim() == "enc0"));
        let value = stated
            .map(|value| value.trim().to_owned())
            .or_else(|| from_first.and_then(|first| values.get(&first).cloned()))
            .or_else(|| spec.default.map(str::to_owned));
        let Some(value) = value else {
            return Err(TrainFailure::client(format!(
                "Hyperparameter '{}' is required and was not given",
                spec.name
            )));
        };
        values.insert(spec.name.to_owned(), value);
    }
    Ok(values)
}

fn is_comparators(value: &str) -> bool {
    parse_comparators(value).is_some()
}

fn parse_comparators(value: &str) -> Option<Vec<Comparator>> {
    let mut list = Vec::new();
    for word in value.split(',') {
        let comparator = match word.trim() {
            "hadamard" => Comparator::Hadamard,
            "concat" => Comparator::Concat,
            "abs_diff" => Comparator::AbsDiff,
            _ => return None,
        };
        if list.contains(&comparator) {
            return None;
        }
        list.push(comparator);
    }
    Some(list)
}

impl Values {
    fn encoder(&self, side: &str) -> Result<EncoderConfig, TrainFailure> {
        let name = |what: &str| format!("{side}_{what}");
        let (network, automatic) = match self.text(&name("network")) {
            "hcnn" => (EncoderNetwork::Hcnn, 4),
            "bilstm" => (EncoderNetwork::BiLstm, 1),
            _ => (EncoderNetwork::PooledEmbedding, 1),
        };
        let layers = name("layers");
        Ok(EncoderConfig {
            network,
            layers: if self.text(&layers) == "auto" { automatic } else { self.number(&layers)? },
            cnn_filter_width: self.number(&name("cnn_filter_width"))?,
            max_seq_len: self.number(&name("max_seq_len"))?,
            vocab_size: self.number(&name("vocab_size"))?,
            token_embedding_dim: self.number(&name("token_embedding_dim"))?,
            pretrained: self.pretrained(side)?,
        })
    }

    fn pretrained(&self, side: &str) -> Result<Option<Pretrained>, TrainFailure> {
        let text = |what: &str| self.text(&format!("{side}_{what}")).to_owned();
        let (embeddings, vocabulary) = (text("pretrained_embedding_file"), text("vocab_file"));
        if embeddings.is_empty() {
            return Ok(None);
        }
        if vocabulary.is_empty() {
            return Err(TrainFailure::client(format!(
                "Hyperparameter '{side}_pretrained_embedding_file': {embeddings} needs the hyperparameter \
                 '{side}_vocab_file' as well"
            )));
        }
        let freeze = self.flag(&format!("{side}_freeze_pretrained_embedding"));
        Ok(Some(Pretrained { embeddings, vocabulary, freeze }))
    }

    fn build(self) -> Result<Hyperparameters, TrainFailure> {
        let encoders = [self.encoder("enc0")?, self.encoder("enc1")?];
        let enc_dim = self.number("enc_dim")?;
        let tied = self.flag("tied_token_embedding_weight");
        if tied && encoders[0].vocab_size != encoders[1].vocab_size {
            return Err(TrainFailure::client(format!(
                "Hyperparameter 'tied_token_embedding_weight': true needs equal vocabularies, but enc0_vocab_size is \
                 {} and enc1_vocab_size is {}",
                encoders[0].vocab_size, encoders[1].vocab_size
            )));
        }
        let widths = encoders.each_ref().map(|encoder| encoder.width(enc_dim));
        if tied && widths[0] != widths[1] {
            return Err(TrainFailure::client(format!(
                "Hyperparameter 'tied_token_embedding_weight': true needs token embeddings of equal width, but those of \
                 enc0 have {} numbers and those of enc1 {} (pooled_embedding: enc_dim; hcnn and bilstm: \
                 token_embedding_dim)",
                widths[0], widths[1]
            )));
        }
        let optimizer = match self.text("optimizer") {
            "sgd" => OptimizerKind::Sgd,
            "adagrad" => OptimizerKind::AdaGrad,
            "rmsprop" => OptimizerKind::RmsProp,
            "adadelta" => OptimizerKind::AdaDelta,
            _ => OptimizerKind::Adam,
        };
        let row_sparse = self.text("token_embedding_storage_type") == "row_sparse";
        if row_sparse && matches!(optimizer, OptimizerKind::RmsProp | OptimizerKind::AdaDelta) {
            return Err(TrainFailure::client(format!(
                "Hyperparameter 'token_embedding_storage_type': row_sparse works with optimizer adam, adagrad or sgd, \
                 not with {}",
                self.text("optimizer")
            )));
        }
        Ok(Hyperparameters {
            enc_dim,
            bucket_width: self.number("bucket_width")?,
            comparators: parse_comparators(self.text("comparator_list")).unwrap_or_default(),
            dropout: self.number("dropout")?,
            early_stopping_patience: self.number("early_stopping_patience")?,
            early_stopping_tolerance: self.number("early_stopping_tolerance")?,
            epochs: self.number("epochs")?,
            learning_rate: self.number("learning_rate")?,
            mini_batch_size: self.number("mini_batch_size")?,
            mlp_activation: match self.text("mlp_activation") {
                "relu" => Activation::Relu,
                "tanh" => Activation::Tanh,
                _ => Activation::Linear,
            },
            mlp_dim: self.number("mlp_dim")?,
            mlp_layers: self.number("mlp_layers")?,
            negative_sampling_rate: self.number("negative_sampling_rate")?,
            num_classes: self.number("num_classes")?,
            optimizer,
            output_layer: match self.text("output_layer") {
                "mean_squared_error" => OutputLayer::MeanSquaredError,
                _ => OutputLayer::Softmax,
            },
            tied,
            row_sparse,
            weight_decay: self.number("weight_decay")?,
            seed: self.number("_seed")?,
            own: self.own(&encoders)?,
            encoders,
            values: self.0,
        })
    }
}

#[cfg(test)]
mod tests;
