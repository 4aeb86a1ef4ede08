"""A small data set with structure to learn: users and books have biases and two-dimensional tastes."""

import json
import random

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/object2vec:1"
USERS, BOOKS = 60, 40


def records(seed=1, count=1500):
    draw = random.Random(seed)
    users = [(draw.gauss(0, .5), draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(USERS)]
    books = [(draw.gauss(0, .5), draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(BOOKS)]
    pairs = [(u, b) for u in range(USERS) for b in range(BOOKS)]
    draw.shuffle(pairs)
    for u, b in pairs[:count]:
        (ub, u0, u1), (bb, b0, b1) = users[u], books[b]
        yield {"in0": [u], "in1": [b], "label": round(min(5, max(1, 3.5 + ub + bb + .4 * (u0 * b0 + u1 * b1))), 2)}


def parts(seed=1):
    """Records by split."""
    everything = list(records(seed))
    # Whole batches of 64: the algorithm fills the last batch of a channel with repeated records.
    return {"train": everything[:1216], "validation": everything[1216:1344], "test": everything[1344:1472]}


def upload(s3, bucket, prefix="data", seed=1):
    """Uploads train, validation and test; returns the lists."""
    split = parts(seed)
    for part, rows in split.items():
        body = "".join(json.dumps(row) + "\n" for row in rows)
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{part}/{part}.jsonl", Body=body.encode())
    return split


def hyperparameters(**changes):
    return {"enc0_max_seq_len": "1", "enc0_vocab_size": str(USERS), "enc0_network": "pooled_embedding",
            "enc1_max_seq_len": "1", "enc1_vocab_size": str(BOOKS), "enc1_network": "pooled_embedding",
            "enc_dim": "16", "mlp_layers": "1", "mlp_dim": "16", "mlp_activation": "relu", "epochs": "3",
            "mini_batch_size": "64", "learning_rate": "0.005", "output_layer": "mean_squared_error",
            **{key: str(value) for key, value in changes.items()}}


def channel(bucket, name, prefix=None):
    return {"ChannelName": name, "ContentType": "application/jsonlines",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{prefix or 'data/' + name}",
                                            "S3DataDistributionType": "FullyReplicated"}}}


def training_job(name, bucket, channels=("train", "validation", "test"), **changes):
    """The request of a training job; keyword arguments change hyperparameters."""
    return dict(
        TrainingJobName=name, RoleArn="arn:aws:iam::123456789012:role/conformance",
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        HyperParameters=hyperparameters(**changes),
        InputDataConfig=[channel(bucket, channel_name) for channel_name in channels],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/output"},
        ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 600})


def long_training_job(name, bucket):
    """A job that runs for minutes: single-record batches through a wide network."""
    return training_job(name, bucket, channels=("train",), epochs=100, enc_dim=1024, mlp_dim=2048, mlp_layers=2,
                        mini_batch_size=1, early_stopping_patience=5)
