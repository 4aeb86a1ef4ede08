//! How often a variant was asked in the last minute.

use std::collections::VecDeque;

use super::MINUTE;

/// Milliseconds in one count of the last minute.
const SLOT: i64 = 1_000;

/// Requests of the last minute in slots of a second, newest last.
#[derive(Debug, Default)]
pub struct LastMinute {
    slots: VecDeque<(i64, u64)>,
}

impl LastMinute {
    /// Counts a request.
    pub fn count(&mut self, at: i64) {
        let slot = at.div_euclid(SLOT);
        match self.slots.back_mut() {
            // Clocks may step back; then the newest slot takes it.
            Some((newest, count)) if *newest >= slot => *count += 1,
            _ => self.slots.push_back((slot, 1)),
        }
        self.forget(at);
    }

    fn forget(&mut self, now: i64) {
        let oldest = (now - MINUTE).div_euclid(SLOT);
        while self.slots.front().is_some_and(|(slot, _)| *slot <= oldest) {
            self.slots.pop_front();
        }
    }

    /// Requests in the minute before `now`.
    pub fn sum(&self, now: i64) -> u64 {
        let oldest = (now - MINUTE).div_euclid(SLOT);
        self.slots.iter().filter(|(slot, _)| *slot > oldest).map(|(_, count)| count).sum()
    }
}
