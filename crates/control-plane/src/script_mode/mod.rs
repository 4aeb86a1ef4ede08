//! Script mode: what a framework image does with a user's script, done here with a managed Python
//! environment in a sandbox. Training scripts get what the SageMaker training toolkit gives them, inference
//! scripts a model server, processing scripts their entry point.
//!
//! Promises: a script finds `/opt/ml`, the `SM_` variables and its command line as in AWS's images; what
//! cannot be had, such as a package, fails the job with the reason. Never: to run anything of the user's
//! outside the sandbox.

mod catalogue;
mod code;
mod python_text;
mod toolkit;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use sagebrush_env::durable::{self, Readers};
use sagebrush_runner::python::{Environments, Wanted};
use sagebrush_runner::sandbox::{Bind, Ceilings, Report, Sandbox};
use sagebrush_runner::script::Script;
use sagebrush_runner::{Layout, Network, Process, Program};
use sagebrush_types::{Failure, Outcome};
use serde_json::Value;

pub use catalogue::{Catalogue, Stand, framework};
pub use toolkit::check_entry_point;
use toolkit::{CODE, CommandLine, TrainingEnvironment};

use crate::image::{Launch, Task, memory_of};
use crate::{ControlPlane, reconcile};

/// The model server for inference scripts.
const MODEL_SERVER: &str = include_str!("model_server.py");
/// Names the entry point where no hyperparameter does.
pub const PROGRAM_VARIABLE: &str = "SAGEMAKER_PROGRAM";

/// What script mode is made with.
#[derive(Debug, Clone)]
pub struct PythonSettings {
    /// The environments of the data folder.
    pub environments: Environments,
    /// What images mean, by the operator's file.
    pub catalogue: Catalogue,
    /// Folders that no script sees: the data folder.
    pub hidden: Vec<PathBuf>,
}

impl ControlPlane {
    /// The program that does a task with a script.
    ///
    /// # Errors
    /// `Invalid` for code that cannot be had, with words for the user.
    pub(crate) async fn script(&self, wanted: &Wanted, launch: Launch<'_>) -> Outcome<Program> {
        let code = match launch.task {
            Task::Train => self.stage_training_code(launch.layout).await?,
            Task::Serve => self.stage_inference_code(launch.layout, &launch.environment).await?,
            Task::Process => None,
        };
        let scratch = absolute(launch.work.join(format!("sandbox-{}", launch.host)))?;
        std::fs::create_dir_all(&scratch).map_err(Failure::internal)?;
        let mut sandbox = self.sandbox(&launch, scratch.clone())?;
        match launch.task {
            Task::Train => train(&mut sandbox, &launch, code)?,
            Task::Serve => serve(&mut sandbox, launch.layout)?,
            Task::Process => process(&mut sandbox, &launch)?,
        }
        let script = Script {
            environments: self.shared.settings.python.environments.clone(),
            wanted: wanted.clone(),
            requirements: code::requirements(launch.layout),
            sandbox,
        };
        let description = scratch.join("script.json");
        script.write(&description).map_err(Failure::internal)?;
        Ok(Program::Process(Process {
            executable: self.shared.settings.executable.clone(),
            arguments: vec!["script".into(), description.into()],
            // One marker for all hosts of a job: their programs are looked for together.
            environment: reconcile::marked(BTreeMap::new(), &launch.work.join("opt-ml")),
            folder: launch.layout.root().to_path_buf(),
        }))
    }

    /// What every script's sandbox has.
    fn sandbox(&self, launch: &Launch<'_>, scratch: PathBuf) -> Outcome<Sandbox> {
        let mut environment = launch.environment.clone();
        for (name, value) in [("HOME", "/root"), ("LANG", "C.UTF-8"), ("PYTHONUNBUFFERED", "1")] {
            environment.entry(name.into()).or_insert_with(|| value.into());
        }
        if let Some(region) = environment.get("AWS_REGION").cloned() {
            environment.entry("AWS_DEFAULT_REGION".into()).or_insert(region);
        }
        // A script may install packages while it runs, from where the server's operator says.
        for (name, value) in self.shared.settings.python.environments.open_settings() {
            environment.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let mut binds = Vec::new();
        for mount in &launch.mounts {
            // The whole of `/opt/ml` is there; only what lies elsewhere here needs to be shown.
            if let Some(folder) = &mount.folder {
                std::fs::create_dir_all(folder).map_err(Failure::internal)?;
                let target = PathBuf::from(&mount.place);
                binds.push(Bind { folder: absolute(folder.clone())?, target, read_only: mount.read_only });
            }
        }
        Ok(Sandbox {
            ml: Some(absolute(launch.layout.root().to_path_buf())?),
            // Several model servers share one folder.
            ml_read_only: launch.task == Task::Serve,
            binds,
            hidden: self.shared.settings.python.hidden.clone(),
            host_name: launch.host.to_owned(),
            hosts: addresses(launch.layout),
            isolated: matches!(launch.network, Network::None),
            ceilings: Ceilings { memory: Some(memory_of(launch.instance_type)), ..Ceilings::default() },
            environment,
            folder: "/opt/ml".into(),
            ..Sandbox::of("python", scratch)
        })
    }

    /// Fetches the code that a training job's hyperparameters name; returns what the toolkit finds.
    async fn stage_training_code(&self, layout: &Layout) -> Outcome<Option<TrainingEnvironment>> {
        let environment = training_environment(layout)?;
        std::fs::create_dir_all(layout.root().join("code")).map_err(Failure::internal)?;
        if let Some(place) = environment.submit_directory() {
            code::stage(self.objects(), &place, layout).await?;
        }
        Ok(Some(environment))
    }

    /// Fetches the code that a model's environment names, when it is not within the model.
    async fn stage_inference_code(
        &self,
        layout: &Layout,
        environment: &BTreeMap<String, String>,
    ) -> Outcome<Option<TrainingEnvironment>> {
        if let Some(program) = environment.get(PROGRAM_VARIABLE) {
            check_entry_point(program)?;
        }
        let place = environment.get("SAGEMAKER_SUBMIT_DIRECTORY").filter(|place| place.starts_with("s3://"));
        // The servers of a model share the folder; the first of them fetches.
        if let Some(place) = place.filter(|_| !layout.root().join("code").is_dir()) {
            code::stage(self.objects(), place, layout).await?;
        }
        Ok(None)
    }
}

/// The toolkit's view of a laid out training job.
fn training_environment(layout: &Layout) -> Outcome<TrainingEnvironment> {
    let read = |name: &str| -> Outcome<Value> {
        let text = std::fs::read(layout.root().join("input/config").join(name)).map_err(Failure::internal)?;
        serde_json::from_slice(&text).map_err(Failure::internal)
    };
    let hyperparameters = serde_json::from_value(read("hyperparameters.json")?).map_err(Failure::internal)?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(TrainingEnvironment::new(
        &hyperparameters,
        read("resourceconfig.json")?,
        read("inputdataconfig.json")?,
        cpus,
    ))
}

/// A training script: by the request's entry point, or as the toolkit starts it.
fn train(sandbox: &mut Sandbox, launch: &Launch<'_>, code: Option<TrainingEnvironment>) -> Outcome<()> {
    sandbox.report = Some(Report::Failure);
    let toolkit = code.ok_or_else(|| Failure::internal("a training script without its environment"))?;
    let toolkit = toolkit.with_variables(&launch.environment);
    if let Some(entry_point) = &launch.entrypoint {
        return run_entry_point(sandbox, entry_point, launch.arguments.as_deref());
    }
    let entry_point = toolkit.entry_point().ok_or_else(|| {
        Failure::invalid(
            "HyperParameters: the image runs scripts; name one with the hyperparameter sagemaker_program, or give a \
             ContainerEntrypoint.",
        )
    })?;
    let CommandLine { program, arguments } =
        toolkit.command(&entry_point, &launch.layout.root().join("code"))?;
    (sandbox.program, sandbox.arguments) = (program, arguments);
    for (name, value) in toolkit.variables() {
        sandbox.environment.entry(name).or_insert(value);
    }
    sandbox.environment.entry("PYTHONPATH".into()).or_insert_with(|| CODE.into());
    sandbox.folder = CODE.into();
    Ok(())
}

/// A processing script, which has no entry point but the request's.
fn process(sandbox: &mut Sandbox, launch: &Launch<'_>) -> Outcome<()> {
    sandbox.report = Some(Report::Message);
    let entry_point = launch.entrypoint.as_ref().ok_or_else(|| {
        Failure::invalid(
            "AppSpecification.ContainerEntrypoint: the image runs scripts and has no entry point of its own; give one, \
             such as [\"python3\", \"/opt/ml/processing/input/code/script.py\"].",
        )
    })?;
    run_entry_point(sandbox, entry_point, launch.arguments.as_deref())
}

fn run_entry_point(
    sandbox: &mut Sandbox,
    entry_point: &[String],
    arguments: Option<&[String]>,
) -> Outcome<()> {
    let (program, first) =
        entry_point.split_first().ok_or_else(|| Failure::invalid("ContainerEntrypoint: it is empty."))?;
    sandbox.program = program.clone();
    sandbox.arguments = first.iter().chain(arguments.unwrap_or_default()).cloned().collect();
    Ok(())
}

/// An inference script behind the model server. Where it listens is known when it starts.
fn serve(sandbox: &mut Sandbox, layout: &Layout) -> Outcome<()> {
    let file = sandbox.scratch.join("model_server.py");
    durable::write(&file, MODEL_SERVER.as_bytes(), Readers::Default).map_err(Failure::internal)?;
    let mut arguments = vec![file.to_string_lossy().into_owned()];
    for folder in ["/opt/ml/model/code", CODE] {
        let inside = layout.place(folder).is_some_and(|place| place.is_dir());
        if inside {
            arguments.extend(["--code".to_owned(), folder.to_owned()]);
        }
    }
    sandbox.readable.push(file);
    sandbox.arguments = arguments;
    sandbox.is_server = true;
    Ok(())
}

/// Addresses under which the hosts of a job find each other: loopback addresses, since all of them are
/// this machine.
fn addresses(layout: &Layout) -> Vec<(String, IpAddr)> {
    let places = ["input/config/resourceconfig.json", "config/resourceconfig.json"];
    let text = places.iter().find_map(|place| std::fs::read(layout.root().join(place)).ok());
    let resources: Value = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let hosts = resources["hosts"].as_array().cloned().unwrap_or_default();
    let address = |place: usize| IpAddr::V4(Ipv4Addr::new(127, 0, 0, u8::try_from(place + 1).unwrap_or(1)));
    let named = hosts
        .iter()
        .enumerate()
        .filter_map(|(place, host)| Some((host.as_str()?.to_owned(), address(place))));
    named.collect()
}

fn absolute(path: PathBuf) -> Outcome<PathBuf> {
    std::path::absolute(path).map_err(Failure::internal)
}
