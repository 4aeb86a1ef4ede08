//! From the gradient of the outputs to updated parameters.
//!
//! Dense layers are updated strip by strip while their gradient is in cache. Of the tables only the rows that the
//! batch looks up have a gradient; [`States`] decides what happens to the others:
//!
//! * frozen table: nothing happens to any row;
//! * storage `row_sparse`: nothing (MXNet's lazy update);
//! * storage `dense`, closed form known: nothing now; the steps they missed are made up before they are next looked
//!   up, in [`States::prepare`], and for all rows in [`States::settle`];
//! * storage `dense`, no closed form (Adam or RMSProp with weight decay): all rows take part in every step.

use std::cell::RefCell;

use super::encoder::{Descent, EncoderLayer};
use super::forward::{Batch, Dropout, Dropouts, compare_backward};
use super::workspace::{Gradients, SOURCES, Touched, Workspace};
use super::{Network, Shape};
use crate::kernels::{self, Matrix, Pool, for_rows_mut};
use crate::object2vec::hyperparameters::Activation;
use crate::object2vec::optimizer::{Optimizer, Rule, STATES, SkipTable};

/// What happens to rows of a table that have no gradient.
enum Untouched {
    Stay,
    CatchUp(SkipTable),
    TakePart,
}

/// State of the optimiser for all parameters of a network.
pub(crate) struct States {
    optimizer: Optimizer,
    untouched: Untouched,
    /// Steps taken.
    step: u32,
    /// What the rows of a batch keep of themselves in a step, apart from the gradient.
    kept: f32,
    tables: Vec<TableState>,
    encoders: [Vec<LayerState>; 2],
    layers: Vec<LayerState>,
}

struct TableState {
    /// The table stays as it is.
    frozen: bool,
    states: [Matrix; STATES],
    /// The step up to which each row is current.
    last: Vec<u32>,
    /// The numbers of all rows.
    all: Vec<u32>,
}

/// State of one dense layer.
pub(crate) struct LayerState {
    pub weights: [Matrix; STATES],
    pub bias: [Vec<f32>; STATES],
}

thread_local! {
    /// Gradient of one row of a table.
    static ROW: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl States {
    /// Fresh state for a network of this shape.
    pub(crate) fn new(shape: &Shape, optimizer: Optimizer, row_sparse: bool) -> Self {
        let untouched = match SkipTable::new(optimizer) {
            _ if row_sparse => Untouched::Stay,
            Some(table) => Untouched::CatchUp(table),
            None => Untouched::TakePart,
        };
        let used = optimizer.states();
        let matrices = |rows: usize, columns: usize| -> [Matrix; STATES] {
            std::array::from_fn(|i| Matrix::zeroed(if i < used { rows } else { 0 }, columns))
        };
        let tables = shape.tables().into_iter().map(|(_, rows, columns)| TableState {
            frozen: false,
            states: matrices(rows, columns),
            last: vec![0; rows],
            all: (0..rows as u32).collect(),
        });
        let layer = |inputs: usize, outputs: usize, bias: bool| LayerState {
            weights: matrices(inputs, outputs),
            bias: std::array::from_fn(|i| vec![0.0; if i < used && bias { outputs } else { 0 }]),
        };
        let encoders = std::array::from_fn(|side| {
            let layers = shape.encoder_layers(side).into_iter();
            layers.map(|EncoderLayer { inputs, outputs, bias, .. }| layer(inputs, outputs, bias)).collect()
        });
        let layers = shape.layers().into_iter().map(|(inputs, outputs)| layer(inputs, outputs, true));
        Self {
            optimizer,
            untouched,
            step: 0,
            kept: 1.0,
            tables: tables.collect(),
            encoders,
            layers: layers.collect(),
        }
    }

    /// Steps taken.
    pub(crate) fn steps(&self) -> u32 {
        self.step
    }

    /// Number of numbers that [`States::visit`] gives.
    pub(crate) fn numbers(&self) -> usize {
        let mut count = 0;
        let counted = self.visit(|values| {
            count += values.len();
            Ok(())
        });
        counted.map_or(0, |()| count)
    }

    /// Gives all numbers of the state, in a fixed order; [`States::settle`] must have been called since the last step.
    ///
    /// # Errors
    /// The first that `take` answers with.
    pub(crate) fn visit(&self, mut take: impl FnMut(&[f32]) -> std::io::Result<()>) -> std::io::Result<()> {
        let mut rows = |matrix: &Matrix| (0..matrix.rows()).try_for_each(|row| take(matrix.row(row)));
        for matrix in self.tables.iter().flat_map(|table| &table.states) {
            rows(matrix)?;
        }
        for layer in self.encoders.iter().flatten().chain(&self.layers) {
            layer.weights.iter().try_for_each(&mut rows)?;
        }
        let layers = self.encoders.iter().flatten().chain(&self.layers);
        layers.flat_map(|layer| &layer.bias).try_for_each(|bias| take(bias))
    }

    /// Takes over a state after `steps` steps; `fill` gives its numbers in the order of [`States::visit`].
    ///
    /// # Errors
    /// The first that `fill` answers with.
    pub(crate) fn restore(
        &mut self,
        steps: u32,
        mut fill: impl FnMut(&mut [f32]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut rows = |matrix: &mut Matrix| (0..matrix.rows()).try_for_each(|row| fill(matrix.row_mut(row)));
        for matrix in self.tables.iter_mut().flat_map(|table| &mut table.states) {
            rows(matrix)?;
        }
        for layer in self.encoders.iter_mut().flatten().chain(&mut self.layers) {
            layer.weights.iter_mut().try_for_each(&mut rows)?;
        }
        let layers = self.encoders.iter_mut().flatten().chain(&mut self.layers);
        layers.flat_map(|layer| &mut layer.bias).try_for_each(|bias| fill(bias))?;
        self.step = steps;
        self.tables.iter_mut().for_each(|table| table.last.fill(steps));
        if let Untouched::CatchUp(skips) = &mut self.untouched {
            skips.extend_to(steps);
        }
        Ok(())
    }

    /// From now on the tables marked here stay as they are.
    pub(crate) fn freeze(&mut self, tables: &[bool]) {
        for (state, &frozen) in self.tables.iter_mut().zip(tables) {
            state.frozen = frozen;
        }
    }

    /// Learning rate and decay of the rows of a batch from now on. [`States::settle`] must have been called since the last
    /// step.
    pub(crate) fn set_rates(&mut self, learning_rate: f64, embedding_decay: f64) {
        self.kept = (1.0 - learning_rate * embedding_decay).max(0.0) as f32;
        if self.optimizer.learning_rate != learning_rate {
            self.optimizer.learning_rate = learning_rate;
            if let Untouched::CatchUp(skips) = &mut self.untouched {
                skips.set_learning_rate(learning_rate);
                skips.extend_to(self.step);
            }
        }
    }

    /// Number of the next step; the first is 1.
    pub(crate) fn next_step(&self) -> u32 {
        self.step.saturating_add(1)
    }

    /// Makes up the steps that rows of the tables missed; call it before the network is used or stored.
    pub(crate) fn settle(&mut self, pool: &Pool, network: &mut Network) {
        let Untouched::CatchUp(skips) = &self.untouched else {
            return;
        };
        for (table, state) in network.tables.iter_mut().zip(&mut self.tables) {
            let TableState { frozen: false, states: [first, second], last, all } = state else {
                continue;
            };
            for_rows_mut(pool, [table, first, second], all, |_, row, [w, first, second]| {
                skips.between(last[row], self.step).apply(w, [first, second]);
            });
            last.fill(self.step);
        }
    }

    /// Before a forward pass with training: finds the rows that the batch looks up and brings them up to date.
    pub(crate) fn prepare(
        &mut self,
        pool: &Pool,
        network: &mut Network,
        space: &mut Workspace,
        batch: Batch<'_>,
    ) {
        let Some(gradients) = &mut space.gradients else {
            return;
        };
        for (side, sequence) in space.sequences.iter_mut().enumerate() {
            // The forward pass will arrange the batch in the same way.
            let _ = sequence.as_mut().map(|sequence| sequence.layout.arrange(side, batch));
        }
        for (index, touched) in gradients.touched.iter_mut().enumerate() {
            touched.collect(&network.shape, index, batch, &space.sequences);
            let Untouched::CatchUp(skips) = &self.untouched else {
                continue;
            };
            let TableState { frozen: false, states: [first, second], last, .. } = &mut self.tables[index]
            else {
                continue;
            };
            let table = &mut network.tables[index];
            for_rows_mut(pool, [table, first, second], &touched.rows, |_, row, [w, first, second]| {
                skips.between(last[row], self.step).apply(w, [first, second]);
            });
            touched.rows.iter().for_each(|&row| last[row as usize] = self.step);
        }
    }

    /// One step: `space.gradients.output` holds the gradient of the loss; every parameter is updated.
    /// [`States::prepare`] and the forward pass must have been called with the same batch and dropout.
    pub(crate) fn step(
        &mut self,
        pool: &Pool,
        network: &mut Network,
        space: &mut Workspace,
        batch: Batch<'_>,
        dropouts: Dropouts,
    ) {
        let Workspace { encoded, sequences, inputs, all, gradients: Some(gradients), .. } = space else {
            return;
        };
        self.step = self.next_step();
        if let Untouched::CatchUp(skips) = &mut self.untouched {
            skips.extend_to(self.step);
        }
        let rule = self.optimizer.rule(self.step);
        let rows = &all[..batch.len()];
        self.layers_backward(pool, network, inputs, gradients, rows, dropouts.layers, rule);
        encoders_backward(pool, network, encoded, gradients, rows, dropouts.encodings);
        for (side, sequence) in sequences.iter_mut().enumerate() {
            let Some(sequence) = sequence else { continue };
            let mut descent = Descent {
                pool,
                layers: &mut network.encoders[side],
                states: &mut self.encoders[side],
                scratch: &mut gradients.scratch,
                bias: &mut gradients.bias,
                rule,
            };
            sequence.backward(&mut descent, &gradients.encoded[side]);
        }
        let source = |side: usize| match &sequences[side] {
            Some(sequence) => &sequence.token_gradients,
            None => &gradients.encoded[side],
        };
        let sources = [source(0), source(1), &gradients.output];
        for table in 0..network.tables.len() {
            self.update_table(pool, network, table, &gradients.touched[table], sources, rule);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn layers_backward(
        &mut self,
        pool: &Pool,
        network: &mut Network,
        inputs: &[Matrix],
        gradients: &mut Gradients,
        rows: &[u32],
        dropout: Option<Dropout>,
        rule: Rule,
    ) {
        for (index, layer) in network.layers.iter_mut().enumerate().rev() {
            let (before, after) = gradients.inputs.split_at_mut(index + 1);
            let dy = match after.first_mut() {
                Some(dy) => {
                    let (activation, outputs) = (layer.activation, layer.bias.len());
                    let y = &inputs[index + 1];
                    for_rows_mut(pool, [&mut *dy], rows, |_, row, [dy]| {
                        activation_backward(
                            activation,
                            &mut dy[..outputs],
                            y.row(row),
                            dropout,
                            2 + index,
                            row,
                        );
                    });
                    &*dy
                }
                None => &gradients.output,
            };
            let state = &mut self.layers[index];
            let bias = &mut gradients.bias;
            bias.clear();
            bias.resize(layer.bias.len(), 0.0);
            rows.iter().for_each(|&row| kernels::add(bias, dy.row(row as usize)));
            let [first, second] = &mut state.bias;
            rule.without_decay().apply(&mut layer.bias, [first, second], bias);
            let dx = Some(&mut before[index]);
            let scratch = &mut gradients.scratch;
            let states = state.weights.each_mut();
            let x = &inputs[index];
            kernels::backward(
                pool,
                scratch,
                x,
                dy,
                rows.len(),
                &mut layer.weights,
                states,
                dx,
                |_, w, states, g| {
                    rule.apply(w, states, g);
                },
            );
        }
    }

    fn update_table(
        &mut self,
        pool: &Pool,
        network: &mut Network,
        index: usize,
        touched: &Touched,
        sources: [&Matrix; SOURCES],
        rule: Rule,
    ) {
        let TableState { frozen: false, states: [first, second], last, all } = &mut self.tables[index] else {
            return;
        };
        let table = &mut network.tables[index];
        let dim = table.columns();
        let everyone = matches!(self.untouched, Untouched::TakePart);
        let rows = if everyone { &*all } else { &touched.rows };
        let kept = self.kept;
        for_rows_mut(pool, [table, first, second], rows, |index, row, [w, first, second]| {
            let group = if everyone { touched.rows.binary_search(&(row as u32)).ok() } else { Some(index) };
            ROW.with_borrow_mut(|held| {
                held.clear();
                held.resize(dim, 0.0);
                if let Some(group) = group {
                    touched.gradient(group, sources, held);
                }
                if kept != 1.0 && group.is_some() {
                    kernels::scale(&mut w[..dim], kept);
                }
                rule.apply(&mut w[..dim], [first, second], held);
            });
        });
        rows.iter().for_each(|&row| last[row as usize] = self.step);
    }
}

/// Through dropout and activation of one row of a hidden layer.
fn activation_backward(
    activation: Activation,
    dy: &mut [f32],
    y: &[f32],
    dropout: Option<Dropout>,
    place: usize,
    row: usize,
) {
    if let Some(dropout) = dropout {
        dropout.apply(place, row, 0, dy);
    }
    match activation {
        Activation::Linear => {}
        Activation::Relu => kernels::relu_backward(dy, y),
        Activation::Tanh => {
            kernels::tanh_backward(dy, y, 1.0 / Dropout::scale_of(dropout).max(f32::MIN_POSITIVE))
        }
    }
}

/// Through comparators and dropout, to the encodings.
fn encoders_backward(
    pool: &Pool,
    network: &Network,
    encoded: &[Matrix; 2],
    gradients: &mut Gradients,
    rows: &[u32],
    dropout: Option<Dropout>,
) {
    let dim = network.shape.dim;
    let [d0, d1] = &mut gradients.encoded;
    let dx = &gradients.inputs[0];
    for_rows_mut(pool, [d0, d1], rows, |_, row, [d0, d1]| {
        let [d0, d1] = [d0, d1].map(|d| &mut d[..dim]);
        compare_backward(
            &network.shape.comparators,
            dx.row(row),
            encoded[0].row(row),
            encoded[1].row(row),
            d0,
            d1,
        );
        if let Some(dropout) = dropout {
            dropout.apply(0, row, 0, d0);
            dropout.apply(1, row, 0, d1);
        }
    });
}

#[cfg(test)]
impl States {
    /// Turns off the closed form, to compare with.
    pub(super) fn let_all_rows_take_part(&mut self) {
        self.untouched = Untouched::TakePart;
    }
}
