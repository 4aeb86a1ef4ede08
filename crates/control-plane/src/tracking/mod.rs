//! What happens by itself: a trial component for every job, and the lineage from raw data to an
//! endpoint. Everything here is data that is written in the transaction of what it tells of, so a
//! crash loses neither or both.
//!
//! An artifact is known by its place and its content: what was read is told apart from what lies at
//! the same place later.

mod content;
mod deployment;
mod job;

pub use content::{INPUTS, Noted};
pub use job::{accepted, ended, joined};
