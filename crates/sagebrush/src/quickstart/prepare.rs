//! Step two: the preparation job, and what it left behind.

use super::QuickstartArgs;
use super::client::Client;
use super::input::Input;
use super::jobs::{PROCESSING, follow};
use super::place::Place;
use super::screen::{Screen, Table, thousands};
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Instant;

/// The chapter's pipeline; uploaded as any user's code is.
const SCRIPT: &str = include_str!("../../../../examples/goodbooks/prepare.sql");
/// Every output of the script, each a folder under /opt/ml/processing/output.
const OUTPUTS: [&str; 8] =
    ["bookratings", "train", "validation", "test", "users", "books", "summary", "quantiles"];
/// Ceiling on the rows of a small result such as the summary.
const SMALL_RESULT: usize = 1_000;

/// How much data there was before or after one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RowCount {
    /// The step, as the script calls it.
    pub step: String,
    /// Ratings left.
    pub ratings: u64,
    /// Users left.
    pub users: u64,
    /// Books left.
    pub books: u64,
}

/// One quantile of the ratings per user or per book.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Quantile {
    /// `user` or `book`.
    pub entity: String,
    /// Between 0 and 1.
    pub quantile: f64,
    /// Ratings.
    pub count: f64,
}

/// What the preparation left behind.
pub(super) struct Prepared {
    /// Rows by step, in order.
    pub rows: Vec<RowCount>,
    /// Quantiles of the input, before anything is left out.
    pub quantiles: Vec<Quantile>,
    /// Users that are left: the vocabulary of `in0`.
    pub users: u32,
    /// Books that are left: the vocabulary of `in1`.
    pub books: u32,
}

/// Uploads the script, runs the job and reads its small results.
pub(super) async fn run(
    client: &Client,
    place: &Place,
    input: &Input,
    args: &QuickstartArgs,
    screen: Screen,
) -> anyhow::Result<Prepared> {
    let script = Bytes::from_static(SCRIPT.as_bytes());
    client.put_object(&place.bucket, &place.key("input/code/prepare.sql"), "text/plain", script).await?;
    let job = place.name("prepare");
    let began = Instant::now();
    client.sagemaker("CreateProcessingJob", &request(place, &job, input, args.seed)).await?;
    let spinner = screen.spinner(&format!("processing job {job}"));
    let shown = spinner.clone();
    let verbose = args.verbose;
    let mut printed: Vec<Quantile> = Vec::new();
    let mut line = |text: &str| {
        if let Some(quantile) = printed_quantile(text)
            && printed.len() < SMALL_RESULT
        {
            printed.push(quantile);
        }
        if verbose {
            shown.suspend(|| screen.note(text));
        } else {
            shown.set_message(text.trim().to_owned());
        }
    };
    let ended = follow(client, &PROCESSING, &job, began, &mut line).await;
    spinner.finish_and_clear();
    if let Err(error) = ended {
        let text = format!("{error:#}");
        // The script stops with these words when the thresholds are too high for the data.
        return match advice(&printed, input) {
            Some(advice) if text.contains("ratings are left") => Err(anyhow!("{advice}\n{text}")),
            _ => Err(error),
        };
    }
    let rows: Vec<RowCount> = small_result(client, place, "summary").await?;
    let quantiles: Vec<Quantile> = small_result(client, place, "quantiles").await?;
    let prepared = judge(rows, quantiles, input)?;
    show(&prepared, screen);
    Ok(prepared)
}

fn request(place: &Place, job: &str, input: &Input, seed: u64) -> Value {
    let settings = [
        format!("user_column={}", input.columns.user),
        format!("item_column={}", input.columns.item),
        format!("rating_column={}", input.columns.rating),
        format!("min_user_ratings={}", input.min_user_ratings),
        format!("min_book_ratings={}", input.min_book_ratings),
        format!("seed={seed}"),
    ];
    let mut arguments = vec!["--script".to_owned(), "/opt/ml/processing/input/code/prepare.sql".to_owned()];
    for setting in settings {
        arguments.extend(["--set".to_owned(), setting]);
    }
    let inputs: Vec<Value> = ["code", "ratings", "books"]
        .iter()
        .map(|name| {
            json!({
                "InputName": name,
                "S3Input": {
                    "S3Uri": place.uri(&format!("input/{name}/")),
                    "LocalPath": format!("/opt/ml/processing/input/{name}"),
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            })
        })
        .collect();
    let outputs: Vec<Value> = OUTPUTS
        .iter()
        .map(|name| {
            json!({
                "OutputName": name,
                "S3Output": {
                    "S3Uri": place.uri(&format!("prepared/{name}")),
                    "LocalPath": format!("/opt/ml/processing/output/{name}"),
                    "S3UploadMode": "EndOfJob",
                },
            })
        })
        .collect();
    json!({
        "ProcessingJobName": job,
        "RoleArn": place.role(),
        "AppSpecification": { "ImageUri": place.image("sagebrush-sql:1"), "ContainerArguments": arguments },
        "ProcessingResources": {
            "ClusterConfig": { "InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30 },
        },
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": { "Outputs": outputs },
        "StoppingCondition": { "MaxRuntimeInSeconds": 3600 },
    })
}

async fn small_result<T: for<'de> Deserialize<'de> + Send>(
    client: &Client,
    place: &Place,
    output: &str,
) -> anyhow::Result<Vec<T>> {
    let mut rows = Vec::new();
    let mut read = |line: &[u8]| {
        if rows.len() == SMALL_RESULT {
            bail!("the output {output} has more than {SMALL_RESULT} rows");
        }
        rows.push(serde_json::from_slice(line)?);
        Ok(())
    };
    read_output(client, place, output, &mut read).await?;
    Ok(rows)
}

/// Hands every line of one output of the job to `line`.
pub(super) async fn read_output(
    client: &Client,
    place: &Place,
    output: &str,
    line: &mut (dyn FnMut(&[u8]) -> anyhow::Result<()> + Send),
) -> anyhow::Result<()> {
    let keys = client.list_keys(&place.bucket, &place.key(&format!("prepared/{output}/"))).await?;
    for key in keys {
        client.read_lines(&place.bucket, &key, line).await?;
    }
    Ok(())
}

/// Makes sure that something is left to learn from; otherwise says what was there and what would fit.
fn judge(rows: Vec<RowCount>, quantiles: Vec<Quantile>, input: &Input) -> anyhow::Result<Prepared> {
    let count = |step: &str| rows.iter().find(|row| row.step == step);
    let all = count("input").context("the preparation left no summary of the input")?;
    let joined = count("joined").context("the preparation left no summary of the joined rows")?;
    let empty = ["train", "validation", "test"]
        .into_iter()
        .find(|step| count(step).is_none_or(|row| row.ratings == 0));
    if let Some(empty) = empty {
        let advice = advice(&quantiles, input).unwrap_or_default();
        bail!("of {} ratings none is left for {empty}. {advice}", thousands(all.ratings));
    }
    let narrow = |number: u64, what: &str| {
        u32::try_from(number).with_context(|| format!("{number} {what} are more than there can be"))
    };
    Ok(Prepared {
        users: narrow(joined.users, "users")?,
        books: narrow(joined.books, "books")?,
        rows,
        quantiles,
    })
}

/// What the thresholds met in the data, and lower ones that keep most of it; nothing where no quantiles are known.
fn advice(quantiles: &[Quantile], input: &Input) -> Option<String> {
    let at = |entity: &str, quantile: f64| {
        quantiles
            .iter()
            .find(|one| one.entity == entity && one.quantile == quantile)
            .map(|one| one.count.max(1.0).round() as u64)
    };
    let (user, book) = (input.min_user_ratings, input.min_book_ratings);
    Some(format!(
        "The thresholds are too high for this data: users have at most {} ratings, half of them {} or more, where \
         {user} are asked for; books have at most {}, half of them {} or more, where {book} are asked for. \
         Try --min-user-ratings {} --min-book-ratings {}",
        thousands(at("user", 1.0)?),
        thousands(at("user", 0.5)?),
        thousands(at("book", 1.0)?),
        thousands(at("book", 0.5)?),
        at("user", 0.25)?.min(u64::from(user)),
        at("book", 0.25)?.min(u64::from(book)),
    ))
}

/// A row of the table of quantiles in the job's log: `user | 0.25 | 96`.
fn printed_quantile(line: &str) -> Option<Quantile> {
    let mut cells = line.split('|').map(str::trim);
    let entity = cells.next().filter(|entity| matches!(*entity, "user" | "book"))?;
    let (quantile, count) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
    Some(Quantile { entity: entity.to_owned(), quantile, count })
}

fn show(prepared: &Prepared, screen: Screen) {
    let mut rows = Table::new(&["after", ">ratings", ">users", ">books"]);
    for row in &prepared.rows {
        rows.row(vec![row.step.clone(), thousands(row.ratings), thousands(row.users), thousands(row.books)]);
    }
    screen.table(&rows);
    screen.line("");
    let mut points: Vec<f64> = prepared.quantiles.iter().map(|one| one.quantile).collect();
    points.sort_by(f64::total_cmp);
    points.dedup();
    let header: Vec<String> = std::iter::once("ratings per".to_owned())
        .chain(points.iter().map(|point| format!(">{:.0} %", point * 100.0)))
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = Table::new(&header);
    for entity in ["user", "book"] {
        let mut cells = vec![entity.to_owned()];
        cells.extend(points.iter().map(|point| {
            let found = prepared.quantiles.iter().find(|one| one.entity == entity && one.quantile == *point);
            found.map_or_else(String::new, |one| thousands(one.count.max(0.0).round() as u64))
        }));
        table.row(cells);
    }
    screen.table(&table);
}

#[cfg(test)]
mod tests {
    use super::super::input::Columns;
    use super::*;

    fn input() -> Input {
        Input {
            source: String::new(),
            ratings: "r.csv".into(),
            books: None,
            columns: Columns::default(),
            min_user_ratings: 130,
            min_book_ratings: 1_200,
        }
    }

    fn rows(left: u64) -> Vec<RowCount> {
        [("input", 1_000), ("users kept", 10), ("books kept", 5), ("joined", left), ("train", left)]
            .into_iter()
            .chain([("validation", left), ("test", left)])
            .map(|(step, ratings)| RowCount { step: step.into(), ratings, users: ratings / 5, books: 2 })
            .collect()
    }

    #[test]
    fn thresholds_that_leave_nothing_are_explained_with_fitting_ones() {
        let log = [
            "  entity | quantile | count",
            "  -------+----------+------",
            "  user   | 0.25     | 139",
            "  user   | 0.5      | 142",
            "  user   | 1.0      | 177",
            "  book   | 0.25     | 9",
            "  book   | 0.5      | 24",
            "  book   | 1.0      | 1187",
            "read 5 | 6",
        ];
        let quantiles: Vec<Quantile> = log.iter().filter_map(|line| printed_quantile(line)).collect();
        assert_eq!(quantiles.len(), 6);
        let error = judge(rows(0), quantiles, &input()).err().expect("nothing left").to_string();
        assert!(error.starts_with("of 1,000 ratings none is left for train."), "{error}");
        assert!(error.contains("books have at most 1,187, half of them 24 or more, where 1200"), "{error}");
        assert!(error.ends_with("--min-user-ratings 130 --min-book-ratings 9"), "{error}");
        assert!(advice(&[], &input()).is_none());
        let prepared = judge(rows(50), Vec::new(), &input()).expect("enough");
        assert_eq!((prepared.users, prepared.books), (10, 2));
    }

    #[test]
    fn the_request_names_every_input_and_output() {
        let place = Place::new("us-east-1", "123456789012", time::OffsetDateTime::UNIX_EPOCH);
        let request = request(&place, "job", &input(), 7);
        assert_eq!(request.pointer("/ProcessingInputs/1/InputName"), Some(&json!("ratings")));
        let outputs = request.pointer("/ProcessingOutputConfig/Outputs").and_then(Value::as_array);
        assert_eq!(outputs.map(Vec::len), Some(OUTPUTS.len()));
        let arguments = request.pointer("/AppSpecification/ContainerArguments").map(Value::to_string);
        assert!(arguments.is_some_and(|text| text.contains("\"seed=7\"")));
    }
}
