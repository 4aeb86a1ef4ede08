//! Steps in which a row had no gradient, taken all at once.
//!
//! Adam without gradient and without decay multiplies m by b1 and v by b2 and moves w by `rate_t m / (sqrt(v) + e)`.
//! Over k such steps after step s, with `c = b1 / sqrt(b2)`:
//!
//! ```text
//! w -= m * sum over j of rate_{s+j} c^j / (sqrt(v) + e b2^(-j/2))
//!    ~ m * S / (sqrt(v) + e E),  S = sum of rate_{s+j} c^j,  E = (sum of rate_{s+j} c^j b2^(-j/2)) / S
//! ```
//!
//! The second line is exact up to second order in the spread of `b2^(-j/2)` over the terms that matter, which is below
//! 1e-4 of the move where `sqrt(v)` is as small as e and vanishes elsewhere. c^240 is 1e-11, so the sum stops there.

use super::{ADADELTA_RHO, ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON, Optimizer, RMSPROP_GAMMA, STATES};
use crate::kernels::{self, SkippedSteps};
use crate::object2vec::hyperparameters::OptimizerKind;

/// Number of terms of the sums that matter.
const TERMS: usize = 240;
/// From this step on Adam's bias correction equals 1 in double precision.
const SETTLED: usize = 40_000;

/// The effect of a number of steps without gradient on one row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Skip {
    /// None at all.
    Nothing,
    /// Adam's closed form.
    Adam(SkippedSteps),
    /// Weights and states are multiplied.
    Scale { weights: f32, states: f32 },
}

impl Skip {
    /// Applies it to one row.
    pub(crate) fn apply(&self, w: &mut [f32], [first, second]: [&mut [f32]; STATES]) {
        match *self {
            Self::Nothing => {}
            Self::Adam(skipped) => kernels::adam_catch_up(w, first, second, skipped),
            Self::Scale { weights, states } => {
                if weights != 1.0 {
                    kernels::scale(w, weights);
                }
                if states != 1.0 {
                    kernels::scale(first, states);
                    kernels::scale(second, states);
                }
            }
        }
    }
}

/// What is needed to compute [`Skip`]s quickly.
pub(crate) struct SkipTable {
    optimizer: Optimizer,
    /// `rate_t` for t = 1, 2, ...
    rates: Vec<f64>,
    /// `c^j` and `c^j b2^(-j/2)` for j = 1, 2, ...
    terms: Vec<(f64, f64)>,
}

impl SkipTable {
    /// `None` when steps without gradient have no closed form: then every row has to take part in every step.
    pub(crate) fn new(optimizer: Optimizer) -> Option<Self> {
        let couples = matches!(optimizer.kind, OptimizerKind::Adam | OptimizerKind::RmsProp);
        if couples && optimizer.weight_decay != 0.0 {
            return None;
        }
        let (c, shrink) = (ADAM_BETA1 / ADAM_BETA2.sqrt(), ADAM_BETA2.sqrt());
        let terms = (1..=TERMS as i32).map(|j| (c.powi(j), c.powi(j) * shrink.powi(-j))).collect();
        Some(Self { optimizer, rates: Vec::new(), terms })
    }

    /// From now on steps have this learning rate; the table knows none of them yet.
    pub(crate) fn set_learning_rate(&mut self, learning_rate: f64) {
        self.optimizer.learning_rate = learning_rate;
        self.rates.clear();
    }

    /// Makes the table know the rates up to step `t`.
    pub(crate) fn extend_to(&mut self, t: u32) {
        if self.optimizer.kind == OptimizerKind::Adam {
            let have = self.rates.len();
            let want = (t as usize).min(SETTLED);
            self.rates.extend((have + 1..want + 1).map(|t| self.optimizer.adam_rate(t as u32)));
        }
    }

    /// The effect of the steps after `from` up to and including `to`, all without gradient. The table must have been
    /// extended to `to`.
    pub(crate) fn between(&self, from: u32, to: u32) -> Skip {
        let count = to.saturating_sub(from);
        if count == 0 {
            return Skip::Nothing;
        }
        let power = |base: f64| {
            let value = base.powf(f64::from(count));
            if value < 1e-37 { 0.0 } else { value as f32 }
        };
        let (rate, decay) = (self.optimizer.learning_rate, self.optimizer.weight_decay);
        match self.optimizer.kind {
            OptimizerKind::Adam => Skip::Adam(self.adam(from as usize, count as usize)),
            OptimizerKind::Sgd | OptimizerKind::AdaGrad if decay == 0.0 => Skip::Nothing,
            OptimizerKind::Sgd | OptimizerKind::AdaGrad => {
                // The base may be negative for absurd settings; an integral power keeps its sign.
                let base = 1.0 - rate * decay;
                Skip::Scale { weights: base.powi(count.min(i32::MAX as u32) as i32) as f32, states: 1.0 }
            }
            OptimizerKind::RmsProp => Skip::Scale { weights: 1.0, states: power(f64::from(RMSPROP_GAMMA)) },
            OptimizerKind::AdaDelta => {
                let base = 1.0 - decay;
                let weights = base.powi(count.min(i32::MAX as u32) as i32) as f32;
                Skip::Scale { weights, states: power(f64::from(ADADELTA_RHO)) }
            }
        }
    }

    fn adam(&self, from: usize, count: usize) -> SkippedSteps {
        let (mut moved, mut weighted) = (0.0, 0.0);
        for (j, (plain, shifted)) in self.terms.iter().enumerate().take(count) {
            let rate = self.rates.get(from + j).copied().unwrap_or(self.optimizer.learning_rate);
            moved += rate * plain;
            weighted += rate * shifted;
        }
        let power = |base: f64| {
            let value = base.powf(count as f64);
            if value < 1e-37 { 0.0 } else { value as f32 }
        };
        SkippedSteps {
            moved: moved as f32,
            epsilon: (ADAM_EPSILON * weighted / moved) as f32,
            first: power(ADAM_BETA1),
            second: power(ADAM_BETA2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::hash_words;

    /// Gradients that are zero most of the time, of very different sizes.
    fn gradient(step: u32, element: usize) -> f32 {
        let h = hash_words(&[u64::from(step), 5]);
        if !h.is_multiple_of(37) && step != 3 {
            return 0.0;
        }
        let size = 10f32.powi(-(element as i32 % 9));
        ((hash_words(&[u64::from(step), element as u64]) >> 40) as f32 / (1 << 23) as f32 - 1.0) * size
    }

    /// Runs one row step by step, and once more with skips, and compares.
    fn compare(optimizer: Optimizer, steps: u32, tolerance: f32) {
        const N: usize = 45;
        let start: Vec<f32> = (0..N).map(|i| (i as f32 - 20.0) / 100.0).collect();
        let mut dense = (start.clone(), vec![0.0; N], vec![0.0; N]);
        let mut lazy = (start, vec![0.0; N], vec![0.0; N]);
        let mut table = SkipTable::new(optimizer).expect("has a closed form");
        let mut last = 0;
        for t in 1..=steps {
            let g: Vec<f32> = (0..N).map(|i| gradient(t, i)).collect();
            table.extend_to(t);
            optimizer.rule(t).apply(&mut dense.0, [&mut dense.1, &mut dense.2], &g);
            if g.iter().any(|&g| g != 0.0) {
                table.between(last, t - 1).apply(&mut lazy.0, [&mut lazy.1, &mut lazy.2]);
                optimizer.rule(t).apply(&mut lazy.0, [&mut lazy.1, &mut lazy.2], &g);
                last = t;
            }
        }
        assert!(last < steps, "the end must be a skip");
        table.between(last, steps).apply(&mut lazy.0, [&mut lazy.1, &mut lazy.2]);
        for i in 0..N {
            assert!(
                (dense.0[i] - lazy.0[i]).abs() < tolerance,
                "{optimizer:?} {i}: {} {}",
                dense.0[i],
                lazy.0[i]
            );
        }
    }

    #[test]
    fn adam_with_skips_equals_adam_step_by_step() {
        for learning_rate in [1e-3, 0.02] {
            let optimizer = Optimizer { kind: OptimizerKind::Adam, learning_rate, weight_decay: 0.0 };
            for steps in [50, 401, 2_900] {
                compare(optimizer, steps, learning_rate as f32 * 1e-3);
            }
        }
    }

    #[test]
    fn the_other_optimisers_with_skips_equal_themselves_step_by_step() {
        for (kind, weight_decay) in [
            (OptimizerKind::Sgd, 0.0),
            (OptimizerKind::Sgd, 0.1),
            (OptimizerKind::AdaGrad, 0.0),
            (OptimizerKind::AdaGrad, 0.1),
            (OptimizerKind::RmsProp, 0.0),
            (OptimizerKind::AdaDelta, 0.0),
            (OptimizerKind::AdaDelta, 0.01),
        ] {
            compare(Optimizer { kind, learning_rate: 0.01, weight_decay }, 401, 2e-6);
        }
    }

    #[test]
    fn where_there_is_no_closed_form_none_is_offered() {
        for kind in [OptimizerKind::Adam, OptimizerKind::RmsProp] {
            assert!(SkipTable::new(Optimizer { kind, learning_rate: 0.1, weight_decay: 1e-4 }).is_none());
        }
    }
}
