//! How weights follow gradients: MXNet's five optimisers, in the form in which SageMaker uses them.
//!
//! A [`Rule`] holds the constants of one step and is applied to a strip of weights and the same strip of its states.
//! A [`Skip`] is what a number of steps without gradient does to a row, in closed form; with it a table whose rows
//! occur rarely is updated as if every row had taken part in every step, at the cost of the rows that occur.

mod skip;

use crate::kernels::{self, AdamStep};
use crate::object2vec::hyperparameters::{Hyperparameters, OptimizerKind};
pub(crate) use skip::SkipTable;

const ADAM_BETA1: f64 = 0.9;
const ADAM_BETA2: f64 = 0.999;
const ADAM_EPSILON: f64 = 1e-8;
const ADAGRAD_EPSILON: f32 = 1e-7;
const RMSPROP_GAMMA: f32 = 0.9;
const RMSPROP_EPSILON: f32 = 1e-8;
const ADADELTA_RHO: f32 = 0.9;
const ADADELTA_EPSILON: f32 = 1e-5;

/// Number of state matrices that every optimiser is given; those it does not need are empty.
pub(crate) const STATES: usize = 2;

/// Which optimiser, with its settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Optimizer {
    pub kind: OptimizerKind,
    pub learning_rate: f64,
    /// MXNet's `wd`; applied to weights, never to biases.
    pub weight_decay: f64,
}

/// The constants of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    Adam(AdamStep),
    Sgd { rate: f32, decay: f32 },
    AdaGrad { rate: f32, decay: f32 },
    RmsProp { rate: f32, decay: f32 },
    AdaDelta { decay: f32 },
}

impl Optimizer {
    /// The one that hyperparameters ask for.
    pub(crate) fn new(h: &Hyperparameters) -> Self {
        Self { kind: h.optimizer, learning_rate: h.learning_rate, weight_decay: h.weight_decay }
    }

    /// How many of the [`STATES`] matrices it uses.
    pub(crate) fn states(&self) -> usize {
        match self.kind {
            OptimizerKind::Adam | OptimizerKind::AdaDelta => 2,
            OptimizerKind::AdaGrad | OptimizerKind::RmsProp => 1,
            OptimizerKind::Sgd => 0,
        }
    }

    /// Adam's rate with its bias correction at step `t` (the first step is 1).
    fn adam_rate(&self, t: u32) -> f64 {
        let t = f64::from(t);
        self.learning_rate * (1.0 - ADAM_BETA2.powf(t)).sqrt() / (1.0 - ADAM_BETA1.powf(t))
    }

    /// The constants of step `t` (the first step is 1) for weights.
    pub(crate) fn rule(&self, t: u32) -> Rule {
        let (rate, decay) = (self.learning_rate as f32, self.weight_decay as f32);
        match self.kind {
            OptimizerKind::Adam => Rule::Adam(AdamStep {
                rate: self.adam_rate(t) as f32,
                beta1: ADAM_BETA1 as f32,
                beta2: ADAM_BETA2 as f32,
                epsilon: ADAM_EPSILON as f32,
                decay,
            }),
            OptimizerKind::Sgd => Rule::Sgd { rate, decay },
            OptimizerKind::AdaGrad => Rule::AdaGrad { rate, decay },
            OptimizerKind::RmsProp => Rule::RmsProp { rate, decay },
            OptimizerKind::AdaDelta => Rule::AdaDelta { decay },
        }
    }
}

impl Rule {
    /// The same step without weight decay, for biases.
    pub(crate) fn without_decay(self) -> Self {
        match self {
            Self::Adam(step) => Self::Adam(AdamStep { decay: 0.0, ..step }),
            Self::Sgd { rate, .. } => Self::Sgd { rate, decay: 0.0 },
            Self::AdaGrad { rate, .. } => Self::AdaGrad { rate, decay: 0.0 },
            Self::RmsProp { rate, .. } => Self::RmsProp { rate, decay: 0.0 },
            Self::AdaDelta { .. } => Self::AdaDelta { decay: 0.0 },
        }
    }

    /// Moves `w` along the gradient `g`.
    pub(crate) fn apply(&self, w: &mut [f32], [first, second]: [&mut [f32]; STATES], g: &[f32]) {
        match *self {
            Self::Adam(step) => kernels::adam_update(w, first, second, g, step),
            Self::Sgd { rate, decay } => kernels::sgd_update(w, g, rate, decay),
            Self::AdaGrad { rate, decay } => {
                kernels::adagrad_update(w, first, g, rate, ADAGRAD_EPSILON, decay)
            }
            Self::RmsProp { rate, decay } => {
                kernels::rmsprop_update(w, first, g, rate, RMSPROP_GAMMA, RMSPROP_EPSILON, decay);
            }
            Self::AdaDelta { decay } => {
                kernels::adadelta_update(w, first, second, g, ADADELTA_RHO, ADADELTA_EPSILON, decay);
            }
        }
    }
}
