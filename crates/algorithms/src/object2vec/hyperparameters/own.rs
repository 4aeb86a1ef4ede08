//! Options beyond SageMaker's algorithm. All are off by default, and their names begin with an underscore.

use super::{EncoderConfig, EncoderNetwork, Values};
use crate::TrainFailure;

/// How the learning rate changes from epoch to epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    Constant,
    /// Down in a straight line, to 1/epochs of the first in the last epoch.
    Linear,
    /// Down along half a cosine.
    Cosine,
}

impl Schedule {
    /// What the learning rate is multiplied with in `epoch` of `epochs`.
    pub(crate) fn factor(self, epoch: usize, epochs: usize) -> f64 {
        let done = epoch as f64 / epochs.max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - done,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        }
    }
}

/// What an encoding takes from the training records that its object occurs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// Which objects of the other side it met.
    Implicit,
    /// Which it met, weighted by how much each label lies above what level of user and item let expect.
    Ratings,
}

/// Whose encodings take something from their history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistorySides {
    First,
    Second,
    Both,
}

/// All of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Own {
    /// A learned number per token of either side is added to the output.
    pub bias_terms: bool,
    /// Decay of the rows of a batch, apart from the gradient.
    pub embedding_decay: f64,
    /// Dropout of encodings, where it is to differ from that of the layers.
    pub embedding_dropout: Option<f32>,
    pub history: Option<History>,
    pub history_of: HistorySides,
    /// Whether histories look up in the embeddings of the other side, not in a table of their own.
    pub history_shares: bool,
    pub history_dropout: f32,
    pub schedule: Schedule,
    /// Predictions are brought into this range.
    pub output_range: Option<(f32, f32)>,
    /// Window of the running average of all weights, in epochs; 0 for none.
    pub average_epochs: f64,
}

impl Own {
    /// Which sides have a history.
    pub(crate) fn history_sides(&self) -> [bool; 2] {
        if self.history.is_none() {
            return [false; 2];
        }
        [self.history_of != HistorySides::Second, self.history_of != HistorySides::First]
    }
}

pub(super) fn parse_range(value: &str) -> Option<(f32, f32)> {
    let (low, high) = value.split_once(',')?;
    let number = |text: &str| text.trim().parse::<f32>().ok().filter(|number| number.is_finite());
    let (low, high) = (number(low)?, number(high)?);
    (low < high).then_some((low, high))
}

impl Values {
    /// Reads them, and refuses combinations that mean nothing.
    pub(super) fn own(&self, encoders: &[EncoderConfig; 2]) -> Result<Own, TrainFailure> {
        let own = Own {
            bias_terms: self.flag("_bias_terms"),
            embedding_decay: self.number("_embedding_decay")?,
            embedding_dropout: match self.text("_embedding_dropout") {
                "auto" => None,
                _ => Some(self.number("_embedding_dropout")?),
            },
            history: match self.text("_history") {
                "implicit" => Some(History::Implicit),
                "ratings" => Some(History::Ratings),
                _ => None,
            },
            history_of: match self.text("_history_sides") {
                "1" => HistorySides::Second,
                "both" => HistorySides::Both,
                _ => HistorySides::First,
            },
            history_shares: self.text("_history_table") == "shared",
            history_dropout: self.number("_history_dropout")?,
            schedule: match self.text("_learning_rate_schedule") {
                "linear" => Schedule::Linear,
                "cosine" => Schedule::Cosine,
                _ => Schedule::Constant,
            },
            output_range: parse_range(self.text("_output_range")),
            average_epochs: self.number("_weight_average_epochs")?,
        };
        let value = self.text("output_layer") == "mean_squared_error";
        for (name, on) in [
            ("_bias_terms", own.bias_terms),
            ("_history", own.history.is_some()),
            ("_output_range", own.output_range.is_some()),
        ] {
            if on && !value {
                return Err(self.refusal(name, "output_layer mean_squared_error"));
            }
        }
        let one_token = |encoder: &EncoderConfig| {
            encoder.network == EncoderNetwork::PooledEmbedding && encoder.max_seq_len == 1
        };
        let separate = !self.flag("tied_token_embedding_weight");
        let possible = separate && encoders.iter().all(one_token);
        if own.history.is_some() && !possible {
            let needs = "encoders pooled_embedding with max_seq_len 1 on both sides, in tables of their own";
            return Err(self.refusal("_history", needs));
        }
        Ok(own)
    }

    fn refusal(&self, name: &str, needs: &str) -> TrainFailure {
        TrainFailure::client(format!("Hyperparameter '{name}': {} needs {needs}", self.text(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_fall_from_one() {
        for schedule in [Schedule::Constant, Schedule::Linear, Schedule::Cosine] {
            let factors: Vec<f64> = (0..10).map(|epoch| schedule.factor(epoch, 10)).collect();
            assert_eq!(factors[0], 1.0);
            assert!(factors.is_sorted_by(|a, b| a >= b) && factors[9] > 0.0, "{factors:?}");
        }
        assert!((Schedule::Linear.factor(5, 10) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn ranges_have_two_ends() {
        assert_eq!(parse_range("1, 5"), Some((1.0, 5.0)));
        for bad in ["1", "5,1", "1,1", "a,b", "1,inf", "1,2,3"] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }
}
