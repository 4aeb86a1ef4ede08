//! Every hyperparameter of the algorithm, its type, its bounds and its default: facts of the public documentation.

use super::{is_comparators, own};
use crate::contract::{Kind, Spec, required, spec};

/// A file name of letters, digits, dots and underscores; may be empty.
const FILE_NAME: Kind = Kind::Text(
    |value| value.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'),
    "may hold only letters, digits, dots and underscores",
);
/// An ordered, non-empty choice of comparators, separated by commas.
const COMPARATORS: Kind = Kind::Text(
    is_comparators,
    "is not a comma-separated list of different comparators out of [hadamard, concat, abs_diff]",
);
/// Two numbers separated by a comma, the lower first; may be empty.
const RANGE: Kind = Kind::Text(
    |value| value.is_empty() || own::parse_range(value).is_some(),
    "is not two numbers separated by a comma, the lower first, such as 1,5",
);
const ENCODERS: &[&str] = &["hcnn", "bilstm", "pooled_embedding"];
const MAX_VOCABULARY: i64 = 3_000_000;

/// All of them. Names that begin with an underscore and are not AWS's are sagebrush's own.
pub(super) const SPECS: &[Spec] = &[
    required("enc0_max_seq_len", Kind::Int(1, 5000)),
    required("enc0_vocab_size", Kind::Int(2, MAX_VOCABULARY)),
    spec("enc_dim", Kind::Int(4, 10_000), "4096"),
    spec("enc0_network", Kind::Choice(ENCODERS), "hcnn"),
    spec("enc0_cnn_filter_width", Kind::Int(1, 9), "3"),
    spec("enc0_layers", Kind::AutoInt(1, 4), "auto"),
    spec("enc0_token_embedding_dim", Kind::Int(2, 1000), "300"),
    spec("enc0_pretrained_embedding_file", FILE_NAME, ""),
    spec("enc0_freeze_pretrained_embedding", Kind::Bool, "true"),
    spec("enc0_vocab_file", FILE_NAME, ""),
    spec("enc1_network", Kind::Choice(&["enc0", "hcnn", "bilstm", "pooled_embedding"]), "enc0"),
    required("enc1_max_seq_len", Kind::Int(1, 5000)),
    required("enc1_vocab_size", Kind::Int(2, MAX_VOCABULARY)),
    spec("enc1_cnn_filter_width", Kind::Int(1, 9), "3"),
    spec("enc1_layers", Kind::AutoInt(1, 4), "auto"),
    spec("enc1_token_embedding_dim", Kind::Int(2, 1000), "300"),
    spec("enc1_pretrained_embedding_file", FILE_NAME, ""),
    spec("enc1_freeze_pretrained_embedding", Kind::Bool, "true"),
    spec("enc1_vocab_file", FILE_NAME, ""),
    spec("bucket_width", Kind::Int(0, 100), "0"),
    spec("comparator_list", COMPARATORS, "hadamard, concat, abs_diff"),
    spec("dropout", Kind::Float(0.0, 1.0), "0"),
    spec("early_stopping_patience", Kind::Int(1, 5), "3"),
    spec("early_stopping_tolerance", Kind::Float(1e-6, 0.1), "0.01"),
    spec("epochs", Kind::Int(1, 100), "30"),
    spec("learning_rate", Kind::Float(1e-6, 1.0), "0.0004"),
    spec("mini_batch_size", Kind::Int(1, 10_000), "32"),
    spec("mlp_activation", Kind::Choice(&["tanh", "relu", "linear"]), "linear"),
    spec("mlp_dim", Kind::Int(2, 10_000), "512"),
    spec("mlp_layers", Kind::Int(0, 10), "2"),
    spec("negative_sampling_rate", Kind::Int(0, 100), "0"),
    spec("num_classes", Kind::Int(2, 30), "2"),
    spec("optimizer", Kind::Choice(&["adadelta", "adagrad", "adam", "sgd", "rmsprop"]), "adam"),
    spec("output_layer", Kind::Choice(&["softmax", "mean_squared_error"]), "softmax"),
    spec("tied_token_embedding_weight", Kind::Bool, "false"),
    spec("token_embedding_storage_type", Kind::Choice(&["dense", "row_sparse"]), "dense"),
    spec("weight_decay", Kind::Float(0.0, 10_000.0), "0"),
    spec("_kvstore", Kind::Ignored, "auto_gpu"),
    spec("_num_gpus", Kind::Ignored, "auto"),
    spec("_num_kv_servers", Kind::Ignored, "auto"),
    spec("_tuning_objective_metric", Kind::Ignored, ""),
    // sagebrush's own: docs/object2vec.md says what they do
    spec("_seed", Kind::Int(0, i64::MAX), "0"),
    spec("_bias_terms", Kind::Bool, "false"),
    spec("_embedding_decay", Kind::Float(0.0, 10.0), "0"),
    spec("_embedding_dropout", Kind::AutoFloat(0.0, 1.0), "auto"),
    spec("_history", Kind::Choice(&["none", "implicit", "ratings"]), "none"),
    spec("_history_sides", Kind::Choice(&["0", "1", "both"]), "0"),
    spec("_history_table", Kind::Choice(&["own", "shared"]), "own"),
    spec("_history_dropout", Kind::Float(0.0, 1.0), "0"),
    spec("_learning_rate_schedule", Kind::Choice(&["constant", "linear", "cosine"]), "constant"),
    spec("_output_range", RANGE, ""),
    spec("_weight_average_epochs", Kind::Float(0.0, 100.0), "0"),
];
