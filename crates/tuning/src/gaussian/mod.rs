//! Gaussian-process regression of the objective over the unit cube, and the search for the most
//! promising point under it.
//!
//! The model is the one published for SageMaker's tuner (Perrone et al., "Amazon SageMaker Automatic
//! Model Tuning: Scalable Gradient-Free Optimization", KDD 2021): Matern 5/2 with a length scale per
//! parameter, its hyperparameters integrated over by slice sampling, expected improvement averaged
//! over the samples, running trials filled in with fantasies.

mod acquisition;
mod inference;
mod kernel;
mod matrix;
mod normal;
mod process;
mod search;
mod target;

pub use acquisition::Ensemble;
pub use inference::{Chain, sample};
pub use kernel::Features;
pub use process::{Data, Process};
pub use search::{Candidates, identity, snap};
pub use target::Target;
