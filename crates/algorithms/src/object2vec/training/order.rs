//! Which pairs an epoch visits, and in which order: whole batches, the last one filled with records drawn at random.

use crate::object2vec::network::Pair;
use crate::object2vec::random::Random;

/// The records as they are, filled up to a multiple of `batch` with random repetitions.
pub(super) fn as_given(records: usize, batch: usize, random: &mut Random) -> Vec<Pair> {
    with_negatives(records, 0, batch, random)
}

/// The records and, for each, `rate` pairs of its first side with the second side of another record drawn at random;
/// filled up to a multiple of `batch` with random repetitions. A single record has no other, and gets none.
pub(super) fn with_negatives(records: usize, rate: usize, batch: usize, random: &mut Random) -> Vec<Pair> {
    let count = records as u32;
    let rate = if records > 1 { rate } else { 0 };
    let total = (records * (1 + rate)).next_multiple_of(batch);
    let mut order = Vec::with_capacity(total);
    for record in 0..count {
        order.push(Pair::given(record));
        for _ in 0..rate {
            // One of the others, each with the same probability.
            let other = random.below(count - 1);
            let second = other + u32::from(other >= record);
            order.push(Pair { first: record, second });
        }
    }
    let whole = order.len() as u32;
    while order.len() < total {
        order.push(order[random.below(whole) as usize]);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_records_occur_and_batches_are_whole() {
        for (records, batch) in [(1, 1), (1, 64), (63, 64), (64, 64), (65, 64), (1000, 7)] {
            let order = as_given(records, batch, &mut Random::new(1, 1));
            assert!(order.len().is_multiple_of(batch) && order.len() < records + batch);
            assert!((0..records).all(|record| order[record] == Pair::given(record as u32)));
            assert!(order.iter().all(|pair| pair.is_given() && (pair.first as usize) < records));
        }
    }

    #[test]
    fn negatives_pair_with_all_others_and_never_with_themselves() {
        let order = with_negatives(5, 2000, 64, &mut Random::new(1, 1));
        assert_eq!(order.len(), (5usize * 2001).next_multiple_of(64));
        for first in 0..5 {
            for second in 0..5 {
                let count = order.iter().filter(|pair| **pair == Pair { first, second }).count();
                let expected = if first == second { 1..30 } else { 400..600 };
                assert!(expected.contains(&count), "{first} {second}: {count}");
            }
        }
        assert_eq!(with_negatives(1, 3, 2, &mut Random::new(1, 1)), [Pair::given(0); 2]);
    }
}
