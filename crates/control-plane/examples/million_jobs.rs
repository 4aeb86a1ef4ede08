//! Search over many training jobs: fills a metastore with generated jobs of 20 hyperparameters and 10
//! final metrics, and times five kinds of searches, creation with and without the index, and what lies
//! on disk and in memory. `benches/search/README.md` says how to run it and what came out.

use std::path::Path;
use std::time::{Duration, Instant};

use sagebrush_control_plane::INDEX_RULES;
use sagebrush_env::Clock;
use sagebrush_metastore::{
    Condition, Expression, IndexRules, Key, Metastore, NewRecord, Order, Query, Scalar, SortKey, Tag, Test,
    Write,
};
use sagebrush_types::Resource;
use serde_json::{Map, Value, json};

/// Jobs in one transaction of the bulk path.
const BATCH: u64 = 1_000;
/// Jobs of each creation rate without bulk.
const ALONE: u64 = 8_000;
/// Searches of each kind.
const SEARCHES: u64 = 100;
const PAGE: usize = 100;

static WITHOUT_INDEX: IndexRules = IndexRules { enabled: false, ..INDEX_RULES };

/// SplitMix64: the same jobs in every run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn job(number: u64) -> NewRecord {
    let mut draw = Draw(number);
    let name = format!("job-{number:07}-{}", ["tuning", "nightly", "manual"][draw.below(3) as usize]);
    let created = 1_700_000_000_000 + number as i64 * 10_000;
    let seconds = created as f64 / 1000.0;
    let mut hyperparameters = Map::new();
    for at in 0..10 {
        hyperparameters.insert(format!("choice_{at}"), json!((1 << draw.below(10)).to_string()));
        hyperparameters.insert(format!("rate_{at}"), json!(format!("{:.6}", draw.unit())));
    }
    let metrics: Vec<Value> = (0..10)
        .map(|at| json!({"MetricName": format!("metric:{at}"), "Value": draw.unit() * 2.0, "Timestamp": seconds}))
        .collect();
    let status = if draw.below(20) == 0 { "Failed" } else { "Completed" };
    let image =
        ["object2vec:1", "xgboost:1.7", "linear-learner:1", "custom/trainer:3"][draw.below(4) as usize];
    let channels: Vec<Value> = ["train", "validation"]
        .iter()
        .map(|channel| {
            json!({"ChannelName": channel, "ContentType": "application/jsonlines", "CompressionType": "None",
                   "RecordWrapperType": "None", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix",
                   "S3DataDistributionType": "FullyReplicated",
                   "S3Uri": format!("s3://data-{}/{channel}/{}", draw.below(50), draw.below(1_000))}}})
        })
        .collect();
    let history: Vec<Value> = ["Starting", "Downloading", "Training", "Uploading", "Completed"]
        .iter()
        .map(|status| {
            json!({"Status": status, "StartTime": seconds, "EndTime": seconds, "StatusMessage": "as AWS words it"})
        })
        .collect();
    let arn = format!("arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}");
    let document = json!({
        "TrainingJobName": name,
        "TrainingJobArn": arn,
        "ModelArtifacts": {"S3ModelArtifacts": format!("s3://models/{name}/output/model.tar.gz")},
        "TrainingJobStatus": status,
        "SecondaryStatus": status,
        "HyperParameters": hyperparameters,
        "AlgorithmSpecification": {"TrainingImage": format!("123456789012.dkr.ecr.us-east-1.amazonaws.com/{image}"),
                                   "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": "s3://models", "KmsKeyId": ""},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "CreationTime": seconds,
        "TrainingStartTime": seconds + 1.0,
        "TrainingEndTime": seconds + 60.0,
        "LastModifiedTime": seconds + 61.0,
        "FinalMetricDataList": metrics,
        "TrainingTimeInSeconds": 59,
        "BillableTimeInSeconds": 59,
        "SecondaryStatusTransitions": history,
    });
    NewRecord {
        key: Key { kind: Resource::TrainingJob, region: "us-east-1".into(), name },
        arn,
        status: status.into(),
        created,
        document,
        tags: vec![Tag { key: "team".into(), value: format!("team-{}", draw.below(200)) }],
        workflow: None,
    }
}

fn test(path: &str, condition: Condition) -> Expression {
    Expression::Test(Test { path: path.into(), condition })
}

fn is(value: impl ToString) -> Condition {
    Condition::Equals(Scalar::of(value.to_string()))
}

/// One search of a kind, with values drawn anew.
fn search(kind: &str, draw: &mut Draw, count: u64) -> (Expression, SortKey, Order) {
    let metric = |at: u64| format!("Metrics.metric:{at}");
    match kind {
        "equality" => {
            let wanted = format!("s3://models/{}/output/model.tar.gz", job(draw.below(count)).key.name);
            (test("ModelArtifacts.S3ModelArtifacts", is(wanted)), SortKey::Modified, Order::Descending)
        }
        "contains" => {
            let part = ["object2vec", "xgboost", "trainer"][draw.below(3) as usize];
            let contains = Condition::Contains(part.into());
            (test("AlgorithmSpecification.TrainingImage", contains), SortKey::Modified, Order::Descending)
        }
        "range, sorted by metric" => {
            let low = draw.unit() * 0.9;
            let within = vec![
                test("HyperParameters.rate_3", Condition::Above(Scalar::of(low.to_string()))),
                test("HyperParameters.rate_3", Condition::Below(Scalar::of((low + 0.1).to_string()))),
            ];
            (Expression::All(within), SortKey::Property(metric(draw.below(10))), Order::Ascending)
        }
        "or of nested filters" => {
            let uri = |draw: &mut Draw, channel: &str| {
                Expression::OneElement(
                    "InputDataConfig".into(),
                    vec![
                        Test { path: "InputDataConfig.ChannelName".into(), condition: is(channel) },
                        Test {
                            path: "InputDataConfig.DataSource.S3DataSource.S3Uri".into(),
                            condition: is(format!(
                                "s3://data-{}/{channel}/{}",
                                draw.below(50),
                                draw.below(1_000)
                            )),
                        },
                    ],
                )
            };
            let either = vec![uri(draw, "train"), uri(draw, "validation")];
            (Expression::Any(either), SortKey::Modified, Order::Descending)
        }
        "tag plus date" => {
            let start = 1_700_000_000.0 + draw.unit() * 0.9 * count as f64 * 10.0;
            let date = |seconds: f64| Scalar { text: String::new(), number: Some(seconds) };
            let parts = vec![
                test("Tags.team", is(format!("team-{}", draw.below(200)))),
                test("CreationTime", Condition::Above(date(start))),
                test("CreationTime", Condition::Below(date(start + count as f64))),
            ];
            (Expression::All(parts), SortKey::Created, Order::Descending)
        }
        // Beyond the five: the way that no index helps much.
        _ => {
            let part = format!("{:04}-nightly", draw.below(10_000));
            (test("TrainingJobName", Condition::Contains(part)), SortKey::Modified, Order::Descending)
        }
    }
}

async fn open(folder: &Path, rules: &'static IndexRules) -> Metastore {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    Metastore::open_indexed(&folder.join("metadata.db"), Clock::system(), rules).await.expect("it opens")
}

/// A rate of creation and what a job takes of a processor.
#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    microseconds: f64,
}

impl Rate {
    fn of(count: u64, (begun, worked): (Instant, f64)) -> Self {
        let count = count as f64;
        let microseconds = (processor_seconds() - worked) * 1e6 / count;
        Self { per_second: count / begun.elapsed().as_secs_f64(), microseconds }
    }

    fn row(self, name: &str, without: Self) {
        println!(
            "| {name} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} | {:.2} |",
            without.per_second,
            self.per_second,
            without.per_second / self.per_second,
            without.microseconds,
            self.microseconds,
            self.microseconds / without.microseconds,
        );
    }
}

async fn create_bulk(store: &Metastore, jobs: std::ops::Range<u64>) -> Rate {
    let count = jobs.end - jobs.start;
    let begun = (Instant::now(), processor_seconds());
    let mut from = jobs.start;
    while from < jobs.end {
        let to = jobs.end.min(from + BATCH);
        let writes: Vec<Write> = (from..to).map(|number| Write::Create(job(number))).collect();
        store.write(&writes).await.expect("they are written");
        from = to;
    }
    Rate::of(count, begun)
}

/// Eight writers at once, each job in a transaction of its own that is on disk before the next.
async fn create_alone(store: &Metastore, first: u64) -> Rate {
    let begun = (Instant::now(), processor_seconds());
    let mut writers = Vec::new();
    for writer in 0..8 {
        let store = store.clone();
        writers.push(tokio::spawn(async move {
            for at in 0..ALONE / 8 {
                store.create(&job(first + writer * (ALONE / 8) + at)).await.expect("it is created");
            }
        }));
    }
    for writer in writers {
        writer.await.expect("it ends");
    }
    Rate::of(ALONE, begun)
}

fn resident_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default()
        / 1024
}

/// Time that processors have worked for this process, in seconds: what the rates are limited by however busy
/// the machine is.
fn processor_seconds() -> f64 {
    let status = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold spaces: user and system time are fields 14 and 15, in hundredths.
    let fields = status.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

fn megabytes_on_disk(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum::<u64>() >> 20
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("sagebrush-search"), Into::into);
    let (plain, indexed) = (folder.join("plain"), folder.join("indexed"));
    println!("{count} training jobs, 20 hyperparameters and 10 final metrics each, in {}", folder.display());

    let few = count.min(50_000);
    let store = open(&plain, &WITHOUT_INDEX).await;
    let bulk_plain = create_bulk(&store, 0..few).await;
    let alone_plain = create_alone(&store, few).await;
    let plain_size = megabytes_on_disk(&plain);
    store.close().await;

    let store = open(&indexed, &INDEX_RULES).await;
    let begun = Instant::now();
    let bulk_first = create_bulk(&store, 0..few).await;
    let alone_indexed = create_alone(&store, count + ALONE).await;
    let bulk_rest = if count > few { create_bulk(&store, few..count).await } else { bulk_first };
    let alone_last = create_alone(&store, count + 2 * ALONE).await;
    let filled = begun.elapsed();
    println!(
        "\n| creation | without index, jobs/s | with, jobs/s | slower | without, us of a processor | with | more |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    bulk_first.row(&format!("bulk, first {few}"), bulk_plain);
    bulk_rest.row("bulk, the others", bulk_plain);
    alone_indexed.row(&format!("one by one, 8 writers, at {few}"), alone_plain);
    alone_last.row(&format!("one by one, 8 writers, at {count}"), alone_plain);
    println!(
        "\nfilled in {:.0} s; on disk {} MB ({} MB for {few} without index); {} MB resident",
        filled.as_secs_f64(),
        megabytes_on_disk(&indexed),
        plain_size,
        resident_megabytes()
    );

    println!("\n| search, a page of {PAGE} | p50 ms | p99 ms | results |\n| --- | --- | --- | --- |");
    let kinds = [
        "equality",
        "contains",
        "range, sorted by metric",
        "or of nested filters",
        "tag plus date",
        "contains in the name",
    ];
    for kind in kinds {
        let mut draw = Draw(7);
        let mut times: Vec<Duration> = Vec::new();
        let mut results = 0;
        for _ in 0..SEARCHES {
            let (expression, sort, order) = search(kind, &mut draw, count);
            let query = Query {
                kind: Resource::TrainingJob,
                region: "us-east-1".into(),
                expression,
                sort,
                order,
                limit: PAGE,
                after: None,
            };
            let begun = Instant::now();
            let found = store.search(&query).await.expect("it is found");
            times.push(begun.elapsed());
            results += found.records.len();
        }
        times.sort();
        let at =
            |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1000.0;
        println!("| {kind} | {:.1} | {:.1} | {:.1} |", at(0.5), at(0.99), results as f64 / SEARCHES as f64);
    }
    println!("\n{} MB resident after the searches", resident_megabytes());
    store.close().await;
}
