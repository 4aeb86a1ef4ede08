#!/usr/bin/env python3
"""From a ratings file to answers from a live endpoint, with nothing but boto3.

The same run as `sagebrush quickstart`, written as a user of AWS writes it: upload, processing job, training job,
model, endpoint, predictions. boto3 reads the address and the key of the server from the environment:

    eval "$(sagebrush env --data-dir DIR)"
    python workflow.py --ratings ratings.csv --columns user=user_id,item=book_id,rating=rating

With --train, --validation and --test the files are Object2Vec records that are split already, and no data is prepared.
The exit status is 0 when everything was done, 1 with the reason when a job or an endpoint failed.
"""

import argparse
import itertools
import json
import pathlib
import sys
import time

import boto3

HERE = pathlib.Path(__file__).resolve().parent
BUCKET = "goodbooks-workflow"
POLL_SECONDS = 0.2
BATCH = 4096
OUTPUTS = ["bookratings", "train", "validation", "test", "users", "books", "summary", "quantiles"]

# One token per side, as a user and a book are, and a rating to predict.
SHAPE = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": "1",
    "enc1_network": "pooled_embedding",
    "enc1_max_seq_len": "1",
    "output_layer": "mean_squared_error",
    "bucket_width": "0",
}
# Regularised: the quickstart's settings, chosen on validation data only. Names with an underscore are sagebrush's own
# options (docs/object2vec.md); AWS does not know them.
REGULARISED = {
    "optimizer": "adagrad",
    "comparator_list": "hadamard, concat",
    "mlp_layers": "0",
    "early_stopping_patience": "5",
    "early_stopping_tolerance": "0.00001",
    "_weight_average_epochs": "3",
}
# With few records: which users rated a book is part of the book's vector.
FEW = {
    "enc_dim": "128",
    "dropout": "0.35",
    "learning_rate": "0.07",
    "mini_batch_size": "16",
    "_history": "implicit",
    "_history_sides": "1",
    "_history_dropout": "0.2",
}
# With many, and without sagebrush's own options.
MANY = {"enc_dim": "256", "dropout": "0.65", "learning_rate": "0.1", "mini_batch_size": "32"}
# The chapter's own settings, which overfit.
CHAPTER = {
    "optimizer": "adam",
    "enc_dim": "1024",
    "comparator_list": "hadamard, concat, abs_diff",
    "mlp_layers": "1",
    "mlp_dim": "256",
    "mlp_activation": "relu",
    "dropout": "0",
    "weight_decay": "0",
    "learning_rate": "0.0004",
    "mini_batch_size": "64",
    "epochs": "10",
    "early_stopping_patience": "2",
    "early_stopping_tolerance": "0.01",
}


def scaled(records, only_aws):
    """The regularised settings that depend on the number of training records.

    Weight decay acts on a row of the tables in every batch, the data only in the batches that hold it, so the same
    strength per row needs a weight decay inverse to the records.
    """
    return {
        "weight_decay": f"{min(1, max(1e-6, 20 / records)):.6f}",
        "epochs": str(min(100, max(25, 35_000_000 // records))),
        **(FEW if records <= 200_000 and not only_aws else MANY),
    }


def settings(options, records):
    """The settings that the options ask for, without those that say which users and books there are."""
    if options.chapter_settings:
        return CHAPTER
    return {
        name: value
        for name, value in dict(REGULARISED, **scaled(records, options.only_aws)).items()
        if not (options.only_aws and name.startswith("_"))
    }


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--ratings", help="CSV with a header; needs preparation")
    parser.add_argument("--books", help="CSV with the columns book_id and title")
    parser.add_argument(
        "--columns", default="user=user_id,item=book_id,rating=rating", help="the names in the ratings file"
    )
    parser.add_argument("--min-user-ratings", type=int, default=130)
    parser.add_argument("--min-book-ratings", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1, help="of the shuffle before the split")
    parser.add_argument("--train", help="Object2Vec records, JSON lines; skips preparation")
    parser.add_argument("--validation", help="with --train")
    parser.add_argument("--test", help="with --train")
    parser.add_argument("--chapter-settings", action="store_true", help="train as the chapter does")
    parser.add_argument("--only-aws", action="store_true", help="use no hyperparameter that AWS does not have")
    parser.add_argument("--hyperparameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--keep", action="store_true", help="leave the endpoint running")
    options = parser.parse_args()
    fixed = [options.train, options.validation, options.test]
    if bool(options.ratings) == any(fixed) or (any(fixed) and not all(fixed)):
        parser.error("give either --ratings, or all of --train, --validation and --test")
    return options


class Workflow:
    """One run: the clients, and the names of everything it makes."""

    def __init__(self):
        self.s3 = boto3.client("s3")
        self.sagemaker = boto3.client("sagemaker")
        self.runtime = boto3.client("sagemaker-runtime")
        self.logs = boto3.client("logs")
        self.account = boto3.client("sts").get_caller_identity()["Account"]
        self.region = self.sagemaker.meta.region_name
        self.stamp = time.strftime("%Y%m%d-%H%M%S")
        self.role = f"arn:aws:iam::{self.account}:role/goodbooks-workflow"
        self.seconds = {}

    def name(self, what):
        return f"goodbooks-boto3-{what}-{self.stamp}"

    def key(self, rest):
        return f"goodbooks/{self.stamp}/{rest}"

    def uri(self, rest):
        return f"s3://{BUCKET}/{self.key(rest)}"

    def image(self, name):
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com/{name}"

    def timed(self, step, work, *args):
        began = time.monotonic()
        result = work(*args)
        self.seconds[step] = time.monotonic() - began
        print(f"{step}: {self.seconds[step]:.2f} s", flush=True)
        return result

    def make_bucket(self):
        extra = {}
        if self.region != "us-east-1":
            extra["CreateBucketConfiguration"] = {"LocationConstraint": self.region}
        try:
            self.s3.create_bucket(Bucket=BUCKET, **extra)
        except self.s3.exceptions.BucketAlreadyOwnedByYou:
            pass

    def upload(self, options):
        self.make_bucket()
        if options.train:
            for split in ("train", "validation", "test"):
                self.s3.upload_file(getattr(options, split), BUCKET, self.key(f"prepared/{split}/{split}.jsonl"))
            return
        self.s3.upload_file(options.ratings, BUCKET, self.key("input/ratings/ratings.csv"))
        self.s3.upload_file(str(HERE / "prepare.sql"), BUCKET, self.key("input/code/prepare.sql"))
        books = self.key("input/books/books.csv")
        if options.books:
            self.s3.upload_file(options.books, BUCKET, books)
        else:
            self.s3.put_object(Bucket=BUCKET, Key=books, Body=b"book_id,title\n")

    def prepare(self, options):
        columns = dict(pair.split("=", 1) for pair in options.columns.split(","))
        settings = {
            "user_column": columns.get("user", "user_id"),
            "item_column": columns.get("item", "book_id"),
            "rating_column": columns.get("rating", "rating"),
            "min_user_ratings": options.min_user_ratings,
            "min_book_ratings": options.min_book_ratings,
            "seed": options.seed,
        }
        arguments = ["--script", "/opt/ml/processing/input/code/prepare.sql"]
        for name, value in settings.items():
            arguments += ["--set", f"{name}={value}"]
        name = self.name("prepare")
        self.sagemaker.create_processing_job(
            ProcessingJobName=name,
            RoleArn=self.role,
            AppSpecification={"ImageUri": self.image("sagebrush-sql:1"), "ContainerArguments": arguments},
            ProcessingResources={
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
            },
            ProcessingInputs=[
                {
                    "InputName": what,
                    "S3Input": {
                        "S3Uri": self.uri(f"input/{what}/"),
                        "LocalPath": f"/opt/ml/processing/input/{what}",
                        "S3DataType": "S3Prefix",
                        "S3InputMode": "File",
                    },
                }
                for what in ("code", "ratings", "books")
            ],
            ProcessingOutputConfig={
                "Outputs": [
                    {
                        "OutputName": what,
                        "S3Output": {
                            "S3Uri": self.uri(f"prepared/{what}"),
                            "LocalPath": f"/opt/ml/processing/output/{what}",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                    for what in OUTPUTS
                ]
            },
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
        )
        self.follow(
            "/aws/sagemaker/ProcessingJobs",
            name,
            lambda: self.sagemaker.describe_processing_job(ProcessingJobName=name),
            "ProcessingJobStatus",
        )
        print(f"{'after':<14}{'ratings':>12}{'users':>10}{'books':>10}")
        for row in self.lines("prepared/summary/"):
            print(f"{row['step']:<14}{row['ratings']:>12,}{row['users']:>10,}{row['books']:>10,}")

    def train(self, options, users, books, records):
        hyperparameters = dict(SHAPE, **settings(options, records))
        hyperparameters.update(enc0_vocab_size=str(max(users, 2)), enc1_vocab_size=str(max(books, 2)))
        hyperparameters.update(pair.split("=", 1) for pair in options.hyperparameter)
        name = self.name("train")
        self.sagemaker.create_training_job(
            TrainingJobName=name,
            RoleArn=self.role,
            AlgorithmSpecification={"TrainingImage": self.image("object2vec:1"), "TrainingInputMode": "File"},
            HyperParameters=hyperparameters,
            InputDataConfig=[
                {
                    "ChannelName": split,
                    "ContentType": "application/jsonlines",
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": self.uri(f"prepared/{split}/"),
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
                for split in ("train", "validation", "test")
            ],
            OutputDataConfig={"S3OutputPath": self.uri("models")},
            ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.4xlarge", "VolumeSizeInGB": 30},
            StoppingCondition={"MaxRuntimeInSeconds": 86400},
        )
        job = self.follow(
            "/aws/sagemaker/TrainingJobs",
            name,
            lambda: self.sagemaker.describe_training_job(TrainingJobName=name),
            "TrainingJobStatus",
            shown=("#quality_metric", "#throughput_metric", "Best model", "Early stopping"),
        )
        return job["ModelArtifacts"]["S3ModelArtifacts"]

    def deploy(self, artifact):
        model, config, endpoint = self.name("model"), self.name("config"), self.name("endpoint")
        self.sagemaker.create_model(
            ModelName=model,
            ExecutionRoleArn=self.role,
            PrimaryContainer={"Image": self.image("object2vec:1"), "ModelDataUrl": artifact},
        )
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=config,
            ProductionVariants=[
                {
                    "VariantName": "AllTraffic",
                    "ModelName": model,
                    "InitialInstanceCount": 1,
                    "InstanceType": "ml.m4.xlarge",
                    "InitialVariantWeight": 1,
                }
            ],
        )
        self.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        while True:
            answer = self.sagemaker.describe_endpoint(EndpointName=endpoint)
            if answer["EndpointStatus"] == "InService":
                return endpoint
            if answer["EndpointStatus"] != "Creating":
                fail(endpoint, answer["EndpointStatus"], answer.get("FailureReason"))
            time.sleep(POLL_SECONDS)

    def predict(self, endpoint, records):
        scores = []
        for batch in batches(records, BATCH):
            body = "".join(json.dumps({"in0": [user], "in1": [book]}) + "\n" for user, book, _ in batch)
            answer = self.runtime.invoke_endpoint(
                EndpointName=endpoint,
                ContentType="application/jsonlines",
                Accept="application/jsonlines",
                Body=body.encode(),
            )
            lines = answer["Body"].read().splitlines()
            scores += [json.loads(line)["scores"][0] for line in lines if line.strip()]
        if len(scores) != len(records):
            sys.exit(f"the endpoint answered {len(scores)} scores to {len(records)} pairs")
        return scores

    def take_down(self):
        self.sagemaker.delete_endpoint(EndpointName=self.name("endpoint"))
        self.sagemaker.delete_endpoint_config(EndpointConfigName=self.name("config"))
        self.sagemaker.delete_model(ModelName=self.name("model"))

    def follow(self, group, name, describe, status, shown=()):
        """Prints the job's log as it comes, and returns the last description of a job that completed."""
        token, last = {}, []
        while True:
            job = describe()
            # Read the log after the status, so that the last round leaves nothing unread.
            for line, token in self.new_lines(group, name, token):
                last = (last + [line])[-5:]
                if any(mark in line for mark in shown):
                    print("  " + line, flush=True)
            if job[status] == "Completed":
                return job
            if job[status] in ("Failed", "Stopped"):
                print("\n".join("  " + line for line in last), file=sys.stderr)
                fail(name, job[status], job.get("FailureReason"), job.get("ExitMessage"))
            time.sleep(POLL_SECONDS)

    def new_lines(self, group, name, token):
        try:
            streams = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name + "/")
        except self.logs.exceptions.ResourceNotFoundException:
            return
        for stream in streams["logStreams"][:1]:
            while True:
                page = self.logs.get_log_events(
                    logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True, **token
                )
                token = {"nextToken": page["nextForwardToken"]}
                if not page["events"]:
                    return
                for event in page["events"]:
                    yield event["message"], token

    def lines(self, prefix):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=self.key(prefix))
        for page in pages:
            for entry in page.get("Contents", []):
                body = self.s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"]
                yield from (json.loads(line) for line in body.iter_lines() if line.strip())

    def records(self, split):
        return [(one["in0"][0], one["in1"][0], one["label"]) for one in self.lines(f"prepared/{split}/")]


def fail(name, status, *reasons):
    told = []
    for reason in reasons:
        # A failure's reason may quote the exit message already.
        if reason and not any(reason in earlier for earlier in told):
            told.append(reason)
    sys.exit(f"{name} ended as {status}: " + " ".join(told))


def batches(records, size):
    iterator = iter(records)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def mse(records, predictions):
    return sum((one[2] - guess) ** 2 for one, guess in zip(records, predictions)) / len(records)


def baselines(train, validation, test):
    """Errors over test of predictors learned from train; the biases' shrinkage is chosen on validation."""
    mean = sum(rating for _, _, rating in train) / len(train)
    sums = {}
    for user, _, rating in train:
        total, count = sums.get(user, (0, 0))
        sums[user] = (total + rating, count + 1)
    means = {user: total / count for user, (total, count) in sums.items()}

    def shrunk(side, other, others, shrinkage):
        sums = {}
        for record in train:
            total, count = sums.get(record[side], (0, shrinkage))
            sums[record[side]] = (total + record[2] - mean - others.get(record[other], 0), count + 1)
        return {key: total / count for key, (total, count) in sums.items()}

    def biases(shrinkage):
        users, books = {}, {}
        for _ in range(3):
            books = shrunk(1, 0, users, shrinkage)
            users = shrunk(0, 1, books, shrinkage)
        return lambda records: [mean + users.get(user, 0) + books.get(book, 0) for user, book, _ in records]

    bias = min((biases(value) for value in (2, 5, 10, 25)), key=lambda guess: mse(validation, guess(validation)))
    return {
        "global mean": mse(test, [mean] * len(test)),
        "user mean": mse(test, [means.get(user, mean) for user, _, _ in test]),
        "user + book bias": mse(test, bias(test)),
    }


def main():
    options = arguments()
    run = Workflow()
    run.timed("upload", run.upload, options)
    if options.ratings:
        run.timed("prepare", run.prepare, options)
    train, validation, test = (run.records(split) for split in ("train", "validation", "test"))
    if not (train and validation and test):
        sys.exit(
            f"nothing to learn from: {len(train)} training, {len(validation)} validation and {len(test)} test"
            " records; lower --min-user-ratings and --min-book-ratings"
        )
    everything = list(itertools.chain(train, validation, test))
    users, books = (max(record[side] for record in everything) + 1 for side in (0, 1))
    artifact = run.timed("train", run.train, options, users, books, len(train))
    endpoint = run.timed("deploy", run.deploy, artifact)
    scores = run.timed("score", run.predict, endpoint, test)
    errors = baselines(train, validation, test)
    errors["Object2Vec"] = mse(test, scores)
    print(f"\n{'error on test':<20}{'MSE':>8}{'RMSE':>8}   ({len(test):,} pairs, all of them)")
    for name, error in errors.items():
        print(f"{name:<20}{error:>8.4f}{error ** 0.5:>8.4f}")
    if options.keep:
        print(f"\nthe endpoint {endpoint} stays in service")
    else:
        run.take_down()


if __name__ == "__main__":
    main()
