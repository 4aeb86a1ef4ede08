//! What learning curves say about trials that still run: the median rule, and Hyperband's rungs.
//!
//! Curves hold the objective in the user's direction after each unit of resource, usually an epoch.

use serde::{Deserialize, Serialize};

use crate::trial::{Outcome, Trial};
use crate::tuner::Direction;

/// What should become of a running trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    GoOn,
    /// It is not worth finishing.
    Stop,
}

/// Ended trials that the median rule wants to have seen before it stops one: the median of fewer is
/// one trial's luck.
const MEDIAN_TRIALS: usize = 3;

/// AWS's published rule: a trial is stopped when its objective after an epoch is worse than the median,
/// over the trials that ended before, of their running averages up to the same epoch.
pub fn median_rule(direction: Direction, trials: &[Trial], running: &Trial) -> Verdict {
    let Some(&latest) = running.curve.last() else { return Verdict::GoOn };
    let epochs = running.curve.len();
    let mut averages: Vec<f64> = trials
        .iter()
        .filter(|trial| trial.source == 0 && trial.outcome != Outcome::Pending && !trial.curve.is_empty())
        .map(|trial| {
            let part = &trial.curve[..epochs.min(trial.curve.len())];
            part.iter().sum::<f64>() / part.len() as f64
        })
        .collect();
    if averages.len() < MEDIAN_TRIALS {
        return Verdict::GoOn;
    }
    averages.sort_by(f64::total_cmp);
    let middle = averages.len() / 2;
    let median = if averages.len() % 2 == 1 {
        averages[middle]
    } else {
        0.5 * (averages[middle - 1] + averages[middle])
    };
    if direction.lower(latest) > direction.lower(median) { Verdict::Stop } else { Verdict::GoOn }
}

/// Hyperband (Li et al. 2018) in its asynchronous, stopping form (Li et al. 2020): a trial belongs to a
/// bracket, whose first rung lies at `min * 3^bracket` units of resource and every further one at three
/// times as many; at a rung it goes on when it is among the best third that reached the rung so far.
/// A trial that reaches `max` is stopped there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hyperband {
    /// Units below which no trial is stopped; at least 1.
    pub min: u64,
    /// Units at which every trial ends.
    pub max: u64,
}

/// One of this many goes on at a rung.
const REDUCTION: u64 = 3;

impl Hyperband {
    /// Resources of the rungs of a bracket, below `max`.
    fn rungs(self, bracket: u32) -> impl Iterator<Item = u64> {
        let first = self.min.max(1).saturating_mul(REDUCTION.saturating_pow(bracket));
        std::iter::successors(Some(first), |rung| rung.checked_mul(REDUCTION))
            .take_while(move |rung| *rung < self.max)
    }

    /// Number of brackets: the last one has no rung and runs its trials to the end.
    fn brackets(self) -> u32 {
        self.rungs(0).count() as u32 + 1
    }

    /// The bracket of the n-th trial. Brackets take turns in proportion to the trials that Hyperband
    /// gives them, so that each spends about the same resource.
    fn bracket(self, number: usize) -> u32 {
        let brackets = self.brackets();
        let shares: Vec<u128> = (0..brackets)
            .map(|bracket| {
                let left = brackets - 1 - bracket;
                let share = u128::from(brackets) * u128::from(REDUCTION).saturating_pow(left);
                share.div_ceil(u128::from(left) + 1)
            })
            .collect();
        let round: u128 = shares.iter().sum();
        let mut place = number as u128 % round.max(1);
        for (bracket, share) in (0..brackets).zip(shares) {
            if place < share {
                return bracket;
            }
            place -= share;
        }
        0
    }

    /// The verdict over the trial `number` of `trials` after its latest point.
    pub fn judge(self, direction: Direction, trials: &[Trial], number: usize) -> Verdict {
        let Some(trial) = trials.get(number) else { return Verdict::GoOn };
        let reached = trial.curve.len() as u64;
        if reached >= self.max {
            return Verdict::Stop;
        }
        let bracket = self.bracket(number);
        let Some(rung) = self.rungs(bracket).filter(|rung| *rung <= reached).last() else {
            return Verdict::GoOn;
        };
        let at = |trial: &Trial| trial.curve.get(rung as usize - 1).map(|value| direction.lower(*value));
        let Some(own) = at(trial) else { return Verdict::GoOn };
        let others: Vec<f64> = trials
            .iter()
            .enumerate()
            .filter(|(other, trial)| *other != number && trial.source == 0 && self.bracket(*other) == bracket)
            .filter_map(|(_, trial)| at(trial))
            .collect();
        let better = others.iter().filter(|value| **value < own).count() as u64;
        let allowed = (others.len() as u64 + 1).div_ceil(REDUCTION);
        if better < allowed { Verdict::GoOn } else { Verdict::Stop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(curve: &[f64], outcome: Outcome) -> Trial {
        Trial { setting: vec![], outcome, curve: curve.to_vec(), source: 0 }
    }

    #[test]
    fn the_median_rule_compares_with_running_averages() {
        let ended: Vec<Trial> = [[4.0, 2.0, 1.0], [5.0, 3.0, 2.0], [6.0, 4.0, 3.0]]
            .iter()
            .map(|curve| trial(curve, Outcome::Measured(curve[2])))
            .collect();
        // Running averages after two epochs: 3, 4, 5.
        let verdict =
            |curve: &[f64]| median_rule(Direction::Minimize, &ended, &trial(curve, Outcome::Pending));
        assert_eq!(verdict(&[9.0, 4.0]), Verdict::GoOn);
        assert_eq!(verdict(&[1.0, 4.1]), Verdict::Stop);
        assert_eq!(verdict(&[]), Verdict::GoOn);
        let maximize = median_rule(Direction::Maximize, &ended, &trial(&[9.0, 4.1], Outcome::Pending));
        assert_eq!(maximize, Verdict::GoOn);
        let few = median_rule(Direction::Minimize, &ended[..2], &trial(&[9.0, 9.0], Outcome::Pending));
        assert_eq!(few, Verdict::GoOn);
    }

    #[test]
    fn hyperband_has_its_rungs_and_spends_alike_in_every_bracket() {
        let hyperband = Hyperband { min: 1, max: 27 };
        assert_eq!(hyperband.rungs(0).collect::<Vec<_>>(), [1, 3, 9]);
        assert_eq!(hyperband.rungs(2).collect::<Vec<_>>(), [9]);
        let counts = (0..49).fold([0; 4], |mut counts, number| {
            counts[hyperband.bracket(number) as usize] += 1;
            counts
        });
        // The published table for 27 and 3 begins with 27, 12, 6 and 4 trials.
        assert_eq!(counts[..3], [27, 12, 6]);
        assert_eq!(Hyperband { min: 5, max: 5 }.brackets(), 1);
        assert_eq!(Hyperband { min: 1, max: u64::MAX }.brackets(), 42);
    }

    #[test]
    fn the_best_third_goes_on() {
        let hyperband = Hyperband { min: 1, max: 27 };
        let mut trials = Vec::new();
        let mut stopped = 0;
        for number in 0..27 {
            // Worse and worse, so only the first ones at the rung go on.
            trials.push(trial(&[number as f64], Outcome::Pending));
            stopped += u32::from(hyperband.judge(Direction::Minimize, &trials, number) == Verdict::Stop);
        }
        assert_eq!(stopped, 26);
        trials.push(trial(&[-1.0; 27], Outcome::Pending));
        assert_eq!(
            hyperband.judge(Direction::Minimize, &trials, 27),
            Verdict::Stop,
            "it reached the maximum"
        );
    }
}
