//! Storage for the values of one batch, allocated once.

use super::encoder::Sequence;
use super::{Batch, Shape};
use crate::kernels::{self, BackwardScratch, Matrix};

/// Activations of a batch, and their gradients when training.
pub(crate) struct Workspace {
    /// Records it has room for.
    pub capacity: usize,
    /// Encodings of the two sides, `[B, d]`, after dropout.
    pub encoded: [Matrix; 2],
    /// Values inside the encoders that read in order.
    pub sequences: [Option<Sequence>; 2],
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
    /// Every look-up: row and where its gradient stands, sorted.
    touches: Vec<Touch>,
    /// Each row once, increasing.
    pub rows: Vec<u32>,
    /// Where the touches of each row begin; one longer than `rows`.
    starts: Vec<usize>,
}

/// One look-up. Pooled embeddings: position in the batch, whose gradient counts divided by the length of its list;
/// encoders that read in order: row of the token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Touch {
    row: u32,
    side: u32,
    index: u32,
    length: u32,
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
            sequences: shape.sides.each_ref().map(|side| Sequence::new(side, shape.dim, capacity)),
            inputs: inputs(),
            output: Matrix::zeroed(capacity, shape.outputs),
            all: (0..capacity as u32).collect(),
            gradients: training.then(|| Gradients {
                encoded: encodings(),
                inputs: inputs(),
                output: Matrix::zeroed(capacity, shape.outputs),
                scratch: BackwardScratch::new(capacity, widest),
                bias: Vec::with_capacity(widest),
                touched: shape.tables().iter().map(|_| Touched::default()).collect(),
            }),
        }
    }
}

impl Touched {
    /// Lists what a batch looks up in this table. Encoders that read in order must have run on the batch.
    pub(crate) fn collect(
        &mut self,
        shape: &Shape,
        table: usize,
        batch: Batch<'_>,
        sequences: &[Option<Sequence>; 2],
    ) {
        self.touches.clear();
        for side in (0..2).filter(|&side| shape.table_of(side) == table) {
            let touch = |row: u32, index: usize, length: usize| Touch {
                row,
                side: side as u32,
                index: index as u32,
                length: length as u32,
            };
            match &sequences[side] {
                None => {
                    for position in 0..batch.len() {
                        let tokens = batch.tokens(side, position);
                        self.touches.extend(tokens.iter().map(|&row| touch(row, position, tokens.len())));
                    }
                }
                Some(sequence) => {
                    let layout = &sequence.layout;
                    self.touches.extend((0..layout.rows()).filter_map(|row| {
                        let (step, rank) = layout.place(row)?;
                        Some(touch(batch.tokens(side, layout.position(rank))[step], row, 1))
                    }));
                }
            }
        }
        self.touches.sort_unstable();
        self.rows.clear();
        self.starts.clear();
        for (at, touch) in self.touches.iter().enumerate() {
            if self.rows.last() != Some(&touch.row) {
                self.rows.push(touch.row);
                self.starts.push(at);
            }
        }
        self.starts.push(self.touches.len());
    }

    /// Sum of the gradients of all touches of one row, in their order; `sources` are the gradients that the touches
    /// of each side point into.
    pub(crate) fn gradient(&self, group: usize, sources: [&Matrix; 2], into: &mut [f32]) {
        into.fill(0.0);
        for touch in &self.touches[self.starts[group]..self.starts[group + 1]] {
            let source = sources[touch.side as usize].row(touch.index as usize);
            kernels::add_scaled(into, source, 1.0 / touch.length as f32);
        }
    }
}
