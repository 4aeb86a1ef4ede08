//! Metrics read off log lines by regular expressions.

use std::collections::BTreeMap;

use regex::Regex;
use sagebrush_types::{Failure, Outcome};

/// The last value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FinalMetric {
    /// Value.
    pub value: f64,
    /// Time of its line, milliseconds since the Unix epoch.
    pub at: i64,
}

/// Reads the metrics of one job.
#[derive(Debug, Clone, Default)]
pub struct MetricReader {
    definitions: Vec<(String, Regex)>,
    last: BTreeMap<String, FinalMetric>,
}

impl MetricReader {
    /// A reader of these metrics: name and regular expression, whose first group is the value.
    pub fn new<'a>(definitions: impl IntoIterator<Item = (&'a str, &'a str)>) -> Outcome<Self> {
        let definitions = definitions
            .into_iter()
            .map(|(name, text)| {
                let regex = Regex::new(text).map_err(|error| {
                    Failure::invalid(format!(
                        "MetricDefinitions: the regular expression of '{name}': {error}"
                    ))
                })?;
                if regex.captures_len() < 2 {
                    return Err(Failure::invalid(format!(
                        "MetricDefinitions: the regular expression of '{name}' has no group for the value."
                    )));
                }
                Ok((name.to_owned(), regex))
            })
            .collect::<Outcome<_>>()?;
        Ok(Self { definitions, last: BTreeMap::new() })
    }

    /// Takes over what another reader of the same metrics found later, or alone.
    pub fn absorb(&mut self, other: Self) {
        for (name, last) in other.last {
            let known = self.last.entry(name).or_insert(last);
            if known.at < last.at {
                *known = last;
            }
        }
    }

    /// The metrics in a line: name and value.
    pub fn read(&mut self, line: &str, at: i64) -> Vec<(String, f64)> {
        let mut found = Vec::new();
        for (name, regex) in &self.definitions {
            let value = regex
                .captures(line)
                .and_then(|groups| groups.get(1))
                .and_then(|group| group.as_str().parse::<f64>().ok())
                .filter(|value| value.is_finite());
            if let Some(value) = value {
                self.last.insert(name.clone(), FinalMetric { value, at });
                found.push((name.clone(), value));
            }
        }
        found
    }

    /// The last value of every metric seen so far.
    pub const fn last(&self) -> &BTreeMap<String, FinalMetric> {
        &self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_the_last_is_kept() -> Outcome<()> {
        let mut reader = MetricReader::new([("loss", r"loss=(\S+)"), ("speed", r"(\d+) records/s")])?;
        assert_eq!(
            reader.read("loss=0.5 at 100 records/s", 1),
            [("loss".into(), 0.5), ("speed".into(), 100.0)]
        );
        assert_eq!(reader.read("loss=nan", 2), []);
        assert_eq!(reader.read("loss=0.25", 3).len(), 1);
        assert_eq!(reader.last()["loss"], FinalMetric { value: 0.25, at: 3 });
        assert!(MetricReader::new([("x", "no group")]).is_err());
        assert!(MetricReader::new([("x", "(")]).is_err());
        Ok(())
    }
}
