//! CreateHyperParameterTuningJob: the checks, and the record it makes.

use sagebrush_metastore::NewRecord;
use sagebrush_tuning::{Completion, Hyperband, Settings, Strategy, Tuner};
use sagebrush_types::limits::{TUNING_JOBS_OPEN, TUNING_PARALLEL_JOBS, TUNING_TRAINING_JOBS};
use sagebrush_types::{Failure, FailureKind, JobStatus, Outcome, Resource, Scope};
use serde_json::{Value, json};

use super::definition::{self, Checked};
use super::request::{Config, CreateTuningJob, Definition};
use super::state::{Limits, MEMBER, Search, State};
use super::{STEP, warm_start, workflow};
use crate::document::{default_member, pick, seconds, without_nulls};
use crate::request::refuse_if;
use crate::{ControlPlane, failure, request};

/// The members of a request that its record keeps.
const REQUEST_MEMBERS: &[&str] = &[
    "HyperParameterTuningJobName",
    "HyperParameterTuningJobConfig",
    "TrainingJobDefinition",
    "TrainingJobDefinitions",
    "WarmStartConfig",
    "Autotune",
];

/// Training jobs of an automatic tuning job that names no number.
const AUTOTUNE_JOBS: usize = 20;

/// Static hyperparameters from which Hyperband's largest resource is read when it is not given: those
/// that AWS documents.
const EPOCH_PARAMETERS: &[&str] = &["epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs"];

impl ControlPlane {
    /// CreateHyperParameterTuningJob.
    ///
    /// # Errors
    /// `Invalid` for ranges, limits and objectives that contradict themselves or the algorithm;
    /// `Unsupported`; `NotFound` for a parent; `AlreadyExists`; `LimitExceeded`.
    pub async fn create_hyper_parameter_tuning_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let document = &without_nulls(document);
        let request: CreateTuningJob = request::decode("CreateHyperParameterTuningJob", document)?;
        let name = &request.hyper_parameter_tuning_job_name;
        let arn = scope.arn(Resource::HyperParameterTuningJob, name);
        let now = self.now();
        let mut kept = pick(document, REQUEST_MEMBERS);
        let checked = self.check_definitions(&request, document)?;
        show_definitions(&mut kept, &checked);
        self.check_training_jobs(&checked, &kept).await?;
        let config = &request.hyper_parameter_tuning_job_config;
        let seed = config.random_seed.unwrap_or_else(random_seed);
        let mut searches = Vec::new();
        for (index, (checked, definition)) in checked.iter().zip(definitions(&request)).enumerate() {
            let strategy = strategy(config, definition)?;
            let settings = Settings {
                strategy,
                direction: checked.measured.direction,
                seed: seed.wrapping_add(index as u64),
            };
            let tuner = Tuner::new(checked.space.clone(), settings)
                .map_err(|error| Failure::invalid(format!("HyperParameterTuningJobConfig: {error}.")))?;
            searches.push(Search {
                name: definition.definition_name.clone(),
                measured: checked.measured.clone(),
                tuner,
                exhausted: false,
            });
        }
        let limits = limits(&request, &searches, now)?;
        let inherited = match &request.warm_start_config {
            Some(config) => warm_start::learn(self, scope, config, &checked, &mut searches).await?,
            None => None,
        };
        self.check_open(Resource::HyperParameterTuningJob, TUNING_JOBS_OPEN).await?;
        let state =
            State { limits, searches, children: Vec::new(), closing: None, converged: None, inherited };
        begin(&mut kept, &state, &arn, now)?;
        kept["_Tags"] = document.get("Tags").cloned().unwrap_or_else(|| json!([]));
        let record = NewRecord {
            key: self.key(scope, Resource::HyperParameterTuningJob, name),
            arn: arn.clone(),
            status: JobStatus::InProgress.as_str().into(),
            created: now,
            document: kept,
            tags: request::tags(&request.tags),
            workflow: Some(STEP.into()),
        };
        self.store()
            .create(&record)
            .await
            .map_err(|error| failure::of_creation(error, scope, Resource::HyperParameterTuningJob, name))?;
        workflow::start(self, record.key);
        Ok(json!({"HyperParameterTuningJobArn": arn}))
    }

    fn check_definitions(&self, request: &CreateTuningJob, document: &Value) -> Outcome<Vec<Checked>> {
        let (one, many) = (&request.training_job_definition, &request.training_job_definitions);
        if one.is_some() != many.is_empty() {
            return Err(Failure::invalid(
                "A hyperparameter tuning job needs either TrainingJobDefinition or TrainingJobDefinitions.",
            ));
        }
        let config = &request.hyper_parameter_tuning_job_config;
        let autotune = request.autotune.is_some();
        let mut checked = Vec::new();
        for (index, definition) in definitions(request).enumerate() {
            let (field, shown) = if one.is_some() {
                ("TrainingJobDefinition".to_owned(), &document["TrainingJobDefinition"])
            } else {
                (format!("TrainingJobDefinitions[{index}]"), &document["TrainingJobDefinitions"][index])
            };
            let twice = definitions(request)
                .take(index)
                .any(|other| other.definition_name == definition.definition_name);
            if one.is_none() && (twice || definition.definition_name.is_none()) {
                return Err(Failure::invalid(format!(
                    "{field}.DefinitionName: every one of several definitions has a name of its own."
                )));
            }
            checked.push(definition::check(self, config, &field, definition, shown, autotune)?);
        }
        if checked.windows(2).any(|pair| pair[0].measured.direction != pair[1].measured.direction) {
            return Err(Failure::invalid(
                "TrainingJobDefinitions: all objectives are of one type, Minimize or Maximize, so that a best training job can be named.",
            ));
        }
        Ok(checked)
    }

    /// Refuses now what every training job would be refused for.
    async fn check_training_jobs(&self, checked: &[Checked], kept: &Value) -> Outcome<()> {
        for (index, one) in checked.iter().enumerate() {
            let setting = one.space.setting(&vec![0.0; one.space.dimensions()]);
            let shown = shown_definition(kept, index);
            let job = definition::training_job(shown, "check", &one.space, &setting, &json!([]));
            self.check_training_job(&job).await?;
        }
        Ok(())
    }
}

fn definitions(request: &CreateTuningJob) -> impl Iterator<Item = &Definition> {
    request.training_job_definition.iter().chain(&request.training_job_definitions)
}

/// Puts the definitions as they are shown into the record.
fn show_definitions(kept: &mut Value, checked: &[Checked]) {
    if kept.get("TrainingJobDefinition").is_some() {
        kept["TrainingJobDefinition"] = checked.first().map(|one| one.shown.clone()).unwrap_or_default();
    } else {
        kept["TrainingJobDefinitions"] = checked.iter().map(|one| one.shown.clone()).collect();
    }
    default_member(&mut kept["HyperParameterTuningJobConfig"], "TrainingJobEarlyStoppingType", json!("Off"));
}

/// A definition inside a record.
pub fn shown_definition(kept: &Value, index: usize) -> &Value {
    kept.get("TrainingJobDefinition").unwrap_or_else(|| &kept["TrainingJobDefinitions"][index])
}

fn begin(kept: &mut Value, state: &State, arn: &str, now: i64) -> Outcome<()> {
    let (jobs, objectives) = state.counters();
    kept["HyperParameterTuningJobArn"] = json!(arn);
    kept["HyperParameterTuningJobStatus"] = json!(JobStatus::InProgress.as_str());
    kept["CreationTime"] = seconds(now);
    kept["LastModifiedTime"] = seconds(now);
    kept["TrainingJobStatusCounters"] = jobs;
    kept["ObjectiveStatusCounters"] = objectives;
    kept[MEMBER] = serde_json::to_value(state).map_err(Failure::internal)?;
    Ok(())
}

/// AWS chooses a seed when none is given.
fn random_seed() -> u64 {
    u64::from_str_radix(&sagebrush_env::random_hex(4), 16).unwrap_or_default()
}

fn strategy(config: &Config, definition: &Definition) -> Outcome<Strategy> {
    let hyperband =
        config.strategy_config.as_ref().and_then(|config| config.hyperband_strategy_config.as_ref());
    if config.strategy != "Hyperband" && hyperband.is_some() {
        return Err(Failure::invalid(format!(
            "HyperParameterTuningJobConfig.StrategyConfig.HyperbandStrategyConfig: the strategy is {}. The configuration belongs to Hyperband.",
            config.strategy
        )));
    }
    match config.strategy.as_str() {
        "Random" => Ok(Strategy::Random),
        "Grid" => Ok(Strategy::Grid),
        "Hyperband" => {
            if config.training_job_early_stopping_type.as_deref() == Some("Auto") {
                return Err(Failure::invalid(
                    "HyperParameterTuningJobConfig.TrainingJobEarlyStoppingType: Hyperband stops training jobs by itself; set Off or leave it out.",
                ));
            }
            let named = EPOCH_PARAMETERS.iter().find_map(|name| {
                definition.static_hyper_parameters.get(*name)?.as_str()?.trim().parse::<u64>().ok()
            });
            let max = hyperband.and_then(|config| config.max_resource).or(named).ok_or_else(|| {
                Failure::invalid(format!(
                    "HyperParameterTuningJobConfig.StrategyConfig.HyperbandStrategyConfig.MaxResource: it is not given and cannot be read from a static hyperparameter ({}).",
                    EPOCH_PARAMETERS.join(", ")
                ))
            })?;
            let min = hyperband.and_then(|config| config.min_resource).unwrap_or(1);
            Ok(Strategy::Hyperband(Hyperband { min, max }))
        }
        _ => Ok(Strategy::Bayesian),
    }
}

fn limits(request: &CreateTuningJob, searches: &[Search], now: i64) -> Outcome<Limits> {
    let config = &request.hyper_parameter_tuning_job_config;
    let limits = &config.resource_limits;
    let criteria = &config.tuning_job_completion_criteria;
    let completion = Completion {
        target: criteria.target_objective_metric_value,
        not_improving: criteria
            .best_objective_not_improving
            .as_ref()
            .and_then(|criterion| criterion.max_number_of_training_jobs_not_improving),
        convergence: criteria
            .convergence_detected
            .as_ref()
            .is_some_and(|criterion| criterion.complete_on_convergence.as_deref() == Some("Enabled")),
    };
    let place = "HyperParameterTuningJobConfig.ResourceLimits";
    let grid = (config.strategy == "Grid").then(|| {
        let settings = |search: &Search| search.tuner.space().count(TUNING_TRAINING_JOBS + 1);
        searches.iter().map(|search| settings(search).unwrap_or(TUNING_TRAINING_JOBS + 1)).sum()
    });
    let bounded = limits.max_runtime_in_seconds.is_some() || completion != Completion::default();
    let jobs = match (limits.max_number_of_training_jobs, grid) {
        (Some(jobs), Some(grid)) => jobs.min(grid),
        (Some(jobs), None) => jobs,
        (None, Some(grid)) => grid,
        (None, None) if request.autotune.is_some() => AUTOTUNE_JOBS.max(limits.max_parallel_training_jobs),
        (None, None) if bounded => TUNING_TRAINING_JOBS,
        (None, None) => {
            return Err(Failure::invalid(format!(
                "{place}: nothing says when the tuning job is over. Give MaxNumberOfTrainingJobs, MaxRuntimeInSeconds or TuningJobCompletionCriteria."
            )));
        }
    };
    let stated = limits.max_number_of_training_jobs.unwrap_or(usize::MAX);
    if limits.max_parallel_training_jobs > stated {
        return Err(Failure::invalid(format!(
            "{place}.MaxParallelTrainingJobs: {} training jobs at once are more than MaxNumberOfTrainingJobs, {stated}, in all.",
            limits.max_parallel_training_jobs
        )));
    }
    for (member, asked, most) in [
        ("MaxNumberOfTrainingJobs", jobs, TUNING_TRAINING_JOBS),
        ("MaxParallelTrainingJobs", limits.max_parallel_training_jobs, TUNING_PARALLEL_JOBS),
    ] {
        if asked > most {
            return Err(Failure::new(
                FailureKind::LimitExceeded,
                format!("{place}.{member}: {asked} are more than the {most} that this server accepts."),
            ));
        }
    }
    refuse_if(
        limits.max_parallel_training_jobs == 0,
        &format!("{place}.MaxParallelTrainingJobs"),
        "at least one training job runs at a time.",
    )?;
    let runtime =
        limits.max_runtime_in_seconds.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX / 2_000));
    let automatic = request.autotune.is_some() && config.strategy != "Hyperband";
    let early = config.training_job_early_stopping_type.as_deref();
    Ok(Limits {
        jobs,
        parallel: limits.max_parallel_training_jobs,
        deadline: runtime.map(|seconds| now.saturating_add(seconds.saturating_mul(1000))),
        completion,
        early_stopping: early.map_or(automatic, |early| early == "Auto"),
    })
}
