//! Results of the R package recommenderlab 0.2-5 with proxy 0.4-23 (`classic`) and 1.0.7 with proxy 0.4-27 (`modern`).
//!
//! The small matrices and their results stand beside this file. The lists on real ratings (goodbooks-10k, Zygmunt Zając,
//! CC BY-SA 4.0) need the data folder that lies beside a checkout, or that `SAGEBRUSH_SHARED` names; without it they are
//! not looked at.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::*;
use crate::ubcf::dataset::Csv;
use crate::ubcf::ratings::Ratings;

const CLOSE: f64 = 1e-9;

#[derive(Deserialize)]
struct EdgeCases {
    fixtures: BTreeMap<String, Fixture>,
    results: Vec<EdgeCase>,
}

#[derive(Deserialize)]
struct Fixture {
    train: Vec<Vec<Option<f64>>>,
    new: Vec<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EdgeCase {
    fixture: String,
    method: String,
    nn: usize,
    normalize: String,
    #[serde(default)]
    weighted: Option<bool>,
    #[serde(default)]
    min_matching_items: u64,
    #[serde(default)]
    min_predictive_items: u64,
    ratings: Vec<Vec<Option<f64>>>,
    top5: Vec<Vec<u32>>,
}

fn check_edge_cases(mode: &str, text: &str, lists: usize) {
    let cases: EdgeCases = serde_json::from_str(text).unwrap();
    let mut checked = 0;
    for case in &cases.results {
        let fixture = &cases.fixtures[&case.fixture];
        let h = hyperparameters(&[
            ("mode", mode),
            ("method", &case.method),
            ("nn", &case.nn.to_string()),
            ("normalize", &case.normalize),
            ("weighted", &case.weighted.unwrap_or(true).to_string()),
            ("min_matching_items", &case.min_matching_items.to_string()),
            ("min_predictive_items", &case.min_predictive_items.to_string()),
        ]);
        let name = format!("{mode} {} {} {} {}", case.fixture, case.method, case.nn, case.normalize);
        let model = fitted(h, &fixture.train);
        for (row, new) in fixture.new.iter().enumerate() {
            let (predictions, list) = answer(&model, new, 5);
            for (item, (got, want)) in predictions.iter().zip(&case.ratings[row]).enumerate() {
                let same = match want {
                    None => got.is_nan(),
                    Some(want) => (got - want).abs() <= CLOSE,
                };
                assert!(same, "{name}, row {row}, item {item}: {got}, not {want:?}");
            }
            let list: Vec<u32> = list.into_iter().map(|item| item + 1).collect();
            assert_eq!(list, case.top5[row], "{name}, row {row}");
            checked += 1;
        }
    }
    assert_eq!(checked, lists);
}

#[test]
fn edge_cases_of_classic() {
    check_edge_cases("classic", include_str!("edge_cases_classic.json"), 456);
}

#[test]
fn edge_cases_of_modern() {
    check_edge_cases("modern", include_str!("edge_cases_modern.json"), 532);
}

/// The folder with real data, if there is one.
fn shared(below: &str) -> Option<String> {
    let folder = std::env::var_os("SAGEBRUSH_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    fs::read_to_string(folder.join("data").join(below)).ok()
}

/// The models of some settings on the real ratings, and the table of all users.
fn real(ratings: &str, mode: &str, method: &str, nn: &str, n_users: usize) -> (Model, Ratings) {
    let h = hyperparameters(&[("mode", mode), ("method", method), ("nn", nn)]);
    let mut collected = Collected::new();
    let mut csv = Csv::new(&h.columns);
    for line in ratings.lines() {
        csv.line(line.as_bytes(), |user, item, rating| collected.push(user, item, rating)).unwrap();
    }
    let (table, mut users, items) = collected.finish();
    users.truncate(n_users);
    (Model::new(h, users, items, table.first_rows(n_users)), table)
}

fn check_lists(mode: &str) {
    let (Some(ratings), Some(golden)) =
        (shared("goodbooks-275/ratings.csv"), shared(&format!("ubcf-golden/topn_{mode}.csv")))
    else {
        eprintln!("not checked: there is no data folder beside the checkout");
        return;
    };
    let lines: Vec<Vec<&str>> = golden.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 400);
    // version, method, nn, n_users, row, user_ind, held_out, rank, book_ind, rating
    for case in lines.chunk_by(|a, b| a[1..5] == b[1..5]) {
        let name = case[0][..6].join(" ");
        let (model, table) = real(&ratings, mode, case[0][1], case[0][2], case[0][3].parse().unwrap());
        let row: usize = case[0][4].parse().unwrap();
        let asking = Asking { rated: table.row(row - 1).collect(), excluded: None };
        let mut space = Space::default();
        let list = top(model.predict(&asking, &mut space), &asking.rated, 10);
        assert_eq!(list.len(), case.len(), "{name}");
        for ((rating, item), want) in list.into_iter().zip(case) {
            assert_eq!(model.items.get(item as usize), want[8], "{name}, rank {}", want[7]);
            let want: f64 = want[9].parse().unwrap();
            assert!((rating - want).abs() <= CLOSE, "{name}: {rating}, not {want}");
        }
    }
}

#[test]
fn lists_of_classic_on_real_ratings() {
    check_lists("classic");
}

#[test]
fn lists_of_modern_on_real_ratings() {
    check_lists("modern");
}

#[test]
fn signed_answers_otherwise() {
    let Some(ratings) = shared("goodbooks-275/ratings.csv") else { return };
    let (model, table) = real(&ratings, "signed", "Cosine", "10", 270);
    let asking = Asking { rated: table.row(271).collect(), excluded: None };
    let mut space = Space::default();
    let list = top(model.predict(&asking, &mut space), &asking.rated, 5);
    let names: Vec<_> = list.iter().map(|&(_, item)| model.items.get(item as usize).into_owned()).collect();
    assert_eq!(names, ["173", "146", "289", "394", "315"]);
}
