//! What endpoints are asked: the serving plane's events, counted by variant over the last minute for
//! scaling, and by minute for CloudWatch.
//!
//! Promises: an event is taken in memory at once, so the channel does not fill while a disk is slow.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sagebrush_types::limits::{INVOCATION_EVENTS, VARIANTS_WATCHED};
use sagebrush_types::{EndpointName, Invocation};
use tokio::sync::mpsc;

use crate::ControlPlane;

/// Milliseconds that scaling looks back.
pub const MINUTE: i64 = 60_000;
/// Milliseconds in one count of the last minute.
const SLOT: i64 = 1_000;

/// Region and name of an endpoint, and the name of a variant.
pub type VariantName = (EndpointName, String);

/// The last minute of every variant that was asked.
#[derive(Debug, Default)]
pub struct Traffic {
    variants: Mutex<HashMap<VariantName, LastMinute>>,
}

/// Requests of the last minute in slots of a second, newest last.
#[derive(Debug, Default)]
struct LastMinute {
    slots: VecDeque<(i64, u64)>,
}

impl LastMinute {
    fn count(&mut self, at: i64) {
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

    fn sum(&self, now: i64) -> u64 {
        let oldest = (now - MINUTE).div_euclid(SLOT);
        self.slots.iter().filter(|(slot, _)| *slot > oldest).map(|(_, count)| count).sum()
    }
}

impl Traffic {
    /// Invocations of a variant in the last minute.
    pub fn last_minute(&self, variant: &VariantName, now: i64) -> u64 {
        self.variants().get(variant).map_or(0, |minute| minute.sum(now))
    }

    fn count(&self, events: &[Invocation]) {
        let mut variants = self.variants();
        for event in events {
            let name = (event.endpoint.clone(), event.variant.clone());
            if !variants.contains_key(&name) && variants.len() >= VARIANTS_WATCHED {
                let now = event.at;
                variants.retain(|_, minute| minute.sum(now) > 0);
            }
            variants.entry(name).or_default().count(event.at);
        }
    }

    fn variants(&self) -> std::sync::MutexGuard<'_, HashMap<VariantName, LastMinute>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.variants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ControlPlane {
    /// Counts what the serving plane answers, until its end of the channel is gone or the server
    /// ends.
    pub fn watch_invocations(&self, mut inbox: mpsc::Receiver<Invocation>) {
        let plane = self.clone();
        self.shared.live.tasks.spawn(async move {
            let mut events = Vec::new();
            loop {
                let taken = tokio::select! {
                    taken = inbox.recv_many(&mut events, INVOCATION_EVENTS) => taken,
                    () = plane.shared.live.closing.cancelled() => break,
                };
                if taken == 0 {
                    break;
                }
                plane.shared.traffic.count(&events);
                events.clear();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: i64) -> Invocation {
        Invocation {
            endpoint: ("r".into(), "e".into()),
            variant: "v".into(),
            instances: 1,
            at,
            status: 200,
            model_latency: None,
            overhead_latency: 0,
        }
    }

    #[test]
    fn only_the_last_minute_counts() {
        let traffic = Traffic::default();
        let name = (("r".to_owned(), "e".to_owned()), "v".to_owned());
        traffic.count(&[event(1_000), event(1_500), event(30_000)]);
        assert_eq!(traffic.last_minute(&name, 30_000), 3);
        assert_eq!(traffic.last_minute(&name, 61_000), 1);
        assert_eq!(traffic.last_minute(&name, 200_000), 0);
        // A clock that steps back loses nothing.
        traffic.count(&[event(100_000), event(99_000)]);
        assert_eq!(traffic.last_minute(&name, 100_000), 2);
    }
}
