//! Ceilings of this crate with their reasons.

/// Parameters of a space: AWS's limit of 30 tuned hyperparameters a tuning job.
pub const PARAMETERS: usize = 30;

/// Values of a categorical parameter: AWS's limit.
pub const CATEGORIES: usize = 30;

/// Trials a tuner remembers, warm starts included. One suggestion costs the cube of the number of
/// trials it is computed from; beyond [`MODEL_TRIALS`] only a choice of them enters the model.
pub const TRIALS: usize = 10_000;

/// Trials that enter the Gaussian process: 1,000 make a Cholesky factor of 8 MB in a few milliseconds.
pub const MODEL_TRIALS: usize = 1_000;

/// Trials that enter the inference of the process's hyperparameters, which factors the matrix a few
/// hundred times a suggestion. More hardly sharpen a posterior over a few dozen numbers.
pub const INFERENCE_TRIALS: usize = 250;

/// Settings of a space of categories and integers that are all looked at in every suggestion; in a
/// larger one candidates are drawn.
pub const ENUMERATED: usize = 4_096;

/// Settings of a grid: more could not be run in the life of a tuning job.
pub const GRID: usize = 100_000;

/// Points of a learning curve that are kept per trial.
pub const CURVE_POINTS: usize = 20_000;

/// Draws before a space is taken to have no setting left that was not tried: with a share of 1/100
/// free, 1,000 draws miss it with a probability of 4e-5.
pub const DRAWS: usize = 1_000;
