//! `bilstm`: long short-term memories that read every list forwards and backwards, and the maxima of the last layer.
//!
//! For input x[t] (embeddings, or both directions' outputs of the layer before, side by side) and cells of width H:
//!
//! ```text
//! [i f o g] = x[t] W + h[t-1] R + b        i, f, o through the logistic function, g through tanh
//! c[t] = f c[t-1] + i g,  h[t] = o tanh(c[t])
//! e    = [max over t of forward h[t], max over t of backward h[t]], of width H_f + H_b = enc_dim
//! ```
//!
//! A direction that reads backwards works on reversed lists: its step 0 is the last token.

use super::super::{Layer, SideShape};
use super::{Descent, EncoderLayer, Layout, Peaks, room};
use crate::kernels::{self, Matrix, Pool, for_rows_mut, for_shifted_rows_mut};

/// Width of the cells that read forwards, and backwards.
fn cells(dim: usize) -> [usize; 2] {
    [dim.div_ceil(2), dim / 2]
}

pub(super) fn layers(side: &SideShape, dim: usize) -> Vec<EncoderLayer> {
    let mut list = Vec::new();
    for layer in 0..side.layers {
        let inputs = if layer == 0 { side.width } else { dim };
        for (cells, direction) in cells(dim).into_iter().zip(["forward", "backward"]) {
            let outputs = 4 * cells;
            let name = |what: &str| format!("lstm{layer}_{direction}_{what}");
            list.push(EncoderLayer { name: name("input"), inputs, outputs, bias: true });
            list.push(EncoderLayer { name: name("recurrent"), inputs: cells, outputs, bias: false });
        }
    }
    list
}

/// The bias that a memory starts from: 1 for the gates that forget, so that it remembers at first (Jozefowicz et al.
/// 2015, and MXNet's default), 0 elsewhere.
pub(crate) fn start_of_bias(bias: &mut [f32]) {
    let cells = bias.len() / 4;
    bias[cells..2 * cells].fill(1.0);
}

/// Values of all memories for one batch.
pub(crate) struct Memories {
    /// Both directions of each layer.
    directions: Vec<Direction>,
    /// Outputs of each layer but the last, both directions side by side in the order of the text, and their gradients.
    between: Vec<Matrix>,
    between_gradients: Vec<Matrix>,
}

/// One direction of one layer; rows are steps as this direction reads.
struct Direction {
    backwards: bool,
    /// Its input, turned if need be; the gradient of the same.
    input: Matrix,
    input_gradient: Matrix,
    /// Values of the gates, later the gradients of their inputs.
    gates: Matrix,
    cell: Matrix,
    output: Matrix,
    /// Output and cell of the step before.
    output_before: Matrix,
    cell_before: Matrix,
    output_gradient: Matrix,
    /// Gradient of the cell, by rank.
    cell_gradient: Matrix,
    /// The recurrent weights, turned over.
    turned: Matrix,
}

impl Memories {
    pub(super) fn new(side: &SideShape, dim: usize) -> Self {
        let directions = layers(side, dim)
            .chunks(2)
            .enumerate()
            .map(|(index, pair)| Direction::new(index % 2 == 1, pair[0].inputs, pair[1].inputs))
            .collect();
        let between = || (1..side.layers).map(|_| Matrix::zeroed(0, dim)).collect();
        Self { directions, between: between(), between_gradients: between() }
    }

    pub(super) fn forward(
        &mut self,
        pool: &Pool,
        layout: &Layout,
        tokens: &Matrix,
        layers: &[Layer],
        all: &[u32],
    ) {
        let pairs = self.directions.chunks_mut(2).zip(layers.chunks(4));
        for (index, (directions, layers)) in pairs.enumerate() {
            let (before, after) = self.between.split_at_mut(index);
            let source = before.last().unwrap_or(tokens);
            for (direction, layers) in directions.iter_mut().zip(layers.chunks(2)) {
                direction.read(pool, layout, source, all);
                direction.run(pool, layout, layers, all);
            }
            let Some(joined) = after.first_mut() else { continue };
            room(joined, all.len());
            for_rows_mut(pool, [joined], all, |_, row, [joined]| {
                joined.fill(0.0);
                let Some((step, rank)) = layout.place(row) else { return };
                let mut first = 0;
                for direction in directions.iter() {
                    let from = layout.row(layout.turned(step, rank, direction.backwards), rank);
                    let values = direction.output.row(from);
                    joined[first..first + values.len()].copy_from_slice(values);
                    first += values.len();
                }
            });
        }
    }

    /// What the maxima are taken of, in order, and whether its steps are counted from the end.
    pub(super) fn outputs(&self) -> Vec<(&Matrix, bool)> {
        let last = self.directions.len() - 2;
        self.directions[last..].iter().map(|direction| (&direction.output, direction.backwards)).collect()
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
        let width = tokens.columns();
        for index in (0..self.directions.len() / 2).rev() {
            let directions = &mut self.directions[2 * index..2 * index + 2];
            let above = self.between_gradients.get(index);
            let mut first = 0;
            for (side, direction) in directions.iter_mut().enumerate() {
                let cells = direction.output.columns();
                let backwards = direction.backwards;
                let dh = &mut direction.output_gradient;
                room(dh, all.len());
                for_rows_mut(pool, [dh], all, |_, row, [dh]| {
                    let dh = &mut dh[..cells];
                    dh.fill(0.0);
                    let Some((step, rank)) = layout.place(row) else { return };
                    // `step` counts as this direction reads; the maxima and the layer above count as the text does.
                    let turned = layout.turned(step, rank, backwards);
                    match above {
                        None => peaks.spread(turned, rank, first, dh),
                        Some(above) => {
                            let row = above.row(layout.row(turned, rank));
                            dh.copy_from_slice(&row[first..first + cells]);
                        }
                    }
                });
                first += cells;
                direction.descend(descent, layout, 4 * index + 2 * side, all);
            }
            let target = match index.checked_sub(1) {
                None => &mut *token_gradients,
                Some(below) => &mut self.between_gradients[below],
            };
            room(target, all.len());
            let columns = if index == 0 { width } else { target.columns() };
            let directions = &self.directions[2 * index..2 * index + 2];
            for_rows_mut(pool, [target], all, |_, row, [dx]| {
                dx.fill(0.0);
                let Some((step, rank)) = layout.place(row) else { return };
                for direction in directions {
                    let from = layout.row(layout.turned(step, rank, direction.backwards), rank);
                    kernels::add(&mut dx[..columns], direction.input_gradient.row(from));
                }
            });
        }
    }
}

impl Direction {
    fn new(backwards: bool, inputs: usize, cells: usize) -> Self {
        let empty = |columns| Matrix::zeroed(0, columns);
        Self {
            backwards,
            input: empty(inputs),
            input_gradient: empty(inputs),
            gates: empty(4 * cells),
            cell: empty(cells),
            output: empty(cells),
            output_before: empty(cells),
            cell_before: empty(cells),
            output_gradient: empty(cells),
            cell_gradient: empty(cells),
            turned: Matrix::zeroed(4 * cells, cells),
        }
    }

    /// Takes over its input in the order in which it reads.
    fn read(&mut self, pool: &Pool, layout: &Layout, source: &Matrix, all: &[u32]) {
        let backwards = self.backwards;
        room(&mut self.input, all.len());
        for_rows_mut(pool, [&mut self.input], all, |_, row, [x]| {
            x.fill(0.0);
            if let Some((step, rank)) = layout.place(row) {
                let from = source.row(layout.row(layout.turned(step, rank, backwards), rank));
                x[..from.len()].copy_from_slice(from);
            }
        });
    }

    /// All steps, one after the other.
    fn run(&mut self, pool: &Pool, layout: &Layout, layers: &[Layer], all: &[u32]) {
        let [input, recurrent] = layers else { return };
        let cells = self.output.columns();
        for matrix in [
            &mut self.gates,
            &mut self.cell,
            &mut self.output,
            &mut self.output_before,
            &mut self.cell_before,
        ] {
            room(matrix, all.len());
        }
        kernels::forward(
            pool,
            &self.input,
            all.len(),
            &input.weights,
            &mut self.gates,
            |_, first, values| {
                kernels::add(values, &input.bias[first..first + values.len()]);
            },
        );
        for step in 0..layout.steps() {
            let (start, active) = layout.step(step);
            self.carry(pool, layout, step, all);
            if step > 0 {
                let (before, gates) = (&self.output_before, &mut self.gates);
                kernels::accumulate_rows(pool, before, start, active, &recurrent.weights, gates, start);
            }
            let Self { gates, cell, output, cell_before, .. } = self;
            let before = &*cell_before;
            for_rows_mut(
                pool,
                [gates, cell, output],
                &all[start..start + active],
                |_, row, [gates, c, h]| {
                    let [i, f, o, g] = quarters(gates, cells);
                    kernels::lstm_forward(i, f, o, g, before.row(row), &mut c[..cells], &mut h[..cells]);
                },
            );
        }
    }

    /// Brings output and cell of the step before to the rows of this one; zeros before the first step and in padding.
    fn carry(&mut self, pool: &Pool, layout: &Layout, step: usize, all: &[u32]) {
        let (start, active) = layout.step(step);
        let cells = self.output.columns();
        let (cell, output) = (&self.cell, &self.output);
        let rows = &all[start..start + active.next_multiple_of(8)];
        for_rows_mut(pool, [&mut self.output_before, &mut self.cell_before], rows, |rank, _, [h, c]| {
            let (h, c) = (&mut h[..cells], &mut c[..cells]);
            if step == 0 || rank >= active {
                h.fill(0.0);
                c.fill(0.0);
            } else {
                let before = layout.row(step - 1, rank);
                h.copy_from_slice(output.row(before));
                c.copy_from_slice(cell.row(before));
            }
        });
    }

    /// Back through all steps; afterwards the layer is updated and `input_gradient` stands.
    fn descend(&mut self, descent: &mut Descent<'_>, layout: &Layout, layer: usize, all: &[u32]) {
        let (pool, cells) = (descent.pool, self.output.columns());
        let recurrent = &descent.layers[layer + 1].weights;
        for from in 0..cells {
            for (to, &value) in recurrent.row(from).iter().enumerate() {
                self.turned.row_mut(to)[from] = value;
            }
        }
        let lists = layout.step(0).1;
        room(&mut self.cell_gradient, lists);
        self.cell_gradient.data_mut().fill(0.0);
        for step in (0..layout.steps()).rev() {
            let (start, active) = layout.step(step);
            let Self { gates, cell_gradient, cell, cell_before, output_gradient, .. } = self;
            let ranks = &all[..active];
            for_shifted_rows_mut(
                pool,
                [(gates, start), (cell_gradient, 0)],
                ranks,
                |rank, _, [gates, dc]| {
                    let [i, f, o, g] = quarters(gates, cells);
                    let row = start + rank;
                    let (before, c, dh) = (cell_before.row(row), cell.row(row), output_gradient.row(row));
                    kernels::lstm_backward(i, f, o, g, before, c, dh, &mut dc[..cells]);
                },
            );
            for row in start + active..start + active.next_multiple_of(8) {
                self.gates.row_mut(row).fill(0.0);
            }
            if step > 0 {
                let to = layout.step(step - 1).0;
                let (gates, turned) = (&self.gates, &self.turned);
                kernels::accumulate_rows(pool, gates, start, active, turned, &mut self.output_gradient, to);
            }
        }
        let rows = all.len();
        room(&mut self.input_gradient, rows);
        descent.layer(layer, &self.input, &self.gates, rows, Some(&mut self.input_gradient));
        descent.layer(layer + 1, &self.output_before, &self.gates, rows, None);
    }
}

/// The four gates of one row.
fn quarters(gates: &mut [f32], cells: usize) -> [&mut [f32]; 4] {
    let (i, rest) = gates.split_at_mut(cells);
    let (f, rest) = rest.split_at_mut(cells);
    let (o, rest) = rest.split_at_mut(cells);
    [i, f, o, &mut rest[..cells]]
}
