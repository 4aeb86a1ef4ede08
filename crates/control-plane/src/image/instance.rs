//! What an instance type gives its containers, by the naming of AWS's instance types: the family says
//! the memory for each processor, the size the number of processors.

use sagebrush_runner::ContainerLimits;

/// One GiB.
const GIB: u64 = 1 << 30;
/// What is left to the server and the system of this machine's memory, as a share.
const KEPT_SHARE: u64 = 8;

/// A type's processors and memory, bytes. A type that is not known has four processors, as ml.m5.xlarge.
fn size(instance_type: &str) -> (u64, u64) {
    let mut parts = instance_type.trim_start_matches("ml.").split('.');
    let (family, size) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let processors = match size {
        "medium" | "large" => 2,
        "xlarge" => 4,
        _ => size
            .strip_suffix("xlarge")
            .and_then(|times| times.parse::<u64>().ok())
            .map_or(4, |times| times * 4),
    };
    let gib_each = match family.chars().next() {
        Some('c') => 2,
        Some('r') => 8,
        Some('x') => 16,
        _ => 4,
    };
    let memory = if size == "medium" { 4 } else { processors * gib_each };
    (processors, memory * GIB)
}

/// The limits of a container on an instance of this type, no more than this machine has: `memory` bytes
/// in all; `disk` bytes are for its files.
pub fn limits(instance_type: Option<&str>, disk: u64, memory: u64) -> ContainerLimits {
    let (processors, wanted) = size(instance_type.unwrap_or_default());
    let here = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let most = if memory == 0 { u64::MAX } else { memory - memory / KEPT_SHARE };
    ContainerLimits { processors: processors.min(here) as f64, memory: wanted.min(most), disk }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_names() {
        for (name, processors, gib) in [
            ("ml.m5.xlarge", 4, 16),
            ("ml.m5.large", 2, 8),
            ("ml.c5.4xlarge", 16, 32),
            ("ml.r5.24xlarge", 96, 768),
            ("ml.t3.medium", 2, 4),
            ("ml.t2.large", 2, 8),
            ("ml.g4dn.xlarge", 4, 16),
            ("", 4, 16),
        ] {
            assert_eq!(size(name), (processors, gib * GIB), "{name}");
        }
    }

    #[test]
    fn no_container_gets_more_than_there_is() {
        let limits = limits(Some("ml.r5.24xlarge"), 5, 16 * GIB);
        assert_eq!((limits.memory, limits.disk), (14 * GIB, 5));
        assert!(limits.processors <= std::thread::available_parallelism().map_or(1, usize::from) as f64);
    }
}
