//! `sagebrush python`: the Python environments that scripts run in, and the hidden commands that run them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use sagebrush_control_plane::{Catalogue, PythonSettings, Stand, framework};
use sagebrush_runner::python::{Environments, Wanted, is_setting};
use sagebrush_runner::{sandbox, script};

/// The operator's file in a data folder, when no other is named.
const IMAGES: &str = "images.toml";
/// The folder of environments in a data folder.
const FOLDER: &str = "python";

/// Options of `sagebrush python`.
#[derive(clap::Args)]
#[command(
    after_help = "Environments are made at the first use of an image; prepare makes one in advance, also from a folder of
wheels on a machine that reaches no package index. pip's PIP_* variables count.

Examples:
  sagebrush python prepare 683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3
  sagebrush python prepare --wheels ./wheels pytorch-training:2.3.0-cpu-py311
  sagebrush python list
  sagebrush python remove 0123456789abcdef"
)]
pub struct PythonArgs {
    /// The server's data folder.
    #[arg(long, default_value = "sagebrush-data", env = "SAGEBRUSH_DATA_DIR", global = true)]
    data_dir: PathBuf,
    /// What images stand for; DIR/images.toml when it is not given.
    #[arg(long, value_name = "FILE", env = "SAGEBRUSH_IMAGES", global = true)]
    images: Option<PathBuf>,
    #[command(subcommand)]
    task: Task,
}

#[derive(clap::Subcommand)]
enum Task {
    /// Show the environments that are there.
    List,
    /// Make the environment of an image, and of a list of requirements on top of it.
    Prepare {
        /// An image URI, or an image's name and tag.
        image: String,
        /// A requirements.txt as a job has it beside its script.
        #[arg(long, value_name = "FILE")]
        requirements: Option<PathBuf>,
        /// Take packages from this folder alone.
        #[arg(long, value_name = "DIR")]
        wheels: Option<PathBuf>,
    },
    /// Remove environments by their names, as list shows them.
    Remove {
        /// Names.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Options of the hidden commands that take a description.
#[derive(clap::Args)]
pub struct DescriptionArgs {
    /// This is process 1 of the sandbox.
    #[arg(long)]
    inside: bool,
    /// What to run.
    description: PathBuf,
}

/// `sagebrush sandbox`.
pub fn run_sandbox(args: &DescriptionArgs) -> ExitCode {
    sandbox::run(&args.description, args.inside)
}

/// `sagebrush script`.
pub fn run_script(args: &DescriptionArgs) -> ExitCode {
    script::run(&args.description)
}

/// What the control plane needs to run scripts: environments of a data folder and what images stand for.
pub fn settings(data: &Path, images: Option<&Path>) -> anyhow::Result<PythonSettings> {
    let usual = data.join(IMAGES);
    let file = images.or_else(|| usual.exists().then_some(usual.as_path()));
    let catalogue = match file {
        Some(file) => read_catalogue(file)?,
        None => Catalogue::default(),
    };
    let environments = environments(data, [])?;
    Ok(PythonSettings { environments, catalogue, hidden: vec![data.to_path_buf()] })
}

fn read_catalogue(file: &Path) -> anyhow::Result<Catalogue> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the file of images {} cannot be read", file.display()))?;
    Catalogue::parse(&text)
        .map_err(|why| anyhow::anyhow!("the file of images {} is wrong: {why}", file.display()))
}

fn environments(
    data: &Path,
    more: impl IntoIterator<Item = (String, String)>,
) -> anyhow::Result<Environments> {
    // What is no text is no setting of these.
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let settings: BTreeMap<String, String> = own.filter(|(name, _)| is_setting(name)).chain(more).collect();
    let executable = std::env::current_exe().context("this program's own file is unknown")?;
    Ok(Environments::new(data.join(FOLDER), executable, settings))
}

/// Runs `sagebrush python`.
pub fn run(args: PythonArgs) -> anyhow::Result<()> {
    let data = std::path::absolute(&args.data_dir)?;
    let settings = settings(&data, args.images.as_deref())?;
    match args.task {
        Task::List => {
            for environment in settings.environments.list()? {
                println!(
                    "{}  Python {}  {}  {}",
                    environment.id,
                    environment.python,
                    environment.name,
                    environment.packages.join(" ")
                );
            }
            Ok(())
        }
        Task::Remove { names } => names.iter().try_for_each(|name| Ok(settings.environments.remove(name)?)),
        Task::Prepare { image, requirements, wheels } => {
            let wanted = wanted(&settings.catalogue, &image)?;
            let environments = match wheels {
                Some(wheels) => offline(&data, &wheels)?,
                None => settings.environments,
            };
            let mut say = |line: &str| println!("{line}");
            let mut made = environments.ensure(&wanted, &mut say)?;
            if let Some(file) = requirements {
                made = environments.extend(&made, &file, &mut say)?;
            }
            println!("{}", made.id);
            Ok(())
        }
    }
}

fn wanted(catalogue: &Catalogue, image: &str) -> anyhow::Result<Wanted> {
    match catalogue.mapped(image) {
        Some(Stand::Python(wanted)) => Ok(wanted),
        Some(Stand::Container(name)) => bail!("'{image}' stands for the container image '{name}'"),
        None => framework(image).with_context(|| {
            format!("'{image}' is no framework image that is known here; say what it stands for in {IMAGES}")
        }),
    }
}

/// Environments whose packages come from a folder alone.
fn offline(data: &Path, wheels: &Path) -> anyhow::Result<Environments> {
    let wheels = wheels.canonicalize().with_context(|| format!("the folder {}", wheels.display()))?;
    let wheels = wheels.to_string_lossy().into_owned();
    environments(data, [("PIP_NO_INDEX".to_owned(), "1".to_owned()), ("PIP_FIND_LINKS".to_owned(), wheels)])
}
