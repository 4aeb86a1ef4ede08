//! A training program's side of the container contract: the folder that stands for `/opt/ml`, hyperparameters, and
//! lines on standard output. Every built-in algorithm shares it.
//!
//! Promises: whatever is wrong in a folder is a [`crate::TrainFailure`] that names the place. Never: knows what an
//! algorithm computes, or writes outside the folder it is given.

pub(crate) mod csv;
mod folders;
mod hyperparameters;
mod log;
mod media;

pub(crate) use folders::{Folders, each_line, files, open};
pub(crate) use hyperparameters::{Kind, Spec, Values, pairs, required, spec};
pub(crate) use log::{Log, python_float, python_time};
pub(crate) use media::{Format, accepted, format_named};
