//! Suggestions from a Gaussian process over the results so far.

use std::collections::HashSet;

use crate::gaussian::{Candidates, Chain, Data, Ensemble, Features, Process, Target, sample, snap};
use crate::limits::MODEL_TRIALS;
use crate::random::Random;
use crate::space::Space;
use crate::trial::{Outcome, Trial};
use crate::tuner::Direction;

/// A suggestion of the model.
#[derive(Debug, Clone)]
pub struct Suggestion {
    /// The point.
    pub point: Vec<f64>,
    /// The improvement expected there, in standard deviations of the transformed objective.
    pub improvement: f64,
}

/// What the model is made from.
#[derive(Debug)]
pub struct Known<'a> {
    pub space: &'a Space,
    pub direction: Direction,
    pub trials: &'a [Trial],
    pub sources: usize,
    pub taken: &'a HashSet<Vec<u64>>,
}

/// Processes in the ensemble, candidates and climbs: less of each as one prediction gets dearer.
const fn effort(trials: usize) -> (usize, usize, usize) {
    match trials {
        0..=60 => (10, 1_000, 4),
        61..=120 => (8, 500, 3),
        121..=400 => (5, 400, 3),
        _ => (4, 300, 2),
    }
}

/// How many results the belief that good values lie within the ranges, not at their ends, is worth.
/// Without it the first suggestions go to the corners, where the model knows least.
const BELIEF: f64 = 5.0;

/// The most promising free point; `None` when the model cannot be made or finds nothing free.
pub fn suggest(known: &Known<'_>, chain: &mut Chain, random: &mut Random) -> Option<Suggestion> {
    let prepared = prepare(known)?;
    let (processes, count, starts) = effort(prepared.data.values.len());
    let features = Features::new(known.space, known.sources);
    let samples = sample(&features, &prepared.data, chain, processes, random);
    let processes: Vec<Process> = samples
        .iter()
        .filter_map(|hyper| Process::imagine(&features, &prepared.data, &prepared.running, hyper, random))
        .collect();
    if processes.is_empty() {
        return None;
    }
    let ensemble = Ensemble { features, processes };
    let among = Candidates {
        space: known.space,
        taken: known.taken,
        incumbents: &prepared.incumbents,
        count,
        starts,
        with_source: known.sources > 1,
        belief: BELIEF / prepared.data.values.len() as f64,
    };
    let (point, height) = ensemble.search(&among, random)?;
    Some(Suggestion { point: snap(known.space, &point), improvement: height.exp() })
}

/// The posterior means over the whole of the results, for insights.
pub fn model(known: &Known<'_>, chain: &mut Chain, random: &mut Random) -> Option<Ensemble> {
    let prepared = prepare(known)?;
    let features = Features::new(known.space, known.sources);
    let samples = sample(&features, &prepared.data, chain, 4, random);
    let processes: Vec<Process> =
        samples.iter().filter_map(|hyper| Process::fit(&features, &prepared.data, hyper)).collect();
    (!processes.is_empty()).then_some(Ensemble { features, processes })
}

struct Prepared {
    data: Data,
    running: Vec<Vec<f64>>,
    incumbents: Vec<Vec<f64>>,
}

/// Points tried around.
const INCUMBENTS: usize = 4;

fn prepare(known: &Known<'_>) -> Option<Prepared> {
    let place = |trial: &Trial| {
        let mut point = known.space.point(&trial.setting)?;
        if known.sources > 1 {
            point.push(trial.source as f64);
        }
        Some(point)
    };
    let mut data = Data::default();
    for source in 0..known.sources.max(1) {
        add_source(known, source, &place, &mut data);
    }
    if data.values.is_empty() {
        return None;
    }
    thin(&mut data);
    let running =
        known.trials.iter().filter(|trial| trial.outcome == Outcome::Pending).filter_map(&place).collect();
    let mut order: Vec<usize> = (0..data.values.len()).collect();
    order.sort_by(|a, b| data.values[*a].total_cmp(&data.values[*b]));
    let incumbents = order
        .into_iter()
        .take(INCUMBENTS)
        .map(|index| data.points[index][..known.space.dimensions()].to_vec())
        .collect();
    Some(Prepared { data, running, incumbents })
}

/// Adds the results of one source, standardised by themselves. A failed trial counts as bad as the
/// worst result, so that its surroundings are avoided.
fn add_source(
    known: &Known<'_>,
    source: usize,
    place: &impl Fn(&Trial) -> Option<Vec<f64>>,
    data: &mut Data,
) {
    let of_source = || known.trials.iter().filter(move |trial| trial.source == source);
    let measured: Vec<f64> =
        of_source().filter_map(Trial::objective).map(|value| known.direction.lower(value)).collect();
    if measured.is_empty() {
        return;
    }
    let target = Target::fit(&measured);
    let worst = measured.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for trial in of_source() {
        let value = match trial.outcome {
            Outcome::Measured(value) => known.direction.lower(value),
            Outcome::Failed => worst,
            Outcome::Pending => continue,
        };
        if let Some(point) = place(trial) {
            data.points.push(point);
            data.values.push(target.of(value));
            data.own.push(source == 0);
        }
    }
}

/// Keeps the best half and the newest half of what the model may hold.
fn thin(data: &mut Data) {
    let count = data.values.len();
    if count <= MODEL_TRIALS {
        return;
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| data.values[*a].total_cmp(&data.values[*b]));
    let mut chosen: Vec<usize> = order[..MODEL_TRIALS / 2].to_vec();
    let best: HashSet<usize> = chosen.iter().copied().collect();
    chosen
        .extend((0..count).rev().filter(|index| !best.contains(index)).take(MODEL_TRIALS - MODEL_TRIALS / 2));
    chosen.sort_unstable();
    *data = Data {
        points: chosen.iter().map(|index| data.points[*index].clone()).collect(),
        values: chosen.iter().map(|index| data.values[*index]).collect(),
        own: chosen.iter().map(|index| data.own[*index]).collect(),
    };
}
