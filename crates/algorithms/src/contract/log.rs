//! The lines of a training log, in the exact shapes that SageMaker's metric definitions and readers of its logs expect.
//!
//! Promises: one line per call, flushed at once, so that progress is live. Never: decides what is worth saying.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::TrainFailure;

/// Where log lines go.
pub(crate) struct Log<'a> {
    out: &'a mut dyn Write,
    host: String,
    thread: u64,
}

impl<'a> Log<'a> {
    /// A log of the machine `host`.
    pub(crate) fn new(out: &'a mut dyn Write, host: String) -> Self {
        Self { out, host, thread: u64::from(std::process::id()) }
    }

    /// From now on lines speak of this host.
    pub(crate) fn set_host(&mut self, host: String) {
        self.host = host;
    }

    /// The host that lines speak of.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// One line at level INFO.
    pub(crate) fn info(&mut self, message: impl std::fmt::Display) -> Result<(), TrainFailure> {
        self.line("INFO", message)
    }

    /// One line at level WARNING.
    pub(crate) fn warning(&mut self, message: impl std::fmt::Display) -> Result<(), TrainFailure> {
        self.line("WARNING", message)
    }

    /// One line at level ERROR.
    pub(crate) fn error(&mut self, message: impl std::fmt::Display) -> Result<(), TrainFailure> {
        self.line("ERROR", message)
    }

    fn line(&mut self, level: &str, message: impl std::fmt::Display) -> Result<(), TrainFailure> {
        let stamp = stamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        let mut write = || -> io::Result<()> {
            writeln!(self.out, "[{stamp} {level} {}] {message}", self.thread)?;
            self.out.flush()
        };
        write().map_err(|e| TrainFailure::algorithm(format!("cannot write the log: {e}")))
    }

    /// A value that becomes a point of a metric; `epoch` is absent for the test channel.
    pub(crate) fn quality(
        &mut self,
        epoch: Option<usize>,
        channel: &str,
        metric: &str,
        kind: &str,
        value: f64,
    ) -> Result<(), TrainFailure> {
        let epoch = epoch.map(|e| format!("epoch={e}, ")).unwrap_or_default();
        let host = self.host.clone();
        self.info(format!("#quality_metric: host={host}, {epoch}{channel} {metric} <{kind}>={value}"))
    }

    /// A `#metrics` line: what was measured between two moments.
    pub(crate) fn metrics(
        &mut self,
        started: SystemTime,
        ended: SystemTime,
        extra: Value,
        metrics: &Value,
    ) -> Result<(), TrainFailure> {
        let seconds = |t: SystemTime| t.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut dimensions = json!({"Algorithm": "ObjectToVec", "Host": self.host, "Operation": "training"});
        if let (Some(into), Value::Object(extra)) = (dimensions.as_object_mut(), extra) {
            into.extend(extra);
        }
        let line = json!({
            "StartTime": seconds(started), "EndTime": seconds(ended), "Dimensions": dimensions, "Metrics": metrics,
        });
        self.info(format!("#metrics {line}"))
    }
}

/// Seconds since 1970 as `MM/DD/YYYY HH:MM:SS` in UTC (days to date as in Hinnant, "chrono-compatible low-level date
/// algorithms").
fn stamp(seconds: u64) -> String {
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{month:02}/{day:02}/{year:04} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// A length of time as Python prints it: `0:09:05.252666`, `1 day, 0:00:01`.
pub(crate) fn python_time(length: Duration) -> String {
    let (seconds, micros) = (length.as_secs(), length.subsec_micros());
    let days = match seconds / 86_400 {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        n => format!("{n} days, "),
    };
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{days}{}:{:02}:{:02}{fraction}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// A number as Python prints it: always with a point or an exponent.
pub(crate) fn python_float(value: f64) -> String {
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_calendar_dates() {
        assert_eq!(stamp(0), "01/01/1970 00:00:00");
        assert_eq!(stamp(951_782_399), "02/28/2000 23:59:59");
        assert_eq!(stamp(951_782_400), "02/29/2000 00:00:00");
        assert_eq!(stamp(1_566_568_751), "08/23/2019 13:59:11");
        assert_eq!(stamp(4_107_542_400), "03/01/2100 00:00:00");
    }

    #[test]
    fn lengths_of_time_look_like_pythons() {
        assert_eq!(python_time(Duration::from_micros(545_252_666)), "0:09:05.252666");
        assert_eq!(python_time(Duration::from_secs(3)), "0:00:03");
        assert_eq!(python_time(Duration::from_secs(90_000)), "1 day, 1:00:00");
    }

    #[test]
    fn lines_have_the_prefix_and_the_shape() {
        let mut out = Vec::new();
        let mut log = Log::new(&mut out, "algo-1".to_owned());
        log.quality(Some(0), "train", "mean_squared_error", "loss", 0.853120688633).unwrap();
        log.quality(None, "test", "mean_squared_error", "loss", 0.18081413600909507).unwrap();
        log.warning("careful").unwrap();
        log.metrics(UNIX_EPOCH, UNIX_EPOCH, json!({"epoch": 3}), &json!({"epochs": 1})).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rest: Vec<&str> = text.lines().map(|line| line.split_once("] ").unwrap().1).collect();
        assert_eq!(
            rest,
            [
                "#quality_metric: host=algo-1, epoch=0, train mean_squared_error <loss>=0.853120688633",
                "#quality_metric: host=algo-1, test mean_squared_error <loss>=0.18081413600909507",
                "careful",
                "#metrics {\"StartTime\":0.0,\"EndTime\":0.0,\"Dimensions\":{\"Algorithm\":\"ObjectToVec\",\"Host\":\
                 \"algo-1\",\"Operation\":\"training\",\"epoch\":3},\"Metrics\":{\"epochs\":1}}",
            ]
        );
        for line in text.lines() {
            let prefix: Vec<&str> = line[1..line.find(']').unwrap()].split(' ').collect();
            assert_eq!((prefix.len(), prefix[0].len(), prefix[1].len()), (4, 10, 8), "{line}");
            assert!(prefix[3].parse::<u64>().is_ok());
        }
        assert!(text.lines().nth(2).unwrap().contains(" WARNING "));
    }
}
