//! What endpoints are asked: the serving plane's events, counted by variant over the last minute for
//! scaling, and by minute for CloudWatch.
//!
//! Promises: an event is taken in memory at once, so the channel does not fill while a disk is slow.

mod last_minute;
mod minutes;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sagebrush_metastore::{MetricDatum, MetricSeries};
use sagebrush_types::limits::{INVOCATION_EVENTS, METRIC_SERIES, VARIANTS_WATCHED};
use sagebrush_types::{EndpointName, Invocation};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::ControlPlane;

use last_minute::LastMinute;
use minutes::Minutes;

/// Milliseconds that scaling looks back.
pub const MINUTE: i64 = 60_000;

/// Region and name of an endpoint, and the name of a variant.
pub type VariantName = (EndpointName, String);

/// The last minute of every variant that was asked.
#[derive(Debug, Default)]
pub struct Traffic {
    variants: Mutex<HashMap<VariantName, LastMinute>>,
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
    /// ends. Metrics of a minute are written when it is over, and what is left at the end.
    pub fn watch_invocations(&self, inbox: mpsc::Receiver<Invocation>) {
        let plane = self.clone();
        self.shared.live.tasks.spawn(async move { plane.count_invocations(inbox).await });
    }

    async fn count_invocations(&self, mut inbox: mpsc::Receiver<Invocation>) {
        let mut events = Vec::new();
        let mut minutes = Minutes::default();
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closing = false;
        loop {
            tokio::select! {
                taken = inbox.recv_many(&mut events, INVOCATION_EVENTS) => {
                    if taken == 0 {
                        break;
                    }
                    self.shared.traffic.count(&events);
                    events.drain(..).for_each(|event| minutes.count(&event));
                }
                _ = ticks.tick() => {
                    let (plane, metrics) = (self.clone(), minutes.take(Some(self.now())));
                    // Beside the counting, which must not wait for a disk.
                    if !metrics.is_empty() {
                        self.shared.live.tasks.spawn(async move { plane.put_traffic(metrics).await });
                    }
                }
                () = self.shared.live.closing.cancelled(), if !closing => {
                    // What is in the channel is still taken; then there is nothing more.
                    closing = true;
                    inbox.close();
                }
            }
        }
        self.put_traffic(minutes.take(None)).await;
    }

    async fn put_traffic(&self, metrics: HashMap<String, Vec<(MetricSeries, MetricDatum)>>) {
        for (region, metrics) in metrics {
            match self.store().put_metrics(&region, &metrics, METRIC_SERIES).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(
                        region,
                        "metrics of endpoints were lost: the region has {METRIC_SERIES} series"
                    );
                }
                Err(error) => tracing::error!(region, %error, "metrics of endpoints were lost"),
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An event of the variant `v` of the endpoint `e`.
    pub fn event(at: i64) -> Invocation {
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
