//! `sagebrush leaderboard`: the best training jobs by a metric, as a client of a running server.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::data_dir::{read_credentials, read_server_info};
use crate::quickstart::client::Client;

/// Jobs on one page of a search; AWS's most.
const PAGE: usize = 100;
/// The most jobs that are shown.
const SHOWN: usize = 10_000;
/// Hyperparameters that get a column in the table when none is asked for.
const COLUMNS: usize = 8;

/// Options of `sagebrush leaderboard`.
#[derive(clap::Args)]
#[command(
    after_help = "A filter is PROPERTY OPERATOR VALUE with one of = != > >= < <= ~ (contains), or PROPERTY alone (is there).
Properties are those of Search: HyperParameters.NAME, Metrics.NAME, Tags.KEY, TrainingJobStatus,
CreationTime, InputDataConfig.DataSource.S3DataSource.S3Uri and any other of the job.

Examples:
  sagebrush leaderboard --metric validation:mean_squared_error
  sagebrush leaderboard --metric validation:mean_squared_error --filter 'HyperParameters.enc_dim>=32' --filter 'Tags.stage=prod'
  sagebrush leaderboard --metric validation:accuracy --largest --limit 5 --format csv
  sagebrush leaderboard --metric train:throughput --filter 'CreationTime>2026-11-01' --format json"
)]
pub struct LeaderboardArgs {
    /// Name of the metric, as FinalMetricDataList has it.
    #[arg(long)]
    metric: String,
    /// Jobs that count; repeated, every filter must hold.
    #[arg(long = "filter", value_name = "FILTER", value_parser = filter)]
    filters: Vec<Value>,
    /// The largest value is the best; without it the smallest.
    #[arg(long)]
    largest: bool,
    /// Jobs to show.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Hyperparameters to show; without it those in which the shown jobs differ.
    #[arg(long = "show", value_name = "HYPERPARAMETER")]
    show: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The server's data folder.
    #[arg(long, default_value = "sagebrush-data", env = "SAGEBRUSH_DATA_DIR")]
    data_dir: PathBuf,
    /// Region of the jobs; the server's own when it is not given.
    #[arg(long)]
    region: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
    Csv,
}

/// A filter as a user writes it, as Search takes it.
fn filter(text: &str) -> Result<Value, String> {
    const OPERATORS: &[(&str, &str)] = &[
        (">=", "GreaterThanOrEqualTo"),
        ("<=", "LessThanOrEqualTo"),
        ("!=", "NotEquals"),
        ("=", "Equals"),
        (">", "GreaterThan"),
        ("<", "LessThan"),
        ("~", "Contains"),
    ];
    // The first operator counts: a value may hold others.
    let found = OPERATORS
        .iter()
        .filter_map(|(sign, operator)| Some((text.find(sign)?, sign, operator)))
        .min_by_key(|(at, sign, _)| (*at, usize::MAX - sign.len()));
    match found {
        Some((at, sign, operator)) => {
            let (name, value) = (text[..at].trim(), text[at + sign.len()..].trim());
            if name.is_empty() || value.is_empty() {
                return Err(format!("'{text}' has nothing on one side of {sign}"));
            }
            Ok(json!({"Name": name, "Operator": operator, "Value": value}))
        }
        None if text.trim().is_empty() => Err("a filter names a property".into()),
        None => Ok(json!({"Name": text.trim(), "Operator": "Exists"})),
    }
}

/// Carries the command out.
pub async fn run(args: LeaderboardArgs) -> anyhow::Result<()> {
    if !(1..=SHOWN).contains(&args.limit) {
        bail!("--limit {}: between 1 and {SHOWN} jobs can be shown", args.limit);
    }
    let info = read_server_info(&args.data_dir)?;
    let region = args.region.as_deref().unwrap_or(&info.region);
    let client = Client::new(&info.endpoint, region, read_credentials(&args.data_dir)?)?;
    let jobs = search(&client, &args).await?;
    if jobs.is_empty() && args.format == Format::Table {
        bail!(
            "no training job with the metric {} passes the filters. DescribeTrainingJob shows a job's metrics in FinalMetricDataList.",
            args.metric
        );
    }
    let columns = if args.show.is_empty() { differing(&jobs, args.format) } else { args.show.clone() };
    let rows: Vec<Map<String, Value>> =
        jobs.iter().zip(1..).map(|(job, rank)| row(job, rank, &args.metric, &columns)).collect();
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&rows)?),
        Format::Csv => print!("{}", csv(&rows)),
        Format::Table => print!("{}", table(&rows)),
    }
    Ok(())
}

async fn search(client: &Client, args: &LeaderboardArgs) -> anyhow::Result<Vec<Value>> {
    let property = format!("Metrics.{}", args.metric);
    let mut filters = args.filters.clone();
    filters.push(json!({"Name": property, "Operator": "Exists"}));
    let mut request = json!({
        "Resource": "TrainingJob",
        "SearchExpression": {"Filters": filters},
        "SortBy": property,
        "SortOrder": if args.largest { "Descending" } else { "Ascending" },
    });
    let mut jobs = Vec::new();
    loop {
        request["MaxResults"] = json!(PAGE.min(args.limit - jobs.len()));
        let page = client.sagemaker("Search", &request).await?;
        let results = page["Results"].as_array().context("Search answered without Results")?;
        jobs.extend(results.iter().map(|result| result["TrainingJob"].clone()));
        match page.get("NextToken") {
            Some(token) if jobs.len() < args.limit => request["NextToken"] = token.clone(),
            _ => return Ok(jobs),
        }
    }
}

/// The hyperparameters that do not have one value in all jobs.
fn differing(jobs: &[Value], format: Format) -> Vec<String> {
    let names: BTreeSet<&String> =
        jobs.iter().filter_map(|job| job["HyperParameters"].as_object()).flat_map(Map::keys).collect();
    let differ = names.into_iter().filter(|name| {
        let values: BTreeSet<Option<&str>> =
            jobs.iter().map(|job| job["HyperParameters"][name.as_str()].as_str()).collect();
        values.len() > 1
    });
    let most = if format == Format::Table { COLUMNS } else { usize::MAX };
    differ.take(most).cloned().collect()
}

fn row(job: &Value, rank: usize, metric: &str, columns: &[String]) -> Map<String, Value> {
    let finals = job["FinalMetricDataList"].as_array().into_iter().flatten();
    let value = finals
        .filter(|one| one["MetricName"] == metric)
        .map(|one| one["Value"].clone())
        .next()
        .unwrap_or_default();
    let mut row = Map::new();
    row.insert("rank".into(), json!(rank));
    row.insert("training_job".into(), job["TrainingJobName"].clone());
    row.insert(metric.to_owned(), value);
    for column in columns {
        row.insert(column.clone(), job["HyperParameters"][column.as_str()].clone());
    }
    row
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn header(rows: &[Map<String, Value>]) -> Vec<String> {
    rows.first().map(|row| row.keys().cloned().collect()).unwrap_or_default()
}

fn csv(rows: &[Map<String, Value>]) -> String {
    let quoted = |text: String| {
        let special = text.contains([',', '"', '\n']);
        if special { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    let line = |cells: Vec<String>| cells.into_iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
    let mut text = line(header(rows));
    for row in rows {
        text.push_str(&line(row.values().map(cell).collect()));
    }
    text
}

fn table(rows: &[Map<String, Value>]) -> String {
    let mut lines = vec![header(rows)];
    lines.extend(rows.iter().map(|row| row.values().map(cell).collect::<Vec<_>>()));
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_at_their_first_operator() {
        let parts = |text: &str| {
            filter(text).map(|one| {
                format!("{} {} {}", cell(&one["Name"]), cell(&one["Operator"]), cell(&one["Value"]))
            })
        };
        assert_eq!(
            parts("HyperParameters.a>=32").as_deref(),
            Ok("HyperParameters.a GreaterThanOrEqualTo 32")
        );
        assert_eq!(parts("Tags.x = a=b").as_deref(), Ok("Tags.x Equals a=b"));
        assert_eq!(parts("Tags.x!=a").as_deref(), Ok("Tags.x NotEquals a"));
        assert_eq!(parts("FailureReason").as_deref(), Ok("FailureReason Exists "));
        assert!(filter("=3").is_err() && filter("a=").is_err() && filter(" ").is_err());
    }

    #[test]
    fn only_what_differs_gets_a_column_and_csv_is_quoted() {
        let job = |dim: &str| {
            json!({"TrainingJobName": format!("j,{dim}"), "HyperParameters": {"dim": dim, "same": "1"},
                   "FinalMetricDataList": [{"MetricName": "m", "Value": 0.5}]})
        };
        let jobs = [job("8"), job("16")];
        let columns = differing(&jobs, Format::Table);
        assert_eq!(columns, ["dim"]);
        let rows: Vec<_> = jobs.iter().zip(1..).map(|(job, rank)| row(job, rank, "m", &columns)).collect();
        assert_eq!(csv(&rows), "rank,training_job,m,dim\n1,\"j,8\",0.5,8\n2,\"j,16\",0.5,16\n");
        assert_eq!(table(&rows).lines().next(), Some("rank  training_job  m    dim"));
    }
}
