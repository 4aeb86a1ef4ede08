//! The network: two embedding tables, two encoders, comparators, a perceptron.
//!
//! Shapes, for a batch of B records, encodings of width d, comparator width K and hidden width H:
//!
//! ```text
//! e0, e1 [B, d]   encodings of each side's tokens (the mean of their embeddings, or what `encoder` makes of them),
//!                 then dropout
//! x0 [B, K]       comparators side by side
//! x1 [B, H] ...   activation(x0 W0 + b0), then dropout; once per hidden layer
//! out [B, C]      x W + b, with C = 1 for a value and one column per class otherwise
//! ```
//!
//! Token id 0 is a token like any other; the mean runs over the true length of a list.

mod backward;
mod encoder;
pub(crate) mod factored;
mod forward;
mod history;
mod workspace;

use super::hyperparameters::{Activation, Comparator, EncoderNetwork, Hyperparameters};
use crate::kernels::Matrix;
use crate::random::Random;
use crate::tensor_file::{Reader, Writer};
pub(crate) use backward::States;
pub(crate) use encoder::EncoderLayer;
pub(crate) use factored::Factored;
pub(crate) use forward::{Batch, Dropout, Dropouts, Pair};
pub(crate) use history::{History, Past};
pub(crate) use workspace::Workspace;

/// Stream of random numbers that the initial weights are drawn from.
const INITIAL_WEIGHTS: u64 = 1;

/// One of the two inputs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SideShape {
    pub vocab: usize,
    /// Width of a token's embedding.
    pub width: usize,
    pub network: EncoderNetwork,
    /// Layers of the encoder, and tokens that a convolution sees; without meaning for pooled embeddings.
    pub layers: usize,
    pub filter_width: usize,
}

/// Sizes and wiring.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    pub sides: [SideShape; 2],
    pub tied: bool,
    /// Width of an encoding.
    pub dim: usize,
    pub comparators: Vec<Comparator>,
    pub mlp_dim: usize,
    pub mlp_layers: usize,
    pub activation: Activation,
    pub outputs: usize,
    /// For each side, whether its histories are summed over a table of their own, with a row per token of the other side.
    pub history: [bool; 2],
    /// A table of one number per token for each side, that is added to the output.
    pub bias_terms: bool,
}

/// What a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Embeddings of one side, or of both.
    Embedding,
    /// What the histories of one side are summed over.
    History(usize),
    /// Bias terms of one side.
    Bias(usize),
}

impl Shape {
    /// The shape that hyperparameters ask for.
    pub(crate) fn new(h: &Hyperparameters) -> Self {
        Self {
            sides: h.encoders.each_ref().map(|encoder| SideShape {
                vocab: encoder.vocab_size,
                width: encoder.width(h.enc_dim),
                network: encoder.network,
                layers: encoder.layers,
                filter_width: encoder.cnn_filter_width,
            }),
            tied: h.tied,
            dim: h.enc_dim,
            comparators: h.comparators.clone(),
            mlp_dim: h.mlp_dim,
            mlp_layers: h.mlp_layers,
            activation: h.mlp_activation,
            outputs: h.outputs(),
            history: h.own.history_sides().map(|has| has && !h.own.history_shares),
            bias_terms: h.own.bias_terms,
        }
    }

    /// What each table is for, its rows and columns: embeddings (one table when both sides share it), then those of the
    /// options.
    pub(crate) fn tables(&self) -> Vec<(Role, usize, usize)> {
        let count = if self.tied { 1 } else { 2 };
        let sides = self.sides.iter().take(count);
        let mut list: Vec<_> = sides.map(|side| (Role::Embedding, side.vocab, side.width)).collect();
        for side in (0..2).filter(|&side| self.history[side]) {
            list.push((Role::History(side), self.sides[1 - side].vocab, self.dim));
        }
        if self.bias_terms {
            list.extend((0..2).map(|side| (Role::Bias(side), self.sides[side].vocab, 1)));
        }
        list
    }

    /// Number of tables of embeddings.
    fn embeddings(&self) -> usize {
        if self.tied { 1 } else { 2 }
    }

    /// Place among the tables of the one that the histories of a side are summed over: one of their own after the
    /// embeddings, or the embeddings of the other side.
    pub(crate) fn history_table(&self, side: usize) -> usize {
        if self.history[side] {
            self.embeddings() + self.history_tables(side)
        } else {
            self.table_of(1 - side)
        }
    }

    /// Number of tables of histories of the sides before this one.
    fn history_tables(&self, side: usize) -> usize {
        self.history.iter().take(side).filter(|&&has| has).count()
    }

    /// Place of the bias terms of a side among the tables.
    pub(crate) fn bias_table(&self, side: usize) -> usize {
        self.embeddings() + self.history_tables(2) + side
    }

    /// The dense layers of one side's encoder.
    pub(crate) fn encoder_layers(&self, side: usize) -> Vec<EncoderLayer> {
        encoder::layers(&self.sides[side], self.dim)
    }

    /// Which table a side looks up in.
    pub(crate) fn table_of(&self, side: usize) -> usize {
        if self.tied { 0 } else { side }
    }

    /// Inputs and outputs of each dense layer, the output layer last.
    pub(crate) fn layers(&self) -> Vec<(usize, usize)> {
        let width: usize = self.comparators.iter().map(|c| c.width(self.dim)).sum();
        let mut inputs = width;
        let mut layers = Vec::with_capacity(self.mlp_layers + 1);
        for _ in 0..self.mlp_layers {
            layers.push((inputs, self.mlp_dim));
            inputs = self.mlp_dim;
        }
        layers.push((inputs, self.outputs));
        layers
    }

    /// Number of parameters, tables included.
    pub(crate) fn parameters(&self) -> usize {
        let dense: usize = self.layers().iter().map(|(inputs, outputs)| (inputs + 1) * outputs).sum();
        let encoders = (0..2).flat_map(|side| self.encoder_layers(side));
        let encoders: usize =
            encoders.map(|layer| (layer.inputs + usize::from(layer.bias)) * layer.outputs).sum();
        let tables: usize = self.tables().iter().map(|(_, rows, columns)| rows * columns).sum();
        tables + encoders + dense
    }
}

/// Turns outputs into probabilities, `exp(x_i) / sum of exp(x_j)`, without overflow.
pub(crate) fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter_mut().for_each(|v| *v = (*v - largest).exp());
    let sum: f32 = values.iter().sum();
    values.iter_mut().for_each(|v| *v /= sum);
}

/// One fully connected layer, `y = activation(x W + b)`.
#[derive(Clone)]
pub(crate) struct Layer {
    /// `[inputs, outputs]`.
    pub weights: Matrix,
    /// `[outputs]`, or empty for a layer without.
    pub bias: Vec<f32>,
    pub activation: Activation,
}

/// All parameters.
#[derive(Clone)]
pub(crate) struct Network {
    pub shape: Shape,
    /// `[vocabulary, width]` each.
    pub tables: Vec<Matrix>,
    /// The layers inside the encoder of each side.
    pub encoders: [Vec<Layer>; 2],
    pub layers: Vec<Layer>,
}

impl Network {
    /// All zeros.
    pub(crate) fn zeroed(shape: Shape) -> Self {
        let tables = shape.tables().iter().map(|&(_, rows, columns)| Matrix::zeroed(rows, columns)).collect();
        let encoders = std::array::from_fn(|side| {
            let layers = shape.encoder_layers(side).into_iter().map(|layer| Layer {
                weights: Matrix::zeroed(layer.inputs, layer.outputs),
                bias: vec![0.0; if layer.bias { layer.outputs } else { 0 }],
                activation: Activation::Linear,
            });
            layers.collect()
        });
        let sizes = shape.layers();
        let layers = sizes.iter().enumerate().map(|(i, &(inputs, outputs))| Layer {
            weights: Matrix::zeroed(inputs, outputs),
            bias: vec![0.0; outputs],
            activation: if i + 1 == sizes.len() { Activation::Linear } else { shape.activation },
        });
        Self { tables, encoders, layers: layers.collect(), shape }
    }

    /// MXNet's Xavier initialisation (Glorot and Bengio 2010): uniform within `sqrt(6 / (inputs + outputs))` for every
    /// weight, where a table counts its rows and its width; biases are zero, but for the gates that forget.
    pub(crate) fn xavier(shape: Shape, seed: u64) -> Self {
        let mut network = Self::zeroed(shape);
        let mut random = Random::new(seed, INITIAL_WEIGHTS);
        let embeddings = network.shape.embeddings();
        let Self { tables, encoders, layers, .. } = &mut network;
        let dense = encoders.iter_mut().flatten().chain(layers).map(|layer| &mut layer.weights);
        // The tables of the options start from zero, where they have no influence.
        for matrix in tables.iter_mut().take(embeddings).chain(dense) {
            let limit = (6.0 / (matrix.rows() + matrix.columns()) as f32).sqrt();
            for row in 0..matrix.rows() {
                matrix.row_mut(row).iter_mut().for_each(|w| *w = random.uniform(limit));
            }
        }
        for (layers, side) in network.encoders.iter_mut().zip(&network.shape.sides) {
            if side.network == EncoderNetwork::BiLstm {
                layers.iter_mut().for_each(|layer| encoder::start_of_bias(&mut layer.bias));
            }
        }
        network
    }

    /// Makes the last layer's bias this value.
    pub(crate) fn start_output_at(&mut self, value: f32) {
        self.layers.iter_mut().rev().take(1).for_each(|layer| layer.bias.fill(value));
    }

    /// All dense layers: those of the encoders, then those of the perceptron.
    pub(crate) fn dense(&self) -> impl Iterator<Item = &Layer> {
        self.encoders.iter().flatten().chain(&self.layers)
    }

    /// As [`Network::dense`].
    pub(crate) fn dense_mut(&mut self) -> impl Iterator<Item = &mut Layer> {
        self.encoders.iter_mut().flatten().chain(&mut self.layers)
    }

    /// Writes all parameters: tables, then weights and bias of each dense layer.
    pub(crate) fn write(&self, out: &mut Writer) -> std::io::Result<()> {
        self.tables.iter().try_for_each(|table| out.matrix(table))?;
        self.dense().try_for_each(|layer| {
            out.matrix(&layer.weights)?;
            out.floats(&layer.bias)
        })
    }

    /// Reads what [`Network::write`] wrote for the same shape.
    pub(crate) fn read(&mut self, from: &mut Reader<'_>) -> Result<(), String> {
        self.tables.iter_mut().try_for_each(|table| from.matrix(table))?;
        self.dense_mut().try_for_each(|layer| {
            from.matrix(&mut layer.weights)?;
            from.floats(&mut layer.bias)
        })
    }

    /// Overwrites all parameters with those of a network of the same shape.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        for (to, from) in self.tables.iter_mut().zip(&other.tables) {
            to.data_mut().copy_from_slice(from.data());
        }
        for (to, from) in self.dense_mut().zip(other.dense()) {
            to.weights.data_mut().copy_from_slice(from.weights.data());
            to.bias.copy_from_slice(&from.bias);
        }
    }
}

#[cfg(test)]
mod tests;
