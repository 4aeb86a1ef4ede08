//! How much memory a run may use for its tables and queries.
//!
//! Promises: a default that leaves room for the rest of the machine or container, and never less than a floor at
//! which the query library still works.

use std::fs;

use crate::failure::PrepareFailure;

/// Below this queries fail for want of their fixed reservations.
const FLOOR: u64 = 64 << 20;

/// What is assumed where the system says nothing about its memory.
const UNKNOWN: u64 = 2 << 30;

/// Reads a size such as `1073741824`, `512M`, `2G` or `1.5GiB` (powers of 1024).
pub(crate) fn parse_size(text: &str) -> Result<u64, PrepareFailure> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let scale = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1024.0 * 1024.0,
        "g" => 1024.0 * 1024.0 * 1024.0,
        "t" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => f64::NAN,
    };
    let bytes = number.parse::<f64>().unwrap_or(f64::NAN) * scale;
    if !bytes.is_finite() {
        return Err(PrepareFailure::client(format!(
            "--memory-limit {text:?} is not a size; write for instance 512M or 2G"
        )));
    }
    let bytes = bytes as u64;
    if bytes < FLOOR {
        return Err(PrepareFailure::client(format!(
            "--memory-limit {text} is too small: at least {} are needed",
            crate::report::size(FLOOR)
        )));
    }
    Ok(bytes)
}

/// Half of the memory that is free on this machine and in this container, but at least the floor.
pub(crate) fn default_limit() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo_available(&text));
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
        .map(|limit| {
            let used = fs::read_to_string("/sys/fs/cgroup/memory.current")
                .ok()
                .and_then(|text| text.trim().parse::<u64>().ok())
                .unwrap_or(0);
            limit.saturating_sub(used)
        });
    let free = match (machine, container) {
        (Some(machine), Some(container)) => machine.min(container),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => UNKNOWN,
    };
    (free / 2).max(FLOOR)
}

/// Bytes in the `MemAvailable` line.
fn meminfo_available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("134217728").unwrap(), 128 << 20);
        assert_eq!(parse_size("512M").unwrap(), 512 << 20);
        assert_eq!(parse_size("1.5GiB").unwrap(), 1536 << 20);
        assert_eq!(parse_size("2gb").unwrap(), 2 << 30);
        for wrong in ["", "M", "12X", "-1", "1..2", "1K"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn available_memory_is_in_kibibytes() {
        let text = "MemTotal:  100 kB\nMemFree:  1 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(meminfo_available(text), Some(2 << 20));
        assert_eq!(meminfo_available("MemTotal: 1 kB\n"), None);
        assert!(default_limit() >= FLOOR);
    }
}
