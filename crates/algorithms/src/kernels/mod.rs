//! The arithmetic under the built-in algorithms: a small thread pool, matrix products, and fused elementwise loops.
//!
//! Promises: nothing in here allocates in proportion to a call except where a function says so; the result of every
//! function is the same for any number of threads, because work is cut into pieces of fixed size and every sum has a
//! fixed order. Results may differ in the last bits between instruction sets (AVX-512, AVX2, portable).
//! Never: prints, or knows what a model or a file means.
//!
//! This is the only place of the crate where `unsafe` is allowed; each block names its precondition.
#![allow(unsafe_code)]

mod buffer;
mod dot;
mod elementwise;
mod gemm;
mod isa;
mod lanes;
mod linear;
mod map;
mod pool;
mod recurrent;
mod rows;
mod student;
mod transpose;

pub use buffer::{Buffer, Matrix};
pub use dot::{dot, squared_distance};
pub use elementwise::{
    AdamStep, SkippedSteps, abs_diff_backward, adadelta_update, adagrad_update, adam_catch_up, adam_update,
    add, add_scaled, dropout, hadamard_backward, hash_words, multiply, relu, relu_backward, rmsprop_update,
    scale, sgd_update, subtract_abs, tanh, tanh_backward,
};
pub use isa::Isa;
pub use linear::{BackwardScratch, Tile, accumulate_rows, backward, forward};
pub use map::MappedFile;
pub use pool::Pool;
pub use recurrent::{latest_maximum, lstm_backward, lstm_forward, spread_maximum};
pub use rows::{for_rows_mut, for_shifted_rows_mut};
pub use student::{GROUP, Group, attract, repel};

/// Width, in floats, of the widest vector register used; rows of all buffers are padded to a multiple of it.
pub const LANES: usize = 16;

/// `n` rounded up to a multiple of `unit`.
pub const fn round_up(n: usize, unit: usize) -> usize {
    n.div_ceil(unit) * unit
}

/// Distance in floats between two rows of a matrix with `columns` columns: whole cache lines, and an odd number of
/// them, so that a walk down a column does not fall on the same few cache sets.
pub const fn row_stride(columns: usize) -> usize {
    let lines = columns.div_ceil(LANES);
    (lines | 1) * LANES
}
