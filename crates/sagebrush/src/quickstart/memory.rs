//! Measures the memory of the server and every process under it while the quickstart runs.
//!
//! What the number is: the largest sum of resident sizes (`VmRSS`) over the server and all its descendants, sampled
//! twenty times a second from `/proc`; pages that processes share, such as the program text, are counted once per
//! process, so the sum is an upper bound at each sample. The peak the kernel keeps for each process (`VmHWM`) misses
//! nothing between samples and is kept beside it. Where there is no `/proc` nothing is measured and nothing is said.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(50);
/// More processes than one server starts; a bound on the walk.
const PROCESSES_LIMIT: usize = 1_000;

struct Peaks {
    process: u32,
    stop: AtomicBool,
    total: AtomicU64,
    step: AtomicU64,
    single: AtomicU64,
}

impl Peaks {
    fn take(&self) {
        let sample = sample(Path::new("/proc"), self.process);
        self.total.fetch_max(sample.resident, Ordering::Relaxed);
        self.step.fetch_max(sample.resident, Ordering::Relaxed);
        self.single.fetch_max(sample.largest_peak, Ordering::Relaxed);
    }
}

/// Samples until it is dropped.
pub(super) struct MemorySampler {
    peaks: Arc<Peaks>,
    thread: Option<JoinHandle<()>>,
}

impl MemorySampler {
    /// Begins to sample `process` and what runs under it.
    pub(super) fn start(process: u32) -> Self {
        let peaks = Arc::new(Peaks {
            process,
            stop: AtomicBool::new(false),
            total: AtomicU64::new(0),
            step: AtomicU64::new(0),
            single: AtomicU64::new(0),
        });
        let shared = Arc::clone(&peaks);
        let thread = std::thread::Builder::new()
            .name("memory-sampler".to_owned())
            .spawn(move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    shared.take();
                    std::thread::sleep(PERIOD);
                }
            })
            .ok();
        Self { peaks, thread }
    }

    /// The peak in bytes since the last call, and begins a new stretch; `None` where it cannot be measured.
    pub(super) fn end_step(&self) -> Option<u64> {
        // A step may be shorter than the period.
        self.peaks.take();
        Some(self.peaks.step.swap(0, Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// The peak in bytes of the whole tree so far.
    pub(super) fn peak(&self) -> Option<u64> {
        Some(self.peaks.total.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// The largest peak in bytes of any one process of the tree so far, as the kernel kept it.
    pub(super) fn largest_process(&self) -> Option<u64> {
        Some(self.peaks.single.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

impl Drop for MemorySampler {
    fn drop(&mut self) {
        self.peaks.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A sampler that panicked measured nothing; the run does not depend on it.
            let _ = thread.join();
        }
    }
}

#[derive(Default, Debug, PartialEq)]
struct Sample {
    resident: u64,
    largest_peak: u64,
}

fn sample(proc: &Path, root: u32) -> Sample {
    let mut sample = Sample::default();
    let mut waiting = vec![root];
    let mut seen = 0;
    while let Some(process) = waiting.pop() {
        seen += 1;
        if seen > PROCESSES_LIMIT {
            break;
        }
        let folder = proc.join(process.to_string());
        // A process may end between two reads; it then counts as nothing.
        let Ok(status) = fs::read_to_string(folder.join("status")) else {
            continue;
        };
        sample.resident += kilobytes(&status, "VmRSS:") * 1024;
        sample.largest_peak = sample.largest_peak.max(kilobytes(&status, "VmHWM:") * 1024);
        // The kernel lists children by the thread that started them.
        let Ok(threads) = fs::read_dir(folder.join("task")) else {
            continue;
        };
        for thread in threads.flatten() {
            if let Ok(children) = fs::read_to_string(thread.path().join("children")) {
                waiting.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
            }
        }
    }
    sample
}

fn kilobytes(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| value.split_whitespace().next())
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(proc: &Path, id: u32, resident: u64, peak: u64, children: &str) {
        let task = proc.join(format!("{id}/task/{id}"));
        fs::create_dir_all(&task).expect("folders");
        let status = format!("Name:\tx\nVmHWM:\t  {peak} kB\nVmRSS:\t  {resident} kB\n");
        fs::write(proc.join(format!("{id}/status")), status).expect("status");
        fs::write(task.join("children"), children).expect("children");
    }

    #[test]
    fn the_tree_is_summed_and_strangers_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let proc = folder.path();
        process(proc, 1, 10, 11, "2 3 ");
        process(proc, 2, 20, 90, "4");
        process(proc, 4, 40, 41, "");
        process(proc, 5, 500, 500, "");
        // 3 has ended meanwhile.
        assert_eq!(sample(proc, 1), Sample { resident: 70 * 1024, largest_peak: 90 * 1024 });
        assert_eq!(sample(proc, 77), Sample::default());
    }
}
