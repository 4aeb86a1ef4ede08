"""What the runs with both SDKs share: options, the data in S3, the error."""

import argparse
import io
import json
import pathlib
import tarfile

import boto3


def arguments(about):
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    for split in ("train", "validation", "test"):
        parser.add_argument(f"--{split}", required=True, type=pathlib.Path, help=f"the {split} split as Object2Vec records")
    account = boto3.client("sts").get_caller_identity()["Account"]
    parser.add_argument("--bucket", default="goodbooks-script")
    parser.add_argument("--role", default=f"arn:aws:iam::{account}:role/goodbooks", help="ARN of the execution role")
    parser.add_argument("--version", default="1.2-1", help="version of the scikit-learn image")
    parser.add_argument("--alpha", type=float, default=5.0, help="how strongly the biases are shrunk")
    return parser.parse_args()


def upload(s3, options):
    """Puts train and validation split into the bucket, which is made; their prefixes by channel."""
    s3.create_bucket(Bucket=options.bucket)
    channels = {}
    for channel in ("train", "validation"):
        s3.upload_file(str(getattr(options, channel)), options.bucket, f"ratings/{channel}/{channel}.jsonl")
        channels[channel] = f"s3://{options.bucket}/ratings/{channel}/"
    return channels


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def instances(path):
    return [{"in0": row["in0"], "in1": row["in1"]} for row in rows(path)]


def mse(path, scores):
    labels = [row["label"] for row in rows(path)]
    return sum((score - label) ** 2 for score, label in zip(scores, labels, strict=True)) / len(labels)


def pack(folder):
    """A folder's files as a gzipped tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path in sorted(folder.iterdir()):
            if path.is_file():
                tar.add(path, path.name)
    return out.getvalue()
