//! Where each token of a batch stands when the lists lie side by side, the longest first.
//!
//! Row `starts[t] + rank` holds token t of the rank-longest list. Each step begins at a multiple of 8 rows, as the
//! matrix products want it; the rows that are left over are padding.

use super::super::Batch;

/// The arrangement of one side of one batch.
#[derive(Default)]
pub(crate) struct Layout {
    /// Position in the batch of each rank, and the reverse.
    positions: Vec<u32>,
    ranks: Vec<u32>,
    /// Length of the list of each rank; falling.
    lengths: Vec<u32>,
    /// First row of each step; one longer than the longest list.
    starts: Vec<usize>,
    /// Number of lists that have a token in each step.
    active: Vec<usize>,
    /// The step of each row.
    steps: Vec<u32>,
}

impl Layout {
    /// Arranges side `side` of the batch. Lists of equal length keep their order.
    pub(crate) fn arrange(&mut self, side: usize, batch: Batch<'_>) {
        let length = |position: u32| batch.tokens(side, position as usize).len();
        self.positions.clear();
        self.positions.extend(0..batch.len() as u32);
        self.positions.sort_by_key(|&position| std::cmp::Reverse(length(position)));
        self.ranks.clear();
        self.ranks.resize(batch.len(), 0);
        for (rank, &position) in self.positions.iter().enumerate() {
            self.ranks[position as usize] = rank as u32;
        }
        self.lengths.clear();
        self.lengths.extend(self.positions.iter().map(|&position| length(position) as u32));
        self.starts.clear();
        self.active.clear();
        self.steps.clear();
        self.starts.push(0);
        let mut active = batch.len();
        for step in 0..self.lengths.first().copied().unwrap_or(0) {
            while active > 0 && self.lengths[active - 1] <= step {
                active -= 1;
            }
            self.active.push(active);
            let end = self.steps.len() + active.next_multiple_of(8);
            self.steps.resize(end, step);
            self.starts.push(end);
        }
    }

    /// Number of rows, padding included.
    pub(crate) fn rows(&self) -> usize {
        self.steps.len()
    }

    /// Number of steps: the length of the longest list.
    pub(super) fn steps(&self) -> usize {
        self.active.len()
    }

    /// First row of a step, and the number of lists that have a token in it.
    pub(super) fn step(&self, step: usize) -> (usize, usize) {
        (self.starts[step], self.active[step])
    }

    /// The row of a token.
    pub(crate) fn row(&self, step: usize, rank: usize) -> usize {
        self.starts[step] + rank
    }

    /// Step and rank of a row; `None` for padding.
    pub(crate) fn place(&self, row: usize) -> Option<(usize, usize)> {
        let step = self.steps[row] as usize;
        let rank = row - self.starts[step];
        (rank < self.active[step]).then_some((step, rank))
    }

    /// Length of the list of a rank.
    pub(super) fn length(&self, rank: usize) -> usize {
        self.lengths[rank] as usize
    }

    /// Position in the batch of a rank.
    pub(crate) fn position(&self, rank: usize) -> usize {
        self.positions[rank] as usize
    }

    /// Rank of a position in the batch.
    pub(super) fn rank(&self, position: usize) -> usize {
        self.ranks[position] as usize
    }

    /// The step counted from the end of the list, where that is asked for.
    pub(super) fn turned(&self, step: usize, rank: usize, backwards: bool) -> usize {
        if backwards { self.length(rank) - 1 - step } else { step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object2vec::dataset::Tokens;
    use crate::object2vec::network::Pair;

    #[test]
    fn every_token_has_one_row_and_steps_begin_at_multiples_of_eight() {
        let lists: Vec<Vec<u32>> = [2, 5, 1, 5, 3, 1, 1, 1, 1, 1].iter().map(|&n| vec![7; n]).collect();
        let mut tokens = Tokens::default();
        lists.iter().for_each(|list| tokens.push(list));
        let pairs: Vec<Pair> = (0..10).map(Pair::given).collect();
        let mut layout = Layout::default();
        layout.arrange(0, Batch { sides: [&tokens, &tokens], pairs: &pairs, past: None });
        assert_eq!((layout.rows(), layout.steps()), (16 + 4 * 8, 5));
        assert_eq!((0..4).map(|rank| layout.position(rank)).collect::<Vec<_>>(), [1, 3, 4, 0]);
        let mut seen = vec![0; 10];
        for row in 0..layout.rows() {
            if let Some((step, rank)) = layout.place(row) {
                assert_eq!(layout.row(step, rank), row);
                assert_eq!(layout.rank(layout.position(rank)), rank);
                assert!(step < layout.length(rank));
                assert_eq!(layout.turned(layout.turned(step, rank, true), rank, true), step);
                seen[layout.position(rank)] += 1;
            }
        }
        assert_eq!(seen, lists.iter().map(Vec::len).collect::<Vec<_>>());
        assert!((0..5).all(|step| layout.step(step).0.is_multiple_of(8)));
    }
}
