//! Requests and answers in all formats.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::object2vec::dataset::SIDES;
use crate::object2vec::network::Shape;

fn predictor() -> Predictor {
    predictor_with("mean_squared_error", "pooled_embedding")
}

fn predictor_with(output_layer: &str, network: &str) -> Predictor {
    let pairs: BTreeMap<String, String> = [
        ("enc0_max_seq_len", "3"),
        ("enc0_vocab_size", "50"),
        ("enc1_vocab_size", "20"),
        ("enc0_network", network),
        ("enc0_token_embedding_dim", "5"),
        ("output_layer", output_layer),
        ("num_classes", "3"),
        ("enc_dim", "6"),
        ("mlp_dim", "8"),
        ("mlp_activation", "tanh"),
    ]
    .iter()
    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
    .collect();
    let hyperparameters = Hyperparameters::from_pairs(pairs).unwrap();
    Predictor::new(Network::xavier(Shape::new(&hyperparameters), 3), &hyperparameters)
}

fn invoke(content_type: &str, accept: Option<&str>, body: &str) -> Result<(String, String), (u16, String)> {
    predictor()
        .invoke(content_type, accept, body.as_bytes())
        .map(|reply| (reply.content_type, String::from_utf8(reply.body).unwrap()))
        .map_err(|failure| (failure.status, failure.message))
}

const PAIRS: &str = r#"{"instances": [{"in0": [7, 14], "in1": [2]}, {"in1": [3], "in0": [0], "label": 4}]}"#;
const PAIR_LINES: &str = "{\"in0\": [7, 14], \"in1\": [2]}\n\n{\"in1\": [3], \"in0\": [0], \"label\": 4}\n";

#[test]
fn pairs_get_scores_in_both_formats() {
    let (kind, text) = invoke("application/json", None, PAIRS).unwrap();
    assert_eq!(kind, "application/json");
    let value: Value = serde_json::from_str(&text).unwrap();
    let predictions = value["predictions"].as_array().unwrap();
    assert_eq!((predictions.len(), predictions[0]["scores"].as_array().unwrap().len()), (2, 1));
    let (kind, lines) = invoke("application/jsonlines", None, PAIR_LINES).unwrap();
    assert_eq!(kind, "application/jsonlines");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&lines, predictions);
    let (kind, other) = invoke("application/jsonlines", Some("application/json"), PAIR_LINES).unwrap();
    assert_eq!((kind.as_str(), other), ("application/json", text));
    assert_eq!(
        invoke("application/json", Some("application/jsonlines;verbose=true"), PAIRS)
            .unwrap()
            .1
            .lines()
            .count(),
        2
    );
    assert_eq!(invoke("Application/JSON; charset=utf-8", Some("*/*"), PAIRS).unwrap().0, "application/json");
}

#[test]
fn single_objects_get_the_mean_of_their_tokens() {
    let model = predictor();
    for (side, key) in SIDES.into_iter().enumerate() {
        let body = json!({"instances": [{key: [5]}, {key: [5, 9]}, {key: [5, 9, 9, 1]}]});
        let reply = model.invoke("application/json", None, body.to_string().as_bytes()).unwrap();
        let value: Value = serde_json::from_slice(&reply.body).unwrap();
        let table = &model.network.tables[side];
        for (index, tokens) in [vec![5], vec![5, 9], vec![5, 9, 9]].iter().enumerate() {
            let got = value["predictions"][index]["embeddings"].as_array().unwrap();
            assert_eq!(got.len(), 6);
            for (column, got) in got.iter().enumerate() {
                let mean =
                    tokens.iter().map(|&t: &usize| table.row(t)[column]).sum::<f32>() / tokens.len() as f32;
                assert!((got.as_f64().unwrap() - f64::from(mean)).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn the_media_type_can_change_the_longest_list() {
    let long = r#"{"in0": [5, 9, 9, 1]}"#;
    let cut = |kind: &str, body: &str| invoke(kind, None, body).unwrap().1;
    let kind = "application/jsonlines; infer_max_seqlens=2,1";
    assert_eq!(cut(kind, long), cut("application/jsonlines", r#"{"in0": [5, 9]}"#));
    assert_ne!(cut("application/jsonlines;infer_max_seqlens=4,1", long), cut("application/jsonlines", long));
    for bad in ["2", "0,1", "1,5001", "a,b", ""] {
        let (status, message) =
            invoke(&format!("application/json;infer_max_seqlens={bad}"), None, PAIRS).unwrap_err();
        assert_eq!(status, 400);
        assert!(message.contains("infer_max_seqlens"), "{message}");
    }
}

#[test]
fn large_requests_agree_with_small_ones() {
    for network in ["pooled_embedding", "hcnn", "bilstm"] {
        agree(&predictor_with("mean_squared_error", network));
    }
}

fn agree(model: &Predictor) {
    let line = |i: usize| format!("{{\"in0\": [{}, {}], \"in1\": [{}]}}\n", i % 50, i * 7 % 50, i % 20);
    let body: String = (0..1000).map(line).collect();
    let all = model.invoke("application/jsonlines", None, body.as_bytes()).unwrap().body;
    let all = String::from_utf8(all).unwrap();
    assert_eq!(all.lines().count(), 1000);
    for i in [0, 127, 128, 999] {
        let one = model.invoke("application/jsonlines", None, line(i).as_bytes()).unwrap().body;
        assert_eq!(all.lines().nth(i).unwrap(), String::from_utf8(one).unwrap().trim_end());
    }
}

#[test]
fn looked_up_products_answer_as_the_whole_network_does() {
    for (comparators, layers, bias) in [
        ("hadamard, concat, abs_diff", "1", "false"),
        ("concat", "2", "true"),
        ("abs_diff, concat", "0", "true"),
        ("concat, hadamard", "0", "false"),
    ] {
        let pairs = [
            ("enc0_max_seq_len", "3"),
            ("enc0_vocab_size", "50"),
            ("enc1_vocab_size", "20"),
            ("enc0_network", "pooled_embedding"),
            ("output_layer", "mean_squared_error"),
            ("enc_dim", "21"),
            ("mlp_dim", "35"),
            ("mlp_layers", layers),
            ("mlp_activation", "relu"),
            ("comparator_list", comparators),
            ("_bias_terms", bias),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let h = Hyperparameters::from_pairs(pairs.into_iter().collect()).unwrap();
        let mut network = Network::xavier(Shape::new(&h), 4);
        network.start_output_at(0.5);
        network.tables.iter_mut().skip(2).for_each(|table| table.row_mut(3).fill(0.25));
        let mut model = Predictor::new(network, &h);
        assert!(model.factored.is_some());
        let line = |i: usize| format!("{{\"in0\": [{}, {}], \"in1\": [{}]}}\n", i % 50, i * 7 % 50, i % 20);
        for count in [1, 2, 3, 17, 300] {
            let body: String = (0..count).map(line).collect();
            let scores = |model: &Predictor| -> Vec<f64> {
                let reply = model.invoke("application/jsonlines", None, body.as_bytes()).unwrap();
                let lines = String::from_utf8(reply.body).unwrap();
                lines
                    .lines()
                    .map(|l| serde_json::from_str::<Value>(l).unwrap()["scores"][0].as_f64().unwrap())
                    .collect()
            };
            let quick = scores(&model);
            let factored = model.factored.take();
            assert!(
                quick.iter().zip(scores(&model)).all(|(a, b)| (a - b).abs() < 1e-5),
                "{comparators} {layers} {count}"
            );
            model.factored = factored;
        }
    }
}

#[test]
fn bad_requests_are_explained() {
    let json = |body: &str| invoke("application/json", None, body).unwrap_err();
    let lines = |body: &str| invoke("application/jsonlines", None, body).unwrap_err();
    let good = "{\"in0\": [7], \"in1\": [2]}";
    for (got, want) in [
        (json("{"), "The request is not JSON: EOF while parsing an object at line 1 column 1"),
        (json("[]"), "The request must be a JSON object with a list under the key 'instances'"),
        (json(r#"{"instances": []}"#), "The request has no instances"),
        (lines("\n \n"), "The request has no instances"),
        (
            json(r#"{"instances": [{"in0": [1]}, {}]}"#),
            "Instance 1: neither key 'in0' nor key 'in1' is present",
        ),
        (json(r#"{"instances": [{"in0": []}]}"#), "Instance 0: key 'in0': the list of token ids is empty"),
        (json(r#"{"instances": [{"in0": [1.5]}]}"#), "Instance 0: key 'in0': 1.5 is not a token id"),
        (json(r#"{"instances": [{"in0": 3}]}"#), "Instance 0: key 'in0': 3 is not a list of token ids"),
        (json(r#"{"instances": [7]}"#), "Instance 0: it is not a JSON object"),
        (
            lines(&format!("{good}\n{{\"in0\": [7], \"in1\": [20]}}")),
            "Line 2: key 'in1': token id 20 is outside the vocabulary of size 20 (allowed: 0 to 19)",
        ),
        (
            lines(&format!("{good}\n\n{{\"in0\": [7]}}")),
            "Line 3: it has other keys than the instances before it; in one request all must have the same",
        ),
        (lines("x"), "Line 1: it is not JSON: expected value at line 1 column 1"),
    ] {
        assert_eq!(got, (400, want.to_owned()));
    }
    assert_eq!(invoke("text/csv", None, "1,2").unwrap_err().0, 415);
    assert_eq!(invoke("application/json", Some("text/csv"), PAIRS).unwrap_err().0, 406);
}

#[test]
fn classes_get_probabilities() {
    let model = predictor_with("softmax", "pooled_embedding");
    let reply = model.invoke("application/json", None, PAIRS.as_bytes()).unwrap();
    let value: Value = serde_json::from_slice(&reply.body).unwrap();
    for prediction in value["predictions"].as_array().unwrap() {
        let scores: Vec<f64> =
            prediction["scores"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
        assert_eq!(scores.len(), 3);
        assert!(scores.iter().all(|s| (0.0..=1.0).contains(s)));
        assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn an_output_that_is_not_a_number_is_not_sent() {
    let mut model = predictor();
    model.network.layers[2].bias[0] = f32::NAN;
    let failure = model.invoke("application/json", None, PAIRS.as_bytes()).unwrap_err();
    assert_eq!(failure.status, 500);
    assert!(failure.message.contains("NaN"));
}
