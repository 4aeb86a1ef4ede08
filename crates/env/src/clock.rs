//! Wall-clock time in UTC, real or simulated.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use time::OffsetDateTime;

/// A source of the current time. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    simulated: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// The current time, UTC.
    pub fn now(&self) -> OffsetDateTime {
        match &self.simulated {
            None => OffsetDateTime::now_utc(),
            Some(milliseconds) => from_milliseconds(milliseconds.load(Ordering::SeqCst)),
        }
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_milliseconds(&self) -> i64 {
        match &self.simulated {
            None => (OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000) as i64,
            Some(milliseconds) => milliseconds.load(Ordering::SeqCst),
        }
    }
}

fn from_milliseconds(milliseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The hand on a simulated clock.
#[derive(Debug, Clone)]
pub struct SimulatedClock(Arc<AtomicI64>);

impl SimulatedClock {
    /// A simulated clock that stands at `milliseconds` since the Unix epoch.
    pub fn at(milliseconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(milliseconds)))
    }

    /// The clock to hand to the code under test.
    pub fn clock(&self) -> Clock {
        Clock { simulated: Some(Arc::clone(&self.0)) }
    }

    /// Moves the hand forward.
    pub fn advance(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_clock_moves_only_when_told() {
        let hand = SimulatedClock::at(1_500);
        let clock = hand.clock();
        assert_eq!(clock.now_milliseconds(), 1_500);
        hand.advance(250);
        assert_eq!(clock.now().unix_timestamp_nanos(), 1_750_000_000);
    }
}
