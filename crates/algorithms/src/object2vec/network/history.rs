//! What an object of the first side met in the training records, as part of its encoding.
//!
//! For a user u with records (j, label) in N(u), the encoding gets a sum over a second table Y of the items:
//!
//! ```text
//! e0 = E0[u] + sum over j in N(u) of a_uj Y[j]
//! implicit  a_uj = |N(u)|^-1/2                               (SVD++, Koren 2008)
//! ratings   a_uj = |N(u)|^-1/2 (label - mean - b_u - b_j)    (asymmetric factors, Paterek 2007)
//! ```
//!
//! While training, the record itself is left out of the sum, or its label would tell itself. Afterwards the sums are
//! added to the table of the first side, and what remains is a network like any other: nothing of the history is
//! needed to answer.

use super::forward::Dropout;
use super::{Network, Shape};
use crate::kernels::{self, Matrix};
use crate::object2vec::dataset::Dataset;
use crate::object2vec::hyperparameters::{self, Hyperparameters};

/// Place of its dropout in the network.
const PLACE: usize = 1 << 20;
/// Records of an average that a user or item is taken to have beside its own.
const SHRINKAGE: f64 = 5.0;
/// Rounds in which the levels of users and items settle.
const ROUNDS: usize = 5;

/// The records of every user, one user after the other.
pub(crate) struct History {
    /// Where the records of each user begin; one longer than the vocabulary.
    starts: Vec<usize>,
    items: Vec<u32>,
    weights: Vec<f32>,
}

impl History {
    /// The history that hyperparameters ask for.
    pub(crate) fn new(h: &Hyperparameters, train: &Dataset) -> Option<Self> {
        let kind = h.own.history?;
        let vocab = h.encoders.each_ref().map(|encoder| encoder.vocab_size);
        let pair = |record: usize| train.sides.each_ref().map(|side| side.get(record)[0] as usize);
        let mut starts = vec![0; vocab[0] + 1];
        (0..train.len()).for_each(|record| starts[pair(record)[0] + 1] += 1);
        for user in 0..vocab[0] {
            starts[user + 1] += starts[user];
        }
        let expected = match kind {
            hyperparameters::History::Implicit => None,
            hyperparameters::History::Ratings => Some(Levels::new(vocab, train)),
        };
        let (mut items, mut weights) = (vec![0; train.len()], vec![0.0; train.len()]);
        let mut next = starts.clone();
        for record in 0..train.len() {
            let [user, item] = pair(record);
            let at = next[user];
            next[user] += 1;
            let share = 1.0 / ((starts[user + 1] - starts[user]) as f64).sqrt();
            let above = |levels: &Levels| f64::from(train.labels[record]) - levels.of(user, item);
            items[at] = item as u32;
            weights[at] = (share * expected.as_ref().map_or(1.0, above)) as f32;
        }
        Some(Self { starts, items, weights })
    }

    fn of(&self, user: u32) -> (&[u32], &[f32]) {
        let range = self.starts[user as usize]..self.starts[user as usize + 1];
        (&self.items[range.clone()], &self.weights[range])
    }

    /// The network without a history, with the sums added to the table of the first side.
    pub(crate) fn fold(&self, network: &Network) -> Network {
        let mut folded = network.clone();
        folded.shape = Shape { history: false, ..network.shape.clone() };
        let table = &network.tables[network.shape.history_table()];
        if network.shape.history {
            folded.tables.remove(network.shape.history_table());
        }
        for user in 0..folded.tables[0].rows() {
            let (items, weights) = self.of(user as u32);
            for (&item, &weight) in items.iter().zip(weights) {
                kernels::add_scaled(folded.tables[0].row_mut(user), table.row(item as usize), weight);
            }
        }
        folded
    }
}

/// The history as one training step sees it.
#[derive(Clone, Copy)]
pub(crate) struct Past<'a> {
    pub history: &'a History,
    pub dropout: Option<Dropout>,
}

impl<'a> Past<'a> {
    /// Items and weights for a user who is about to be asked about `hidden`, at a position of the batch.
    pub(super) fn weights(&self, user: u32, hidden: u32, position: usize, into: &mut Vec<f32>) -> &'a [u32] {
        let (items, weights) = self.history.of(user);
        into.clear();
        into.extend_from_slice(weights);
        for (weight, &item) in into.iter_mut().zip(items) {
            if item == hidden {
                *weight = 0.0;
            }
        }
        if let Some(dropout) = self.dropout {
            dropout.apply(PLACE, position, 0, into);
        }
        items
    }

    /// Adds the sum for one position of a batch to an encoding.
    pub(super) fn add(&self, table: &Matrix, user: u32, hidden: u32, position: usize, into: &mut [f32]) {
        let mut weights = Vec::new();
        let items = self.weights(user, hidden, position, &mut weights);
        for (&item, &weight) in items.iter().zip(&weights) {
            if weight != 0.0 {
                kernels::add_scaled(into, table.row(item as usize), weight);
            }
        }
    }
}

/// Mean of all labels, and how much each user and item lies above it, shrunk towards zero.
struct Levels {
    mean: f64,
    sides: [Vec<f64>; 2],
}

impl Levels {
    fn new(vocab: [usize; 2], train: &Dataset) -> Self {
        let labels = || train.labels.iter().map(|&label| f64::from(label));
        let mean = labels().sum::<f64>() / train.len().max(1) as f64;
        let mut sides = vocab.map(|size| vec![0.0; size]);
        for round in 0..2 * ROUNDS {
            let (own, other) = (1 - round % 2, round % 2);
            let mut sums = vec![(0.0, SHRINKAGE); vocab[own]];
            for (record, label) in labels().enumerate() {
                let id = |side: usize| train.sides[side].get(record)[0] as usize;
                let (sum, count) = &mut sums[id(own)];
                *sum += label - mean - sides[other][id(other)];
                *count += 1.0;
            }
            sides[own] = sums.into_iter().map(|(sum, count)| sum / count).collect();
        }
        Self { mean, sides }
    }

    fn of(&self, user: usize, item: usize) -> f64 {
        self.mean + self.sides[0][user] + self.sides[1][item]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_weights_follow_their_formulas() {
        let mut train = Dataset::default();
        for (user, item, label) in [(0, 0, 5.0), (0, 1, 3.0), (1, 0, 4.0), (2, 1, 1.0), (0, 2, 2.0)] {
            train.sides[0].push(&[user]);
            train.sides[1].push(&[item]);
            train.labels.push(label);
        }
        let names = [
            ("enc0_max_seq_len", "1"),
            ("enc0_vocab_size", "4"),
            ("enc1_vocab_size", "3"),
            ("enc0_network", "pooled_embedding"),
            ("output_layer", "mean_squared_error"),
            ("_history", "ratings"),
        ];
        let names = names.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let h = Hyperparameters::from_pairs(names.into_iter().collect()).unwrap();
        let levels = Levels::new([4, 3], &train);
        assert_eq!(levels.mean, 3.0);
        // The last round was that of the users: theirs equal their formula exactly.
        let item = |i: usize| levels.sides[1][i];
        let want = (5.0 - 3.0 - item(0) + 3.0 - 3.0 - item(1) + 2.0 - 3.0 - item(2)) / 8.0;
        assert!((levels.sides[0][0] - want).abs() < 1e-12);
        assert_eq!(levels.sides[0][3], 0.0);
        let history = History::new(&h, &train).unwrap();
        assert_eq!(history.of(0).0, [0, 1, 2]);
        assert_eq!(history.of(3).0, [0u32; 0]);
        let want = (4.0 - levels.of(1, 0)) as f32;
        assert!((history.of(1).1[0] - want).abs() < 1e-6);
        assert!((history.of(0).1[1] - ((3.0 - levels.of(0, 1)) / 3f64.sqrt()) as f32).abs() < 1e-6);
        let mut weights = Vec::new();
        let past = Past { history: &history, dropout: None };
        past.weights(0, 1, 0, &mut weights);
        assert_eq!(weights[1], 0.0, "the record itself is left out");
        assert!(weights[0] != 0.0 && weights[2] != 0.0);
    }
}
