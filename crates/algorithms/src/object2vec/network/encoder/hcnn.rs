//! `hcnn`: convolutions over neighbouring tokens, each layer over the one before, and the maxima of all layers.
//!
//! For a filter of w tokens, layer l with C_l columns and a list of n tokens:
//!
//! ```text
//! h_0[t]  = embedding of token t
//! h_l[t]  = relu([h_(l-1)[t - (w-1)/2], ..., h_(l-1)[t + w/2]] W_l + b_l), zeros beyond both ends of the list
//! e       = [max over t of h_1[t], ..., max over t of h_L[t]], of width C_1 + ... + C_L = enc_dim
//! ```

use super::super::{Layer, SideShape};
use super::{Descent, EncoderLayer, Layout, Peaks, room};
use crate::kernels::{self, Matrix, Pool, for_rows_mut};

/// Columns of each layer: `dim` in parts as equal as can be, the larger ones first.
fn columns(side: &SideShape, dim: usize) -> impl Iterator<Item = usize> {
    let layers = side.layers;
    (0..layers).map(move |layer| dim / layers + usize::from(layer < dim % layers))
}

pub(super) fn layers(side: &SideShape, dim: usize) -> Vec<EncoderLayer> {
    let mut before = side.width;
    columns(side, dim)
        .enumerate()
        .map(|(layer, outputs)| {
            let inputs = side.filter_width * before;
            before = outputs;
            EncoderLayer { name: format!("conv{layer}"), inputs, outputs, bias: true }
        })
        .collect()
}

/// Values of the convolutions for one batch.
pub(crate) struct Convolutions {
    filter: usize,
    /// Output of each layer, a row per token.
    hidden: Vec<Matrix>,
    gradients: Vec<Matrix>,
    /// Inputs of each layer, `filter` tokens in a row; built again in the backward pass, so one row set per width.
    windows: Vec<Matrix>,
    window_gradients: Vec<Matrix>,
}

impl Convolutions {
    pub(super) fn new(side: &SideShape, dim: usize) -> Self {
        let outputs = || columns(side, dim).map(|columns| Matrix::zeroed(0, columns)).collect();
        let inputs = || layers(side, dim).iter().map(|layer| Matrix::zeroed(0, layer.inputs)).collect();
        Self {
            filter: side.filter_width,
            hidden: outputs(),
            gradients: outputs(),
            windows: inputs(),
            window_gradients: inputs(),
        }
    }

    pub(super) fn forward(
        &mut self,
        pool: &Pool,
        layout: &Layout,
        tokens: &Matrix,
        layers: &[Layer],
        all: &[u32],
    ) {
        for (index, layer) in layers.iter().enumerate() {
            let (before, after) = self.hidden.split_at_mut(index);
            let source = before.last().unwrap_or(tokens);
            let window = &mut self.windows[index];
            room(window, all.len());
            unfold(pool, layout, self.filter, source, window, all);
            room(&mut after[0], all.len());
            kernels::forward(pool, window, all.len(), &layer.weights, &mut after[0], |_, first, values| {
                kernels::add(values, &layer.bias[first..first + values.len()]);
                kernels::relu(values);
            });
        }
    }

    /// What the maxima are taken of, in order, and whether its steps are counted from the end.
    pub(super) fn outputs(&self) -> Vec<(&Matrix, bool)> {
        self.hidden.iter().map(|hidden| (hidden, false)).collect()
    }

    pub(super) fn backward(
        &mut self,
        descent: &mut Descent<'_>,
        peaks: Peaks<'_>,
        tokens: &Matrix,
        all: &[u32],
        token_gradients: &mut Matrix,
    ) {
        let (layout, pool) = (peaks.layout, descent.pool);
        let mut end: usize = self.hidden.iter().map(Matrix::columns).sum();
        for index in (0..self.hidden.len()).rev() {
            let width = self.hidden[index].columns();
            end -= width;
            let after = self.window_gradients.get(index + 1);
            let (hidden, filter) = (&self.hidden[index], self.filter);
            let dy = &mut self.gradients[index];
            room(dy, all.len());
            for_rows_mut(pool, [&mut *dy], all, |_, row, [dy]| {
                let dy = &mut dy[..width];
                dy.fill(0.0);
                let Some((step, rank)) = layout.place(row) else { return };
                if let Some(after) = after {
                    fold(layout, filter, after, step, rank, dy);
                }
                peaks.spread(step, rank, end, dy);
                kernels::relu_backward(dy, hidden.row(row));
            });
            let dx = &mut self.window_gradients[index];
            room(dx, all.len());
            descent.layer(index, &self.windows[index], &self.gradients[index], all.len(), Some(dx));
        }
        let (filter, first) = (self.filter, &self.window_gradients[0]);
        let width = tokens.columns();
        for_rows_mut(pool, [token_gradients], all, |_, row, [dx]| {
            dx.fill(0.0);
            if let Some((step, rank)) = layout.place(row) {
                fold(layout, filter, first, step, rank, &mut dx[..width]);
            }
        });
    }
}

/// The step that part `part` of the window around `step` looks at, if the list has it.
fn neighbour(layout: &Layout, filter: usize, step: usize, rank: usize, part: usize) -> Option<usize> {
    let at = (step + part).checked_sub((filter - 1) / 2)?;
    (at < layout.length(rank)).then_some(at)
}

/// Puts the neighbours of each token side by side.
fn unfold(pool: &Pool, layout: &Layout, filter: usize, from: &Matrix, window: &mut Matrix, all: &[u32]) {
    let width = from.columns();
    for_rows_mut(pool, [window], all, |_, row, [window]| {
        window.fill(0.0);
        let Some((step, rank)) = layout.place(row) else { return };
        for (part, into) in window[..filter * width].chunks_exact_mut(width).enumerate() {
            if let Some(at) = neighbour(layout, filter, step, rank, part) {
                into.copy_from_slice(from.row(layout.row(at, rank)));
            }
        }
    });
}

/// Gradient of [`unfold`]: adds up what all windows say about one token.
fn fold(layout: &Layout, filter: usize, windows: &Matrix, step: usize, rank: usize, into: &mut [f32]) {
    let width = into.len();
    for part in 0..filter {
        // The window around `at` holds this token as its part `part`.
        let Some(at) = (step + (filter - 1) / 2).checked_sub(part) else { continue };
        if at < layout.length(rank) {
            kernels::add(into, &windows.row(layout.row(at, rank))[part * width..(part + 1) * width]);
        }
    }
}
