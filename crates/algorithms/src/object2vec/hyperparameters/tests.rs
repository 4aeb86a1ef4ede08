//! Hyperparameters: what is accepted, and the words with which the rest is refused.

use super::*;

fn pairs(extra: &[(&str, &str)]) -> BTreeMap<String, String> {
    let base = [
        ("enc0_max_seq_len", "1"),
        ("enc0_vocab_size", "12347"),
        ("enc0_network", "pooled_embedding"),
        ("output_layer", "mean_squared_error"),
    ];
    base.iter().chain(extra).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn refused(extra: &[(&str, &str)]) -> String {
    Hyperparameters::from_pairs(pairs(extra)).expect_err("must be refused").to_string()
}

#[test]
fn defaults_are_the_documented_ones() {
    let h = Hyperparameters::from_pairs(pairs(&[])).unwrap();
    assert_eq!((h.enc_dim, h.mlp_dim, h.mlp_layers, h.mini_batch_size, h.epochs), (4096, 512, 2, 32, 30));
    assert_eq!(h.comparators, [Comparator::Hadamard, Comparator::Concat, Comparator::AbsDiff]);
    assert_eq!((h.early_stopping_patience, h.early_stopping_tolerance, h.learning_rate), (3, 0.01, 0.0004));
    assert_eq!(h.encoders[0], h.encoders[1]);
    assert_eq!(h.values["enc1_network"], "pooled_embedding");
}

#[test]
fn the_second_encoder_follows_the_first_unless_told_otherwise() {
    let h =
        Hyperparameters::from_pairs(pairs(&[("enc1_network", "enc0"), ("enc1_vocab_size", "985")])).unwrap();
    assert_eq!((h.encoders[1].vocab_size, h.encoders[1].max_seq_len), (985, 1));
    assert_eq!(
        refused(&[("enc1_network", "pooled_embedding"), ("enc1_vocab_size", "985")]),
        "ClientError: Hyperparameter 'enc1_max_seq_len' is required and was not given"
    );
}

#[test]
fn values_out_of_range_are_named() {
    for (name, value, why) in [
        ("enc_dim", "3", "is out of range [4, 10000]"),
        ("enc_dim", "10001", "is out of range [4, 10000]"),
        ("enc_dim", "x", "is not an integer"),
        ("enc_dim", "8.5", "is not an integer"),
        ("dropout", "1.5", "is out of range [0, 1]"),
        ("dropout", "nan", "is not a number"),
        ("early_stopping_tolerance", "0.5", "is out of range [0.000001, 0.1]"),
        ("learning_rate", "0", "is out of range [0.000001, 1]"),
        ("mini_batch_size", "0", "is out of range [1, 10000]"),
        ("mlp_activation", "gelu", "is not one of [tanh, relu, linear]"),
        ("enc0_layers", "5", "is out of range [1, 4]"),
        ("enc0_vocab_size", "3000001", "is out of range [2, 3000000]"),
        ("tied_token_embedding_weight", "yes", "is not one of [true, false]"),
        ("enc0_vocab_file", "a/b", "may hold only letters, digits, dots and underscores"),
    ] {
        assert_eq!(refused(&[(name, value)]), format!("ClientError: Hyperparameter '{name}': {value} {why}"));
    }
    for list in ["", "hadamard,", "hadamard,hadamard", "dot"] {
        assert!(
            refused(&[("comparator_list", list)]).contains("comma-separated list of different comparators")
        );
    }
    assert!(refused(&[("encdim", "4")]).starts_with("ClientError: Hyperparameter 'encdim' is not known"));
}

#[test]
fn encoders_that_read_in_order_have_their_own_defaults() {
    let h = Hyperparameters::from_pairs(pairs(&[("enc0_network", "hcnn")])).unwrap();
    assert_eq!(h.encoders[0], h.encoders[1]);
    let first = &h.encoders[0];
    assert_eq!((first.network, first.layers, first.cnn_filter_width), (EncoderNetwork::Hcnn, 4, 3));
    assert_eq!((first.width(h.enc_dim), first.token_embedding_dim), (300, 300));
    let extra = [
        ("enc1_network", "bilstm"),
        ("enc1_max_seq_len", "5"),
        ("enc1_vocab_size", "12347"),
        ("tied_token_embedding_weight", "true"),
    ];
    assert!(refused(&extra).contains("those of enc0 have 4096 numbers and those of enc1 300"));
    let h = Hyperparameters::from_pairs(pairs(&extra[..3])).unwrap();
    assert_eq!((h.encoders[1].network, h.encoders[1].layers), (EncoderNetwork::BiLstm, 1));
}

#[test]
fn internal_names_and_odd_spellings_are_accepted() {
    let h = Hyperparameters::from_pairs(pairs(&[
        ("_kvstore", "device"),
        ("_num_gpus", "auto"),
        ("_num_kv_servers", "auto"),
        ("_tuning_objective_metric", "validation:mean_squared_error"),
        ("comparator_list", "concat ,hadamard"),
        ("tied_token_embedding_weight", "True"),
        ("_seed", "7"),
    ]))
    .unwrap();
    assert_eq!(h.comparators, [Comparator::Concat, Comparator::Hadamard]);
    assert_eq!((h.tied, h.seed), (true, 7));
}

#[test]
fn json_of_strings_numbers_and_booleans_is_read() {
    let json = br#"{"enc0_max_seq_len": 1, "enc0_vocab_size": "10", "enc0_network": "pooled_embedding",
        "output_layer": "mean_squared_error", "tied_token_embedding_weight": false, "dropout": 0.5}"#;
    assert_eq!(Hyperparameters::from_json(json).unwrap().dropout, 0.5);
    assert!(Hyperparameters::from_json(b"[]").is_err());
    assert!(
        Hyperparameters::from_json(br#"{"dropout": [1]}"#).unwrap_err().message.contains("'dropout': [1]")
    );
}

#[test]
fn pretrained_embeddings_need_a_vocabulary() {
    assert_eq!(
        refused(&[("enc0_pretrained_embedding_file", "glove.txt")]),
        "ClientError: Hyperparameter 'enc0_pretrained_embedding_file': glove.txt needs the hyperparameter \
         'enc0_vocab_file' as well"
    );
    let extra = [("enc0_pretrained_embedding_file", "glove.txt"), ("enc0_vocab_file", "v.json")];
    let h = Hyperparameters::from_pairs(pairs(&extra)).unwrap();
    let want = Pretrained { embeddings: "glove.txt".into(), vocabulary: "v.json".into(), freeze: true };
    assert_eq!(h.encoders.map(|e| e.pretrained), [Some(want.clone()), Some(want)]);
    assert_eq!(Hyperparameters::from_pairs(pairs(&extra[1..])).unwrap().encoders[0].pretrained, None);
}

#[test]
fn combinations_that_cannot_work_are_refused() {
    assert!(refused(&[("tied_token_embedding_weight", "true"), ("enc1_vocab_size", "9")]).contains("12347"));
    for (name, value) in [("_bias_terms", "true"), ("_output_range", "1,5"), ("_history", "implicit")] {
        assert_eq!(
            refused(&[(name, value), ("output_layer", "softmax")]),
            format!("ClientError: Hyperparameter '{name}': {value} needs output_layer mean_squared_error")
        );
    }
    assert!(refused(&[("_history", "ratings"), ("enc0_max_seq_len", "2")]).contains("max_seq_len 1 on both"));
    assert!(refused(&[("_output_range", "5,1")]).contains("two numbers separated by a comma"));
    assert!(
        refused(&[("token_embedding_storage_type", "row_sparse"), ("optimizer", "rmsprop")])
            .contains("row_sparse")
    );
}

#[test]
fn every_option_of_our_own_stands_on_the_page_with_its_default() {
    let page = include_str!("../../../../../docs/object2vec.md");
    let amazons = ["_kvstore", "_num_gpus", "_num_kv_servers", "_tuning_objective_metric"];
    let own: Vec<_> =
        SPECS.iter().filter(|s| s.name.starts_with('_') && !amazons.contains(&s.name)).collect();
    assert_eq!(own.len(), 11);
    for spec in own {
        let default = spec.default.filter(|default| !default.is_empty()).unwrap_or("none");
        let row = format!("| `{}` | {default} |", spec.name);
        assert!(page.contains(&row), "docs/object2vec.md has no row {row}");
    }
}
