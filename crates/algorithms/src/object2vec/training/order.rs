//! Which pairs an epoch visits, and in which order: whole batches, the last one of each bucket filled with samples
//! drawn at random.
//!
//! With a bucket width w, samples whose longer list has 1 to w, w+1 to 2w, ... tokens are kept apart, and a batch
//! holds samples of one bucket. The encoders need no padding, so what a sample encodes to is the same in any bucket;
//! buckets decide which samples share a batch.

use crate::object2vec::dataset::Dataset;
use crate::object2vec::hyperparameters::Hyperparameters;
use crate::object2vec::network::Pair;
use crate::random::Random;

/// How samples are told apart by length.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// Tokens per bucket; 0 for a single bucket.
    width: usize,
    longest: [usize; 2],
    batch: usize,
}

/// The samples of a bucket before it is filled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Longest lists it takes, by side.
    pub lengths: [usize; 2],
    pub samples: usize,
    /// Tokens of the second side.
    pub words: usize,
}

impl Rule {
    /// The rule that hyperparameters ask for; storage `row_sparse` knows no buckets.
    pub(super) fn new(h: &Hyperparameters) -> Self {
        Self {
            width: if h.row_sparse { 0 } else { h.bucket_width },
            longest: h.encoders.each_ref().map(|encoder| encoder.max_seq_len),
            batch: h.mini_batch_size,
        }
    }

    /// Number of the bucket of a sample with lists of these lengths.
    fn bucket(&self, lengths: [usize; 2]) -> usize {
        match self.width {
            0 => 0,
            width => lengths[0].max(lengths[1]).div_ceil(width).max(1) - 1,
        }
    }

    fn of(&self, data: &Dataset, pair: Pair) -> usize {
        if self.width == 0 {
            return 0;
        }
        let [first, second] = &data.sides;
        self.bucket([first.get(pair.first as usize).len(), second.get(pair.second as usize).len()])
    }

    /// The buckets that records of a channel fall into, shortest first.
    pub(super) fn census(&self, data: &Dataset) -> Vec<Bucket> {
        let mut buckets: Vec<Bucket> = Vec::new();
        for record in 0..data.len() {
            let index = self.of(data, Pair::given(record as u32));
            while buckets.len() <= index {
                let most = |longest: usize| match self.width {
                    0 => longest,
                    width => longest.min((buckets.len() + 1) * width),
                };
                buckets.push(Bucket { lengths: self.longest.map(most), samples: 0, words: 0 });
            }
            buckets[index].samples += 1;
            buckets[index].words += data.sides[1].get(record).len();
        }
        buckets.retain(|bucket| bucket.samples > 0);
        buckets
    }
}

/// The samples of an epoch.
pub(super) struct Order {
    batch: usize,
    buckets: Vec<Vec<Pair>>,
    /// All samples, batch after batch, when there is more than one bucket.
    joined: Vec<Pair>,
}

impl Order {
    /// The records of `data` and, for each, `rate` pairs of its first side with the second side of another record
    /// drawn at random (a single record has no other, and gets none); every bucket is filled up to whole batches with
    /// random repetitions.
    pub(super) fn new(rule: Rule, data: &Dataset, rate: usize, random: &mut Random) -> Self {
        let count = data.len() as u32;
        let rate = if count > 1 { rate } else { 0 };
        let mut buckets: Vec<Vec<Pair>> = vec![Vec::new()];
        if rule.width == 0 {
            buckets[0].reserve_exact((data.len() * (1 + rate)).next_multiple_of(rule.batch));
        }
        let mut add = |pair: Pair| {
            let index = rule.of(data, pair);
            if buckets.len() <= index {
                buckets.resize(index + 1, Vec::new());
            }
            buckets[index].push(pair);
        };
        for record in 0..count {
            add(Pair::given(record));
            for _ in 0..rate {
                // One of the others, each with the same probability.
                let other = random.below(count - 1);
                let second = other + u32::from(other >= record);
                add(Pair { first: record, second });
            }
        }
        buckets.retain(|bucket| !bucket.is_empty());
        for bucket in &mut buckets {
            let whole = bucket.len();
            while !bucket.len().is_multiple_of(rule.batch) {
                bucket.push(bucket[random.below(whole as u32) as usize]);
            }
        }
        let mut order = Self { batch: rule.batch, buckets, joined: Vec::new() };
        order.join(None);
        order
    }

    /// Puts the samples of each bucket into random order, and then the batches.
    pub(super) fn shuffle(&mut self, random: &mut Random) {
        self.buckets.iter_mut().for_each(|bucket| random.shuffle(bucket));
        self.join(Some(random));
    }

    fn join(&mut self, random: Option<&mut Random>) {
        if self.buckets.len() < 2 {
            return;
        }
        let mut batches: Vec<&[Pair]> =
            self.buckets.iter().flat_map(|bucket| bucket.chunks(self.batch)).collect();
        if let Some(random) = random {
            random.shuffle(&mut batches);
        }
        self.joined.clear();
        batches.iter().for_each(|batch| self.joined.extend_from_slice(batch));
    }

    /// All samples; each run of a batch's length is a batch.
    pub(super) fn samples(&self) -> &[Pair] {
        match self.buckets.as_slice() {
            [one] => one,
            _ => &self.joined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(width: usize, batch: usize) -> Rule {
        Rule { width, longest: [7, 4], batch }
    }

    /// Records whose lists have the given lengths.
    fn data(lengths: &[[usize; 2]]) -> Dataset {
        let mut data = Dataset::default();
        for lengths in lengths {
            data.sides.iter_mut().zip(lengths).for_each(|(side, &length)| side.push(&vec![0; length]));
            data.labels.push(0.0);
        }
        data
    }

    #[test]
    fn all_records_occur_and_batches_are_whole() {
        for (records, batch) in [(1, 1), (1, 64), (63, 64), (64, 64), (65, 64), (1000, 7)] {
            let order = Order::new(rule(0, batch), &data(&vec![[1, 1]; records]), 0, &mut Random::new(1, 1));
            let order = order.samples();
            assert!(order.len().is_multiple_of(batch) && order.len() < records + batch);
            assert!((0..records).all(|record| order[record] == Pair::given(record as u32)));
            assert!(order.iter().all(|pair| pair.is_given() && (pair.first as usize) < records));
        }
    }

    #[test]
    fn negatives_pair_with_all_others_and_never_with_themselves() {
        let five = data(&[[1, 1]; 5]);
        let order = Order::new(rule(0, 64), &five, 2000, &mut Random::new(1, 1));
        assert_eq!(order.samples().len(), (5usize * 2001).next_multiple_of(64));
        for first in 0..5 {
            for second in 0..5 {
                let count = order.samples().iter().filter(|pair| **pair == Pair { first, second }).count();
                let expected = if first == second { 1..30 } else { 400..600 };
                assert!(expected.contains(&count), "{first} {second}: {count}");
            }
        }
        let one = Order::new(rule(0, 2), &data(&[[1, 1]]), 3, &mut Random::new(1, 1));
        assert_eq!(one.samples(), [Pair::given(0); 2]);
    }

    #[test]
    fn batches_hold_samples_of_one_bucket() {
        let mut random = Random::new(4, 4);
        let lengths: Vec<[usize; 2]> =
            (0..200).map(|_| [1 + random.below(7) as usize, 1 + random.below(4) as usize]).collect();
        let data = data(&lengths);
        let rule = rule(3, 8);
        for rate in [0, 2] {
            let mut order = Order::new(rule, &data, rate, &mut random);
            let before = order.samples().to_vec();
            order.shuffle(&mut random);
            assert_ne!(order.samples(), before);
            assert_eq!(order.samples().len(), before.len());
            let mut seen = [false; 3];
            for batch in order.samples().chunks(8) {
                assert_eq!(batch.len(), 8);
                let buckets: Vec<usize> = batch.iter().map(|&pair| rule.of(&data, pair)).collect();
                assert!(buckets.iter().all(|&bucket| bucket == buckets[0]), "{buckets:?}");
                seen[buckets[0]] = true;
            }
            assert_eq!(seen, [true; 3]);
            assert!((0..200).all(|record| order.samples().contains(&Pair::given(record))));
        }
        let census = rule.census(&data);
        assert_eq!(census.iter().map(|b| b.lengths).collect::<Vec<_>>(), [[3, 3], [6, 4], [7, 4]]);
        assert_eq!(census.iter().map(|b| b.samples).sum::<usize>(), 200);
        assert_eq!(census.iter().map(|b| b.words).sum::<usize>(), data.sides[1].total());
    }
}
