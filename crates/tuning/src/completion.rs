//! When a search is over before its budget is.

use serde::{Deserialize, Serialize};

use crate::tuner::Tuner;

/// The conditions under which a search ends early. Any one of them is enough.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Completion {
    /// An objective that is good enough.
    pub target: Option<f64>,
    /// Trials in a row that did not improve the best.
    pub not_improving: Option<usize>,
    /// Whether to end when further trials are not likely to improve the best.
    pub convergence: bool,
}

/// Why a search is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The target was reached.
    Target,
    /// The best was not improved for too long.
    NotImproving,
    /// It converged.
    Converged,
}

/// The search has converged when the model expected of its last [`CONVERGED_SUGGESTIONS`] suggestions
/// less than this share of the objectives' spread.
const CONVERGED_IMPROVEMENT: f64 = 0.002;
/// See [`CONVERGED_IMPROVEMENT`].
const CONVERGED_SUGGESTIONS: usize = 4;
/// A search without a model has converged when this many trials, and half of all, did not improve the
/// best.
const CONVERGED_TRIALS: usize = 20;

/// Trials that ended after the best one, in the order of suggestion.
pub fn not_improving(tuner: &Tuner) -> usize {
    let Some(best) = tuner.best() else { return 0 };
    tuner.own()[best + 1..].iter().filter(|trial| trial.objective().is_some()).count()
}

/// Whether further trials are not likely to improve the best.
pub fn converged(tuner: &Tuner) -> bool {
    let expected = tuner.expected_improvements();
    if expected.is_empty() {
        let idle = not_improving(tuner);
        return idle >= CONVERGED_TRIALS.max(tuner.own().len() / 2);
    }
    let latest = expected.iter().rev().take(CONVERGED_SUGGESTIONS);
    expected.len() >= CONVERGED_SUGGESTIONS && latest.copied().all(|value| value < CONVERGED_IMPROVEMENT)
}

impl Completion {
    /// Why the search is over, when it is.
    pub fn reached(&self, tuner: &Tuner) -> Option<Reason> {
        let direction = tuner.settings().direction;
        let best = tuner.best().and_then(|id| tuner.own()[id].objective());
        if let (Some(target), Some(best)) = (self.target, best)
            && direction.lower(best) <= direction.lower(target)
        {
            return Some(Reason::Target);
        }
        if self.not_improving.is_some_and(|limit| not_improving(tuner) >= limit) {
            return Some(Reason::NotImproving);
        }
        (self.convergence && converged(tuner)).then_some(Reason::Converged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Parameter, Range, Scaling, Space, Value};
    use crate::trial::Outcome;
    use crate::tuner::{Direction, Settings, Strategy};

    fn tuner(strategy: Strategy, direction: Direction) -> Tuner {
        let range = Range::Continuous { min: 0.0, max: 1.0, scaling: Scaling::Linear };
        let space = Space::new(vec![Parameter { name: "x".into(), range }]).unwrap();
        Tuner::new(space, Settings { strategy, direction, seed: 1 }).unwrap()
    }

    fn step(tuner: &mut Tuner, objective: impl Fn(f64) -> f64) {
        let (id, setting) = tuner.ask().unwrap().unwrap();
        let Value::Number(x) = setting[0] else { panic!() };
        tuner.tell(id, Outcome::Measured(objective(x))).unwrap();
    }

    #[test]
    fn a_target_counts_in_its_direction() {
        let completion = Completion { target: Some(0.5), ..Completion::default() };
        for (direction, value, reached) in [
            (Direction::Minimize, 0.4, true),
            (Direction::Maximize, 0.4, false),
            (Direction::Maximize, 0.5, true),
        ] {
            let mut tuner = tuner(Strategy::Random, direction);
            assert_eq!(completion.reached(&tuner), None);
            step(&mut tuner, |_| value);
            assert_eq!(completion.reached(&tuner), reached.then_some(Reason::Target));
        }
    }

    #[test]
    fn trials_without_improvement_are_counted() {
        let completion = Completion { not_improving: Some(2), ..Completion::default() };
        let mut tuner = tuner(Strategy::Random, Direction::Minimize);
        for (value, reached) in [(3.0, false), (4.0, false), (2.0, false), (2.0, false), (5.0, true)] {
            step(&mut tuner, |_| value);
            assert_eq!(completion.reached(&tuner).is_some(), reached);
        }
    }

    #[test]
    fn a_smooth_valley_converges_and_not_at_once() {
        let completion = Completion { convergence: true, ..Completion::default() };
        let mut tuner = tuner(Strategy::Bayesian, Direction::Minimize);
        let mut trials = 0;
        while completion.reached(&tuner).is_none() {
            step(&mut tuner, |x| (x - 0.3).powi(2));
            trials += 1;
            assert!(trials < 40);
        }
        assert!(trials > 6, "{trials}");
    }
}
