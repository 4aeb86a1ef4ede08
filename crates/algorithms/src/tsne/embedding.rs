//! From vectors to a map: first places, then gradient descent with momentum and gains (Jacobs 1988, as van der Maaten's
//! and scikit-learn's t-SNE have it), first with exaggerated similarities.

use super::affinities::Affinities;
use super::gradient::Gradient;
use super::hyperparameters::Hyperparameters;
use super::neighbors::Neighbors;
use crate::TrainFailure;
use crate::kernels::{Matrix, Pool, add_scaled, dot};
use crate::principal;
use crate::random::Random;

/// Iterations between two looks at the divergence.
pub(super) const LOOK: usize = 50;
/// Spread of the first places along the first axis.
const FIRST_SPREAD: f32 = 1e-4;
/// Least gain.
const LEAST_GAIN: f32 = 0.01;

/// What there is to say every [`LOOK`] iterations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Iterations done.
    pub iteration: usize,
    pub divergence: f64,
    pub gradient_norm: f64,
}

/// A finished map.
pub(super) struct Embedding {
    pub map: Vec<[f32; 2]>,
    pub last: Look,
    /// Why it ended before the last iteration, if it did.
    pub ended_early: Option<&'static str>,
}

/// Makes the map of the rows of `points`, which are brought to mean zero, and for the metric cosine to length 1 first.
///
/// # Errors
/// What `look` says.
pub(super) fn embed(
    pool: &Pool,
    h: &Hyperparameters,
    points: &mut Matrix,
    mut look: impl FnMut(&Look) -> Result<(), TrainFailure>,
) -> Result<Embedding, TrainFailure> {
    prepare(points, h.cosine);
    let count = (3.0 * h.perplexity) as usize + 1;
    let neighbors = Neighbors::exact(pool, points, count);
    let affinities = Affinities::new(pool, &neighbors, h.perplexity);
    drop(neighbors);
    let map = if h.random_init { scattered(points.rows(), h.seed) } else { projected(pool, points) };
    let mut descent = Descent::new(Gradient::new(pool, &affinities, h.theta), map, h.step(points.rows()));
    let early = h.early_exaggeration_iter.min(h.n_iter);
    let (mut best, mut ended_early) = ((f64::INFINITY, 0), None);
    let mut last = Look { iteration: 0, divergence: f64::NAN, gradient_norm: f64::NAN };
    for iteration in 1..=h.n_iter {
        let (exaggeration, momentum) = match iteration <= early {
            true => (h.early_exaggeration, h.initial_momentum),
            false => (h.exaggeration, h.final_momentum),
        };
        if iteration == early + 1 {
            descent.rest();
        }
        let looking = iteration % LOOK == 0 || iteration == h.n_iter;
        let seen = descent.step(exaggeration, momentum, looking);
        let Some((divergence, gradient_norm)) = seen else { continue };
        last = Look { iteration, divergence, gradient_norm };
        look(&last)?;
        if !divergence.is_finite() {
            return Err(TrainFailure::client(
                "The map has run away: its divergence is no number any more. Lower the hyperparameter 'learning_rate'",
            ));
        }
        if iteration <= early {
            continue;
        }
        if divergence < best.0 {
            best = (divergence, iteration);
        } else if iteration - best.1 > h.n_iter_without_progress {
            ended_early = Some("no progress for n_iter_without_progress iterations");
        }
        if gradient_norm <= h.min_grad_norm {
            ended_early = Some("the gradient is not longer than min_grad_norm");
        }
        if ended_early.is_some() {
            break;
        }
    }
    Ok(Embedding { map: descent.map, last, ended_early })
}

/// Divides all by the largest number, which a map does not depend on and no square survives without, brings the rows to
/// length 1 where asked, and all to mean zero, which keeps their differences and loses no digits.
fn prepare(points: &mut Matrix, unit: bool) {
    let largest = points.data().iter().fold(0.0f32, |most, value| most.max(value.abs()));
    for row in 0..points.rows() {
        let row = points.row_mut(row);
        if largest > 0.0 {
            row.iter_mut().for_each(|value| *value /= largest);
        }
        let length = dot(row, row).sqrt();
        if unit && length > 0.0 {
            row.iter_mut().for_each(|value| *value /= length);
        }
    }
    let mean = principal::mean(points);
    (0..points.rows()).for_each(|row| add_scaled(points.row_mut(row), &mean, -1.0));
}

/// Normal numbers around the origin.
fn scattered(count: usize, seed: u64) -> Vec<[f32; 2]> {
    let mut random = Random::new(seed, 11);
    (0..count).map(|_| [FIRST_SPREAD * random.normal(), FIRST_SPREAD * random.normal()]).collect()
}

/// The first two principal components of rows with mean zero, scaled down (Kobak and Berens 2019).
fn projected(pool: &Pool, points: &Matrix) -> Vec<[f32; 2]> {
    let axes = principal::components(pool, points, &vec![0.0; points.columns()], 2);
    let along = |row: usize, axis: usize| axes.get(axis).map_or(0.0, |axis| dot(points.row(row), axis));
    let mut map: Vec<[f32; 2]> = (0..points.rows()).map(|row| [along(row, 0), along(row, 1)]).collect();
    let variance =
        map.iter().map(|point| f64::from(point[0] * point[0])).sum::<f64>() / map.len().max(1) as f64;
    let scale = if variance > 0.0 { FIRST_SPREAD / variance.sqrt() as f32 } else { 0.0 };
    map.iter_mut().flatten().for_each(|value| *value *= scale);
    map
}

/// A map on its way.
struct Descent<'a> {
    work: Gradient<'a>,
    map: Vec<[f32; 2]>,
    gradient: Vec<[f32; 2]>,
    update: Vec<[f32; 2]>,
    gains: Vec<[f32; 2]>,
    rate: f32,
}

impl<'a> Descent<'a> {
    fn new(work: Gradient<'a>, map: Vec<[f32; 2]>, rate: f32) -> Self {
        let zero = vec![[0.0; 2]; map.len()];
        Self { work, gradient: zero.clone(), update: zero, gains: vec![[1.0; 2]; map.len()], map, rate }
    }

    /// Forgets momentum and gains.
    fn rest(&mut self) {
        self.update.fill([0.0; 2]);
        self.gains.fill([1.0; 2]);
    }

    /// One step; when `looking`, the divergence before it and the length of the gradient.
    fn step(&mut self, exaggeration: f32, momentum: f32, looking: bool) -> Option<(f64, f64)> {
        let z = self.work.evaluate(&self.map, exaggeration, &mut self.gradient);
        let seen = looking.then(|| {
            let squared: f64 = self.gradient.iter().flatten().map(|&g| f64::from(g) * f64::from(g)).sum();
            (self.work.divergence(&self.map, z), squared.sqrt())
        });
        let values = self.map.iter_mut().zip(&mut self.update).zip(&mut self.gains).zip(&self.gradient);
        for (((map, update), gains), gradient) in values {
            for axis in 0..2 {
                let turned = update[axis] * gradient[axis] < 0.0;
                gains[axis] = if turned { gains[axis] + 0.2 } else { (gains[axis] * 0.8).max(LEAST_GAIN) };
                update[axis] = momentum * update[axis] - self.rate * gains[axis] * gradient[axis];
                map[axis] += update[axis];
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsne::quality::trustworthiness;

    /// Clusters of points in ten dimensions.
    fn clusters(count: usize) -> (Matrix, Vec<usize>) {
        let mut random = Random::new(8, 8);
        let middles: Vec<Vec<f32>> =
            (0..5).map(|_| (0..10).map(|_| 6.0 * random.normal()).collect()).collect();
        let mut points = Matrix::zeroed(count, 10);
        let labels: Vec<usize> = (0..count).map(|i| i % 5).collect();
        for (i, &label) in labels.iter().enumerate() {
            for (value, middle) in points.row_mut(i).iter_mut().zip(&middles[label]) {
                *value = middle + random.normal();
            }
        }
        (points, labels)
    }

    fn map_of(count: usize, pairs: &[(&str, &str)], threads: usize) -> Embedding {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let h = Hyperparameters::from_pairs(&pairs).unwrap();
        embed(&Pool::new(threads), &h, &mut clusters(count).0, |_| Ok(())).unwrap()
    }

    #[test]
    fn clusters_stay_together_and_neighbours_stay_neighbours() {
        for pairs in [
            vec![("n_iter", "400"), ("early_exaggeration_iter", "100")],
            vec![("n_iter", "400"), ("theta", "0"), ("metric", "cosine")],
            vec![("n_iter", "400"), ("init", "random"), ("perplexity", "15")],
        ] {
            let found = map_of(700, &pairs, 2);
            let (points, labels) = clusters(700);
            assert!(found.last.divergence < 1.5, "{pairs:?}: {}", found.last.divergence);
            let trust = trustworthiness(&Pool::new(1), &points, &found.map, 5);
            assert!(trust > 0.93, "{pairs:?}: {trust}");
            let nearest = |i: usize| {
                let squared =
                    |j: usize| (0..2).map(|a| (found.map[i][a] - found.map[j][a]).powi(2)).sum::<f32>();
                (0..700).filter(|&j| j != i).min_by(|&a, &b| squared(a).total_cmp(&squared(b))).unwrap()
            };
            let same = (0..700).filter(|&i| labels[nearest(i)] == labels[i]).count();
            assert!(same > 690, "{pairs:?}: {same}");
        }
    }

    #[test]
    fn a_map_depends_on_its_settings_and_not_on_threads() {
        let short = [("n_iter", "60"), ("init", "random")];
        let map = map_of(600, &short, 1).map;
        assert_eq!(map, map_of(600, &short, 3).map);
        assert_ne!(map, map_of(600, &[("n_iter", "60"), ("init", "random"), ("seed", "1")], 1).map);
    }

    #[test]
    fn looks_come_every_fifty_iterations_and_the_end_can_come_early() {
        let mut seen = Vec::new();
        let pairs = [("n_iter", "120"), ("early_exaggeration_iter", "50"), ("min_grad_norm", "1")];
        let pairs = pairs.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let mut h = Hyperparameters::from_pairs(&pairs.into_iter().collect()).unwrap();
        let found = embed(&Pool::new(1), &h, &mut clusters(100).0, |look| {
            seen.push(look.iteration);
            Ok(())
        });
        assert_eq!((seen, found.unwrap().ended_early.is_some()), (vec![50, 100], true));
        h.min_grad_norm = 0.0;
        let found = embed(&Pool::new(1), &h, &mut clusters(100).0, |_| Ok(())).unwrap();
        assert_eq!((found.last.iteration, found.ended_early), (120, None));
        h.learning_rate = Some(1e6);
        h.n_iter = 2000;
        let wild = embed(&Pool::new(1), &h, &mut clusters(100).0, |_| Ok(()));
        assert!(wild.is_ok() || wild.err().unwrap().message.contains("learning_rate"));
    }

    #[test]
    fn the_size_of_numbers_does_not_matter() {
        let pairs = [("n_iter", "100"), ("perplexity", "10")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let h = Hyperparameters::from_pairs(&pairs.into_iter().collect()).unwrap();
        let scaled = |by: f32| {
            let mut points = clusters(100).0;
            points.data_mut().iter_mut().for_each(|value| *value *= by);
            embed(&Pool::new(1), &h, &mut points, |_| Ok(())).unwrap().last.divergence
        };
        // Powers of two change no digit, and squares of these would leave the range of numbers.
        let plain = scaled(1.0);
        for power in [-90, 115] {
            assert_eq!(scaled(2.0f32.powi(power)), plain, "2^{power}");
        }
    }

    #[test]
    fn points_in_one_place_do_no_harm() {
        let pairs = [("n_iter", "60"), ("perplexity", "3")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let h = Hyperparameters::from_pairs(&pairs.into_iter().collect()).unwrap();
        for metric_is_cosine in [false, true] {
            let h = Hyperparameters { cosine: metric_is_cosine, ..h.clone() };
            let found = embed(&Pool::new(1), &h, &mut Matrix::zeroed(20, 4), |_| Ok(())).unwrap();
            assert!(found.map.iter().flatten().all(|value| value.is_finite()));
        }
    }
}
