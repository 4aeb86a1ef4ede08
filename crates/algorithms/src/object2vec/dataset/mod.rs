//! Records in memory, and the reader that fills them from the files of a channel.

mod channel;
mod line;

use super::network::{Batch, Pair};
pub(crate) use channel::{Expected, check_ids, read_channel};
pub(crate) use line::{SIDES, ids};

/// The token lists of one side, one after the other.
#[derive(Default)]
pub(crate) struct Tokens {
    ids: Vec<u32>,
    /// End of each list in `ids`; kept only once a list has other than one token.
    ends: Option<Vec<usize>>,
}

impl Tokens {
    /// Adds one list; the caller has checked that it is not empty.
    pub(crate) fn push(&mut self, list: &[u32]) {
        if self.ends.is_none() && list.len() != 1 {
            self.ends = Some((1..=self.ids.len()).collect());
        }
        self.ids.extend_from_slice(list);
        if let Some(ends) = &mut self.ends {
            ends.push(self.ids.len());
        }
    }

    /// The list of one record.
    pub(crate) fn get(&self, record: usize) -> &[u32] {
        match &self.ends {
            None => &self.ids[record..record + 1],
            Some(ends) => {
                let start = if record == 0 { 0 } else { ends[record - 1] };
                &self.ids[start..ends[record]]
            }
        }
    }

    /// Number of lists.
    pub(crate) fn len(&self) -> usize {
        self.ends.as_ref().map_or(self.ids.len(), Vec::len)
    }

    /// Number of tokens in all lists.
    pub(crate) fn total(&self) -> usize {
        self.ids.len()
    }
}

/// Everything one channel holds.
#[derive(Default)]
pub(crate) struct Dataset {
    pub sides: [Tokens; 2],
    pub labels: Vec<f32>,
    /// Whether some list was longer than the maximum and was cut.
    pub truncated: bool,
}

impl Dataset {
    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Mean of all labels.
    pub(crate) fn mean_label(&self) -> f32 {
        let sum: f64 = self.labels.iter().map(|&label| f64::from(label)).sum();
        (sum / self.len().max(1) as f64) as f32
    }

    /// These samples, as the network takes them.
    pub(crate) fn batch<'a>(&'a self, pairs: &'a [Pair]) -> Batch<'a> {
        Batch { sides: self.sides.each_ref(), pairs, past: None }
    }

    /// The label of a sample: that of its record, and 0 for a pair that was made up.
    pub(crate) fn label(&self, pair: Pair) -> f32 {
        if pair.is_given() { self.labels[pair.first as usize] } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_as_they_went_in() {
        for lists in [
            vec![vec![1], vec![2], vec![3, 4, 5], vec![6]],
            vec![vec![7], vec![8]],
            vec![vec![1, 2], vec![3]],
        ] {
            let mut tokens = Tokens::default();
            lists.iter().for_each(|list| tokens.push(list));
            assert_eq!(tokens.len(), lists.len());
            assert_eq!(tokens.total(), lists.concat().len());
            for (i, list) in lists.iter().enumerate() {
                assert_eq!(tokens.get(i), list);
            }
        }
    }
}
