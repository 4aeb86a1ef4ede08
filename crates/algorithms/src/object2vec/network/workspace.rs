//! Storage for the values of one batch, allocated once.

use super::encoder::Sequence;
use super::{Batch, Role, Shape};
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

/// One look-up, and which row of which gradient it gets, times a weight.
#[derive(Clone, Copy)]
struct Touch {
    row: u32,
    source: u32,
    index: u32,
    weight: f32,
}

impl Touch {
    /// By row, then by where the gradient stands: two comparisons at most.
    fn order(&self) -> (u32, u64) {
        (self.row, u64::from(self.source) << 32 | u64::from(self.index))
    }
}

/// Number of matrices that the gradients of tables come from: one for each side, and that of the outputs.
pub(super) const SOURCES: usize = 3;

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
        match shape.tables()[table].0 {
            Role::Embedding => {
                for side in (0..2).filter(|&side| shape.table_of(side) == table) {
                    match &sequences[side] {
                        None => self.pooled(batch, side, side),
                        Some(sequence) => self.in_order(batch, side, sequence),
                    }
                }
                for side in (0..2).filter(|&side| !shape.history[side] && shape.history_table(side) == table)
                {
                    self.history(batch, side);
                }
            }
            Role::Bias(side) => self.pooled(batch, side, SOURCES - 1),
            Role::History(side) => self.history(batch, side),
        }
        // Touches that are equal here have equal weights.
        self.touches.sort_unstable_by_key(Touch::order);
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

    /// Every token of a list gets the gradient of its position, divided by the length of the list.
    fn pooled(&mut self, batch: Batch<'_>, side: usize, source: usize) {
        for position in 0..batch.len() {
            let tokens = batch.tokens(side, position);
            let (source, index, weight) = (source as u32, position as u32, 1.0 / tokens.len() as f32);
            self.touches.extend(tokens.iter().map(|&row| Touch { row, source, index, weight }));
        }
    }

    /// Every token gets the gradient of its own row.
    fn in_order(&mut self, batch: Batch<'_>, side: usize, sequence: &Sequence) {
        let layout = &sequence.layout;
        self.touches.extend((0..layout.rows()).filter_map(|index| {
            let (step, rank) = layout.place(index)?;
            let row = batch.tokens(side, layout.position(rank))[step];
            Some(Touch { row, source: side as u32, index: index as u32, weight: 1.0 })
        }));
    }

    /// Everything that an object of this side met gets the gradient of the object's encoding, times its weight.
    fn history(&mut self, batch: Batch<'_>, side: usize) {
        let Some(past) = batch.past else { return };
        let mut weights = Vec::new();
        for position in 0..batch.len() {
            let pair = [0, 1].map(|side| batch.tokens(side, position)[0]);
            let met = past.weights(side, pair, position, &mut weights);
            let touches = met.iter().zip(&weights).filter(|&(_, &weight)| weight != 0.0);
            let (source, index) = (side as u32, position as u32);
            self.touches.extend(touches.map(|(&row, &weight)| Touch { row, source, index, weight }));
        }
    }

    /// Sum of the gradients of all touches of one row, in their order; `sources` are the gradients of the two sides
    /// and of the outputs.
    pub(crate) fn gradient(&self, group: usize, sources: [&Matrix; SOURCES], into: &mut [f32]) {
        into.fill(0.0);
        for touch in &self.touches[self.starts[group]..self.starts[group + 1]] {
            let source = sources[touch.source as usize].row(touch.index as usize);
            kernels::add_scaled(into, source, touch.weight);
        }
    }
}
