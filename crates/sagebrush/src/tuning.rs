//! `sagebrush tuning`: what tuning jobs found out, as a client of a running server.

use std::path::PathBuf;

use anyhow::{Context, bail};
use sagebrush_control_plane::tuning_report;
use sagebrush_types::limits::{LIST_PAGE_MAX, TUNING_TRAINING_JOBS};
use serde_json::{Value, json};

use crate::data_dir::{read_credentials, read_server_info};
use crate::quickstart::client::Client;

/// Options of `sagebrush tuning`.
#[derive(clap::Args)]
pub struct TuningArgs {
    #[command(subcommand)]
    command: TuningCommand,
}

#[derive(clap::Subcommand)]
enum TuningCommand {
    /// Write the report of a tuning job, also while it runs: an HTML page and a CSV table.
    Report(ReportArgs),
}

#[derive(clap::Args)]
#[command(after_help = "A tuning job that has ended has left the same files beside its models, under
<S3OutputPath>/<NAME>/report/.

Examples:
  sagebrush tuning report goodbooks-tuning
  sagebrush tuning report goodbooks-tuning --data-dir /srv/sagebrush --output reports")]
struct ReportArgs {
    /// Name of the tuning job.
    name: String,
    /// The server's data folder.
    #[arg(long, default_value = "sagebrush-data", env = "SAGEBRUSH_DATA_DIR")]
    data_dir: PathBuf,
    /// Region of the tuning job; the server's own when it is not given.
    #[arg(long)]
    region: Option<String>,
    /// Folder for the files; made when it is not there. NAME-report when it is not given.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Carries the command out.
pub async fn run(args: TuningArgs) -> anyhow::Result<()> {
    match args.command {
        TuningCommand::Report(args) => report(args).await,
    }
}

async fn report(args: ReportArgs) -> anyhow::Result<()> {
    let info = read_server_info(&args.data_dir)?;
    let region = args.region.as_deref().unwrap_or(&info.region);
    let client = Client::new(&info.endpoint, region, read_credentials(&args.data_dir)?)?;
    let name = json!({"HyperParameterTuningJobName": args.name});
    let description = client.sagemaker("DescribeHyperParameterTuningJob", &name).await?;
    let jobs = training_jobs(&client, &args.name).await?;
    let files = tuning_report(&description, &jobs)
        .map_err(|failure| anyhow::anyhow!(failure.cause.unwrap_or(failure.message)))?;
    let folder = args.output.unwrap_or_else(|| PathBuf::from(format!("{}-report", args.name)));
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for file in files {
        let path = folder.join(file.name);
        std::fs::write(&path, file.content)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

async fn training_jobs(client: &Client, name: &str) -> anyhow::Result<Vec<Value>> {
    let mut jobs = Vec::new();
    let mut token = Value::Null;
    // The list grows while the tuning job runs, but not beyond its limit.
    for _ in 0..=TUNING_TRAINING_JOBS / LIST_PAGE_MAX {
        let mut request = json!({
            "HyperParameterTuningJobName": name, "SortBy": "Name", "SortOrder": "Ascending",
            "MaxResults": LIST_PAGE_MAX,
        });
        if !token.is_null() {
            request["NextToken"] = token;
        }
        let mut answer = client.sagemaker("ListTrainingJobsForHyperParameterTuningJob", &request).await?;
        match answer["TrainingJobSummaries"].take() {
            Value::Array(page) => jobs.extend(page),
            _ => bail!("ListTrainingJobsForHyperParameterTuningJob answered no list"),
        }
        token = answer["NextToken"].take();
        if token.is_null() {
            break;
        }
    }
    Ok(jobs)
}
