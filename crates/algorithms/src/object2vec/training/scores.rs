//! Loss, its gradient, and the running averages that are printed.

use crate::kernels::Matrix;
use crate::object2vec::hyperparameters::OutputLayer;
use crate::object2vec::network::softmax;

/// Least probability whose logarithm is taken, as in MXNet's cross-entropy metric.
const SMALLEST_PROBABILITY: f64 = 1e-12;

/// Running averages over records.
#[derive(Clone, Debug)]
pub(crate) struct Scores {
    output: OutputLayer,
    records: u64,
    /// Sum of squared errors, or of the negative logarithms of the probabilities of the true classes.
    losses: f64,
    /// Sum of absolute errors, or number of records whose true class is the most probable.
    others: f64,
    /// Outputs are brought into this range before they are scored.
    range: Option<(f32, f32)>,
}

impl Scores {
    /// Before the first record.
    pub(crate) fn new(output: OutputLayer) -> Self {
        Self { output, records: 0, losses: 0.0, others: 0.0, range: None }
    }

    /// Brings outputs into a range before they are scored, as answers to requests are.
    pub(crate) fn within(self, range: Option<(f32, f32)>) -> Self {
        Self { range, ..self }
    }

    /// Adds a batch: `labels[i]` belongs to row i of `outputs`. Where a place is given, the gradient is written there:
    /// `(output - label) / batch`, and for classes `(probability - is true class) / batch`.
    pub(crate) fn add(
        &mut self,
        outputs: &Matrix,
        labels: impl ExactSizeIterator<Item = f32>,
        mut gradient: Option<&mut Matrix>,
    ) {
        let share = 1.0 / labels.len().max(1) as f32;
        let mut held = vec![0.0; outputs.columns()];
        for (row, label) in labels.enumerate() {
            held.copy_from_slice(outputs.row(row));
            self.records += 1;
            match self.output {
                OutputLayer::MeanSquaredError => self.add_value(&mut held, label),
                OutputLayer::Softmax => self.add_class(&mut held, label as usize),
            }
            if let Some(gradient) = &mut gradient {
                for (into, value) in gradient.row_mut(row).iter_mut().zip(&held) {
                    *into = value * share;
                }
            }
        }
    }

    /// Turns the output into its error.
    fn add_value(&mut self, output: &mut [f32], label: f32) {
        let shown = self.range.map_or(output[0], |(low, high)| output[0].clamp(low, high));
        output[0] -= label;
        let error = f64::from(shown - label);
        self.losses += error * error;
        self.others += error.abs();
    }

    /// Turns the outputs into the errors of the probabilities.
    fn add_class(&mut self, output: &mut [f32], label: usize) {
        softmax(output);
        let truth = f64::from(output[label]);
        self.losses -= truth.max(SMALLEST_PROBABILITY).ln();
        // The first of equal probabilities counts as the prediction.
        let beaten =
            |(class, p): (usize, &f32)| *p < output[label] || (*p == output[label] && class >= label);
        self.others += f64::from(u8::from(output.iter().enumerate().all(beaten)));
        output[label] -= 1.0;
    }

    /// What early stopping looks at.
    pub(crate) fn loss(&self) -> f64 {
        self.losses / self.records as f64
    }

    /// Name and value of everything that is measured, in the order in which it is printed.
    pub(crate) fn all(&self) -> Vec<(&'static str, f64)> {
        let (loss, other) = (self.loss(), self.others / self.records as f64);
        match self.output {
            OutputLayer::MeanSquaredError => {
                vec![("mean_squared_error", loss), ("mean_absolute_error", other)]
            }
            OutputLayer::Softmax => {
                vec![("perplexity", loss.exp()), ("cross_entropy", loss), ("accuracy", other)]
            }
        }
    }

    /// Name, kind and value of what becomes a metric.
    pub(crate) fn quality(&self) -> Vec<(&'static str, &'static str, f64)> {
        let kind = |name| match name {
            "mean_squared_error" | "cross_entropy" => Some("loss"),
            "accuracy" => Some("score"),
            _ => None,
        };
        self.all().into_iter().filter_map(|(name, value)| Some((name, kind(name)?, value))).collect()
    }

    /// The line that goes into the log.
    pub(crate) fn summary(&self) -> String {
        let parts: Vec<String> =
            self.all().iter().map(|(name, value)| format!("{name}: {value:.3}")).collect();
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: &[&[f32]]) -> Matrix {
        let mut m = Matrix::zeroed(rows.len(), rows[0].len());
        rows.iter().enumerate().for_each(|(r, values)| m.row_mut(r).copy_from_slice(values));
        m
    }

    #[test]
    fn errors_of_values() {
        let outputs = matrix(&[&[1.0], &[2.0], &[3.0], &[4.0]]);
        let mut gradient = Matrix::zeroed(4, 1);
        let mut scores = Scores::new(OutputLayer::MeanSquaredError);
        scores.add(&outputs, [0.0, 2.0, 5.0, 4.0].into_iter(), Some(&mut gradient));
        scores.add(&outputs, [1.0, 2.0].into_iter(), None);
        assert_eq!(scores.records, 6);
        assert_eq!(scores.all(), [("mean_squared_error", 5.0 / 6.0), ("mean_absolute_error", 0.5)]);
        assert_eq!((0..4).map(|r| gradient.row(r)[0]).collect::<Vec<_>>(), [0.25, 0.0, -0.5, 0.0]);
        assert_eq!(scores.summary(), "mean_squared_error: 0.833 mean_absolute_error: 0.500");
        assert_eq!(scores.quality(), [("mean_squared_error", "loss", 5.0 / 6.0)]);
    }

    #[test]
    fn errors_of_classes() {
        let outputs = matrix(&[&[0.0, 3f32.ln()], &[0.0, 0.0]]);
        let mut gradient = Matrix::zeroed(2, 2);
        let mut scores = Scores::new(OutputLayer::Softmax);
        scores.add(&outputs, [1.0, 1.0].into_iter(), Some(&mut gradient));
        let want = (-(0.75f64.ln()) - 0.5f64.ln()) / 2.0;
        assert!((scores.loss() - want).abs() < 1e-7);
        let names: Vec<_> = scores.quality().iter().map(|(name, kind, _)| (*name, *kind)).collect();
        assert_eq!(names, [("cross_entropy", "loss"), ("accuracy", "score")]);
        assert_eq!(scores.all()[2], ("accuracy", 0.5), "of equal classes the first is predicted");
        assert!(scores.summary().starts_with("perplexity: 1.633 cross_entropy: 0.490 accuracy: 0.500"));
        let near = |got: f32, want: f32| assert!((got - want).abs() < 1e-6, "{got} {want}");
        near(gradient.row(0)[0], 0.125);
        near(gradient.row(0)[1], -0.125);
        near(gradient.row(1)[0], 0.25);
    }
}
