//! A trial: one setting that was suggested, what became of it, and its learning curve.

use serde::{Deserialize, Serialize};

use crate::Setting;

/// Number of a trial in its tuner, in the order of suggestion.
pub type TrialId = usize;

/// What became of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing is known yet.
    Pending,
    /// It ended with this objective, in the user's direction; finite.
    Measured(#[serde(with = "crate::exact")] f64),
    /// It ended without an objective.
    Failed,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was tried.
    pub setting: Setting,
    /// What came of it.
    pub outcome: Outcome,
    /// Objective after each unit of resource (an epoch), the first after one unit.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "crate::exact::list")]
    pub curve: Vec<f64>,
    /// Where it comes from: 0 for this tuner's own, n for the n-th group of earlier results.
    #[serde(default)]
    pub source: usize,
}

impl Trial {
    /// The objective, when there is one.
    pub const fn objective(&self) -> Option<f64> {
        match self.outcome {
            Outcome::Measured(value) => Some(value),
            Outcome::Pending | Outcome::Failed => None,
        }
    }
}
