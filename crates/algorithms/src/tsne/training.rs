//! A run: vectors in, a map, a picture and a page out.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use super::embedding::{self, Embedding};
use super::hyperparameters::Hyperparameters;
use super::input::{self, Points};
use super::picture::{self, Map};
use super::quality::trustworthiness;
use super::{ALGORITHM_NAME, MAP_FILE, PAGE_FILE, PICTURE_FILE};
use crate::TrainFailure;
use crate::contract::{Folders, Log, csv, pairs};
use crate::kernels::Pool;

/// Most threads that pay.
const MAX_THREADS: usize = 16;

/// Makes the map of the folder `root`, which has the layout of `/opt/ml`: reads `input/config/*.json` and the channel
/// `train`, writes `output/data/tsne.csv`, `tsne.html` and `tsne.svg` and the table to `model/` as well, and when it
/// fails the reason to `output/failure`. Log lines go to `stdout`, each flushed at once.
///
/// # Errors
/// What the user reads as the job's failure reason.
pub fn train(root: &Path, stdout: &mut dyn Write) -> Result<(), TrainFailure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    train_with_threads(root, stdout, threads)
}

/// As [`train`], with a given number of threads, which changes the time it takes and nothing else.
///
/// # Errors
/// As [`train`].
pub fn train_with_threads(root: &Path, stdout: &mut dyn Write, threads: usize) -> Result<(), TrainFailure> {
    let folders = Folders(root);
    let mut log = Log::new(stdout, "algo-1".to_owned());
    let result = run(&folders, &mut log, threads);
    if let Err(failure) = &result {
        folders.report(&mut log, failure);
    }
    result
}

fn run(folders: &Folders<'_>, log: &mut Log<'_>, threads: usize) -> Result<(), TrainFailure> {
    let h = Hyperparameters::from_pairs(&pairs(&folders.read_hyperparameters()?)?)?;
    if let Some(host) = folders.read_host(ALGORITHM_NAME)? {
        log.set_host(host);
    }
    folders.find_channels(ALGORITHM_NAME, &[input::CHANNEL], &[input::CHANNEL])?;
    log.info(format!("Final configuration: {}", serde_json::json!(h.values.0)))?;
    let points = input::read(folders, &h)?;
    log.info(format!("Points: {} of {} numbers", points.ids.len(), points.dim))?;
    h.check_points(points.ids.len())?;
    let pool = Pool::new(threads);
    let mut matrix = points.matrix();
    let began = Instant::now();
    let Embedding { map, last, ended_early } = embedding::embed(&pool, &h, &mut matrix, |look| {
        let (at, divergence, norm) = (look.iteration, look.divergence, look.gradient_norm);
        log.info(format!("Iteration {at}: KL divergence {divergence:.4}, gradient norm {norm:.3e}"))?;
        log.quality(Some(at), "train", "kl_divergence", "loss", divergence)
    })?;
    let took = began.elapsed().as_secs_f64();
    log.info(format!("Embedded in {took:.3} seconds with {threads} threads, {} iterations", last.iteration))?;
    if let Some(reason) = ended_early {
        log.info(format!("Ended early: {reason}"))?;
    }
    if h.trustworthiness_neighbors > 0 {
        let trust = trustworthiness(&pool, &matrix, &map, h.trustworthiness_neighbors);
        log.quality(None, "train", "trustworthiness", "score", trust)?;
    }
    write_all(folders, &h, &points, &map)
}

/// Writes the table, the page and the picture.
fn write_all(
    folders: &Folders<'_>,
    h: &Hyperparameters,
    points: &Points,
    map: &[[f32; 2]],
) -> Result<(), TrainFailure> {
    let write = |path: &Path, text: &str| {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
        let shown = folders.shown(path);
        written.map_err(|e| TrainFailure::algorithm(format!("cannot write {shown}: {e}")))
    };
    let mut table = "id,title,x,y\n".to_owned();
    for ((id, label), [x, y]) in points.ids.iter().zip(&points.labels).zip(map) {
        // Writing to a text cannot fail.
        let _ = writeln!(table, "{},{},{x},{y}", csv::field(id), csv::field(label));
    }
    let named = Map { title: &h.picture_title, ids: &points.ids, labels: &points.labels, places: map };
    write(&folders.output(MAP_FILE), &table)?;
    write(&folders.model(MAP_FILE), &table)?;
    write(&folders.output(PAGE_FILE), &picture::page(&named))?;
    write(&folders.output(PICTURE_FILE), &picture::svg(&named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn folder(pairs: &[(&str, &str)], table: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let pairs: std::collections::BTreeMap<_, _> = pairs.iter().copied().collect();
        write("input/config/hyperparameters.json", &serde_json::json!(pairs).to_string());
        write("input/data/train/v.csv", table);
        root
    }

    fn table(rows: usize) -> String {
        let mut random = Random::new(2, 2);
        let mut text = "id,title,v0,v1,v2\n".to_owned();
        for row in 0..rows {
            let [a, b, c] = std::array::from_fn(|_| random.normal() + (row % 3) as f32 * 9.0);
            writeln!(text, "{row},\"Title {row}, </script>\",{a},{b},{c}").unwrap();
        }
        text
    }

    #[test]
    fn a_run_writes_map_page_picture_and_measurements() {
        let root = folder(&[("n_iter", "250"), ("perplexity", "10")], &table(90));
        let mut out = Vec::new();
        train(root.path(), &mut out).unwrap();
        let log = String::from_utf8(out).unwrap();
        for (name, pattern) in super::super::METRIC_DEFINITIONS {
            let pattern = regex::Regex::new(pattern).unwrap();
            let values: Vec<f64> =
                pattern.captures_iter(&log).map(|found| found[1].parse().unwrap()).collect();
            assert_eq!(values.len(), if *name == "train:kl_divergence" { 5 } else { 1 }, "{log}");
            assert!(values[0] >= values[values.len() - 1] && values.iter().all(|v| (0.0..9.0).contains(v)));
        }
        let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        let map = read("output/data/tsne.csv");
        assert_eq!((map.lines().count(), map.lines().next().unwrap()), (91, "id,title,x,y"));
        assert!(map.lines().nth(1).unwrap().starts_with("0,\"Title 0, </script>\","));
        assert_eq!(map, read("model/tsne.csv"));
        for file in ["output/data/tsne.html", "output/data/tsne.svg"] {
            assert!(!read(file).contains("Title 0, </script>"), "{file} takes a title for its own text");
        }
    }

    #[test]
    fn runs_that_cannot_work_say_why() {
        for (pairs, table, want) in [
            (vec![("perplexity", "90")], table(90), "must be less than the number of points, which is 90"),
            (vec![("angle", "1")], table(90), "'angle' is not known to tsne"),
            (vec![], "id\n".to_owned(), "has no vectors"),
        ] {
            let root = folder(&pairs, &table);
            let failure = train(root.path(), &mut Vec::new()).unwrap_err().to_string();
            assert!(failure.starts_with("ClientError: ") && failure.contains(want), "{failure}");
            assert_eq!(fs::read_to_string(root.path().join("output/failure")).unwrap(), failure);
        }
    }
}
