//! Hyperparameter tuning as ask and tell: a [`Tuner`] suggests settings of a [`Space`], is told what
//! they achieved, and says which running trials are not worth finishing.
//!
//! Promises: a tuner's next suggestion follows from its state alone (seed, settings asked for,
//! results told), and the state is serialisable, so a tuner that was stored and read again continues
//! exactly; results may come in any order and may be missing; failed trials and noise are expected.
//! Never: I/O, clocks, threads, global state.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod completion;
mod curve;
mod exact;
mod gaussian;
mod insight;
pub mod limits;
mod random;
pub mod report;
mod space;
mod strategy;
mod trial;
mod tuner;

pub use completion::{Completion, Reason, converged, not_improving};
pub use curve::{Hyperband, Verdict, median_rule};
pub use insight::{Insight, insights};
pub use space::{Parameter, Range, Scaling, Setting, Space, SpaceError, Value};
pub use trial::{Outcome, Trial, TrialId};
pub use tuner::{Direction, Settings, Strategy, Tuner, TunerError};
