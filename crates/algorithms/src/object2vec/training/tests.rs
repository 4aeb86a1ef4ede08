//! Whole runs on small folders: lines, files, failures, repeatability.

use std::fs;
use std::path::Path;

use super::*;
use crate::Predict as _;
use crate::object2vec::{MODEL_FILE, Predictor};
use crate::random::Random;

const PARAMETERS: [(&str, &str); 12] = [
    ("enc0_max_seq_len", "1"),
    ("enc0_vocab_size", "30"),
    ("enc1_vocab_size", "20"),
    ("enc0_network", "pooled_embedding"),
    ("output_layer", "mean_squared_error"),
    ("enc_dim", "16"),
    ("mlp_dim", "16"),
    ("mlp_layers", "1"),
    ("mlp_activation", "relu"),
    ("mini_batch_size", "16"),
    ("learning_rate", "0.01"),
    ("epochs", "4"),
];

/// Ratings with structure: a level per user and one per item.
fn records(count: usize, seed: u64) -> String {
    let mut random = Random::new(seed, 1);
    let mut line = || {
        let (user, item) = (random.below(30), random.below(20));
        let label = f64::from(user % 3) + f64::from(item % 2) + 1.0;
        format!("{{\"in0\":[{user}],\"in1\":[{item}],\"label\":{label}}}\n")
    };
    (0..count).map(|_| line()).collect()
}

fn folder(extra: &[(&str, &str)], channels: &[(&str, String)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let mut values: std::collections::BTreeMap<_, _> = PARAMETERS.into_iter().collect();
    values.extend(extra.iter().copied());
    write("input/config/hyperparameters.json", &json!(values).to_string());
    write("input/config/resourceconfig.json", r#"{"current_host": "algo-1", "hosts": ["algo-1"]}"#);
    let config: serde_json::Map<String, serde_json::Value> = channels
        .iter()
        .map(|(name, _)| ((*name).to_owned(), json!({"ContentType": "application/jsonlines"})))
        .collect();
    write("input/config/inputdataconfig.json", &json!(config).to_string());
    channels.iter().for_each(|(name, text)| write(&format!("input/data/{name}/part-0.jsonl"), text));
    root
}

fn run_in(root: &Path, threads: usize) -> (Result<(), TrainFailure>, Vec<String>) {
    let mut out = Vec::new();
    let result = train_with_threads(root, &mut out, threads);
    let text = String::from_utf8(out).unwrap();
    (result, text.lines().map(|line| line.split_once("] ").unwrap().1.to_owned()).collect())
}

fn all_channels() -> [(&'static str, String); 3] {
    [("train", records(2000, 1)), ("validation", records(100, 2)), ("test", records(50, 3))]
}

#[test]
fn a_run_learns_logs_and_leaves_a_model_that_serves() {
    let root = folder(&[], &all_channels());
    let (result, lines) = run_in(root.path(), 2);
    result.unwrap();
    let find = |start: &str| {
        lines
            .iter()
            .find(|l| l.starts_with(start))
            .unwrap_or_else(|| panic!("no line '{start}' in {lines:#?}"))
    };
    let value = |start: &str| find(start).rsplit('=').next().unwrap().parse::<f64>().unwrap();
    find("Reading default configuration from");
    find("Merging with provided configuration from");
    find("Final configuration: {");
    find("output_layer is set to mean_squared_error. Ignoring the hyperparameter 'num_classes'.");
    find(
        "Inconsistent enc_dim and token_embedding_dim found for token-embedding-encoder: 16 vs 300. Setting token",
    );
    find("Creating data iterator for /opt/ml/input/data/train");
    find("Total: 2000 samples in 1 buckets");
    find("Bucket of (1, 1) : 2000 samples in 125 batches of 16, approx 16.0 words/batch");
    find("Replicating 12 random sentences from bucket (1, 1) to size it to multiple of 16");
    find("Epoch: 0, batches: 100, num_examples: 1600, ");
    find("#011Training metrics: mean_squared_error: ");
    find("Completed Epoch: 3, time taken: 0:00:0");
    find("Epoch 0 Training metrics:   mean_squared_error: ");
    find("Epoch 0 Validation metrics: mean_squared_error: ");
    find("#progress_metric: host=algo-1, completed 25 % of epochs");
    find("#progress_metric: host=algo-1, completed 100 % of epochs");
    find("#throughput_metric: host=algo-1, train throughput=");
    find("Best model based on epoch 3. Best loss: 0.0");
    find("Serializing model to ");
    find("Finished scoring on 64 examples from 4 batches, each of size 16.");
    find("Test Metrics:mean_squared_error: 0.0");
    find("#test_score (algo-1) : ('mean_squared_error', 0.0");
    let first = value("#quality_metric: host=algo-1, epoch=0, validation mean_squared_error <loss>=");
    let last = value("#quality_metric: host=algo-1, epoch=3, validation mean_squared_error <loss>=");
    assert!(last < 0.05 && last < first, "{first} {last}");
    assert!(value("#quality_metric: host=algo-1, test mean_squared_error <loss>=") < 0.05);
    let model = Predictor::load(&root.path().join("model")).unwrap();
    let reply = model.invoke("application/jsonlines", None, b"{\"in0\":[5],\"in1\":[3]}").unwrap();
    let score: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert!((score["scores"][0].as_f64().unwrap() - 4.0).abs() < 0.5, "{score}");
    assert!(!root.path().join("output/failure").exists());
}

/// Pairs that belong together: the item is the user modulo 20.
fn positives(count: usize, seed: u64) -> String {
    let mut random = Random::new(seed, 1);
    let mut line = || {
        let user = random.below(20);
        format!("{{\"in0\":[{user}],\"in1\":[{user}],\"label\":1}}\n")
    };
    (0..count).map(|_| line()).collect()
}

#[test]
fn classes_are_learned_from_negatives_that_are_made_up() {
    let extra = [("output_layer", "softmax"), ("negative_sampling_rate", "3"), ("epochs", "12")];
    let channels = [
        ("train", positives(500, 1)),
        ("validation", positives(100, 2) + "{\"in0\":[3],\"in1\":[4],\"label\":0}"),
        ("test", positives(64, 3)),
    ];
    let root = folder(&extra, &channels);
    let (result, lines) = run_in(root.path(), 2);
    result.unwrap();
    let find = |start: &str| {
        let line = lines.iter().find(|l| l.starts_with(start));
        line.unwrap_or_else(|| panic!("no line '{start}' in {lines:#?}"))
            .rsplit('=')
            .next()
            .unwrap()
            .to_owned()
    };
    find("Negative sampling used with rate: 3");
    find("Negative sampling not used");
    find("Epoch 0 Training metrics:   perplexity: ");
    find("#quality_metric: host=algo-1, epoch=0, train cross_entropy <loss>=");
    find("#quality_metric: host=algo-1, epoch=0, validation accuracy <score>=");
    find("#test_score (algo-1) : ('cross_entropy', 0.");
    assert!(find("#quality_metric: host=algo-1, test accuracy <score>=").parse::<f64>().unwrap() > 0.95);
    let model = Predictor::load(&root.path().join("model")).unwrap();
    let probability = |body: &str| {
        let reply = model.invoke("application/jsonlines", None, body.as_bytes()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        value["scores"][1].as_f64().unwrap()
    };
    assert!(probability("{\"in0\":[7],\"in1\":[7]}") > 0.8);
    assert!(probability("{\"in0\":[7],\"in1\":[8]}") < 0.2);
}

#[test]
fn pretrained_embeddings_start_the_table_and_stay_when_frozen() {
    let embedding = |freeze: &str| {
        let extra = [
            ("enc0_pretrained_embedding_file", "e.txt"),
            ("enc0_vocab_file", "v.json"),
            ("enc0_freeze_pretrained_embedding", freeze),
            ("enc_dim", "4"),
            ("enc1_network", "pooled_embedding"),
            ("enc1_max_seq_len", "1"),
            ("optimizer", "sgd"),
            ("weight_decay", "0.01"),
        ];
        let root = folder(&extra, &all_channels()[..1]);
        let auxiliary = root.path().join("input/data/auxiliary");
        fs::create_dir_all(&auxiliary).unwrap();
        fs::write(auxiliary.join("v.json"), r#"{"seven": 7}"#).unwrap();
        fs::write(auxiliary.join("e.txt"), "seven 0.5 -0.25 0.125 1\n").unwrap();
        let (result, lines) = run_in(root.path(), 2);
        result.unwrap();
        assert!(lines.iter().any(|l| l.starts_with("Loaded 1 of 30 token embeddings of enc0 from ")));
        let model = Predictor::load(&root.path().join("model")).unwrap();
        let reply = model.invoke("application/jsonlines", None, b"{\"in0\":[7]}").unwrap();
        String::from_utf8(reply.body).unwrap()
    };
    assert_eq!(embedding("true"), "{\"embeddings\": [0.5, -0.25, 0.125, 1.0]}\n");
    assert_ne!(embedding("False"), embedding("true"));
    let root = folder(&[("enc0_pretrained_embedding_file", "e"), ("enc0_vocab_file", "v")], &all_channels());
    let message = run_in(root.path(), 1).0.unwrap_err().to_string();
    assert_eq!(
        message,
        "ClientError: Hyperparameter 'enc0_vocab_file': the channel 'auxiliary' has no file 'v'"
    );
}

/// Lists of which only the order says what the label is: whether 3 comes before 4.
fn ordered(count: usize, seed: u64) -> String {
    let mut random = Random::new(seed, 1);
    let mut line = || {
        let mut list: Vec<u32> = (0..2 + random.below(6)).map(|_| 5 + random.below(10)).collect();
        let (first, last) = (random.below(2) as usize, list.len() - 1);
        (list[0], list[last]) = if first == 1 { (3, 4) } else { (4, 3) };
        format!("{{\"in0\":{list:?},\"in1\":[{}],\"label\":{first}}}\n", random.below(20))
    };
    (0..count).map(|_| line()).collect()
}

#[test]
fn encoders_that_read_in_order_learn_from_order_in_buckets_and_on_any_number_of_threads() {
    for network in ["hcnn", "bilstm"] {
        let extra = [
            ("enc0_network", network),
            ("enc0_max_seq_len", "7"),
            ("enc0_token_embedding_dim", "6"),
            ("enc1_network", "pooled_embedding"),
            ("enc1_max_seq_len", "1"),
            ("bucket_width", "3"),
            ("output_layer", "softmax"),
            ("comparator_list", "concat"),
            ("enc_dim", "12"),
            ("epochs", "6"),
            ("early_stopping_patience", "5"),
        ];
        let channels =
            [("train", ordered(1500, 1)), ("validation", ordered(160, 2)), ("test", ordered(160, 3))];
        let models: Vec<_> = [1, 3]
            .into_iter()
            .map(|threads| {
                let root = folder(&extra, &channels);
                let (result, lines) = run_in(root.path(), threads);
                result.unwrap();
                assert!(lines.iter().any(|l| l == "Total: 1500 samples in 3 buckets"), "{lines:#?}");
                assert!(lines.iter().any(|l| l.starts_with("Bucket of (6, 1) : ")));
                let accuracy = lines.iter().find(|l| l.contains("test accuracy <score>=")).unwrap();
                let accuracy: f64 = accuracy.rsplit('=').next().unwrap().parse().unwrap();
                assert!(accuracy > 0.95, "{network}: {accuracy}");
                fs::read(root.path().join("model").join(MODEL_FILE)).unwrap()
            })
            .collect();
        assert!(models[0] == models[1], "{network}: the number of threads changes the model");
    }
}

#[test]
fn the_same_seed_gives_the_same_model_on_any_number_of_threads() {
    let model = |seed: &str, threads: usize| {
        let root = folder(&[("_seed", seed), ("dropout", "0.3"), ("enc_dim", "70")], &all_channels());
        run_in(root.path(), threads).0.unwrap();
        fs::read(root.path().join("model").join(MODEL_FILE)).unwrap()
    };
    let one = model("1", 1);
    assert!(one == model("1", 3), "the number of threads changes the model");
    assert!(one != model("2", 1), "the seed does not change the model");
}

/// A log that breaks at the first line with these words.
struct Breaking<'a> {
    at: &'a str,
    kept: Vec<u8>,
}

impl Write for Breaking<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.kept.extend_from_slice(bytes);
        if String::from_utf8_lossy(&self.kept).contains(self.at) {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_run_that_was_interrupted_ends_with_the_same_model() {
    let cases: [&[(&str, &str)]; 5] = [
        &[
            ("_history", "ratings"),
            ("_history_dropout", "0.2"),
            ("_weight_average_epochs", "1.5"),
            ("_learning_rate_schedule", "cosine"),
            ("_bias_terms", "true"),
            ("_embedding_decay", "0.01"),
            ("_embedding_dropout", "0.1"),
            ("_output_range", "1,4"),
        ],
        &[("dropout", "0.3"), ("learning_rate", "0.05"), ("epochs", "6")],
        &[("optimizer", "adadelta"), ("enc0_network", "bilstm"), ("enc0_token_embedding_dim", "5")],
        &[
            ("optimizer", "adam"),
            ("weight_decay", "0.001"),
            ("output_layer", "softmax"),
            ("num_classes", "6"),
            ("negative_sampling_rate", "2"),
        ],
        &[("epochs", "30"), ("early_stopping_patience", "1"), ("early_stopping_tolerance", "0.1")],
    ];
    for extra in cases {
        let channels = [("train", records(700, 1)), ("validation", records(100, 2))];
        let whole = folder(extra, &channels);
        run_in(whole.path(), 2).0.unwrap();
        let want = fs::read(whole.path().join("model").join(MODEL_FILE)).unwrap();
        let broken = folder(extra, &channels);
        fs::create_dir(broken.path().join("checkpoints")).unwrap();
        for at in ["Completed Epoch: 0", "Completed Epoch: 2", "Serializing model"] {
            let mut out = Breaking { at, kept: Vec::new() };
            assert!(train_with_threads(broken.path(), &mut out, 1).is_err(), "{at}");
            assert!(!broken.path().join("model").join(MODEL_FILE).exists());
        }
        let (result, lines) = run_in(broken.path(), 2);
        result.unwrap();
        assert!(lines.iter().any(|l| l.starts_with(
            "Loaded checkpoint from /opt/ml/checkpoints/object2vec.checkpoint. Continuing with epoch: "
        )));
        assert!(!lines.iter().any(|l| l.starts_with("Completed Epoch")), "all epochs were done");
        let got = fs::read(broken.path().join("model").join(MODEL_FILE)).unwrap();
        assert!(got == want, "{extra:?}: the interrupted run ends with another model");
        let model = Predictor::load(&broken.path().join("model")).unwrap();
        model.invoke("application/jsonlines", None, b"{\"in0\":[5],\"in1\":[3]}").unwrap();
    }
}

#[test]
fn more_epochs_continue_and_what_does_not_fit_is_refused() {
    let channels = [("train", records(700, 1)), ("validation", records(100, 2))];
    let run = |root: &tempfile::TempDir, extra: &[(&str, &str)]| {
        let other = folder(extra, &channels);
        let name = "input/config/hyperparameters.json";
        fs::copy(other.path().join(name), root.path().join(name)).unwrap();
        run_in(root.path(), 1)
    };
    let root = folder(&[], &channels);
    fs::create_dir(root.path().join("checkpoints")).unwrap();
    run(&root, &[("epochs", "2")]).0.unwrap();
    let (result, lines) = run(&root, &[("epochs", "5")]);
    result.unwrap();
    let done = |line: &&String| line.starts_with("Completed Epoch");
    assert_eq!(lines.iter().filter(done).count(), 3, "{lines:#?}");
    let whole = folder(&[("epochs", "5")], &channels);
    run_in(whole.path(), 1).0.unwrap();
    let model = |root: &tempfile::TempDir| fs::read(root.path().join("model").join(MODEL_FILE)).unwrap();
    assert!(model(&root) == model(&whole));
    assert_eq!(
        run(&root, &[("enc_dim", "20")]).0.unwrap_err().to_string(),
        "ClientError: The checkpoint /opt/ml/checkpoints/object2vec.checkpoint was made with enc_dim = 16, but this \
         job has enc_dim = 20. To start afresh, name a checkpoint location without a checkpoint"
    );
    fs::write(root.path().join("input/data/train/part-0.jsonl"), records(700, 9)).unwrap();
    let (result, lines) = run(&root, &[("epochs", "6")]);
    result.unwrap();
    assert!(
        lines.iter().any(|l| l == "The training records are not those that the checkpoint was made with.")
    );
    let path = root.path().join("checkpoints/object2vec.checkpoint");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(run(&root, &[]).0.unwrap_err().message.contains("checksum is wrong"));
}

#[test]
fn the_best_epoch_is_the_one_that_is_stored() {
    // A learning rate so high that the loss goes up and down; the stored model must score like the best epoch.
    let train = records(400, 1);
    let channels = [("train", train), ("validation", records(160, 2)), ("test", records(160, 2))];
    let root =
        folder(&[("learning_rate", "0.08"), ("epochs", "12"), ("early_stopping_patience", "5")], &channels);
    let (result, lines) = run_in(root.path(), 2);
    result.unwrap();
    let losses: Vec<f64> = lines
        .iter()
        .filter(|l| l.contains("validation mean_squared_error <loss>="))
        .map(|l| l.rsplit('=').next().unwrap().parse().unwrap())
        .collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_ne!(losses.last(), Some(&best), "the test needs a best epoch before the last");
    let test = lines.iter().find(|l| l.contains("test mean_squared_error <loss>=")).unwrap();
    assert_eq!(test.rsplit('=').next().unwrap().parse::<f64>().unwrap(), best);
}

#[test]
fn what_looks_like_a_mistake_is_said() {
    let warned = |extra: &[(&str, &str)], channels: &[(&str, String)]| {
        let (result, lines) = run_in(folder(extra, channels).path(), 1);
        result.unwrap();
        lines
    };
    let lines = warned(&[("weight_decay", "0.1"), ("epochs", "1")], &all_channels());
    assert!(lines.iter().any(|l| l.starts_with("weight_decay is 0.1. It is added to the gradient")));
    let lines = warned(&[("epochs", "1"), ("weight_decay", "0.01")], &all_channels());
    assert!(!lines.iter().any(|l| l.starts_with("weight_decay is")), "{lines:#?}");
    let lines = warned(&[("epochs", "1")], &all_channels()[..1]);
    assert!(lines.iter().any(|l| l.starts_with("There is no validation channel")));
    let new = "{\"in0\":[29],\"in1\":[1],\"label\":1}\n";
    let train =
        records(500, 1).lines().filter(|l| !l.contains("[29]")).fold(String::new(), |all, l| all + l + "\n");
    let validation = new.repeat(3) + train.lines().next().unwrap();
    let lines = warned(&[("epochs", "1")], &[("train", train.clone()), ("validation", validation)]);
    let want = "1 of 2 ids that 'in0' has in the validation channel never occur in the train channel, in 3 of 4 records";
    assert!(lines.iter().any(|l| l.starts_with(want)), "{lines:#?}");
    assert!(!lines.iter().any(|l| l.contains("'in1' has in the validation")));
}

#[test]
fn early_stopping_ends_a_run() {
    let extra = [("epochs", "40"), ("early_stopping_patience", "1"), ("early_stopping_tolerance", "0.1")];
    let root = folder(&extra, &all_channels());
    let (result, lines) = run_in(root.path(), 1);
    result.unwrap();
    assert!(
        lines.iter().any(|l| l.starts_with("Early stopping criterion met! Stopping training at epoch: "))
    );
    assert!(lines.iter().any(|l| l == "#progress_metric: host=algo-1, completed 100 % epochs"));
    let without = folder(&extra, &all_channels()[..1]);
    let (result, lines) = run_in(without.path(), 1);
    result.unwrap();
    assert!(lines.iter().any(|l| l.starts_with("Early stopping criterion met!")));
    assert!(lines.iter().any(|l| l == "Test data is not provided."));
}

#[test]
fn failures_are_written_and_say_what_was_wrong() {
    let fails = |root: &tempfile::TempDir| {
        let (result, _) = run_in(root.path(), 1);
        let failure = result.unwrap_err().to_string();
        assert_eq!(fs::read_to_string(root.path().join("output/failure")).unwrap(), failure);
        assert!(!root.path().join("model").join(MODEL_FILE).exists());
        failure
    };
    assert_eq!(
        fails(&folder(&[("enc_dim", "3")], &all_channels())),
        "ClientError: Hyperparameter 'enc_dim': 3 is out of range [4, 10000]"
    );
    assert_eq!(
        fails(&folder(&[], &[("validation", records(9, 1))])),
        "ClientError: The channel 'train' is required and was not given"
    );
    assert_eq!(
        fails(&folder(&[], &[("train", String::new())])),
        "ClientError: The channel 'train' has no records: 1 file(s) were found in it"
    );
    assert!(fails(&folder(&[], &[("trian", records(9, 1))])).contains("channel 'trian' is not known"));
    assert_eq!(
        fails(&folder(
            &[("enc1_vocab_size", "19")],
            &[("train", "{\"in0\":[1],\"in1\":[19],\"label\":1}".into())]
        )),
        "ClientError: train/part-0.jsonl, line 1: key 'in1': token id 19 is outside the vocabulary of size 19 \
         (allowed: 0 to 18)"
    );
    let diverging =
        folder(&[("learning_rate", "1"), ("optimizer", "sgd"), ("weight_decay", "9999")], &all_channels());
    assert!(fails(&diverging).starts_with("AlgorithmError: The loss after epoch 0 is"));
    let empty = tempfile::tempdir().unwrap();
    assert!(run_in(empty.path(), 1).0.unwrap_err().message.ends_with("hyperparameters.json is missing"));
}

#[test]
fn unusable_channel_settings_are_refused() {
    let refused = |config: &str| {
        let root = folder(&[], &all_channels());
        fs::write(root.path().join("input/config/inputdataconfig.json"), config).unwrap();
        run_in(root.path(), 1).0.unwrap_err().message
    };
    assert!(refused(r#"{"train": {"ContentType": "text/csv"}}"#).contains("content type 'text/csv'"));
    assert!(refused(r#"{"train": {"TrainingInputMode": "Pipe"}}"#).contains("input mode Pipe"));
    assert!(refused(r#"{"train": {"RecordWrapperType": "RecordIO"}}"#).contains("record wrapper 'RecordIO'"));
    assert!(refused("[").contains("inputdataconfig.json is not a JSON object"));
    let root = folder(&[], &all_channels());
    fs::write(root.path().join("input/config/resourceconfig.json"), r#"{"hosts": ["a", "b"]}"#).unwrap();
    assert!(run_in(root.path(), 1).0.unwrap_err().message.contains("one machine, but 2"));
}

#[test]
fn every_metric_definition_has_a_line_it_matches() {
    let root = folder(&[], &all_channels());
    let (_, lines) = run_in(root.path(), 1);
    for (name, pattern) in crate::object2vec::METRIC_DEFINITIONS {
        if name.contains("cross_entropy") || name.contains("accuracy") {
            continue;
        }
        let regex = regex::Regex::new(pattern).unwrap();
        let values: Vec<f64> =
            lines.iter().filter_map(|line| regex.captures(line)).map(|c| c[1].parse().unwrap()).collect();
        assert_eq!(values.len(), if name.starts_with("test") { 1 } else { 4 }, "{name}");
    }
}
