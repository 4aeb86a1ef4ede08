//! Whether a model server answers its pings: whether it is up yet, and whether it still is.

use std::time::Duration;

use sagebrush_types::limits::{SERVER_PING_EVERY, SERVER_SILENCE};
use tokio::time::Instant;

/// Time between two pings of a server that is starting.
const STARTING_PING_EVERY: Duration = Duration::from_millis(10);

/// What the pings of one life of a server have said.
#[derive(Debug)]
pub struct Health {
    start_by: Instant,
    up: bool,
    next_ping: Instant,
    silent_since: Option<Instant>,
}

/// What follows from a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    AsBefore,
    /// It has answered for the first time.
    Up,
    /// It took too long to start.
    NeverUp,
    /// It has not answered for too long.
    Silent,
}

impl Health {
    /// A server that was just started and has so much time for its first answer.
    pub fn new(now: Instant, limit: Duration) -> Self {
        let next_ping = now + STARTING_PING_EVERY;
        Self { start_by: now + limit, up: false, next_ping, silent_since: None }
    }

    /// When the next ping is due.
    pub const fn next_ping(&self) -> Instant {
        self.next_ping
    }

    /// Has it ever answered?
    pub const fn is_up(&self) -> bool {
        self.up
    }

    /// What follows from a ping that was `answered` or not; `None` says that none was sent, because the
    /// server works on a request: one with a single thread would not answer.
    pub fn judge(&mut self, answered: Option<bool>, now: Instant) -> Verdict {
        self.next_ping = now + if self.up { SERVER_PING_EVERY } else { STARTING_PING_EVERY };
        match answered {
            Some(false) if self.up => {
                let since = *self.silent_since.get_or_insert(now);
                if now.duration_since(since) >= SERVER_SILENCE { Verdict::Silent } else { Verdict::AsBefore }
            }
            Some(false) if now > self.start_by => Verdict::NeverUp,
            Some(false) => Verdict::AsBefore,
            Some(true) if !self.up => {
                self.up = true;
                self.next_ping = now + SERVER_PING_EVERY;
                Verdict::Up
            }
            Some(true) | None => {
                self.silent_since = None;
                Verdict::AsBefore
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_its_time_to_start() {
        let born = Instant::now();
        let mut health = Health::new(born, Duration::from_secs(5));
        assert_eq!(health.judge(Some(false), born + Duration::from_secs(5)), Verdict::AsBefore);
        assert_eq!(health.judge(Some(false), born + Duration::from_secs(6)), Verdict::NeverUp);
        assert_eq!(health.judge(Some(true), born + Duration::from_secs(7)), Verdict::Up);
        assert!(health.is_up());
    }

    #[test]
    fn silence_counts_only_without_requests_and_in_one_piece() {
        let mut now = Instant::now();
        let mut health = Health::new(now, Duration::from_secs(5));
        assert_eq!(health.judge(Some(true), now), Verdict::Up);
        let mut pings = |health: &mut Health, answered: Option<bool>, times: u64| {
            (0..times)
                .map(|_| {
                    now += SERVER_PING_EVERY;
                    health.judge(answered, now)
                })
                .filter(|verdict| *verdict == Verdict::Silent)
                .count()
        };
        let almost = SERVER_SILENCE.as_secs() / SERVER_PING_EVERY.as_secs();
        assert_eq!(pings(&mut health, Some(false), almost), 0);
        assert_eq!(pings(&mut health, Some(true), 1), 0);
        assert_eq!(pings(&mut health, Some(false), almost), 0);
        assert_eq!(pings(&mut health, None, 100), 0);
        assert_eq!(pings(&mut health, Some(false), almost + 1), 1);
    }
}
