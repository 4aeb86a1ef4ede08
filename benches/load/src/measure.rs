//! Rates and latencies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How many objects, how large, how many at once.
#[derive(clap::Args, Clone, Copy)]
pub struct Objects {
    /// Objects to write and read.
    #[arg(long, default_value_t = 10_000)]
    pub count: usize,
    /// Bytes of each.
    #[arg(long, default_value_t = 10 << 10)]
    pub size: usize,
    /// Requests under way at once.
    #[arg(long, default_value_t = 16)]
    pub at_once: usize,
}

/// Sends `count` requests, `at_once` of them at a time; `send` makes the one of a number.
pub async fn repeat<F, R>(count: usize, at_once: usize, send: F) -> Value
where
    F: Fn(usize) -> R + Clone + Send + 'static,
    R: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let workers: Vec<_> = (0..at_once)
        .map(|_| {
            let (next, send) = (Arc::clone(&next), send.clone());
            tokio::spawn(async move {
                let (mut times, mut failures) = (Vec::new(), Vec::new());
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return (times, failures);
                    }
                    let sent = Instant::now();
                    match send(number).await {
                        Ok(()) => times.push(sent.elapsed()),
                        Err(error) => failures.push(format!("{error:#}")),
                    }
                }
            })
        })
        .collect();
    let (mut times, mut failures) = (Vec::new(), Vec::new());
    for worker in workers {
        match worker.await {
            Ok((some, failed)) => {
                times.extend(some);
                failures.extend(failed);
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    summary(times, began.elapsed(), &failures)
}

/// Successes per second and the spread of their latencies in milliseconds.
pub fn summary(mut times: Vec<Duration>, all: Duration, failures: &[String]) -> Value {
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times.get(index).map(|time| time.as_secs_f64() * 1e3)
    };
    json!({
        "per_second": times.len() as f64 / all.as_secs_f64(),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "succeeded": times.len(),
        "failed": failures.len(),
        "first_failure": failures.first(),
    })
}

/// MiB per second of one transfer.
pub fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / time.as_secs_f64()
}

/// Bytes that do not compress, the same for every caller of a number.
pub fn noise(number: u64, size: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift64: cheap, and random enough not to compress.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
