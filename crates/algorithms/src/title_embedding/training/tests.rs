//! Whole runs on small folders: lines, files, failures, what a model answers.

use super::*;
use crate::Predict as _;
use crate::title_embedding::Predictor;

const BOOKS: &str =
    "book_id,title\n1,The Red Stone\n2,\"Stone, red\"\n3,A Blue River\n4,Qwxyz\n5,River of blue\n";
const VECTORS: &str =
    "the 0.1 0 0\nred 1 0 0.1\nstone 0.9 0.1 0\nblue 0 1 0\nriver 0 0.9 0.2\na 0 0 0.1\nof 0 0.1 0.1\n";
const MODEL: &[u8] = include_bytes!("../vectors/fixtures/fasttext.bin");

fn folder(pairs: &[(&str, &str)], books: &str, vectors: &[u8]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let pairs: std::collections::BTreeMap<_, _> = pairs.iter().copied().collect();
    write("input/config/hyperparameters.json", serde_json::json!(pairs).to_string().as_bytes());
    write("input/data/train/books.csv", books.as_bytes());
    write("input/data/vectors/words", vectors);
    root
}

fn trained(pairs: &[(&str, &str)], vectors: &[u8]) -> (tempfile::TempDir, String) {
    let root = folder(pairs, BOOKS, vectors);
    let mut out = Vec::new();
    train(root.path(), &mut out).unwrap();
    (root, String::from_utf8(out).unwrap())
}

fn ask(root: &Path, instance: &str) -> serde_json::Value {
    let model = Predictor::load(&root.join("model")).unwrap();
    let body = format!("{{\"instances\": [{instance}]}}");
    let reply = model.invoke("application/json", None, body.as_bytes()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap()["predictions"][0].take()
}

#[test]
fn a_run_writes_a_model_a_table_and_its_measurements() {
    let (root, log) = trained(&[], VECTORS.as_bytes());
    for line in [
        "Titles: 5, repeated ids left out: 0",
        "Word vectors: text, 7 words of 3 numbers, without subwords; 7 words kept",
        "Tokens: 12, with a vector: 11 (0 of them by subwords), unknown: 1",
        "Titles without a known word: 1: 'Qwxyz' (4)",
        "train title_coverage <score>=0.8",
    ] {
        assert!(log.contains(line), "{line} is not in {log}");
    }
    for (name, pattern) in crate::title_embedding::METRIC_DEFINITIONS {
        let value = regex::Regex::new(pattern).unwrap().captures(&log).unwrap()[1].parse::<f64>().unwrap();
        assert!((0.0..=1.0).contains(&value), "{name}");
    }
    let table = fs::read_to_string(root.path().join("output/data/embeddings.csv")).unwrap();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!((rows.len(), rows[0]), (5, "id,title,v0,v1,v2"));
    assert!(rows[2].starts_with("2,\"Stone, red\","));
    let answer = ask(root.path(), "{\"id\": 1, \"n\": 1}");
    assert_eq!(answer["similar"][0]["id"], "2");
    let answer = ask(root.path(), "{\"title\": \"Blue!\", \"n\": 1}");
    assert_eq!(answer["similar"][0]["id"], "5", "{answer}");
    let answer = ask(root.path(), "{\"ratings\": {\"2\": 5, \"3\": 1}, \"titles\": [\"river\", \"stone\"]}");
    assert_eq!(answer["recommendations"][0]["title"], "stone");
}

#[test]
fn the_same_folder_gives_the_same_model() {
    let read = || {
        let (root, _) = trained(&[("token_weights", "sif")], VECTORS.as_bytes());
        fs::read(root.path().join("model").join(MODEL_FILE)).unwrap()
    };
    assert_eq!(read(), read());
}

#[test]
fn options_reach_the_model() {
    let vector = |pairs: &[(&str, &str)]| {
        let (root, _) = trained(pairs, VECTORS.as_bytes());
        ask(root.path(), "{\"title\": \"the red stone\", \"type\": \"embedding\"}")["embedding"].to_string()
    };
    let plain = vector(&[]);
    for pairs in [
        [("token_weights", "tfidf")],
        [("token_weights", "sif")],
        [("stop_words", "english")],
        [("normalize_titles", "false")],
        [("normalize_words", "true")],
        [("remove_component", "true")],
    ] {
        assert_ne!(vector(&pairs), plain, "{pairs:?}");
    }
    let (root, log) = trained(&[("model_vocabulary", "0")], VECTORS.as_bytes());
    assert!(log.contains("; 7 words kept"), "all occur in titles: {log}");
    assert_eq!(ask(root.path(), "{\"title\": \"red\"}")["known_words"], 1);
}

#[test]
fn words_that_are_not_there_are_made_of_subwords() {
    let books = "id,title\n1,Kingdom\n2,King\n3,River\n";
    let run = |pairs: &[(&str, &str)]| {
        let root = folder(pairs, books, MODEL);
        let mut out = Vec::new();
        train(root.path(), &mut out).unwrap();
        (root, String::from_utf8(out).unwrap())
    };
    let (root, log) = run(&[("normalize_titles", "false")]);
    assert!(log.contains("with a vector: 3 (1 of them by subwords), unknown: 0"), "{log}");
    let known = |root: &Path, word: &str| {
        ask(root, &format!("{{\"title\": \"{word}\", \"type\": \"embedding\"}}"))["known_words"].clone()
    };
    let vector = &ask(root.path(), "{\"title\": \"Bookish\", \"type\": \"embedding\"}")["embedding"];
    let expected: serde_json::Value =
        serde_json::from_str(include_str!("../vectors/fixtures/fasttext.json")).unwrap();
    for (got, want) in vector.as_array().unwrap().iter().zip(expected["bookish"].as_array().unwrap()) {
        assert!((got.as_f64().unwrap() - want.as_f64().unwrap()).abs() < 1e-6, "{vector}");
    }
    let (root, _) = run(&[("model_subwords", "false")]);
    assert_eq!((known(root.path(), "kingdom"), known(root.path(), "bookish")), (1.into(), 0.into()));
    let (_, log) = run(&[("subwords", "false")]);
    assert!(log.contains("with a vector: 2 (0 of them by subwords), unknown: 1"), "{log}");
}

#[test]
fn runs_that_cannot_work_say_why() {
    let refused = |pairs: &[(&str, &str)], books: &str, vectors: &str| {
        let root = folder(pairs, books, vectors.as_bytes());
        let failure = train(root.path(), &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(fs::read_to_string(root.path().join("output/failure")).unwrap(), failure);
        assert!(!root.path().join("model").exists());
        failure
    };
    assert!(refused(&[("epochs", "3")], BOOKS, VECTORS).contains("'epochs' is not known to title_embedding"));
    assert!(refused(&[], BOOKS, "fr 1 2\n").contains("No title has a word that the file of vectors knows"));
    assert!(refused(&[], "id,title\n", VECTORS).contains("has no titles"));
    let root = folder(&[], BOOKS, b"");
    fs::remove_dir_all(root.path().join("input/data/vectors")).unwrap();
    let message = train(root.path(), &mut Vec::new()).unwrap_err().to_string();
    assert_eq!(message, "ClientError: The channel 'vectors' is required and was not given");
}

#[test]
fn every_cut_of_a_model_is_noticed() {
    let (root, _) = trained(&[("token_weights", "sif")], VECTORS.as_bytes());
    let path = root.path().join("model").join(MODEL_FILE);
    let whole = fs::read(&path).unwrap();
    for size in (0..whole.len()).step_by(11) {
        fs::write(&path, &whole[..size]).unwrap();
        assert!(Predictor::load(path.parent().unwrap()).is_err(), "cut to {size} bytes");
    }
    for at in (0..whole.len()).step_by(13) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        assert!(Predictor::load(path.parent().unwrap()).is_err(), "changed byte {at}");
    }
}
