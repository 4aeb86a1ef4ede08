//! When to stop, and which epoch was best.
//!
//! The rule, as two logs of the original show it: with patience p and tolerance t, an epoch that has p epochs before
//! it is bad when its loss is above the least of those p losses minus t; more than p bad epochs in a row end the run.
//! The best epoch is the one with the lowest loss, whatever the tolerance.

use crate::contract::python_float;

/// Losses so far and what follows from them.
pub(crate) struct EarlyStopping {
    patience: usize,
    tolerance: f64,
    losses: Vec<f64>,
    bad: usize,
    best: usize,
}

/// What one more epoch means.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    /// Lines for the log.
    pub lines: Vec<String>,
    /// No epoch had a lower loss.
    pub best: bool,
    /// The run ends here.
    pub stop: bool,
}

impl EarlyStopping {
    /// Before the first epoch.
    pub(crate) fn new(patience: usize, tolerance: f64) -> Self {
        Self { patience, tolerance, losses: Vec::new(), bad: 0, best: 0 }
    }

    /// Takes the loss of the next epoch.
    pub(crate) fn judge(&mut self, loss: f64) -> Verdict {
        let epoch = self.losses.len();
        let best = epoch == 0 || loss < self.losses[self.best];
        if best {
            self.best = epoch;
        }
        let mut lines = Vec::new();
        let mut stop = false;
        if epoch >= self.patience {
            let window = &self.losses[epoch - self.patience..];
            let least = window.iter().copied().fold(f64::INFINITY, f64::min);
            let shown: Vec<String> = window.iter().map(|&l| python_float(l)).collect();
            lines.push(format!("patience losses: [{}]", shown.join(", ")));
            lines.push(format!("min patience losses: {least}"));
            lines.push(format!("current loss: {loss}"));
            lines.push(format!("absolute loss difference: {}", (least - loss).abs()));
            if loss > least - self.tolerance {
                self.bad += 1;
                lines.push(format!("Bad epoch: loss has not improved (enough). Bad count:{}", self.bad));
            } else {
                self.bad = 0;
            }
            if self.bad > self.patience {
                stop = true;
                lines.push("Bad epochs exceeded patience. Stopping training early!".to_owned());
                lines.push(format!("Early stopping criterion met! Stopping training at epoch: {epoch}"));
                lines.push("Early stop condition met. Stopping training.".to_owned());
            }
        }
        self.losses.push(loss);
        Verdict { lines, best, stop }
    }

    /// The losses of all epochs so far.
    pub(crate) fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// The epoch with the lowest loss, and that loss.
    pub(crate) fn best(&self) -> Option<(usize, f64)> {
        self.losses.get(self.best).map(|&loss| (self.best, loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chapters_run_stops_where_it_did() {
        // Validation losses of the logged run, three digits; patience 2, tolerance 0.01: stopped after epoch 8.
        let losses = [0.778, 0.811, 0.762, 0.743, 0.738, 0.727, 0.722, 0.7216, 0.7152];
        let mut stopping = EarlyStopping::new(2, 0.01);
        for (epoch, &loss) in losses.iter().enumerate() {
            let verdict = stopping.judge(loss);
            assert_eq!(verdict.stop, epoch == 8, "epoch {epoch}");
            assert_eq!(verdict.lines.is_empty(), epoch < 2);
            let bad = verdict.lines.iter().any(|l| l.starts_with("Bad epoch:"));
            assert_eq!(bad, [4, 6, 7, 8].contains(&epoch), "epoch {epoch}");
        }
        assert_eq!(stopping.best(), Some((8, 0.7152)));
    }

    #[test]
    fn the_lines_are_those_of_the_log() {
        let mut stopping = EarlyStopping::new(2, 0.01);
        stopping.judge(0.7780792624828515);
        stopping.judge(0.8109815929332159);
        let verdict = stopping.judge(0.762368509864);
        assert_eq!(
            verdict.lines,
            [
                "patience losses: [0.7780792624828515, 0.8109815929332159]",
                "min patience losses: 0.7780792624828515",
                "current loss: 0.762368509864",
                "absolute loss difference: 0.015710752618851576",
            ]
        );
        stopping.judge(0.7623);
        stopping.judge(0.7622);
        let verdict = stopping.judge(0.7621);
        assert!(verdict.stop && verdict.best);
        assert_eq!(
            verdict.lines[4..],
            [
                "Bad epoch: loss has not improved (enough). Bad count:3",
                "Bad epochs exceeded patience. Stopping training early!",
                "Early stopping criterion met! Stopping training at epoch: 5",
                "Early stop condition met. Stopping training.",
            ]
        );
    }

    #[test]
    fn a_worse_epoch_is_bad_and_a_good_one_forgives() {
        let mut stopping = EarlyStopping::new(1, 0.01);
        stopping.judge(0.1813);
        assert!(stopping.judge(0.1969).lines[4].ends_with("Bad count:1"));
        assert_eq!(stopping.best(), Some((0, 0.1813)));
        assert_eq!(stopping.judge(0.1).lines.len(), 4);
        assert!(stopping.judge(0.1).lines[4].ends_with("Bad count:1"));
    }
}
