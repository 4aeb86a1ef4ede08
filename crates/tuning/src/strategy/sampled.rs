//! Settings that no result influences: drawn at random, or spread evenly.

use std::collections::HashSet;

use crate::gaussian::identity;
use crate::limits::{DRAWS, ENUMERATED};
use crate::random::{Random, Sequence};
use crate::space::Space;

fn spread(space: &Space, units: &[f64]) -> Vec<f64> {
    space.parameters().iter().zip(units).map(|(parameter, unit)| parameter.range.spread(*unit)).collect()
}

/// A point drawn evenly from the space that is not taken; `None` when none is left.
pub fn drawn(space: &Space, taken: &HashSet<Vec<u64>>, random: &mut Random) -> Option<Vec<f64>> {
    for _ in 0..DRAWS {
        let units: Vec<f64> = (0..space.dimensions()).map(|_| random.unit()).collect();
        let point = spread(space, &units);
        if !taken.contains(&identity(&point)) {
            return Some(point);
        }
    }
    // A small space may have a last free setting that chance did not find.
    let free: Vec<Vec<f64>> =
        space.enumerate(ENUMERATED)?.filter(|point| !taken.contains(&identity(point))).collect();
    (!free.is_empty()).then(|| free[random.below(free.len())].clone())
}

/// The first free point of an evenly spread sequence from its place `number` on.
pub fn designed(
    space: &Space,
    taken: &HashSet<Vec<u64>>,
    number: usize,
    sequence: &mut Random,
    random: &mut Random,
) -> Option<Vec<f64>> {
    Sequence::new(space.dimensions(), sequence)
        .skip(number)
        .take(8)
        .map(|units| spread(space, &units))
        .find(|point| !taken.contains(&identity(point)))
        .or_else(|| drawn(space, taken, random))
}
