//! What a search has found out about its parameters.

use crate::random::Random;
use crate::space::Space;
use crate::tuner::Tuner;

/// What is known of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Insight {
    /// Its name.
    pub name: String,
    /// Spearman's rank correlation of its value with the objective, in -1 to 1; `None` for categories
    /// and with less than 3 results.
    pub correlation: Option<f64>,
    /// Its share of what the objective varies with over the whole space, by the model: total-effect
    /// indices (Sobol 2001, in the estimator of Jansen 1999), scaled to add up to 1. `None` while there
    /// is no model.
    pub importance: Option<f64>,
}

/// Points of the model at which every parameter is moved in turn.
const POINTS: usize = 256;
/// Results below which a share would say more about chance than about a parameter.
const LEAST: usize = 5;

/// The insights of a search, one a parameter, in the order of its space.
pub fn insights(tuner: &Tuner) -> Vec<Insight> {
    let shares = shares(tuner);
    let measured: Vec<(Vec<f64>, f64)> = tuner
        .trials()
        .iter()
        .filter(|trial| trial.source == 0)
        .filter_map(|trial| Some((tuner.space().point(&trial.setting)?, trial.objective()?)))
        .collect();
    let objectives: Vec<f64> = measured.iter().map(|(_, objective)| *objective).collect();
    tuner
        .space()
        .parameters()
        .iter()
        .enumerate()
        .map(|(index, parameter)| {
            let places: Vec<f64> = measured.iter().map(|(point, _)| point[index]).collect();
            Insight {
                name: parameter.name.clone(),
                correlation: (!parameter.range.is_categorical())
                    .then(|| rank_correlation(&places, &objectives))
                    .flatten(),
                importance: shares.as_ref().map(|shares| shares[index]),
            }
        })
        .collect()
}

fn drawn(space: &Space, random: &mut Random) -> Vec<f64> {
    space.parameters().iter().map(|parameter| parameter.range.spread(random.unit())).collect()
}

fn shares(tuner: &Tuner) -> Option<Vec<f64>> {
    if tuner.trials().iter().filter(|trial| trial.objective().is_some()).count() < LEAST {
        return None;
    }
    let model = tuner.model()?;
    let space = tuner.space();
    let at = |points: &[Vec<f64>]| {
        let points: Vec<Vec<f64>> = points
            .iter()
            .map(|point| {
                let mut point = point.clone();
                point.extend(tuner.has_sources().then_some(0.0));
                point
            })
            .collect();
        model.means(&points)
    };
    let mut random = Random::new(tuner.settings().seed, u64::MAX - 2);
    let points: Vec<Vec<f64>> = (0..POINTS).map(|_| drawn(space, &mut random)).collect();
    let others: Vec<Vec<f64>> = (0..POINTS).map(|_| drawn(space, &mut random)).collect();
    let base = at(&points);
    let effects: Vec<f64> = (0..space.dimensions())
        .map(|index| {
            let moved: Vec<Vec<f64>> = points
                .iter()
                .zip(&others)
                .map(|(point, other)| {
                    let mut point = point.clone();
                    point[index] = other[index];
                    point
                })
                .collect();
            at(&moved).iter().zip(&base).map(|(moved, base)| (moved - base).powi(2)).sum()
        })
        .collect();
    let total: f64 = effects.iter().sum();
    (total > 0.0).then(|| effects.iter().map(|effect| effect / total).collect())
}

/// Spearman's correlation; `None` with less than 3 pairs or where one side does not vary.
fn rank_correlation(left: &[f64], right: &[f64]) -> Option<f64> {
    if left.len() < 3 {
        return None;
    }
    let (left, right) = (ranks(left), ranks(right));
    let mean = (left.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let scale = (product(&left, &left) * product(&right, &right)).sqrt();
    (scale > 0.0).then(|| product(&left, &right) / scale)
}

/// Ranks from 0; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let below = |value: f64| values.iter().filter(|other| **other < value).count() as f64;
    let equal = |value: f64| values.iter().filter(|other| **other == value).count() as f64;
    values.iter().map(|value| below(*value) + (equal(*value) - 1.0) / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Parameter, Range, Scaling, Value};
    use crate::trial::Outcome;
    use crate::tuner::{Direction, Settings, Strategy};

    #[test]
    fn what_matters_is_found_out() {
        let real = |name: &str| Parameter {
            name: name.into(),
            range: Range::Continuous { min: 0.0, max: 1.0, scaling: Scaling::Linear },
        };
        let choice = Range::Categorical { values: vec!["a".into(), "b".into()] };
        let space =
            Space::new(vec![real("strong"), real("idle"), Parameter { name: "kind".into(), range: choice }])
                .unwrap();
        let settings = Settings { strategy: Strategy::Random, direction: Direction::Minimize, seed: 4 };
        let mut tuner = Tuner::new(space, settings).unwrap();
        assert!(
            insights(&tuner)
                .iter()
                .all(|insight| insight.importance.is_none() && insight.correlation.is_none())
        );
        for _ in 0..40 {
            let (id, setting) = tuner.ask().unwrap().unwrap();
            let [Value::Number(strong), _, Value::Text(kind)] = &setting[..] else { panic!() };
            let value = -3.0 * strong + f64::from(u8::from(kind == "a"));
            tuner.tell(id, Outcome::Measured(value)).unwrap();
        }
        let found = insights(&tuner);
        let share = |index: usize| found[index].importance.unwrap();
        assert!(share(0) > share(2) && share(2) > 5.0 * share(1), "{found:?}");
        assert!((found.iter().filter_map(|insight| insight.importance).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(found[0].correlation.unwrap() < -0.8 && found[1].correlation.unwrap().abs() < 0.4);
        assert_eq!(found[2].correlation, None);
    }

    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(ranks(&[2.0, 1.0, 2.0, 3.0]), [1.5, 0.0, 1.5, 3.0]);
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0]), None);
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[1.0, 8.0, 9.0]), Some(1.0));
    }
}
