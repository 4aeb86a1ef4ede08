//! The program as its callers use it: the shipped script on a small data set against numbers computed here, and the
//! failures a user can cause.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sagebrush_dataprep::{FailureKind, PrepareFailure, SeedHash};

const SCRIPT: &str = include_str!("../../../examples/goodbooks/prepare.sql");

/// Input files, script, arguments, and what the message must say.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a [&'a str], &'a str);

/// Runs a script in a fresh root and gives the root, the log and the outcome.
async fn run(
    files: &[(&str, &str)],
    script: &str,
    arguments: &[&str],
) -> (tempfile::TempDir, String, Result<(), PrepareFailure>) {
    let root = tempfile::tempdir().unwrap();
    let mut all = vec![("code/script.sql", script)];
    all.extend_from_slice(files);
    for (name, content) in all {
        let path = root.path().join("processing/input").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let (log, outcome) = run_in(root.path(), arguments).await;
    (root, log, outcome)
}

async fn run_in(root: &Path, arguments: &[&str]) -> (String, Result<(), PrepareFailure>) {
    let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    let mut log = Vec::new();
    let outcome = sagebrush_dataprep::run(root, &arguments, &mut log).await;
    (String::from_utf8(log).unwrap(), outcome)
}

fn output(root: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(root.path().join("processing/output").join(name)).unwrap()
}

fn records(root: &tempfile::TempDir, name: &str) -> Vec<serde_json::Value> {
    output(root, name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// 60 users and 25 books; user u rated book b when a fixed rule says so.
fn small_ratings() -> Vec<(String, String, u32)> {
    let mut rows = Vec::new();
    for user in 1..=60_u32 {
        for book in 1..=25_u32 {
            if (user * 31 + book * 17) % 60 < user && (book * 7 + user) % 25 >= book / 2 {
                rows.push((user.to_string(), book.to_string(), 1 + (user + book) % 5));
            }
        }
    }
    rows
}

const VALUES: [&str; 12] = [
    "--set",
    "user_column=reader id",
    "--set",
    "item_column=book",
    "--set",
    "rating_column=stars",
    "--set",
    "min_user_ratings=8",
    "--set",
    "min_book_ratings=20",
    "--set",
    "seed=11",
];

fn small_files() -> (String, String) {
    let mut ratings = String::from("reader id,book,stars\n");
    for (user, book, rating) in small_ratings() {
        ratings.push_str(&format!("{user},{book},{rating}\n"));
    }
    let mut books = String::from("book_id,title\n");
    for book in (1..=25).filter(|book| *book != 3) {
        books.push_str(&format!("{book},\"Title \"\"{book}\"\", Vol. {book}\"\n"));
    }
    (ratings, books)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_script_prepares_the_data() {
    let (ratings, books) = small_files();
    let (root, log, outcome) =
        run(&[("ratings/ratings.csv", &ratings), ("books/books.csv", &books)], SCRIPT, &VALUES).await;
    outcome.unwrap_or_else(|failure| panic!("{failure}\n{log}"));

    // What must come out, computed without SQL.
    let rows = small_ratings();
    let (mut users, mut items) = (BTreeMap::new(), BTreeMap::new());
    for (user, book, _) in &rows {
        *users.entry(user.clone()).or_insert(0_usize) += 1;
        *items.entry(book.clone()).or_insert(0_usize) += 1;
    }
    let of_users: Vec<_> = rows.iter().filter(|row| users[&row.0] >= 8).collect();
    let mut kept: Vec<_> = of_users.iter().filter(|row| items[&row.1] >= 20).copied().collect();
    assert!(kept.len() > 100 && kept.len() < of_users.len() && of_users.len() < rows.len());
    let user_index: Vec<&String> =
        kept.iter().map(|row| &row.0).collect::<BTreeSet<_>>().into_iter().collect();
    let book_index: Vec<&String> =
        kept.iter().map(|row| &row.1).collect::<BTreeSet<_>>().into_iter().collect();
    let place = |list: &[&String], id: &String| list.iter().position(|known| *known == id).unwrap();
    kept.sort_by(|one, other| {
        let key = |row: &(String, String, u32)| {
            let mut hash = SeedHash::default();
            hash.integer(11);
            hash.text(&row.0);
            hash.text(&row.1);
            hash.unit()
        };
        key(one).total_cmp(&key(other))
    });
    let expected: Vec<serde_json::Value> = kept
        .iter()
        .map(|(user, book, rating)| {
            serde_json::json!({"in0": [place(&user_index, user)], "in1": [place(&book_index, book)], "label": f64::from(*rating)})
        })
        .collect();
    let train = (kept.len() * 8 + 5) / 10;
    let validation = (kept.len() + 5) / 10;
    assert_eq!(records(&root, "train/train.jsonl"), expected[..train]);
    assert_eq!(records(&root, "validation/validation.jsonl"), expected[train..train + validation]);
    assert_eq!(records(&root, "test/test.jsonl"), expected[train + validation..]);

    let users_written = records(&root, "users/users.jsonl");
    assert_eq!(users_written.len(), user_index.len());
    assert!(
        users_written
            .iter()
            .enumerate()
            .all(|(index, row)| row["user_ind"] == index && row["user_id"] == **user_index[index])
    );
    let books_written = records(&root, "books/books.jsonl");
    assert_eq!(books_written.len(), book_index.len());
    for (index, row) in books_written.iter().enumerate() {
        let id = book_index[index];
        let title = if id == "3" { "book 3".to_owned() } else { format!("Title \"{id}\", Vol. {id}") };
        assert_eq!(row["title"], title);
        assert_eq!(row["book_id"], **id);
        assert_eq!(row["book_ind"], index);
    }

    let summary = records(&root, "summary/summary.jsonl");
    let steps: Vec<_> = summary
        .iter()
        .map(|row| (row["step"].as_str().unwrap(), row["ratings"].as_u64().unwrap() as usize))
        .collect();
    let test = kept.len() - train - validation;
    assert_eq!(
        steps,
        [
            ("input", rows.len()),
            ("users kept", of_users.len()),
            ("books kept", kept.len()),
            ("joined", kept.len()),
            ("train", train),
            ("validation", validation),
            ("test", test)
        ]
    );
    assert_eq!(summary[0]["users"], users.len());
    assert_eq!(summary[2]["books"], book_index.len());

    let mut counts: Vec<usize> = users.values().copied().collect();
    counts.sort_unstable();
    let quantiles = records(&root, "quantiles/quantiles.jsonl");
    assert_eq!(quantiles.len(), 14);
    for row in quantiles.iter().filter(|row| row["entity"] == "user") {
        let rank = (counts.len() as f64 * row["quantile"].as_f64().unwrap()).ceil().max(1.0) as usize;
        assert_eq!(row["count"], counts[rank - 1], "{row}");
    }
    for split in ["train", "validation", "test"] {
        assert!(
            fs::read_dir(root.path().join("processing/output/bookratings").join(format!("split={split}")))
                .unwrap()
                .count()
                > 0
        );
    }
    assert!(!root.path().join("output/message").exists());
    assert!(log.contains("table ratings:") && log.contains("done:"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_files_and_parquet_is_read_back() {
    let (ratings, books) = small_files();
    let files = [("ratings/ratings.csv", ratings.as_str()), ("books/books.csv", books.as_str())];
    let (one, ..) = run(&files, SCRIPT, &[&VALUES[..], &["--threads", "1"]].concat()).await;
    let (two, ..) = run(&files, SCRIPT, &[&VALUES[..], &["--threads", "4"]].concat()).await;
    for name in ["train/train.jsonl", "test/test.jsonl", "summary/summary.jsonl", "quantiles/quantiles.jsonl"]
    {
        assert_eq!(output(&one, name), output(&two, name), "{name}");
    }
    let other: Vec<&str> =
        VALUES.iter().map(|word| if *word == "seed=11" { "seed=12" } else { word }).collect();
    let (three, ..) = run(&files, SCRIPT, &other).await;
    assert_ne!(output(&one, "train/train.jsonl"), output(&three, "train/train.jsonl"));

    // The partitioned output of one job is the input of another.
    let next = tempfile::tempdir().unwrap();
    fs::create_dir_all(next.path().join("processing/input/code")).unwrap();
    fs::rename(one.path().join("processing/output/bookratings"), next.path().join("processing/input/again"))
        .unwrap();
    let script = "COPY (SELECT split, count(*) AS n, count(title) AS titles FROM again GROUP BY split ORDER BY split)
                  TO '/opt/ml/processing/output/counts.csv' STORED AS CSV OPTIONS ('format.has_header' 'true')";
    fs::write(next.path().join("processing/input/code/a.sql"), script).unwrap();
    let (log, outcome) = run_in(next.path(), &[]).await;
    outcome.unwrap_or_else(|failure| panic!("{failure}\n{log}"));
    let counts = output(&next, "counts.csv");
    let sizes: Vec<usize> = ["test/test.jsonl", "train/train.jsonl", "validation/validation.jsonl"]
        .iter()
        .map(|name| output(&two, name).lines().count())
        .collect();
    assert_eq!(
        counts,
        format!(
            "split,n,titles\ntest,{0},{0}\ntrain,{1},{1}\nvalidation,{2},{2}\n",
            sizes[0], sizes[1], sizes[2]
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_got_wrong_is_said() {
    let good = [("t/a.csv", "a,b\n1,2\n")];
    let cases: &[Case<'_>] = &[
        (&good, "SELECT 1;\nSELEC 2", &[], "statement 2 (line 2)"),
        (&good, "SELECT a\nFROM t\nWHERE )", &[], "Line: 3"),
        (&good, "SELECT nothing FROM t", &[], "nothing"),
        (&good, "SELECT ${x}", &[], "${x} is not defined"),
        (&good, "SELECT CAST(a AS INT) / 0 FROM t", &[], "Divide by zero"),
        (&good, "SELECT ensure(count(*) > 5, 'too few rows') FROM t", &[], "too few rows"),
        (&good, "-- nothing", &[], "no statement"),
        (&good, "SELECT 1", &["--fast"], "--fast"),
        (&good, "COPY t TO '/etc/x.csv' STORED AS CSV", &[], "only paths below /opt/ml"),
        (&good, "COPY t TO '/opt/ml/../x.csv' STORED AS CSV", &[], "'..' cannot be used"),
        (&good, "COPY t TO 's3://b/x.csv' STORED AS CSV", &[], "URLs"),
        (&good, "EXPLAIN ANALYZE COPY t TO '/etc/x.csv' STORED AS CSV", &[], "only paths below /opt/ml"),
        (
            &good,
            "CREATE EXTERNAL TABLE p STORED AS CSV LOCATION '/etc/passwd'",
            &[],
            "only paths below /opt/ml",
        ),
        (&good, "CREATE EXTERNAL TABLE p STORED AS CSV LOCATION 'http://x/y.csv'", &[], "URLs"),
        (&good, "SET datafusion.runtime.temp_directory = '/etc'", &[], "cannot be changed"),
        (&good, "SELECT * FROM '/etc/passwd'", &[], "/etc/passwd"),
        (
            &good,
            "COPY (SELECT * FROM t WHERE a = '9') TO '/opt/ml/processing/output/x.csv' STORED AS CSV",
            &[],
            "no rows to write",
        ),
        (&good, "COPY t TO '/opt/ml/processing/input/t' STORED AS CSV", &[], "already holds files"),
        (
            &[("ratings/a.csv", "a,b\n1,2\n3\n")],
            "SELECT 1",
            &[],
            "input 'ratings': /opt/ml/processing/input/ratings/a.csv: line 3: it has 1 field",
        ),
        (&[("t/a.csv", "a,b\n1,\"2\n")], "SELECT 1", &[], "line 2: a quote is not closed"),
        (&[("t/a.csv", "")], "SELECT 1", &[], "input 't' is empty"),
        (
            &[("t/a.csv", "a,b\n1,2\n"), ("t/b.csv", "a,c\n1,2\n")],
            "SELECT 1",
            &[],
            "b.csv: its header is 'a,c'",
        ),
        (&[("t/a.csv", "a\n1\n"), ("t/b.jsonl", "{}\n")], "SELECT 1", &[], "files of one kind"),
        (&[("t/a.jsonl", "{\"a\": 1}\n{\"a\": }\n")], "SELECT 1", &[], "line 2: it is not JSON"),
        (&[("t/a.jsonl", "[{\"a\": 1}]\n")], "SELECT 1", &[], "one JSON object"),
        (&[("t/a.parquet", "not parquet at all")], "SELECT 1", &[], "input 't'"),
    ];
    for (files, script, arguments, part) in cases {
        let (root, log, outcome) = run(files, script, arguments).await;
        let failure = outcome.expect_err(script);
        assert!(failure.message.contains(part), "{script}: {}\n{log}", failure.message);
        assert_eq!(failure.kind, FailureKind::Client, "{script}: {}", failure.message);
        let message = fs::read_to_string(root.path().join("output/message")).unwrap();
        assert!(failure.message.starts_with(&message) && message.len() <= 1024, "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_out_of_the_root_are_refused() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.csv"), "a\nsecret\n").unwrap();
    let root = tempfile::tempdir().unwrap();
    let input = root.path().join("processing/input");
    fs::create_dir_all(input.join("code")).unwrap();
    fs::create_dir_all(input.join("t")).unwrap();
    fs::write(input.join("code/a.sql"), "SELECT * FROM t").unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret.csv"), input.join("t/secret.csv")).unwrap();
    let (log, outcome) = run_in(root.path(), &[]).await;
    assert!(outcome.unwrap_err().message.contains("leads outside"), "{log}");
    fs::remove_file(input.join("t/secret.csv")).unwrap();
    fs::write(input.join("t/a.csv"), "a\n1\n").unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("door")).unwrap();
    for script in [
        "COPY t TO '/opt/ml/door/x.csv' STORED AS CSV",
        "CREATE EXTERNAL TABLE p STORED AS CSV LOCATION '/opt/ml/door/'",
    ] {
        fs::write(input.join("code/a.sql"), script).unwrap();
        let (log, outcome) = run_in(root.path(), &[]).await;
        assert!(outcome.unwrap_err().message.contains("leads outside"), "{script}\n{log}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_of_every_kind_become_tables_and_large_ones_go_to_disk() {
    let mut large = String::from("id,text\n");
    for row in 0..600_000 {
        large.push_str(&format!("{row},some text that is long enough to matter {}\n", row % 1000));
    }
    let files = [
        ("t.tsv", "a\tb\n1\t2,5\n"),
        ("events/part-0", "{\"id\": 1, \"tags\": [\"x\"]}\n{\"id\": 2.5}\n"),
        ("large/a.csv", large.as_str()),
    ];
    let script = "SELECT b FROM t; SELECT sum(id) AS total FROM events;
                  SELECT count(*) AS n, count(DISTINCT text) AS d FROM large;
                  CREATE TABLE copied AS SELECT id AS again, concat(text, ' once more ', id, ' and ', n) AS longer FROM large CROSS JOIN (VALUES (1), (2), (3)) AS v(n);
                  SELECT count(*) AS copies, max(CAST(again AS INT)) AS top FROM copied;
                  DROP TABLE copied;
                  CREATE TABLE grouped AS SELECT text, max(id) AS top FROM large GROUP BY text;
                  INSERT INTO grouped VALUES ('x', 'y');
                  SELECT * FROM grouped ORDER BY text";
    let (_root, log, outcome) = run(&files, script, &["--memory-limit", "96M"]).await;
    outcome.unwrap_or_else(|failure| panic!("{failure}\n{log}"));
    for part in [
        "table t: 1 row;",
        "table events: 2 rows; JSON lines",
        "table large: 600,000 rows on disk",
        "  2,5",
        "  3.5",
        "  600000 | 1000",
        "CREATE TABLE copied on disk: 1,800,000 rows",
        "  1800000 | 599999",
        "CREATE TABLE grouped: 1,000 rows",
        "INSERT INTO grouped: 1 row",
        "SELECT: 1,001 rows",
        "(the first 40 rows)",
    ] {
        assert!(log.to_lowercase().contains(&part.to_lowercase()), "{part:?} is not in\n{log}");
    }
}
