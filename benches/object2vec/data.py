"""Synthetic ratings of the chapter's size: as many users, books and records, with levels and two-dimensional tastes."""

import json
import pathlib

import numpy as np

USERS, BOOKS, RECORDS = 12_347, 985, 841_039

CHAPTER = {
    "enc0_network": "pooled_embedding", "enc0_max_seq_len": "1", "enc0_vocab_size": str(USERS),
    "enc1_network": "pooled_embedding", "enc1_max_seq_len": "1", "enc1_vocab_size": str(BOOKS),
    "output_layer": "mean_squared_error", "optimizer": "adam", "learning_rate": "0.0004", "enc_dim": "1024",
    "comparator_list": "hadamard, concat, abs_diff", "mlp_layers": "1", "mlp_dim": "256", "mlp_activation": "relu",
    "bucket_width": "0", "early_stopping_patience": "5", "early_stopping_tolerance": "0.000001",
}


def arrays(records, seed=7):
    """Users, books, labels."""
    draw = np.random.default_rng(seed)
    users = draw.integers(0, USERS, records)
    books = draw.zipf(1.3, 4 * records)
    books = books[books <= BOOKS][:records] - 1
    levels = draw.normal(3.6, .5, USERS)[users] + draw.normal(0, .4, BOOKS)[books]
    tastes = (draw.normal(0, .7, (USERS, 2))[users] * draw.normal(0, .7, (BOOKS, 2))[books]).sum(1)
    labels = np.clip(np.rint(levels + tastes + draw.normal(0, .5, records)), 1, 5)
    return users, books, labels


def write_folder(root, records, **changes):
    """A folder as a training container finds it."""
    root = pathlib.Path(root)
    (root / "input/config").mkdir(parents=True)
    (root / "input/data/train").mkdir(parents=True)
    (root / "input/config/hyperparameters.json").write_text(json.dumps({**CHAPTER, **changes}))
    users, books, labels = arrays(records)
    with open(root / "input/data/train/train.jsonl", "w") as out:
        for user, book, label in zip(users.tolist(), books.tolist(), labels.tolist()):
            out.write(f'{{"in0":[{user}],"in1":[{book}],"label":{label}}}\n')
