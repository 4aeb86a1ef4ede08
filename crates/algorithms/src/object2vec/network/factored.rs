//! A network arranged for answering: what its first layer makes of one side alone is looked up, not computed.
//!
//! The first layer's input holds the comparators side by side, and `concat` holds e0 and e1 themselves. With W cut into
//! the rows that belong to them,
//!
//! ```text
//! x W = e0 W_0 + e1 W_1 + [hadamard, abs_diff] W_rest
//! ```
//!
//! and as e0 is a mean of token embeddings, `e0 W_0` is the mean of rows of the product of the table and W_0, made
//! once. Half of the arithmetic of the default comparators goes away.

use super::forward::{activate, compare};
use super::{Batch, Layer, Network, Shape};
use crate::kernels::{self, Matrix, Pool, for_rows_mut};
use crate::object2vec::hyperparameters::{Comparator, EncoderNetwork};

/// Most bytes that the products may take: a model beyond it is answered without them. Making them takes a second at
/// most, and every server of a model holds its own.
const MAX_BYTES: usize = 256 << 20;

/// The products, and what is left of the network.
pub(crate) struct Factored {
    /// Table of each side times the rows of W that belong to it.
    products: [Matrix; 2],
    comparators: Vec<Comparator>,
    /// The first layer without the rows of `concat`; without rows when there are no other comparators.
    first: Layer,
}

/// Values of one batch.
pub(crate) struct Space {
    encoded: [Matrix; 2],
    compared: Matrix,
    /// Output of each layer; the last is that of the network.
    outputs: Vec<Matrix>,
    all: Vec<u32>,
}

impl Factored {
    /// `None` for a network of which nothing can be made beforehand.
    pub(crate) fn new(pool: &Pool, network: &Network) -> Option<Self> {
        let shape = &network.shape;
        let pooled = shape.sides.iter().all(|side| side.network == EncoderNetwork::PooledEmbedding);
        let first = network.layers.first()?;
        let outputs = first.bias.len();
        let rows: usize = shape.sides.iter().map(|side| side.vocab).sum();
        let bytes = rows.saturating_mul(kernels::row_stride(outputs) * 4);
        if !pooled || !shape.comparators.contains(&Comparator::Concat) || bytes > MAX_BYTES {
            return None;
        }
        let comparators: Vec<_> =
            shape.comparators.iter().copied().filter(|&c| c != Comparator::Concat).collect();
        let rest = comparators.len() * shape.dim;
        let mut parts = [Matrix::zeroed(shape.dim, outputs), Matrix::zeroed(shape.dim, outputs)];
        let mut weights = Matrix::zeroed(rest, outputs);
        let (mut from, mut to) = (0, 0);
        for comparator in &shape.comparators {
            for row in 0..comparator.width(shape.dim) {
                let target = match comparator {
                    Comparator::Concat => parts[row / shape.dim].row_mut(row % shape.dim),
                    _ => weights.row_mut(to + row),
                };
                target.copy_from_slice(first.weights.row(from + row));
            }
            from += comparator.width(shape.dim);
            to += if *comparator == Comparator::Concat { 0 } else { shape.dim };
        }
        let products = std::array::from_fn(|side| {
            let table = &network.tables[shape.table_of(side)];
            let mut product = Matrix::zeroed(table.rows(), outputs);
            kernels::forward(pool, table, table.rows(), &parts[side], &mut product, |_, _, _| {});
            product
        });
        let first = Layer { weights, bias: first.bias.clone(), activation: first.activation };
        Some(Self { products, comparators, first })
    }

    /// Room for batches of up to `capacity` samples.
    pub(crate) fn space(&self, shape: &Shape, capacity: usize) -> Space {
        let outputs = shape.layers().iter().map(|&(_, outputs)| Matrix::zeroed(capacity, outputs)).collect();
        Space {
            encoded: std::array::from_fn(|_| Matrix::zeroed(capacity, shape.dim)),
            compared: Matrix::zeroed(capacity, self.first.weights.rows()),
            outputs,
            all: (0..capacity as u32).collect(),
        }
    }

    /// Runs a batch, and gives its outputs.
    pub(crate) fn forward<'s>(
        &self,
        network: &Network,
        pool: &Pool,
        space: &'s mut Space,
        batch: Batch<'_>,
    ) -> &'s mut Matrix {
        let (count, dim) = (batch.len(), network.shape.dim);
        let Space { encoded: [e0, e1], compared, outputs, all, .. } = space;
        let last = network.layers.len() - 1;
        let finish = |row: usize, first: usize, values: &mut [f32], layer: &Layer, index: usize| {
            kernels::add(values, &layer.bias[first..first + values.len()]);
            if index == 0 {
                self.look_up(batch, row, first, values);
            }
            activate(layer.activation, values);
            if index == last {
                network.add_bias_terms(batch, row, values);
            }
        };
        if self.comparators.is_empty() {
            for_rows_mut(pool, [&mut outputs[0]], &all[..count], |_, row, [out]| {
                let out = &mut out[..self.first.bias.len()];
                out.fill(0.0);
                finish(row, 0, out, &self.first, 0);
            });
        } else {
            for_rows_mut(pool, [e0, e1, &mut *compared], &all[..count], |_, row, [e0, e1, x]| {
                // A list of one token needs no copy of its embedding.
                let [e0, e1] = [(0, e0), (1, e1)].map(|(side, held)| match batch.tokens(side, row) {
                    [one] => network.tables[network.shape.table_of(side)].row(*one as usize),
                    many => {
                        network.pool_tokens(side, many, &mut held[..dim]);
                        &held[..dim]
                    }
                });
                compare(&self.comparators, e0, e1, x);
            });
            kernels::forward(pool, compared, count, &self.first.weights, &mut outputs[0], |row, first, v| {
                finish(row, first, v, &self.first, 0);
            });
        }
        for (index, layer) in network.layers.iter().enumerate().skip(1) {
            let (before, after) = outputs.split_at_mut(index);
            kernels::forward(
                pool,
                &before[index - 1],
                count,
                &layer.weights,
                &mut after[0],
                |row, first, v| {
                    finish(row, first, v, layer, index);
                },
            );
        }
        &mut outputs[last]
    }

    /// Adds the products of both sides of a sample, from column `first` on.
    fn look_up(&self, batch: Batch<'_>, row: usize, first: usize, values: &mut [f32]) {
        for (side, products) in self.products.iter().enumerate() {
            let tokens = batch.tokens(side, row);
            let share = 1.0 / tokens.len().max(1) as f32;
            for &token in tokens {
                let product = &products.row(token as usize)[first..first + values.len()];
                kernels::add_scaled(values, product, share);
            }
        }
    }
}
