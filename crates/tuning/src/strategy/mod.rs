//! How the next setting is chosen.

mod bayesian;
mod grid;
mod sampled;

pub use bayesian::{Known, model, suggest};
pub use grid::nth_free;
pub use sampled::{designed, drawn};
