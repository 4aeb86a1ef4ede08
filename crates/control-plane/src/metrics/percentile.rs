//! Percentiles of the values in a period, by nearest rank: the smallest value that is not below the
//! given share of all values (NIST/SEMATECH e-Handbook, section 7.2.6.2, without interpolation).

use std::collections::BTreeMap;

use sagebrush_metastore::MetricSample;
use sagebrush_types::{Failure, Outcome};

/// The share of `pNN.NN`, in `[0, 1]`.
///
/// # Errors
/// `Unsupported` for CloudWatch's other extended statistics, `Invalid` for what is none.
pub fn share(statistic: &str) -> Outcome<f64> {
    let percent =
        statistic.strip_prefix('p').filter(|text| text.starts_with(|first: char| first.is_ascii_digit()));
    match percent.and_then(|text| text.parse::<f64>().ok()).filter(|percent| (0.0..=100.0).contains(percent))
    {
        Some(percent) => Ok(percent / 100.0),
        None if ["tm", "wm", "tc", "ts", "TM", "WM", "TC", "TS", "PR", "IQM"]
            .iter()
            .any(|other| statistic.starts_with(other)) =>
        {
            Err(Failure::unsupported(format!(
                "The statistic '{statistic}' is not supported by this server; use SampleCount, Sum, Average, \
                 Minimum, Maximum or a percentile such as p99."
            )))
        }
        None => Err(Failure::invalid(format!(
            "The value {statistic} for parameter ExtendedStatistics is not supported."
        ))),
    }
}

/// The values of one period and unit.
#[derive(Debug, Default)]
pub struct Values {
    sorted: Vec<(f64, f64)>,
    total: f64,
    /// Some values are known by their statistics alone.
    incomplete: bool,
}

impl Values {
    /// The value at a share, or `None` when not every value is known.
    pub fn at(&self, share: f64) -> Option<f64> {
        if self.incomplete {
            return None;
        }
        let mut seen = 0.0;
        let wanted = share * self.total;
        let found = self.sorted.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        found.or(self.sorted.last()).map(|(value, _)| *value)
    }
}

/// Samples by the start of their period (milliseconds) and, if asked for, their unit.
pub fn by_period(samples: Vec<MetricSample>, length: i64, by_unit: bool) -> BTreeMap<(i64, String), Values> {
    let mut periods: BTreeMap<(i64, String), Values> = BTreeMap::new();
    for sample in samples {
        let unit = if by_unit { sample.unit } else { String::new() };
        let values = periods.entry((sample.at / length * length, unit)).or_default();
        values.incomplete |= sample.values.is_empty();
        values.total += sample.values.iter().map(|(_, count)| count).sum::<f64>();
        values.sorted.extend(sample.values);
    }
    for values in periods.values_mut() {
        values.sorted.sort_by(|left, right| left.0.total_cmp(&right.0));
    }
    periods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_and_others_are_named() {
        assert_eq!(share("p99.5").ok(), Some(0.995));
        assert_eq!(share("p0").ok(), Some(0.0));
        assert!(share("tm90").is_err_and(|failure| failure.message.contains("'tm90' is not supported")));
        for strange in ["p", "p101", "pinf", "p-1", "q50", ""] {
            assert!(share(strange).is_err(), "{strange}");
        }
    }

    #[test]
    fn ranks_count_how_often_a_value_occurred() {
        let sample =
            |at, values: &[(f64, f64)]| MetricSample { at, unit: "None".into(), values: values.to_vec() };
        let periods = by_period(
            vec![sample(0, &[(9.0, 1.0), (1.0, 98.0)]), sample(59, &[(5.0, 1.0)]), sample(60, &[])],
            60,
            true,
        );
        let first = &periods[&(0, "None".to_owned())];
        let at = |percent: f64| first.at(percent / 100.0);
        assert_eq!([at(0.0), at(50.0), at(98.0), at(99.0), at(100.0)], [1.0, 1.0, 1.0, 5.0, 9.0].map(Some));
        assert_eq!(periods[&(60, "None".to_owned())].at(0.5), None);
    }
}
