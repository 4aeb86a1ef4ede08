//! sagebrush: the SageMaker workflow on your own machines, in one binary.
//!
//! The composition root: command line, configuration, wiring. It decides nothing else.

mod access_key;
mod algorithm;
mod audit;
mod data_dir;
mod environment;
mod leaderboard;
mod python;
mod quickstart;
mod sample_data;
mod serve;
mod trace;
mod tuning;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The SageMaker workflow on your own machines: prepare, train, deploy and predict through the AWS
/// API, with one binary and no AWS account.
#[derive(Parser)]
#[command(
    name = "sagebrush",
    version,
    after_help = "Examples:
  sagebrush quickstart --sample           see the whole workflow in about a minute
  sagebrush serve                         start a server on ./sagebrush-data
  eval \"$(sagebrush env)\"                 point boto3, the AWS CLI and the SDKs at it"
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole workflow on a ratings file, as a client of a server of its own.
    Quickstart(Box<quickstart::QuickstartArgs>),
    /// Serve the AWS API.
    Serve(serve::ServeArgs),
    /// Write the report of a tuning job.
    Tuning(tuning::TuningArgs),
    /// Show the best training jobs by a metric.
    Leaderboard(leaderboard::LeaderboardArgs),
    /// Show what an endpoint came from, down to the raw data.
    Trace(trace::TraceArgs),
    /// Make, list and remove the Python environments that scripts run in.
    Python(python::PythonArgs),
    /// Print shell commands that point AWS clients at a server.
    Env(environment::EnvArgs),
    /// Make, list, disable and delete access keys.
    AccessKey(access_key::AccessKeyArgs),
    /// Say what the users of access keys may do.
    Policy(access_key::PolicyArgs),
    /// Print who did what, from the audit log.
    Audit(audit::AuditArgs),
    /// Run a built-in algorithm under the container contract.
    #[command(hide = true)]
    Algorithm(algorithm::AlgorithmArgs),
    /// Run a program in a sandbox; the server starts it.
    #[command(hide = true)]
    Sandbox(python::DescriptionArgs),
    /// Run a script in its Python environment, in a sandbox; the server starts it.
    #[command(hide = true)]
    Script(python::DescriptionArgs),
    /// Remove the containers of a server that ends; the server starts it.
    #[command(hide = true)]
    ContainerGuard(serve::GuardArgs),
}

fn main() -> ExitCode {
    let CommandLine { command } = CommandLine::parse();
    let outcome = match command {
        // A training run has no use for an asynchronous runtime.
        Command::Algorithm(args) => return algorithm::run(args),
        // One thread: namespaces of a whole process are made here.
        Command::Sandbox(args) => return python::run_sandbox(&args),
        Command::Script(args) => return python::run_script(&args),
        Command::Python(args) => python::run(args),
        Command::Env(args) => environment::run(&args),
        Command::AccessKey(args) => access_key::run_access_key(&args),
        Command::Policy(args) => access_key::run_policy(&args),
        Command::Audit(args) => audit::run(args),
        Command::Tuning(args) => block_on(tuning::run(args)),
        Command::Leaderboard(args) => block_on(leaderboard::run(args)),
        Command::Trace(args) => block_on(trace::run(args)),
        Command::Serve(args) => block_on(serve::run(args)),
        Command::ContainerGuard(args) => block_on(serve::guard(args)),
        Command::Quickstart(args) => block_on(quickstart::run(*args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sagebrush: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
