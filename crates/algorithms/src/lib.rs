//! sagebrush's built-in algorithms.
//!
//! They talk to the world through folders and lines on standard output, as any training container does: they know
//! nothing of jobs, HTTP or S3, and use no other crate of sagebrush.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod contract;
mod failure;
pub mod kernels;
pub mod object2vec;
mod predict;
mod principal;
mod random;
mod tensor_file;
pub mod title_embedding;
pub mod tsne;
pub mod ubcf;

pub use failure::{FailureKind, TrainFailure};
pub use predict::{InvokeFailure, InvokeReply, LoadError, Predict};
