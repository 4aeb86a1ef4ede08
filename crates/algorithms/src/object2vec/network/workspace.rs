//! Storage for the values of one batch, allocated once.

use super::{Batch, Shape};
use crate::kernels::{self, BackwardScratch, Matrix};

/// Activations of a batch, and their gradients when training.
pub(crate) struct Workspace {
    /// Records it has room for.
    pub capacity: usize,
    /// Encodings of the two sides, `[B, d]`, after dropout.
    pub encoded: [Matrix; 2],
    /// Input of each dense layer, `[B, inputs]`.
    pub inputs: Vec<Matrix>,
    /// Output of the last layer, `[B, outputs]`.
    pub output: Matrix,
    /// The numbers 0, 1, ..., to name all rows with.
    pub all: Vec<u32>,
    /// Present when training.
    pub gradients: Option<Gradients>,
}

/// Gradients of everything in a [`Workspace`], and what else the backward pass needs.
pub(crate) struct Gradients {
    pub encoded: [Matrix; 2],
    pub inputs: Vec<Matrix>,
    pub output: Matrix,
    pub scratch: BackwardScratch,
    pub bias: Vec<f32>,
    /// What the batch looks up, for each table.
    pub touched: Vec<Touched>,
}

/// The rows of one table that a batch looks up.
#[derive(Default)]
pub(crate) struct Touched {
    /// `row << 32 | side << 31 | position in the batch`, for every token, sorted.
    pub touches: Vec<u64>,
    /// Each row once, increasing.
    pub rows: Vec<u32>,
    /// Where the touches of each row begin; one longer than `rows`.
    pub starts: Vec<usize>,
}

impl Workspace {
    /// Room for batches of up to `capacity` records.
    pub(crate) fn new(shape: &Shape, capacity: usize, training: bool) -> Self {
        let encodings = || [Matrix::zeroed(capacity, shape.dim), Matrix::zeroed(capacity, shape.dim)];
        let sizes = shape.layers();
        let inputs = || sizes.iter().map(|&(inputs, _)| Matrix::zeroed(capacity, inputs)).collect();
        let widest = sizes.iter().map(|&(_, outputs)| outputs).max().unwrap_or(1);
        Self {
            capacity,
            encoded: encodings(),
            inputs: inputs(),
            output: Matrix::zeroed(capacity, shape.outputs),
            all: (0..capacity as u32).collect(),
            gradients: training.then(|| Gradients {
                encoded: encodings(),
                inputs: inputs(),
                output: Matrix::zeroed(capacity, shape.outputs),
                scratch: BackwardScratch::new(capacity, widest),
                bias: vec![0.0; widest],
                touched: shape.tables().iter().map(|_| Touched::default()).collect(),
            }),
        }
    }
}

impl Touched {
    /// Lists what a batch looks up in this table.
    pub(crate) fn collect(&mut self, shape: &Shape, table: usize, batch: Batch<'_>) {
        self.touches.clear();
        for side in (0..2).filter(|&side| shape.table_of(side) == table) {
            for position in 0..batch.len() {
                let tail = (side as u64) << 31 | position as u64;
                let tokens = batch.tokens(side, position);
                self.touches.extend(tokens.iter().map(|&row| u64::from(row) << 32 | tail));
            }
        }
        self.touches.sort_unstable();
        self.rows.clear();
        self.starts.clear();
        for (at, touch) in self.touches.iter().enumerate() {
            let row = (touch >> 32) as u32;
            if self.rows.last() != Some(&row) {
                self.rows.push(row);
                self.starts.push(at);
            }
        }
        self.starts.push(self.touches.len());
    }

    /// Sum of the gradients of all touches of one row, in their order; `encoded` are the gradients of the encodings.
    pub(crate) fn gradient(&self, group: usize, batch: Batch<'_>, encoded: &[Matrix; 2], into: &mut [f32]) {
        into.fill(0.0);
        for touch in &self.touches[self.starts[group]..self.starts[group + 1]] {
            let side = (touch >> 31 & 1) as usize;
            let position = (touch & 0x7fff_ffff) as usize;
            let count = batch.tokens(side, position).len();
            kernels::add_scaled(into, encoded[side].row(position), 1.0 / count as f32);
        }
    }
}
