//! The tuner: ask for a setting, tell what it achieved.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::curve::{Hyperband, Verdict};
use crate::gaussian::{Chain, Ensemble, identity};
use crate::limits::{CURVE_POINTS, GRID, TRIALS};
use crate::random::Random;
use crate::space::{Setting, Space, SpaceError};
use crate::strategy::{self, Known};
use crate::trial::{Outcome, Trial, TrialId};

/// Which objectives are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Smaller ones.
    Minimize,
    /// Larger ones.
    Maximize,
}

impl Direction {
    /// The objective as a number that is better when smaller.
    pub const fn lower(self, value: f64) -> f64 {
        match self {
            Self::Minimize => value,
            Self::Maximize => -value,
        }
    }
}

/// How settings are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// From a Gaussian process over the results.
    Bayesian,
    /// At random.
    Random,
    /// Every setting of a finite space once.
    Grid,
    /// At random, and most trials are stopped early.
    Hyperband(Hyperband),
}

/// What a tuner is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How settings are chosen.
    pub strategy: Strategy,
    /// Which objectives are better.
    pub direction: Direction,
    /// From which every random choice follows.
    pub seed: u64,
}

/// What can be wrong with a call of the tuner.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TunerError {
    /// The space.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// Grid search over numbers between which there is no end of others, or over too many settings.
    #[error(
        "grid search tries every setting, so its parameters are categorical or whole numbers and have at most {GRID} settings together"
    )]
    NoGrid,
    /// Hyperband whose smallest resource is larger than its largest.
    #[error("the smallest resource {min} of Hyperband is larger than its largest, {max}")]
    Resources {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// More trials than a tuner remembers.
    #[error("a tuner remembers {TRIALS} trials, and that many are there")]
    Full,
    /// A trial that was not asked for.
    #[error("there is no trial {0}")]
    NoTrial(TrialId),
    /// A result that is no number.
    #[error("the objective {0} of a trial is not a finite number")]
    Objective(f64),
}

/// Suggests settings and learns from their results. Everything it will do follows from its
/// serialised form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuner {
    space: Space,
    settings: Settings,
    trials: Vec<Trial>,
    /// Trials of its own that were asked for: the number of the next random stream.
    asked: usize,
    chain: Chain,
    /// Groups of results: its own, and those from other data.
    sources: usize,
    /// The improvement that the model expected of the latest suggestions, newest last.
    #[serde(with = "crate::exact::list")]
    expected: Vec<f64>,
}

/// Suggestions of the spread design before the model takes over.
const DESIGN: usize = 5;
/// Expected improvements that are remembered.
const REMEMBERED: usize = 8;
/// The random stream of the design; suggestions use their own numbers.
const DESIGN_STREAM: u64 = u64::MAX;
/// The random stream of insights.
const INSIGHT_STREAM: u64 = u64::MAX - 1;

impl Tuner {
    /// A tuner without results.
    ///
    /// # Errors
    /// `NoGrid` and `Resources`.
    pub fn new(space: Space, settings: Settings) -> Result<Self, TunerError> {
        match settings.strategy {
            Strategy::Grid if space.count(GRID).is_none() => return Err(TunerError::NoGrid),
            Strategy::Hyperband(Hyperband { min, max }) if min > max || max == 0 => {
                return Err(TunerError::Resources { min, max });
            }
            _ => {}
        }
        let chain = Chain::default();
        Ok(Self { space, settings, trials: Vec::new(), asked: 0, chain, sources: 1, expected: Vec::new() })
    }

    /// The space.
    pub const fn space(&self) -> &Space {
        &self.space
    }

    /// What it was made with.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All trials, results learnt from elsewhere first.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Trials that the tuner itself suggested, oldest first.
    pub fn own(&self) -> &[Trial] {
        &self.trials[self.trials.len() - self.asked..]
    }

    /// Learns a result of another search before the first [`Tuner::ask`]: of the same data and
    /// algorithm (`source` 0), or of a related one (a number from 1 for each), whose level and spread
    /// need not be comparable.
    ///
    /// # Errors
    /// `Full`, `Objective`.
    pub fn learn(&mut self, source: usize, setting: Setting, objective: f64) -> Result<(), TunerError> {
        if !objective.is_finite() {
            return Err(TunerError::Objective(objective));
        }
        if self.trials.len() >= TRIALS {
            return Err(TunerError::Full);
        }
        self.sources = self.sources.max(source + 1);
        let place = self.trials.len() - self.asked;
        let outcome = Outcome::Measured(objective);
        self.trials.insert(place, Trial { setting, outcome, curve: Vec::new(), source });
        Ok(())
    }

    /// The next setting to try and its trial's number; `None` when every setting was tried.
    ///
    /// # Errors
    /// `Full`.
    pub fn ask(&mut self) -> Result<Option<(TrialId, Setting)>, TunerError> {
        if self.trials.len() >= TRIALS {
            return Err(TunerError::Full);
        }
        let taken = self.taken();
        let mut random = Random::new(self.settings.seed, self.asked as u64);
        let point = match self.settings.strategy {
            Strategy::Random | Strategy::Hyperband(_) => strategy::drawn(&self.space, &taken, &mut random),
            Strategy::Grid => strategy::nth_free(&self.space, &taken),
            Strategy::Bayesian => self.model_point(&taken, &mut random),
        };
        let Some(point) = point else { return Ok(None) };
        let setting = self.space.setting(&point);
        let trial =
            Trial { setting: setting.clone(), outcome: Outcome::Pending, curve: Vec::new(), source: 0 };
        self.trials.push(trial);
        self.asked += 1;
        Ok(Some((self.asked - 1, setting)))
    }

    fn model_point(&mut self, taken: &HashSet<Vec<u64>>, random: &mut Random) -> Option<Vec<f64>> {
        let measured = self.trials.iter().filter(|trial| trial.objective().is_some()).count();
        if measured >= DESIGN.min(2) && self.trials.len() >= DESIGN {
            let known = Known {
                space: &self.space,
                direction: self.settings.direction,
                trials: &self.trials,
                sources: self.sources,
                taken,
            };
            if let Some(suggestion) = strategy::suggest(&known, &mut self.chain, random) {
                if self.expected.len() == REMEMBERED {
                    self.expected.remove(0);
                }
                self.expected.push(suggestion.improvement);
                return Some(suggestion.point);
            }
        }
        let mut sequence = Random::new(self.settings.seed, DESIGN_STREAM);
        strategy::designed(&self.space, taken, self.asked, &mut sequence, random)
    }

    fn taken(&self) -> HashSet<Vec<u64>> {
        // A result on other data does not answer what the setting achieves here.
        let here = self.trials.iter().filter(|trial| trial.source == 0);
        here.filter_map(|trial| self.space.point(&trial.setting)).map(|point| identity(&point)).collect()
    }

    fn own_mut(&mut self, id: TrialId) -> Result<&mut Trial, TunerError> {
        let first = self.trials.len() - self.asked;
        self.trials.get_mut(first.saturating_add(id)).ok_or(TunerError::NoTrial(id))
    }

    /// Tells what a trial achieved. A later result replaces an earlier one.
    ///
    /// # Errors
    /// `NoTrial`; `Objective`.
    pub fn tell(&mut self, id: TrialId, outcome: Outcome) -> Result<(), TunerError> {
        if let Outcome::Measured(value) = outcome
            && !value.is_finite()
        {
            return Err(TunerError::Objective(value));
        }
        self.own_mut(id)?.outcome = outcome;
        Ok(())
    }

    /// Notes the whole learning curve of a running trial: the objective after each unit of resource.
    /// Values that are no numbers are left out.
    ///
    /// # Errors
    /// `NoTrial`.
    pub fn note_curve(&mut self, id: TrialId, curve: &[f64]) -> Result<(), TunerError> {
        let trial = self.own_mut(id)?;
        trial.curve = curve.iter().copied().filter(|value| value.is_finite()).take(CURVE_POINTS).collect();
        Ok(())
    }

    /// Hyperband's verdict over a running trial after its latest point; other strategies stop none.
    ///
    /// # Errors
    /// `NoTrial`.
    pub fn judge(&self, id: TrialId) -> Result<Verdict, TunerError> {
        if id >= self.asked {
            return Err(TunerError::NoTrial(id));
        }
        Ok(match self.settings.strategy {
            Strategy::Hyperband(hyperband) => hyperband.judge(self.settings.direction, self.own(), id),
            Strategy::Bayesian | Strategy::Random | Strategy::Grid => Verdict::GoOn,
        })
    }

    /// The number of the tuner's own trial with the best objective.
    pub fn best(&self) -> Option<TrialId> {
        let lower = |trial: &Trial| trial.objective().map(|value| self.settings.direction.lower(value));
        let measured = self.own().iter().enumerate().filter_map(|(id, trial)| Some((id, lower(trial)?)));
        measured.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(id, _)| id)
    }

    /// The improvements that the model expected of the latest suggestions, in standard deviations of
    /// the transformed objective, newest last; empty while no model was asked.
    pub fn expected_improvements(&self) -> &[f64] {
        &self.expected
    }

    /// A model of the results so far, for insights.
    pub(crate) fn model(&self) -> Option<Ensemble> {
        let known = Known {
            space: &self.space,
            direction: self.settings.direction,
            trials: &self.trials,
            sources: self.sources,
            taken: &HashSet::new(),
        };
        let mut random = Random::new(self.settings.seed, INSIGHT_STREAM);
        strategy::model(&known, &mut self.chain.clone(), &mut random)
    }

    /// Whether the model's points have one coordinate more than the space.
    pub(crate) const fn has_sources(&self) -> bool {
        self.sources > 1
    }
}

#[cfg(test)]
mod tests;
