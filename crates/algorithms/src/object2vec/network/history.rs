//! What an object met in the training records, as part of its encoding.
//!
//! For a user u with records (j, label) in N(u), the encoding gets a sum over a second table Y of the items:
//!
//! ```text
//! e0 = E0[u] + sum over j in N(u) of a_uj Y[j]
//! implicit  a_uj = |N(u)|^-1/2                               (SVD++, Koren 2008)
//! ratings   a_uj = |N(u)|^-1/2 (label - mean - b_u - b_j)    (asymmetric factors, Paterek 2007)
//! ```
//!
//! The encoding of an item may get the same over a second table of the users (Rendle, Zhang and Koren 2019). While
//! training, the record itself is left out of the sums, or its label would tell itself. Afterwards the sums are added
//! to the embeddings, and what remains is a network like any other: nothing of the histories is needed to answer.

use super::forward::Dropout;
use super::{Network, Role, Shape};
use crate::kernels::{self, Matrix};
use crate::object2vec::dataset::Dataset;
use crate::object2vec::hyperparameters::{self, Hyperparameters};

/// Place in the network of the dropout of the first side's histories; that of the second side's follows.
const PLACE: usize = 1 << 20;
/// Records of an average that a user or item is taken to have beside its own.
const SHRINKAGE: f64 = 5.0;
/// Rounds in which the levels of users and items settle.
const ROUNDS: usize = 5;

/// What the objects of one side met, one object after the other.
struct Met {
    /// Where the records of each object begin; one longer than the vocabulary.
    starts: Vec<usize>,
    others: Vec<u32>,
    weights: Vec<f32>,
}

impl Met {
    /// The records in which objects of this side occur; `value` is what a record counts before it is shared out.
    fn new(side: usize, vocab: usize, train: &Dataset, value: impl Fn(usize) -> f64) -> Self {
        let own = |record: usize| train.sides[side].get(record)[0] as usize;
        let mut starts = vec![0; vocab + 1];
        (0..train.len()).for_each(|record| starts[own(record) + 1] += 1);
        for object in 0..vocab {
            starts[object + 1] += starts[object];
        }
        let (mut others, mut weights) = (vec![0; train.len()], vec![0.0; train.len()]);
        let mut next = starts.clone();
        for record in 0..train.len() {
            let object = own(record);
            let at = next[object];
            next[object] += 1;
            let share = 1.0 / ((starts[object + 1] - starts[object]) as f64).sqrt();
            others[at] = train.sides[1 - side].get(record)[0];
            weights[at] = (share * value(record)) as f32;
        }
        Self { starts, others, weights }
    }

    fn of(&self, object: u32) -> (&[u32], &[f32]) {
        let range = self.starts[object as usize]..self.starts[object as usize + 1];
        (&self.others[range.clone()], &self.weights[range])
    }
}

/// The histories of the sides that have one.
pub(crate) struct History {
    sides: [Option<Met>; 2],
}

impl History {
    /// The histories that hyperparameters ask for.
    pub(crate) fn new(h: &Hyperparameters, train: &Dataset) -> Option<Self> {
        let kind = h.own.history?;
        let vocab = h.encoders.each_ref().map(|encoder| encoder.vocab_size);
        let levels = (kind == hyperparameters::History::Ratings).then(|| Levels::new(vocab, train));
        let value = |record: usize| match &levels {
            None => 1.0,
            Some(levels) => {
                let [user, item] = train.sides.each_ref().map(|side| side.get(record)[0] as usize);
                f64::from(train.labels[record]) - levels.of(user, item)
            }
        };
        let has = h.own.history_sides();
        let sides = std::array::from_fn(|side| has[side].then(|| Met::new(side, vocab[side], train, value)));
        Some(Self { sides })
    }

    /// The network without histories, with their sums added to the embeddings.
    pub(crate) fn fold(&self, network: &Network) -> Network {
        let shape = &network.shape;
        let mut folded = network.clone();
        folded.shape = Shape { history: [false; 2], ..shape.clone() };
        let is_history = |table: usize| matches!(shape.tables()[table].0, Role::History(_));
        let mut index = 0..network.tables.len();
        folded.tables.retain(|_| !index.next().is_some_and(is_history));
        for (side, met) in self.sides.iter().enumerate() {
            let Some(met) = met else { continue };
            let from = &network.tables[shape.history_table(side)];
            let into = &mut folded.tables[shape.table_of(side)];
            for object in 0..into.rows() {
                let (others, weights) = met.of(object as u32);
                for (&other, &weight) in others.iter().zip(weights) {
                    kernels::add_scaled(into.row_mut(object), from.row(other as usize), weight);
                }
            }
        }
        folded
    }
}

/// The histories as one training step sees them.
#[derive(Clone, Copy)]
pub(crate) struct Past<'a> {
    pub history: &'a History,
    pub dropout: Option<Dropout>,
}

impl<'a> Past<'a> {
    /// What the object of one side of a pair met, and with which weights, at a position of the batch, when it is about to
    /// be asked about the other side; nothing for a side without a history.
    pub(super) fn weights(
        &self,
        side: usize,
        pair: [u32; 2],
        position: usize,
        into: &mut Vec<f32>,
    ) -> &'a [u32] {
        into.clear();
        let Some(met) = &self.history.sides[side] else { return &[] };
        let (others, weights) = met.of(pair[side]);
        into.extend_from_slice(weights);
        for (weight, &other) in into.iter_mut().zip(others) {
            if other == pair[1 - side] {
                *weight = 0.0;
            }
        }
        if let Some(dropout) = self.dropout {
            dropout.apply(PLACE + side, position, 0, into);
        }
        others
    }

    /// Adds the sum for one side of a pair, at a position of a batch, to its encoding.
    pub(super) fn add(&self, side: usize, table: &Matrix, pair: [u32; 2], position: usize, into: &mut [f32]) {
        let mut weights = Vec::new();
        let others = self.weights(side, pair, position, &mut weights);
        for (&other, &weight) in others.iter().zip(&weights) {
            if weight != 0.0 {
                kernels::add_scaled(into, table.row(other as usize), weight);
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
            ("_history_sides", "both"),
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
        let [users, items] = history.sides.each_ref().map(|met| met.as_ref().unwrap());
        assert_eq!(users.of(0).0, [0, 1, 2]);
        assert_eq!(users.of(3).0, [0u32; 0]);
        let want = (4.0 - levels.of(1, 0)) as f32;
        assert!((users.of(1).1[0] - want).abs() < 1e-6);
        assert!((users.of(0).1[1] - ((3.0 - levels.of(0, 1)) / 3f64.sqrt()) as f32).abs() < 1e-6);
        assert_eq!(items.of(0).0, [0, 1]);
        assert!((items.of(0).1[1] - want / 2f32.sqrt()).abs() < 1e-6);
        let mut weights = Vec::new();
        let past = Past { history: &history, dropout: None };
        past.weights(0, [0, 1], 0, &mut weights);
        assert_eq!(weights[1], 0.0, "the record itself is left out");
        assert!(weights[0] != 0.0 && weights[2] != 0.0);
        past.weights(1, [0, 1], 0, &mut weights);
        assert_eq!(weights[0], 0.0, "on either side");
        assert!(weights[1] != 0.0);
    }
}
