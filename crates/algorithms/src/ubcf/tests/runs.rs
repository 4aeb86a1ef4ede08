//! Whole training runs in a folder.

use std::fs;
use std::path::Path;

use crate::ubcf::{METRIC_DEFINITIONS, MODEL_FILE, train};

fn write(root: &Path, below: &str, text: &str) {
    let path = root.join(below);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Runs on these channels; the lines, and the failure if there is one.
fn run(hyperparameters: &str, channels: &[(&str, &str)]) -> (tempfile::TempDir, String, Option<String>) {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "input/config/hyperparameters.json", hyperparameters);
    for (name, text) in channels {
        write(root.path(), &format!("input/data/{name}/ratings.csv"), text);
    }
    let mut out = Vec::new();
    let failure = train(root.path(), &mut out).err().map(|failure| failure.to_string());
    if let Some(failure) = &failure {
        assert_eq!(&fs::read_to_string(root.path().join("output/failure")).unwrap(), failure);
    }
    assert_eq!(root.path().join("model").join(MODEL_FILE).exists(), failure.is_none());
    (root, String::from_utf8(out).unwrap(), failure)
}

/// Twelve users of two tastes, without the pairs that `left_out` says.
fn ratings(left_out: impl Fn(u32, u32) -> bool) -> String {
    let mut text = "user_ind,book_ind,rating\n".to_owned();
    for (user, book) in (0..12u32).flat_map(|user| (0..10u32).map(move |book| (user, book))) {
        let likes = (user + book) % 2 == 0;
        if !left_out(user, book) {
            text += &format!("{user},{book},{}\n", if likes { 5 } else { 1 });
        }
    }
    text
}

fn metric(log: &str, name: &str) -> Option<f64> {
    let (_, pattern) = METRIC_DEFINITIONS.iter().find(|(known, _)| *known == name).unwrap();
    let found = regex::Regex::new(pattern).unwrap().captures(log)?;
    Some(found[1].parse().unwrap())
}

#[test]
fn a_run_says_what_it_read_and_how_well_it_predicts() {
    let held_out = |user, book| (user + 3 * book) % 7 == 0;
    let train = ratings(held_out);
    let validation = ratings(|user, book| !held_out(user, book)) + "99,1,3\n";
    let (_root, log, failure) = run(
        r#"{"mode": "modern", "nn": "5", "top_n": "2"}"#,
        &[("train", &train), ("validation", &validation)],
    );
    assert_eq!(failure, None);
    let known = train.lines().count() as f64 - 1.0;
    assert_eq!(metric(&log, "train:users"), Some(12.0));
    assert_eq!(metric(&log, "train:items"), Some(10.0));
    assert_eq!(metric(&log, "train:ratings"), Some(known));
    assert_eq!(metric(&log, "train:density"), Some(known / 120.0));
    assert_eq!(metric(&log, "validation:coverage"), Some(1.0));
    assert!(
        log.contains("WARNING") && log.contains("1 ratings of the channel 'validation' are left out"),
        "{log}"
    );
    let error = metric(&log, "validation:mean_squared_error").unwrap();
    // Everybody's own mean is about 3, and two away from every rating.
    assert!(error < 1.0, "{error}");
    assert_eq!(metric(&log, "validation:root_mean_squared_error"), Some(error.sqrt()));
    assert!(metric(&log, "validation:precision").unwrap() > 0.5, "{log}");
    assert_eq!(metric(&log, "test:recall"), None);
}

#[test]
fn only_the_first_users_are_trained_on_and_all_books_stay() {
    let (_root, log, failure) =
        run(r#"{"n_users": 3}"#, &[("train", &ratings(|user, book| book == 9 && user < 11))]);
    assert_eq!(failure, None);
    assert!(log.contains("Training on the first 3 of 12 users"), "{log}");
    assert_eq!((metric(&log, "train:users"), metric(&log, "train:items")), (Some(3.0), Some(10.0)));
    assert_eq!(metric(&log, "train:ratings"), Some(27.0));
}

#[test]
fn failures_are_early_and_leave_no_model() {
    let good = ratings(|_, _| false);
    let failure =
        |hyperparameters: &str, channels: &[(&str, &str)]| run(hyperparameters, channels).2.unwrap();
    assert_eq!(
        failure("{}", &[("validation", &good)]),
        "ClientError: The channel 'train' is required and was not given"
    );
    assert_eq!(
        failure("{}", &[("train", &good), ("test", "user_ind,book_ind,rating\n1,1,1\n1,x\n")]),
        "ClientError: test/ratings.csv, line 3: the column 'rating' is missing: the line has 2 field(s)"
    );
    assert_eq!(
        failure(r#"{"neighbours": "3"}"#, &[("train", &good)]),
        "ClientError: Hyperparameter 'neighbours' is not known to ubcf (value '3'). Check its spelling"
    );
    let empty = failure("{}", &[("train", "user_ind,book_ind,rating\n")]);
    assert_eq!(empty, "ClientError: The channel 'train' has no ratings: 1 file(s) were found in it");
}
