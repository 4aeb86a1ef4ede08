//! Whether a run fits into this machine, asked before anything large is allocated.

use std::fs;

use crate::TrainFailure;
use crate::object2vec::dataset::{Dataset, Tokens};
use crate::object2vec::hyperparameters::{EncoderNetwork, Hyperparameters};
use crate::object2vec::network::Shape;
use crate::object2vec::optimizer::Optimizer;

/// Bytes that a run needs beside its records: parameters, the optimiser's states, the best epoch, one batch.
/// `tokens` are the most that one batch has on each side, `copies` those of the network beside the one in training.
fn needed(shape: &Shape, optimizer: &Optimizer, batch: usize, tokens: [usize; 2], copies: u64) -> u64 {
    let parameters = shape.parameters() as u64 * (1 + copies + optimizer.states() as u64);
    let widths: usize = shape.layers().iter().map(|&(inputs, outputs)| inputs + outputs).sum();
    let activations = (2 * (widths + 2 * shape.dim) * batch) as u64;
    let encoders: u64 = (0..2).map(|side| (per_token(shape, side) * tokens[side]) as u64).sum();
    4 * (parameters + activations + encoders)
}

/// Floats that an encoder that reads in order keeps for each token of a batch: inputs and outputs of its layers and
/// their gradients.
fn per_token(shape: &Shape, side: usize) -> usize {
    let layers = shape.encoder_layers(side);
    let inside: usize = layers.iter().map(|layer| 2 * (layer.inputs + layer.outputs)).sum();
    if layers.is_empty() { 0 } else { 2 * shape.sides[side].width + inside }
}

/// The most tokens that `batch` records of one side have together.
fn most_tokens(tokens: &Tokens, batch: usize) -> usize {
    let mut lengths: Vec<u32> = (0..tokens.len()).map(|record| tokens.get(record).len() as u32).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let longest = lengths.first().map_or(0, |&length| length as usize);
    // Every step of a batch is filled up to a multiple of eight records.
    lengths.iter().take(batch).map(|&length| length as usize).sum::<usize>() + 7 * longest
}

/// Bytes of memory of this machine, or of the control group it runs in; `None` where that cannot be found out.
fn present() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10;
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    Some(group.map_or(machine, |group| group.min(machine)))
}

/// Refuses a run that cannot fit.
///
/// # Errors
/// A client failure with both sizes and what to change.
pub(super) fn check(
    shape: &Shape,
    optimizer: &Optimizer,
    h: &Hyperparameters,
    train: &Dataset,
) -> Result<(), TrainFailure> {
    let tokens = std::array::from_fn(|side| match shape.sides[side].network {
        EncoderNetwork::PooledEmbedding => 0,
        _ => most_tokens(&train.sides[side], h.mini_batch_size),
    });
    // The best epoch, the average, and the network with its histories added.
    let copies = 1 + u64::from(h.own.average_epochs > 0.0) + u64::from(h.own.history.is_some());
    compare(needed(shape, optimizer, h.mini_batch_size, tokens, copies), present())
}

fn compare(needed: u64, present: Option<u64>) -> Result<(), TrainFailure> {
    match present {
        Some(present) if needed > present => {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            Err(TrainFailure::client(format!(
                "This network needs about {:.1} GiB of memory and there are {:.1} GiB. Lower enc_dim, mlp_dim, \
                 enc0_vocab_size, enc1_vocab_size or mini_batch_size, or train on a larger machine",
                gib(needed),
                gib(present)
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_cannot_fit_is_refused_with_both_sizes() {
        assert!(compare(1 << 30, Some(1 << 31)).is_ok());
        assert!(compare(1 << 40, None).is_ok());
        let message = compare(3 << 30, Some(1 << 31)).unwrap_err().to_string();
        assert!(
            message.starts_with(
                "ClientError: This network needs about 3.0 GiB of memory and there are 2.0 GiB."
            )
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_size_of_this_machine_is_known() {
        assert!(present().is_some_and(|bytes| bytes > 1 << 26));
    }
}
