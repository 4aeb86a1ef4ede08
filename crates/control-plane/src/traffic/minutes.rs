//! Invocations by variant and minute, as the metrics that AWS has for endpoints.
//!
//! Counts, sums and extremes are exact. Latencies are kept as a histogram with two significant
//! digits, so a percentile is off by at most five percent and a minute stays small.

use std::collections::{BTreeMap, HashMap};

use sagebrush_metastore::{MetricDatum, MetricSeries};
use sagebrush_types::Invocation;

use super::{MINUTE, VariantName};

/// The namespace of AWS's own metrics of endpoints.
const NAMESPACE: &str = "AWS/SageMaker";

/// Minutes that are not over, by variant and the minute's start.
#[derive(Debug, Default)]
pub struct Minutes {
    open: HashMap<(VariantName, i64), Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    invocations: Values,
    per_instance: Values,
    client_errors: Values,
    server_errors: Values,
    model_latency: Values,
    overhead_latency: Values,
}

/// Values of one metric.
#[derive(Debug)]
struct Values {
    count: u64,
    sum: f64,
    minimum: f64,
    maximum: f64,
    /// How often each value occurred, in thousandths so that the keys are whole.
    samples: BTreeMap<u64, u64>,
}

impl Default for Values {
    fn default() -> Self {
        let samples = BTreeMap::new();
        Self { count: 0, sum: 0.0, minimum: f64::INFINITY, maximum: f64::NEG_INFINITY, samples }
    }
}

impl Values {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.minimum = self.minimum.min(value);
        self.maximum = self.maximum.max(value);
        *self.samples.entry(two_digits((value * 1000.0).round() as u64)).or_default() += 1;
    }

    fn datum(&self, at: i64, unit: &str) -> MetricDatum {
        // A rounded value must not leave the range that is known exactly.
        let within = |thousandths: u64| (thousandths as f64 / 1000.0).clamp(self.minimum, self.maximum);
        MetricDatum {
            at,
            unit: unit.into(),
            count: self.count as f64,
            sum: self.sum,
            minimum: self.minimum,
            maximum: self.maximum,
            samples: self.samples.iter().map(|(value, count)| (within(*value), *count as f64)).collect(),
        }
    }
}

/// A number with all but its first two digits rounded to zero.
fn two_digits(value: u64) -> u64 {
    let mut unit = 1;
    while value / unit >= 100 {
        unit *= 10;
    }
    (value / unit + u64::from(value % unit >= unit.div_ceil(2) && unit > 1)) * unit
}

impl Minutes {
    /// Counts an invocation.
    pub fn count(&mut self, event: &Invocation) {
        let minute = event.at.div_euclid(MINUTE) * MINUTE;
        let name = (event.endpoint.clone(), event.variant.clone());
        let counts = self.open.entry((name, minute)).or_default();
        let one_if = |is: bool| if is { 1.0 } else { 0.0 };
        counts.invocations.add(1.0);
        counts.per_instance.add(1.0 / event.instances.max(1) as f64);
        counts.client_errors.add(one_if((400..500).contains(&event.status)));
        counts.server_errors.add(one_if(event.status >= 500));
        counts.overhead_latency.add(event.overhead_latency as f64);
        if let Some(latency) = event.model_latency {
            counts.model_latency.add(latency as f64);
        }
    }

    /// Takes the minutes that were over at `now`, or all of them, as metrics by region.
    pub fn take(&mut self, now: Option<i64>) -> HashMap<String, Vec<(MetricSeries, MetricDatum)>> {
        let mut metrics: HashMap<String, Vec<(MetricSeries, MetricDatum)>> = HashMap::new();
        let over = |minute: i64| now.is_none_or(|now| minute + MINUTE <= now);
        for ((((region, endpoint), variant), minute), counts) in
            self.open.extract_if(|(_, minute), _| over(*minute))
        {
            let dimensions: BTreeMap<String, String> =
                [("EndpointName".into(), endpoint), ("VariantName".into(), variant)].into();
            for (metric, values, unit) in [
                ("Invocations", &counts.invocations, "None"),
                ("InvocationsPerInstance", &counts.per_instance, "None"),
                ("Invocation4XXErrors", &counts.client_errors, "None"),
                ("Invocation5XXErrors", &counts.server_errors, "None"),
                ("ModelLatency", &counts.model_latency, "Microseconds"),
                ("OverheadLatency", &counts.overhead_latency, "Microseconds"),
            ] {
                if values.count > 0 {
                    let series = MetricSeries {
                        namespace: NAMESPACE.into(),
                        metric: metric.into(),
                        dimensions: dimensions.clone(),
                    };
                    metrics.entry(region.clone()).or_default().push((series, values.datum(minute, unit)));
                }
            }
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;

    #[test]
    fn a_minute_is_told_when_it_is_over() {
        let mut minutes = Minutes::default();
        for (at, status, latency) in
            [(60_000, 200, Some(1_234)), (60_001, 400, Some(10)), (119_999, 503, None)]
        {
            minutes.count(&Invocation { status, model_latency: latency, instances: 2, ..event(at) });
        }
        assert!(minutes.take(Some(119_999)).is_empty());
        let metrics = minutes.take(Some(120_000)).remove("r").unwrap_or_default();
        let of = |name: &str| {
            metrics.iter().find(|(series, _)| series.metric == name).map(|(_, datum)| datum.clone())
        };
        let sum = |name: &str| of(name).map(|datum| (datum.at, datum.count, datum.sum));
        assert_eq!(sum("Invocations"), Some((60_000, 3.0, 3.0)));
        assert_eq!(sum("InvocationsPerInstance"), Some((60_000, 3.0, 1.5)));
        assert_eq!(sum("Invocation4XXErrors"), Some((60_000, 3.0, 1.0)));
        assert_eq!(sum("Invocation5XXErrors"), Some((60_000, 3.0, 1.0)));
        let latency = of("ModelLatency");
        assert!(latency.is_some_and(|datum| datum.unit == "Microseconds"
            && datum.samples.len() == 2
            && (datum.minimum, datum.maximum, datum.sum) == (10.0, 1_234.0, 1_244.0)));
        assert!(minutes.take(None).is_empty());
    }

    #[test]
    fn two_digits_are_kept() {
        let rounded: Vec<u64> = [0, 7, 99, 100, 104, 105, 1_249, 1_250, 99_900].map(two_digits).into();
        assert_eq!(rounded, [0, 7, 99, 100, 100, 110, 1_200, 1_300, 100_000]);
    }
}
