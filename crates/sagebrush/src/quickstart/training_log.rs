//! Reads the lines that Object2Vec writes to its log: progress, errors per epoch, throughput, the best epoch.
//!
//! Source of the lines: real logs of AWS's container, of 2019 and 2021. A line that says nothing of these is no event.

/// What one line of the log tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum LogEvent {
    /// In the middle of an epoch.
    Progress {
        /// Zero-based.
        epoch: u32,
        /// Records since the epoch began.
        records: u64,
        /// Records per second since the epoch began.
        rate: f64,
    },
    /// The error over the training records of an epoch, as it went.
    TrainError {
        /// Zero-based.
        epoch: u32,
        /// Mean squared error.
        mse: f64,
    },
    /// The error over the validation records after an epoch.
    ValidationError {
        /// Zero-based.
        epoch: u32,
        /// Mean squared error.
        mse: f64,
    },
    /// The records of an epoch over its time, validation included; the last line of an epoch.
    Throughput {
        /// Records per second.
        rate: f64,
    },
    /// Which epoch's model is kept.
    Best {
        /// Zero-based.
        epoch: u32,
    },
    /// Training ended before its last epoch.
    StoppedEarly {
        /// Zero-based.
        epoch: u32,
    },
}

/// The event in a line, if there is one.
pub(super) fn parse(line: &str) -> Option<LogEvent> {
    if let Some(rest) = after(line, "#quality_metric: ") {
        let epoch = number(after(rest, "epoch=")?)?;
        return if let Some(value) = after(rest, ", train mean_squared_error <loss>=") {
            Some(LogEvent::TrainError { epoch, mse: decimal(value)? })
        } else {
            let value = after(rest, ", validation mean_squared_error <loss>=")?;
            Some(LogEvent::ValidationError { epoch, mse: decimal(value)? })
        };
    }
    if let Some(rest) = after(line, "#throughput_metric: ") {
        let rate = decimal(after(rest, "train throughput=")?)?;
        return Some(LogEvent::Throughput { rate });
    }
    if let Some(rest) = after(line, "Best model based on epoch ") {
        return Some(LogEvent::Best { epoch: number(rest)? });
    }
    if let Some(rest) = after(line, "Stopping training at epoch: ") {
        return Some(LogEvent::StoppedEarly { epoch: number(rest)? });
    }
    // "Completed Epoch: 0, ..." has no examples and falls through.
    let rest = after(line, "Epoch: ")?;
    let epoch = number(rest)?;
    let rest = after(rest, "num_examples: ")?;
    let records = number(rest)?;
    let rate = decimal(after(rest, ", ")?)?;
    Some(LogEvent::Progress { epoch, records, rate })
}

fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.find(mark).map(|at| &line[at + mark.len()..])
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

fn decimal(text: &str) -> Option<f64> {
    let end =
        text.find(|character: char| character.is_whitespace() || character == ',').unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_container_s_own_lines_are_read() {
        let prefix = "[08/23/2019 14:12:01 INFO 139812] ";
        let cases = [
            (
                "Epoch: 0, batches: 100, num_examples: 6400, 2043.0 samples/sec, epoch time so far: 0:00:03.132605",
                LogEvent::Progress { epoch: 0, records: 6_400, rate: 2_043.0 },
            ),
            (
                "#quality_metric: host=algo-1, epoch=3, train mean_squared_error <loss>=0.853120688633",
                LogEvent::TrainError { epoch: 3, mse: 0.853_120_688_633 },
            ),
            (
                "#quality_metric: host=algo-1, epoch=12, validation mean_squared_error <loss>=7.78e-01",
                LogEvent::ValidationError { epoch: 12, mse: 0.778 },
            ),
            (
                "#throughput_metric: host=algo-1, train throughput=1535.07052611 records/second",
                LogEvent::Throughput { rate: 1_535.070_526_11 },
            ),
            ("Best model based on epoch 3. Best loss: 0.181", LogEvent::Best { epoch: 3 }),
            (
                "Early stopping criterion met! Stopping training at epoch: 8",
                LogEvent::StoppedEarly { epoch: 8 },
            ),
        ];
        for (line, event) in cases {
            assert_eq!(parse(&format!("{prefix}{line}")), Some(event), "{line}");
            assert_eq!(parse(line), Some(event), "{line}");
        }
    }

    #[test]
    fn other_lines_are_no_events() {
        for line in [
            "",
            "Completed Epoch: 0, time taken: 0:09:05.252666",
            "Epoch 0 Training metrics:   mean_squared_error: 0.853 mean_absolute_error: 0.728",
            "#quality_metric: host=algo-1, test mean_squared_error <loss>=0.7",
            "#quality_metric: host=algo-1, epoch=1, validation mean_squared_error <loss>=",
            "#progress_metric: host=algo-1, completed 10 % of epochs",
            "#011Training metrics: mean_squared_error: 2.557 mean_absolute_error: 1.201",
            "Epoch: 99999999999999, batches: 1, num_examples: 5, 1.0 samples/sec",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in "\\PC*", mark in prop::sample::select(vec!["Epoch: ", "#quality_metric: epoch=", "#throughput_metric: train throughput="])) {
            let _ = parse(&line);
            let _ = parse(&format!("{mark}{line}"));
        }
    }
}
