"""Makes object2vec-goodbooks-275.csv: one real Object2Vec run a setting, one core each, started as the server does.

    python measure_table.py --sagebrush target/release/sagebrush --data FOLDER --output table.csv

FOLDER holds train/, validation/ and test/ with Object2Vec records whose users and books are numbered from 0 (275 and
973 of them). A run that was interrupted goes on with the settings that are missing.
"""

import argparse
import csv
import itertools
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

AXES = {
    "learning_rate": ["0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3"],
    "weight_decay": ["0.000001", "0.00001", "0.0001", "0.0003", "0.001", "0.01"],
    "dropout": ["0", "0.25", "0.5", "0.75"],
    "optimizer": ["adam", "adagrad", "sgd"],
    "enc_dim": ["8", "64"],
    "mlp_layers": ["0", "1"],
}
FIXED = {
    "enc0_network": "pooled_embedding", "enc0_max_seq_len": "1", "enc0_vocab_size": "275",
    "enc1_network": "pooled_embedding", "enc1_max_seq_len": "1", "enc1_vocab_size": "973",
    "output_layer": "mean_squared_error", "comparator_list": "hadamard, concat", "mlp_dim": "32",
    "mlp_activation": "relu", "mini_batch_size": "64", "epochs": "15", "early_stopping_patience": "2",
    "early_stopping_tolerance": "0.001", "bucket_width": "0",
}
SPLITS = ("train", "validation", "test")


def run(options, setting):
    """Trains once; returns the best validation error, the test error and the number of epochs."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for place in ("input/config", "input/data", "model", "output/data"):
            (root / place).mkdir(parents=True)
        for split in SPLITS:
            (root / "input/data" / split).symlink_to((options.data / split).resolve())
        channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None",
                   "ContentType": "application/jsonlines"}
        config = {"hyperparameters": FIXED | setting, "inputdataconfig": {split: channel for split in SPLITS},
                  "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}}
        for name, document in config.items():
            (root / "input/config" / f"{name}.json").write_text(json.dumps(document))
        done = subprocess.run([options.sagebrush, "algorithm", "object2vec", "train"], capture_output=True, text=True,
                              env={"SAGEBRUSH_ML_ROOT": folder, "SAGEBRUSH_THREADS": "1"})
    if done.returncode:
        sys.exit(f"{setting}: {done.stdout[-500:]}{done.stderr[-500:]}")
    metric = r"#quality_metric: host=algo-1, {} mean_squared_error <loss>=(\S+)"
    epochs = [float(text) for text in re.findall(metric.format(r"epoch=\d+, validation"), done.stdout)]
    return min(epochs), float(re.findall(metric.format("test"), done.stdout)[-1]), len(epochs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sagebrush", required=True)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    options = parser.parse_args()
    settings = [dict(zip(AXES, values)) for values in itertools.product(*AXES.values())]
    # In random order, so that an unfinished table is a fair part of the whole.
    random.Random(1).shuffle(settings)
    done = set()
    if options.output.exists():
        with open(options.output) as file:
            done = {tuple(row[name] for name in AXES) for row in csv.DictReader(file)}
    with open(options.output, "a", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        if os.path.getsize(options.output) == 0:
            rows.writerow([*AXES, "validation_mse", "test_mse", "epochs"])
        for setting in settings:
            if tuple(setting.values()) not in done:
                best, test, epochs = run(options, setting)
                rows.writerow([*setting.values(), f"{best:.6f}", f"{test:.6f}", epochs])
                file.flush()


if __name__ == "__main__":
    main()
