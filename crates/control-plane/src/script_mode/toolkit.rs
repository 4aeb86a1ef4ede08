//! What the SageMaker training toolkit does inside a framework image before it starts a user's script:
//! hyperparameters decoded, `SM_` variables, a command line. Source of the rules: the documentation of
//! sagemaker-training (ENVIRONMENT_VARIABLES.md) and the behaviour of its version 5.1.

use std::collections::BTreeMap;
use std::path::Path;

use sagebrush_types::{Failure, Outcome};
use serde_json::{Map, Value, json};

use super::python_text::{argument, variable};

/// Where the code of a job lies.
pub const CODE: &str = "/opt/ml/code";
/// The folder of channels.
const DATA: &str = "/opt/ml/input/data";
/// Hyperparameters that are for the toolkit begin so.
const PREFIX: &str = "sagemaker_";
/// A tuning job's own hyperparameter, which no script gets.
const TUNING_METRIC: &str = "_tuning_objective_metric";
/// Hyperparameters of the toolkit that frameworks do not see among their parameters.
const COMMON: &[&str] = &[
    "sagemaker_program",
    "sagemaker_submit_directory",
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "sagemaker_s3_output",
];
/// `logging.INFO`.
const LOG_LEVEL: u64 = 20;

/// A training job as the toolkit finds it.
#[derive(Debug, Clone)]
pub struct TrainingEnvironment {
    /// The user's hyperparameters, decoded.
    hyperparameters: Map<String, Value>,
    /// The toolkit's.
    own: Map<String, Value>,
    /// What the job's environment says where a hyperparameter does not.
    variables: BTreeMap<String, String>,
    /// Contents of `resourceconfig.json`.
    resources: Value,
    /// Contents of `inputdataconfig.json`.
    channels: Value,
    cpus: usize,
}

/// How an entry point is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// `python` (the environment's) or a shell.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// A hyperparameter's value: JSON where it is, text otherwise.
fn decode(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

impl TrainingEnvironment {
    /// The environment of a job: its hyperparameters as they came, the configuration files that it finds,
    /// and the number of cores.
    pub fn new(
        hyperparameters: &BTreeMap<String, String>,
        resources: Value,
        channels: Value,
        cpus: usize,
    ) -> Self {
        let decoded = hyperparameters.iter().map(|(name, text)| (name.clone(), decode(text)));
        let (own, users): (Map<_, _>, Map<_, _>) =
            decoded.partition(|(name, _)| name.starts_with(PREFIX) || name == TUNING_METRIC);
        Self { hyperparameters: users, own, variables: BTreeMap::new(), resources, channels, cpus }
    }

    /// The environment with the variables of the job.
    pub fn with_variables(self, variables: &BTreeMap<String, String>) -> Self {
        Self { variables: variables.clone(), ..self }
    }

    fn own(&self, name: &str) -> Option<String> {
        let given = self.own.get(name).map(variable).filter(|text| !text.is_empty());
        given.or_else(|| self.variables.get(&name.to_ascii_uppercase()).cloned())
    }

    /// The entry point: a file below the code's folder.
    pub fn entry_point(&self) -> Option<String> {
        self.own("sagemaker_program")
    }

    /// Where the code comes from: `s3://...` of a gzipped tar, or a place under `/opt/ml`.
    pub fn submit_directory(&self) -> Option<String> {
        self.own("sagemaker_submit_directory")
    }

    /// The arguments that the hyperparameters make.
    pub fn arguments(&self) -> Vec<String> {
        let mut names: Vec<&String> = self.hyperparameters.keys().collect();
        names.sort();
        names
            .into_iter()
            .flat_map(|name| {
                let dashes = if name.chars().count() > 1 { "--" } else { "-" };
                [format!("{dashes}{name}"), argument(&self.hyperparameters[name])]
            })
            .collect()
    }

    /// The command that starts the entry point from the code's folder, `code` on this side.
    ///
    /// # Errors
    /// `Invalid` when the entry point is not there or has a name that is not safe.
    pub fn command(&self, entry_point: &str, code: &Path) -> Outcome<CommandLine> {
        check_entry_point(entry_point)?;
        let is_package = code.join("setup.py").is_file();
        let place = code.join(entry_point);
        // A package's entry point may be a module that is a folder.
        if !(place.is_file() || is_package && place.is_dir()) {
            return Err(Failure::invalid(format!(
                "the entry point '{entry_point}' is not in the source directory, which holds: {}.",
                listing(code)
            )));
        }
        let arguments = self.arguments();
        if entry_point.ends_with(".py") && !is_package {
            let arguments = [vec!["-u".to_owned(), entry_point.to_owned()], arguments].concat();
            return Ok(CommandLine { program: "python".into(), arguments });
        }
        if is_package && !entry_point.ends_with(".sh") {
            let module = entry_point.strip_suffix(".py").unwrap_or(entry_point).replace('/', ".");
            let arguments = [vec!["-u".to_owned(), "-m".to_owned(), module], arguments].concat();
            return Ok(CommandLine { program: "python".into(), arguments });
        }
        // `sh FILE` where the toolkit makes the file executable first: an archive may not say so.
        let shell = std::fs::read(code.join(entry_point)).is_ok_and(|text| text.starts_with(b"#!/bin/bash"));
        let program = if shell { "/bin/bash" } else { "/bin/sh" };
        Ok(CommandLine {
            program: program.into(),
            arguments: [vec![format!("./{entry_point}")], arguments].concat(),
        })
    }

    /// The `SM_` variables.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let arguments = json!(self.arguments());
        let mut values = self.facts();
        values.insert("hps".into(), Value::Object(self.hyperparameters.clone()));
        values.insert("channels".into(), json!(self.channel_names()));
        values.insert("user_args".into(), arguments);
        values.insert("training_env".into(), self.training_env());
        for (name, place) in self.channel_folders() {
            values.insert(format!("channel_{name}"), place);
        }
        for (name, value) in &self.hyperparameters {
            values.insert(format!("hp_{name}"), value.clone());
        }
        let named =
            |(name, value): (String, Value)| (format!("SM_{}", name.to_uppercase()), variable(&value));
        values.into_iter().map(named).collect()
    }

    /// What both single variables and SM_TRAINING_ENV tell.
    fn facts(&self) -> Map<String, Value> {
        let entry_point = self.entry_point().unwrap_or_default();
        let module = entry_point.strip_suffix(".py").unwrap_or(&entry_point).to_owned();
        let hosts = &self.resources["hosts"];
        let own =
            self.own.iter().filter(|(name, _)| !COMMON.contains(&name.as_str()) && *name != TUNING_METRIC);
        let framework: Map<String, Value> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        let facts = json!({
            "current_host": self.resources["current_host"],
            "current_instance_type": self.resources["current_instance_type"],
            "current_instance_group": self.resources["current_group_name"],
            "current_instance_group_hosts": hosts,
            "instance_groups": [],
            "instance_groups_dict": {},
            "distribution_instance_groups": [],
            "is_hetero": false,
            "hosts": hosts,
            "network_interface_name": self.resources["network_interface_name"],
            "user_entry_point": entry_point,
            "module_name": module,
            "module_dir": self.submit_directory().unwrap_or_else(|| CODE.into()),
            "framework_module": null,
            "log_level": self.own.get("sagemaker_container_log_level").cloned().unwrap_or(json!(LOG_LEVEL)),
            "resource_config": self.resources,
            "input_data_config": self.channels,
            "input_dir": "/opt/ml/input",
            "input_config_dir": "/opt/ml/input/config",
            "output_dir": "/opt/ml/output",
            "output_data_dir": "/opt/ml/output/data",
            "output_intermediate_dir": "/opt/ml/output/intermediate",
            "model_dir": "/opt/ml/model",
            "num_cpus": self.cpus,
            "num_gpus": gpus(),
            "num_neurons": 0,
            "framework_params": framework,
        });
        match facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        }
    }

    fn training_env(&self) -> Value {
        let mut all = self.facts();
        let framework = all.remove("framework_params").unwrap_or_default();
        all.insert("additional_framework_parameters".into(), framework);
        all.insert("hyperparameters".into(), Value::Object(self.hyperparameters.clone()));
        all.insert("channel_input_dirs".into(), Value::Object(self.channel_folders()));
        all.insert("job_name".into(), json!(self.variables.get("TRAINING_JOB_NAME")));
        let first = self.resources["hosts"].get(0).cloned().unwrap_or_default();
        all.insert("is_master".into(), json!(first == self.resources["current_host"]));
        all.insert("master_hostname".into(), first);
        Value::Object(all)
    }

    fn channel_names(&self) -> Vec<&String> {
        let mut names: Vec<&String> = self.channels.as_object().into_iter().flat_map(Map::keys).collect();
        names.sort();
        names
    }

    fn channel_folders(&self) -> Map<String, Value> {
        self.channel_names().into_iter().map(|name| (name.clone(), json!(format!("{DATA}/{name}")))).collect()
    }
}

/// Accelerators of NVIDIA that this machine has.
fn gpus() -> usize {
    let devices = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    devices
        .filter(|device| {
            let name = device.file_name();
            let number = name.to_string_lossy().strip_prefix("nvidia").map(str::to_owned);
            number
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .count()
}

/// Refuses an entry point that would be read as an option or leaves the folder, with the toolkit's rule.
pub fn check_entry_point(name: &str) -> Outcome<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._+-/".contains(letter);
    let unsafe_part = name.split('/').any(|part| part == "." || part == ".." || part.is_empty());
    if name.is_empty() || name.starts_with('-') || unsafe_part || !name.chars().all(plain) {
        return Err(Failure::invalid(format!(
            "sagemaker_program: the entry point '{name}' must be a path inside the source directory of letters, digits, \
             '.', '_', '+', '-' and '/', such as 'train.py' or 'bin/train.sh'."
        )));
    }
    Ok(())
}

fn listing(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.truncate(20);
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> TrainingEnvironment {
        let hyperparameters = [
            ("sagemaker_program", "\"train.py\""),
            ("sagemaker_submit_directory", "\"s3://b/code/sourcedir.tar.gz\""),
            ("sagemaker_container_log_level", "20"),
            ("sagemaker_mpi_enabled", "true"),
            ("_tuning_objective_metric", "loss"),
            ("n", "5"),
            ("lr", "0.1"),
            ("name", "\"x y\""),
            ("plain", "text"),
            ("flag", "true"),
        ];
        let hyperparameters =
            hyperparameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let resources = json!({"current_host": "algo-1", "hosts": ["algo-1", "algo-2"],
            "network_interface_name": "lo", "current_instance_type": "ml.m5.xlarge"});
        let channels = json!({"train": {"TrainingInputMode": "File"}, "code": {}});
        TrainingEnvironment::new(&hyperparameters, resources, channels, 4)
    }

    #[test]
    fn hyperparameters_become_arguments_and_variables() {
        let environment = environment();
        let expected = ["--flag", "True", "--lr", "0.1", "-n", "5", "--name", "x y", "--plain", "text"];
        assert_eq!(environment.arguments(), expected);
        let variables = environment.variables();
        let of = |name: &str| variables.get(name).map(String::as_str);
        assert_eq!(of("SM_HPS"), Some(r#"{"flag":true,"lr":0.1,"n":5,"name":"x y","plain":"text"}"#));
        assert_eq!(of("SM_HP_NAME"), Some("x y"));
        assert_eq!(of("SM_HP_FLAG"), Some("true"));
        assert_eq!(of("SM_CHANNEL_TRAIN"), Some("/opt/ml/input/data/train"));
        assert_eq!(of("SM_CHANNELS"), Some(r#"["code","train"]"#));
        assert_eq!(of("SM_HOSTS"), Some(r#"["algo-1","algo-2"]"#));
        assert_eq!(of("SM_MODULE_NAME"), Some("train"));
        assert_eq!(of("SM_MODULE_DIR"), Some("s3://b/code/sourcedir.tar.gz"));
        assert_eq!(of("SM_FRAMEWORK_PARAMS"), Some(r#"{"sagemaker_mpi_enabled":true}"#));
        assert_eq!(of("SM_NUM_CPUS"), Some("4"));
        let all: Value =
            of("SM_TRAINING_ENV").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        assert_eq!(all["hyperparameters"]["n"], 5);
        assert_eq!(all["is_master"], true);
        assert!(!variables.keys().any(|name| name.contains("TUNING")));
    }

    #[test]
    fn the_entry_point_decides_the_command() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("train.py"), "")?;
        std::fs::write(folder.path().join("train.sh"), "#!/bin/bash\n")?;
        let command = |name: &str| environment().command(name, folder.path()).ok();
        let python = command("train.py").map(|command| (command.program, command.arguments[..2].join(" ")));
        assert_eq!(python, Some(("python".into(), "-u train.py".into())));
        let shell = command("train.sh").map(|command| (command.program, command.arguments[0].clone()));
        assert_eq!(shell, Some(("/bin/bash".into(), "./train.sh".into())));
        let missing = environment().command("other.py", folder.path()).err();
        let missing = missing.map(|failure| failure.message).unwrap_or_default();
        assert!(missing.contains("train.py, train.sh"), "{missing}");
        std::fs::write(folder.path().join("setup.py"), "")?;
        let module = |name: &str| command(name).map(|command| command.arguments[..3].join(" "));
        assert_eq!(module("train.py").as_deref(), Some("-u -m train"));
        std::fs::create_dir(folder.path().join("pack"))?;
        assert_eq!(module("pack").as_deref(), Some("-u -m pack"));
        Ok(())
    }

    #[test]
    fn entry_points_stay_in_their_folder() {
        for name in ["../x.py", "/etc/x.py", "-c", "a b.py", "", "a//b.py", "$(x).py"] {
            assert!(check_entry_point(name).is_err(), "{name}");
        }
        assert!(check_entry_point("bin/train-2.sh").is_ok());
    }
}
