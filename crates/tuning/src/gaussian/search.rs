//! The search for the point with the largest expected improvement: many candidates at once, the best of
//! them climbed from along the gradient, the results taken to values that exist, and their neighbours
//! looked at.

use std::collections::HashSet;

use super::acquisition::Ensemble;
use crate::limits::ENUMERATED;
use crate::random::{Random, Sequence};
use crate::space::Space;

/// Points per batch of predictions, so that a batch stays in the cache.
const BATCH: usize = 256;
/// Steps of one climb.
const CLIMB_STEPS: usize = 25;
/// Corrections that a climb remembers.
const MEMORY: usize = 6;
/// Rounds of looking at the neighbours of a point in its integers and categories.
const NEIGHBOUR_ROUNDS: usize = 3;

/// What to search among.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'a> {
    /// The space.
    pub space: &'a Space,
    /// Points not to suggest again.
    pub taken: &'a HashSet<Vec<u64>>,
    /// The best points so far, best first.
    pub incumbents: &'a [Vec<f64>],
    /// Candidates drawn.
    pub count: usize,
    /// Candidates climbed from.
    pub starts: usize,
    /// Whether the ensemble has one more coordinate, the source, which is 0 here.
    pub with_source: bool,
    /// How much it counts that ranges are chosen around what is believed in.
    pub belief: f64,
}

/// A point's coordinates as something that can be looked up.
pub fn identity(point: &[f64]) -> Vec<u64> {
    // Adding 0 makes -0 and 0 one value.
    point.iter().map(|place| (place + 0.0).to_bits()).collect()
}

impl Ensemble {
    /// The most promising point that is not taken, with the logarithm of its expected improvement;
    /// `None` when nothing that was looked at is free.
    pub fn search(&self, among: &Candidates<'_>, random: &mut Random) -> Option<(Vec<f64>, f64)> {
        let free = |points: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
            points.into_iter().filter(|point| !among.taken.contains(&identity(point))).collect()
        };
        if let Some(all) = among.space.enumerate(ENUMERATED) {
            let best = self.best_of(free(all.collect()), among).into_iter().next();
            return best.map(|(point, height)| {
                let height = height - belief(among, &point).0;
                (point, height)
            });
        }
        let drawn = self.best_of(candidates(among, random), among);
        let mut found: Vec<(Vec<f64>, f64)> = Vec::new();
        for (start, _) in drawn.iter().take(among.starts) {
            let top = self.climb(among, start);
            let snapped = snap(among.space, &top);
            found.extend(self.best_of(free(vec![snapped]), among));
        }
        found.extend(drawn.into_iter().filter(|(point, _)| !among.taken.contains(&identity(point))).take(1));
        let mut best = found.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        for _ in 0..NEIGHBOUR_ROUNDS {
            let around = self.best_of(free(neighbours(among.space, &best.0)), among);
            match around.into_iter().next().filter(|(_, height)| *height > best.1) {
                Some(better) => best = better,
                None => break,
            }
        }
        // The belief chooses among points; the improvement is the model's alone.
        best.1 -= belief(among, &best.0).0;
        Some(best)
    }

    /// The points with their heights, highest first.
    fn best_of(&self, points: Vec<Vec<f64>>, among: &Candidates<'_>) -> Vec<(Vec<f64>, f64)> {
        let mut heights = Vec::with_capacity(points.len());
        for batch in points.chunks(BATCH) {
            let batch: Vec<Vec<f64>> = batch.iter().map(|point| extended(point, among.with_source)).collect();
            heights.extend(self.log_improvements(&batch));
        }
        let mut all: Vec<(Vec<f64>, f64)> = points
            .into_iter()
            .zip(heights)
            .map(|(point, height)| {
                let height = height + belief(among, &point).0;
                (point, height)
            })
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }

    /// Follows the gradient over the numeric coordinates within the cube (projected L-BFGS).
    fn climb(&self, among: &Candidates<'_>, start: &[f64]) -> Vec<f64> {
        let numeric: Vec<bool> =
            among.space.parameters().iter().map(|parameter| !parameter.range.is_categorical()).collect();
        let measure = |point: &[f64]| {
            let (height, mut gradient) = self.log_improvement_slope(&extended(point, among.with_source));
            gradient.truncate(point.len());
            let (belief, slope) = belief(among, point);
            gradient.iter_mut().zip(slope).for_each(|(sum, slope)| *sum += slope);
            (height + belief, gradient)
        };
        if !numeric.contains(&true) {
            return start.to_vec();
        }
        let mut point = start.to_vec();
        let (mut height, mut gradient) = measure(&point);
        let mut memory: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
        for _ in 0..CLIMB_STEPS {
            let movable: Vec<bool> = (0..point.len())
                .map(|index| {
                    let outward = (point[index] <= 0.0 && gradient[index] < 0.0)
                        || (point[index] >= 1.0 && gradient[index] > 0.0);
                    numeric[index] && !outward
                })
                .collect();
            let direction = ascent(&gradient, &movable, &memory);
            let largest = direction.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            if largest < 1e-9 {
                break;
            }
            let mut length = if memory.is_empty() { 0.1 / largest } else { 1.0f64.min(0.5 / largest) };
            let mut moved = None;
            for _ in 0..8 {
                let next: Vec<f64> = point
                    .iter()
                    .zip(&direction)
                    .zip(&numeric)
                    .map(
                        |((place, step), numeric)| {
                            if *numeric { (place + length * step).clamp(0.0, 1.0) } else { *place }
                        },
                    )
                    .collect();
                let gain: f64 = next
                    .iter()
                    .zip(&point)
                    .zip(&gradient)
                    .map(|((to, from), slope)| (to - from) * slope)
                    .sum();
                let (new_height, new_gradient) = measure(&next);
                if new_height > height + 1e-4 * gain.max(0.0) {
                    moved = Some((next, new_height, new_gradient));
                    break;
                }
                length *= 0.3;
            }
            let Some((next, new_height, new_gradient)) = moved else { break };
            let step: Vec<f64> = next.iter().zip(&point).map(|(to, from)| to - from).collect();
            let change: Vec<f64> = gradient.iter().zip(&new_gradient).map(|(from, to)| from - to).collect();
            if product(&step, &change) > 1e-12 {
                memory.push((step, change));
                if memory.len() > MEMORY {
                    memory.remove(0);
                }
            }
            let done = new_height - height < 1e-5;
            (point, height, gradient) = (next, new_height, new_gradient);
            if done {
                break;
            }
        }
        point
    }
}

/// The density of the belief at the ends of a range, beside 1 in its middle.
const BELIEF_AT_ENDS: f64 = 0.05;

/// The logarithm of how much a point is believed in, and its gradient: ranges are chosen around good
/// values, so their ends are less likely ones (Hvarfner et al., "pi-BO", 2022).
fn belief(among: &Candidates<'_>, point: &[f64]) -> (f64, Vec<f64>) {
    let mut total = 0.0;
    let mut slope = vec![0.0; point.len()];
    for ((place, parameter), slope) in point.iter().zip(among.space.parameters()).zip(&mut slope) {
        if parameter.range.is_categorical() {
            continue;
        }
        let rise = 4.0 * (1.0 - BELIEF_AT_ENDS);
        let density = BELIEF_AT_ENDS + rise * place * (1.0 - place);
        total += among.belief * density.ln();
        *slope = among.belief * rise * (1.0 - 2.0 * place) / density;
    }
    (total, slope)
}

fn product(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

/// The direction of the two-loop recursion (Nocedal 1980) over the movable coordinates.
fn ascent(gradient: &[f64], movable: &[bool], memory: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let mask = |vector: &mut Vec<f64>| {
        for (value, movable) in vector.iter_mut().zip(movable) {
            if !movable {
                *value = 0.0;
            }
        }
    };
    let mut plain = gradient.to_vec();
    mask(&mut plain);
    let mut direction = plain.clone();
    let mut shares = Vec::with_capacity(memory.len());
    for (step, change) in memory.iter().rev() {
        let share = product(step, &direction) / product(step, change);
        direction.iter_mut().zip(change).for_each(|(value, other)| *value -= share * other);
        shares.push(share);
    }
    if let Some((step, change)) = memory.last() {
        let scale = product(step, change) / product(change, change).max(1e-300);
        direction.iter_mut().for_each(|value| *value *= scale);
    }
    for ((step, change), share) in memory.iter().zip(shares.iter().rev()) {
        let back = product(change, &direction) / product(step, change);
        direction.iter_mut().zip(step).for_each(|(value, other)| *value += (share - back) * other);
    }
    mask(&mut direction);
    if product(&direction, &plain) > 0.0 { direction } else { plain }
}

/// The point in the ensemble's coordinates.
fn extended(point: &[f64], with_source: bool) -> Vec<f64> {
    let mut point = point.to_vec();
    if with_source {
        point.push(0.0);
    }
    point
}

/// The point of the nearest setting.
pub fn snap(space: &Space, point: &[f64]) -> Vec<f64> {
    space.parameters().iter().zip(point).map(|(parameter, place)| parameter.range.snap(*place)).collect()
}

/// Points from all over the space and around the incumbents.
fn candidates(among: &Candidates<'_>, random: &mut Random) -> Vec<Vec<f64>> {
    let parameters = among.space.parameters();
    let around = if among.incumbents.is_empty() { 0 } else { among.count * 2 / 5 };
    let mut points: Vec<Vec<f64>> = Sequence::new(parameters.len(), random)
        .take(among.count - around)
        .map(|units| {
            parameters.iter().zip(units).map(|(parameter, unit)| parameter.range.spread(unit)).collect()
        })
        .collect();
    // About three coordinates move at once, however many there are.
    let share = (3.0 / parameters.len() as f64).clamp(0.0, 1.0);
    for index in 0..around {
        let mut point = among.incumbents[index % among.incumbents.len()].clone();
        let width = 10f64.powf(-0.5 - 2.0 * random.unit());
        for (place, parameter) in point.iter_mut().zip(parameters) {
            if random.unit() >= share {
                continue;
            }
            *place = if parameter.range.is_categorical() {
                parameter.range.spread(random.unit())
            } else {
                parameter.range.snap((*place + width * random.normal()).clamp(0.0, 1.0))
            };
        }
        points.push(point);
    }
    points
}

/// Every point that differs by one step of an integer or by the value of one category.
fn neighbours(space: &Space, point: &[f64]) -> Vec<Vec<f64>> {
    let mut points = Vec::new();
    let mut with = |index: usize, place: f64| {
        if place != point[index] {
            let mut moved = point.to_vec();
            moved[index] = place;
            points.push(moved);
        }
    };
    for (index, parameter) in space.parameters().iter().enumerate() {
        let Some(count) = parameter.range.count() else { continue };
        if parameter.range.is_categorical() {
            (0..count).for_each(|choice| with(index, choice as f64));
        } else {
            parameter.range.steps(point[index]).into_iter().for_each(|place| with(index, place));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gaussian::kernel::{Features, Hyperparameters};
    use crate::gaussian::{Data, Process};
    use crate::space::{Parameter, Range, Scaling};

    #[test]
    fn the_climb_finds_the_top_that_a_fine_grid_finds() {
        let real = |name: &str| Parameter {
            name: name.into(),
            range: Range::Continuous { min: 0.0, max: 1.0, scaling: Scaling::Linear },
        };
        let space = Space::new(vec![real("x"), real("y")]).unwrap();
        let features = Features::new(&space, 1);
        let mut random = Random::new(8, 0);
        let mut data = Data::default();
        for _ in 0..12 {
            let point = vec![random.unit(), random.unit()];
            data.values.push((5.0 * point[0]).sin() + (point[1] - 0.4).powi(2));
            data.points.push(point);
            data.own.push(true);
        }
        let hyper = Hyperparameters(vec![-1.0, -0.7, 0.0, -5.0]);
        let process = Process::fit(&features, &data, &hyper).unwrap();
        let ensemble = Ensemble { features, processes: vec![process] };
        let taken = HashSet::new();
        let among = Candidates {
            space: &space,
            taken: &taken,
            incumbents: &data.points[..1],
            count: 100,
            starts: 3,
            with_source: false,
            belief: 0.0,
        };
        let (point, height) = ensemble.search(&among, &mut random).unwrap();
        let grid: Vec<Vec<f64>> = (0..=200)
            .flat_map(|x| (0..=200).map(move |y| vec![f64::from(x) / 200.0, f64::from(y) / 200.0]))
            .collect();
        let top = ensemble.log_improvements(&grid).into_iter().fold(f64::NEG_INFINITY, f64::max);
        assert!(height > top - 1e-3, "{point:?} {height} {top}");
        assert_eq!(ensemble.log_improvements(&[point]), [height]);
    }

    #[test]
    fn what_is_taken_is_not_suggested() {
        let choice = Range::Categorical { values: vec!["a".into(), "b".into()] };
        let space = Space::new(vec![Parameter { name: "c".into(), range: choice }]).unwrap();
        let features = Features::new(&space, 1);
        let data = Data { points: vec![vec![0.0]], values: vec![0.0], own: vec![true] };
        let process = Process::fit(&features, &data, &Hyperparameters(vec![0.0, 0.0, -3.0])).unwrap();
        let ensemble = Ensemble { features, processes: vec![process] };
        let mut taken: HashSet<Vec<u64>> = [identity(&[0.0])].into();
        let mut random = Random::new(1, 0);
        let mut search = |taken: &HashSet<Vec<u64>>| {
            let among = Candidates {
                space: &space,
                taken,
                incumbents: &[],
                count: 10,
                starts: 1,
                with_source: false,
                belief: 0.0,
            };
            ensemble.search(&among, &mut random).map(|(point, _)| point)
        };
        assert_eq!(search(&taken), Some(vec![1.0]));
        taken.insert(identity(&[1.0]));
        assert_eq!(search(&taken), None);
    }
}
