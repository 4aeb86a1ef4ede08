//! Encoders that read a list in its order: from the tokens of one side of a batch to one vector per record.
//!
//! The lists of a batch are laid side by side ([`Layout`]): first the first tokens of all, then the second tokens of
//! those that have one, and so on. Nothing is padded to the longest list, so what a list encodes to depends on its own
//! tokens alone, whatever batch or bucket it is in. Both encoders end with the maximum over time of each column.
//!
//! * [`Convolutions`]: `hcnn`, hierarchical convolutions (Conneau et al. 2017): every layer's maxima, side by side;
//! * [`Memories`]: `bilstm`, long short-term memories that read forwards and backwards: the last layer's maxima.

mod bilstm;
mod hcnn;
mod layout;

use super::backward::LayerState;
use super::{Batch, Layer, SideShape};
use crate::kernels::{self, BackwardScratch, Matrix, Pool, for_rows_mut};
use crate::object2vec::hyperparameters::EncoderNetwork;
use crate::object2vec::optimizer::Rule;
pub(crate) use bilstm::{Memories, start_of_bias};
pub(crate) use hcnn::Convolutions;
pub(crate) use layout::Layout;

/// Size and name of one dense layer inside an encoder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EncoderLayer {
    /// As it stands in a model file, after the side.
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

/// The dense layers of one side's encoder, for encodings of width `dim`; none for pooled embeddings.
pub(crate) fn layers(side: &SideShape, dim: usize) -> Vec<EncoderLayer> {
    match side.network {
        EncoderNetwork::PooledEmbedding => Vec::new(),
        EncoderNetwork::Hcnn => hcnn::layers(side, dim),
        EncoderNetwork::BiLstm => bilstm::layers(side, dim),
    }
}

/// What a backward pass of an encoder needs beside its own values.
pub(crate) struct Descent<'a> {
    pub pool: &'a Pool,
    pub layers: &'a mut [Layer],
    pub states: &'a mut [LayerState],
    pub scratch: &'a mut BackwardScratch,
    pub bias: &'a mut Vec<f32>,
    pub rule: Rule,
}

impl Descent<'_> {
    /// `dx` and the update of layer `index` from its input and the gradient of its output, both of `rows` rows.
    fn layer(&mut self, index: usize, x: &Matrix, dy: &Matrix, rows: usize, dx: Option<&mut Matrix>) {
        let (layer, state, rule) = (&mut self.layers[index], &mut self.states[index], self.rule);
        if !layer.bias.is_empty() {
            self.bias.clear();
            self.bias.resize(layer.bias.len(), 0.0);
            (0..rows).for_each(|row| kernels::add(self.bias, dy.row(row)));
            let [first, second] = &mut state.bias;
            rule.without_decay().apply(&mut layer.bias, [first, second], self.bias);
        }
        self.scratch.reserve(rows, dy.columns());
        let states = state.weights.each_mut();
        kernels::backward(
            self.pool,
            self.scratch,
            x,
            dy,
            rows,
            &mut layer.weights,
            states,
            dx,
            |_, w, s, g| {
                rule.apply(w, s, g);
            },
        );
    }
}

/// The values of one side of one batch inside its encoder.
pub(crate) struct Sequence {
    pub layout: Layout,
    /// Embeddings of the tokens, and their gradients, a row per token.
    tokens: Matrix,
    pub token_gradients: Matrix,
    /// The step in which each column of each encoding has its maximum, `[B, d]`.
    peaks: Matrix,
    inner: Inner,
    /// The numbers 0, 1, ..., to name all rows with.
    all: Vec<u32>,
}

enum Inner {
    Hcnn(Convolutions),
    BiLstm(Memories),
}

impl Sequence {
    /// For batches of up to `capacity` records; `None` for an encoder that does not read in order. What depends on the
    /// number of tokens grows with the batches.
    pub(crate) fn new(side: &SideShape, dim: usize, capacity: usize) -> Option<Self> {
        let inner = match side.network {
            EncoderNetwork::PooledEmbedding => return None,
            EncoderNetwork::Hcnn => Inner::Hcnn(Convolutions::new(side, dim)),
            EncoderNetwork::BiLstm => Inner::BiLstm(Memories::new(side, dim)),
        };
        Some(Self {
            layout: Layout::default(),
            tokens: Matrix::zeroed(0, side.width),
            token_gradients: Matrix::zeroed(0, side.width),
            peaks: Matrix::zeroed(capacity, dim),
            inner,
            all: Vec::new(),
        })
    }

    /// Encodes side `side` of the batch into the first rows of `encoded`.
    pub(crate) fn forward(
        &mut self,
        pool: &Pool,
        side: usize,
        batch: Batch<'_>,
        table: &Matrix,
        layers: &[Layer],
        encoded: &mut Matrix,
    ) {
        self.layout.arrange(side, batch);
        let rows = self.layout.rows();
        room(&mut self.tokens, rows);
        for row in self.all.len()..rows.max(batch.len()) {
            self.all.push(row as u32);
        }
        let layout = &self.layout;
        for_rows_mut(pool, [&mut self.tokens], &self.all[..rows], |_, row, [x]| match layout.place(row) {
            None => x.fill(0.0),
            Some((step, rank)) => {
                let token = batch.tokens(side, layout.position(rank))[step];
                x[..table.columns()].copy_from_slice(table.row(token as usize));
            }
        });
        let all = &self.all[..rows];
        match &mut self.inner {
            Inner::Hcnn(inner) => inner.forward(pool, layout, &self.tokens, layers, all),
            Inner::BiLstm(inner) => inner.forward(pool, layout, &self.tokens, layers, all),
        }
        let pieces = match &self.inner {
            Inner::Hcnn(inner) => inner.outputs(),
            Inner::BiLstm(inner) => inner.outputs(),
        };
        let positions = &self.all[..batch.len()];
        for_rows_mut(pool, [encoded, &mut self.peaks], positions, |_, position, [most, at]| {
            let rank = layout.rank(position);
            let mut first = 0;
            for (values, backwards) in &pieces {
                let columns = first..first + values.columns();
                let (most, at) = (&mut most[columns.clone()], &mut at[columns]);
                most.fill(f32::NEG_INFINITY);
                for step in 0..layout.length(rank) {
                    let row = layout.row(layout.turned(step, rank, *backwards), rank);
                    kernels::latest_maximum(most, at, values.row(row), step as f32);
                }
                first += values.columns();
            }
        });
    }

    /// From the gradient of the encodings to updated layers and `token_gradients`. [`Sequence::forward`] must have run
    /// on the same batch.
    pub(crate) fn backward(&mut self, descent: &mut Descent<'_>, gradient: &Matrix) {
        let rows = self.layout.rows();
        room(&mut self.token_gradients, rows);
        let peaks = Peaks { layout: &self.layout, at: &self.peaks, gradient };
        let all = &self.all[..rows];
        match &mut self.inner {
            Inner::Hcnn(inner) => {
                inner.backward(descent, peaks, &self.tokens, all, &mut self.token_gradients);
            }
            Inner::BiLstm(inner) => {
                inner.backward(descent, peaks, &self.tokens, all, &mut self.token_gradients);
            }
        }
    }
}

/// The gradients of the encodings, to be spread over the steps in which their maxima were found.
#[derive(Clone, Copy)]
struct Peaks<'a> {
    layout: &'a Layout,
    at: &'a Matrix,
    gradient: &'a Matrix,
}

impl Peaks<'_> {
    /// Adds to the row of a token what reaches it of the columns from `first` on.
    fn spread(&self, step: usize, rank: usize, first: usize, into: &mut [f32]) {
        let position = self.layout.position(rank);
        let columns = first..first + into.len();
        let (gradient, at) = (&self.gradient.row(position)[columns.clone()], &self.at.row(position)[columns]);
        kernels::spread_maximum(into, gradient, at, step as f32);
    }
}

/// Makes `matrix` have at least so many rows; what stood in it is lost when it grows.
fn room(matrix: &mut Matrix, rows: usize) {
    if matrix.rows() < rows {
        // An eighth more, so that slowly growing batches do not allocate each time.
        *matrix = Matrix::zeroed(rows + rows / 8, matrix.columns());
    }
}
