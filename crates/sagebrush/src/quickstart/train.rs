//! Step three: the training job, followed live through its CloudWatch log.

use super::client::Client;
use super::jobs::{TRAINING, follow};
use super::place::Place;
use super::prepare::Prepared;
use super::recipe::{Hyperparameters, Recipe};
use super::screen::{Screen, rounded, spoken, thousands};
use super::training_log::{LogEvent, parse};
use anyhow::Context;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Every epoch has a row up to this one; later only every fifth and those that come slowly.
const ROWS_IN_FULL: u32 = 10;
/// An epoch that ends so long after the last row has one of its own.
const SLOW_ROW: Duration = Duration::from_secs(5);
/// Without a terminal, one line of progress at most this often.
const PLAIN_PROGRESS: Duration = Duration::from_secs(10);

/// One epoch as the log told it.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Epoch {
    /// Zero-based.
    pub epoch: u32,
    /// Mean squared error over the training records, while they were learned from.
    pub train_mse: Option<f64>,
    /// Mean squared error over the validation records, after the epoch.
    pub validation_mse: Option<f64>,
    /// Records over seconds, validation included.
    pub records_per_second: Option<f64>,
}

/// A finished training job.
pub(super) struct Trained {
    /// The job's name.
    pub job: String,
    /// In order.
    pub epochs: Vec<Epoch>,
    /// The epoch whose model was kept.
    pub best_epoch: Option<u32>,
    /// Whether it ended before its last epoch.
    pub stopped_early: bool,
    /// The model's S3 address.
    pub artifact: String,
    /// Seconds from CreateTrainingJob to the first line of the log, as the client saw it.
    pub first_log_line: Option<f64>,
    /// What it was trained with.
    pub hyperparameters: Hyperparameters,
    /// Training records of one epoch.
    pub records: u64,
}

/// Trains and shows how it goes.
pub(super) async fn run(
    client: &Client,
    place: &Place,
    prepared: &Prepared,
    recipe: Recipe,
    own: &[(String, String)],
    verbose: bool,
    screen: Screen,
) -> anyhow::Result<Trained> {
    let rows = |step: &str| prepared.rows.iter().find(|row| row.step == step).map_or(0, |row| row.ratings);
    let records = rows("train");
    let hyperparameters = recipe.hyperparameters(prepared.users, prepared.books, records, own);
    for line in listed(recipe, &hyperparameters) {
        screen.note(&line);
    }
    let job = place.name("train");
    let began = Instant::now();
    client.sagemaker("CreateTrainingJob", &request(place, &job, &hyperparameters)).await?;
    let mut progress = Progress::new(records, epochs_wanted(&hyperparameters), verbose, screen);
    let ended = follow(client, &TRAINING, &job, began, &mut |line| progress.line(line)).await;
    let progress = progress.finish();
    let completed = ended?;
    let artifact = completed
        .description
        .pointer("/ModelArtifacts/S3ModelArtifacts")
        .and_then(Value::as_str)
        .context("DescribeTrainingJob names no model artifact")?
        .to_owned();
    let trained = Trained {
        best_epoch: progress.best.or_else(|| lowest(&progress.epochs)),
        epochs: progress.epochs,
        stopped_early: progress.stopped_early,
        job,
        artifact,
        first_log_line: completed.first_line.map(|time| time.as_secs_f64()),
        hyperparameters,
        records,
    };
    close(&trained, screen);
    Ok(trained)
}

fn request(place: &Place, job: &str, hyperparameters: &Hyperparameters) -> Value {
    let channels: Vec<Value> = ["train", "validation", "test"]
        .iter()
        .map(|name| {
            json!({
                "ChannelName": name,
                "ContentType": "application/jsonlines",
                "DataSource": { "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": place.uri(&format!("prepared/{name}/")),
                    "S3DataDistributionType": "FullyReplicated",
                } },
            })
        })
        .collect();
    let hyperparameters: Map<String, Value> =
        hyperparameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "TrainingJobName": job,
        "RoleArn": place.role(),
        "AlgorithmSpecification": { "TrainingImage": place.image("object2vec:1"), "TrainingInputMode": "File" },
        "HyperParameters": hyperparameters,
        "InputDataConfig": channels,
        "OutputDataConfig": { "S3OutputPath": place.uri("models") },
        "ResourceConfig": { "InstanceCount": 1, "InstanceType": "ml.m5.4xlarge", "VolumeSizeInGB": 30 },
        "StoppingCondition": { "MaxRuntimeInSeconds": 86_400 },
    })
}

/// The hyperparameters in a few lines; the sizes of the vocabularies and the fixed shape go without saying.
fn listed(recipe: Recipe, hyperparameters: &Hyperparameters) -> Vec<String> {
    let mut lines = vec![format!("object2vec:1, {} settings:", recipe.name())];
    let mut line = String::new();
    for (name, value) in
        hyperparameters.iter().filter(|(name, _)| !name.starts_with("enc0") && !name.starts_with("enc1"))
    {
        let one = format!("{name}={}", value.replace(", ", ","));
        if !line.is_empty() && line.len() + one.len() > 80 {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push_str("  ");
        }
        line.push_str(&one);
    }
    lines.push(line);
    lines
}

fn epochs_wanted(hyperparameters: &Hyperparameters) -> Option<u32> {
    hyperparameters.iter().find(|(name, _)| name == "epochs").and_then(|(_, value)| value.parse().ok())
}

fn lowest(epochs: &[Epoch]) -> Option<u32> {
    epochs
        .iter()
        .filter_map(|epoch| Some((epoch.epoch, epoch.validation_mse?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(epoch, _)| epoch)
}

fn close(trained: &Trained, screen: Screen) {
    let best = trained.best_epoch.and_then(|best| trained.epochs.iter().find(|epoch| epoch.epoch == best));
    if let Some(best) = best {
        let ended = match trained.epochs.last() {
            Some(last) if trained.stopped_early => {
                format!("stopped early after epoch {}; ", last.epoch)
            }
            _ => String::new(),
        };
        let error = best.validation_mse.map_or_else(String::new, |mse| format!(" (validation MSE {mse:.4})"));
        screen.line(&format!("   {ended}the model of epoch {} is kept{error}", best.epoch));
    }
    if let Some(seconds) = trained.first_log_line {
        screen.line(&format!("   CreateTrainingJob to the first log line: {}", spoken(seconds)));
    }
}

/// Turns log lines into epochs, a bar, and a row per epoch.
struct Progress {
    screen: Screen,
    bar: ProgressBar,
    records: u64,
    verbose: bool,
    of: String,
    epochs: Vec<Epoch>,
    /// The epoch being put together.
    current: Option<Epoch>,
    headed: bool,
    best: Option<u32>,
    stopped_early: bool,
    told: Instant,
}

impl Progress {
    fn new(records: u64, epochs: Option<u32>, verbose: bool, screen: Screen) -> Self {
        let bar = screen.bar(records, "   epoch {prefix} {bar:32} {human_pos:>9} of {human_len}  {msg}");
        bar.set_prefix("0");
        Self {
            screen,
            bar,
            records,
            verbose,
            of: epochs.map_or_else(String::new, |epochs| format!(" of {epochs}")),
            epochs: Vec::new(),
            current: None,
            headed: false,
            best: None,
            stopped_early: false,
            told: Instant::now(),
        }
    }

    fn line(&mut self, line: &str) {
        if self.verbose {
            self.bar.suspend(|| self.screen.note(line));
        }
        match parse(line) {
            Some(LogEvent::Progress { epoch, records, rate }) => self.moved(epoch, records, rate),
            Some(LogEvent::TrainError { epoch, mse }) => self.epoch(epoch).train_mse = Some(mse),
            Some(LogEvent::ValidationError { epoch, mse }) => self.epoch(epoch).validation_mse = Some(mse),
            Some(LogEvent::Throughput { rate }) => {
                if let Some(current) = &mut self.current {
                    current.records_per_second = Some(rate);
                }
                self.complete();
            }
            Some(LogEvent::Best { epoch }) => self.best = Some(epoch),
            Some(LogEvent::StoppedEarly { .. }) => self.stopped_early = true,
            None => {}
        }
    }

    fn moved(&mut self, epoch: u32, records: u64, rate: f64) {
        self.bar.set_prefix(format!("{epoch}{}", self.of));
        let best = lowest(&self.epochs).and_then(|best| self.epochs.iter().find(|epoch| epoch.epoch == best));
        let best = best.and_then(|epoch| Some((epoch.epoch, epoch.validation_mse?)));
        let best = best.map_or_else(String::new, |(epoch, mse)| format!("  best {mse:.4} (epoch {epoch})"));
        self.bar.set_message(format!("{} records/s{best}", rounded(rate)));
        self.bar.set_position(records.min(self.records));
        if !self.screen.is_terminal() && self.told.elapsed() > PLAIN_PROGRESS {
            self.told = Instant::now();
            let (done, all) = (thousands(records), thousands(self.records));
            self.screen
                .line(&format!("   epoch {epoch}: {done} of {all} records, {} records/s", rounded(rate)));
        }
    }

    /// The epoch being put together, after closing an earlier one that had no throughput line.
    fn epoch(&mut self, epoch: u32) -> &mut Epoch {
        if self.current.as_ref().is_some_and(|current| current.epoch != epoch) {
            self.complete();
        }
        self.current.get_or_insert_with(|| Epoch { epoch, ..Epoch::default() })
    }

    fn complete(&mut self) {
        let Some(epoch) = self.current.take() else {
            return;
        };
        let error = |mse: Option<f64>| mse.map_or_else(|| "-".to_owned(), |mse| format!("{mse:.4}"));
        let is_best = epoch.validation_mse.is_some_and(|mse| {
            self.epochs.iter().filter_map(|earlier| earlier.validation_mse).all(|earlier| mse < earlier)
        });
        let row = format!(
            "   {:>5}   {:>9}   {:>14}   {:>9}{}",
            epoch.epoch,
            error(epoch.train_mse),
            error(epoch.validation_mse),
            epoch.records_per_second.map_or_else(|| "-".to_owned(), rounded),
            if is_best { "   ●" } else { "" },
        );
        let header = self.screen.dim("   epoch   train MSE   validation MSE   records/s   ● best so far");
        let screen = self.screen;
        let shown = self.verbose
            || epoch.epoch <= ROWS_IN_FULL
            || epoch.epoch.is_multiple_of(5)
            || self.told.elapsed() > SLOW_ROW;
        if shown {
            let headed = std::mem::replace(&mut self.headed, true);
            self.bar.suspend(|| {
                if !headed {
                    screen.line(&header);
                }
                screen.line(&row);
            });
            self.told = Instant::now();
        }
        self.epochs.push(epoch);
    }

    fn finish(mut self) -> Self {
        self.complete();
        self.bar.finish_and_clear();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_put_together_from_the_log() {
        let mut progress = Progress::new(100, Some(3), false, Screen::of_this_process());
        for line in [
            "Epoch: 0, batches: 100, num_examples: 64, 2043.0 samples/sec, epoch time so far: 0:00:03.1",
            "#quality_metric: host=algo-1, epoch=0, train mean_squared_error <loss>=0.9",
            "#quality_metric: host=algo-1, epoch=0, validation mean_squared_error <loss>=0.8",
            "#throughput_metric: host=algo-1, train throughput=1500.5 records/second",
            "#quality_metric: host=algo-1, epoch=1, train mean_squared_error <loss>=0.7",
            "#quality_metric: host=algo-1, epoch=1, validation mean_squared_error <loss>=0.85",
            "Early stopping criterion met! Stopping training at epoch: 1",
            "Best model based on epoch 0. Best loss: 0.8",
        ] {
            progress.line(line);
        }
        let progress = progress.finish();
        assert_eq!(progress.epochs.len(), 2);
        assert_eq!(progress.epochs[0].records_per_second, Some(1_500.5));
        assert_eq!(progress.epochs[1].validation_mse, Some(0.85));
        assert_eq!((progress.best, progress.stopped_early), (Some(0), true));
        assert_eq!(lowest(&progress.epochs), Some(0));
    }

    #[test]
    fn settings_fit_the_screen() {
        let lines = listed(Recipe::Chapter, &Recipe::Chapter.hyperparameters(5, 5, 5, &[]));
        assert!(lines.iter().all(|line| line.len() <= 90), "{lines:?}");
        assert!(lines.concat().contains("mlp_dim=256"));
    }
}
