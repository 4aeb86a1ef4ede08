#!/usr/bin/env python3
"""The chapter's first three steps with the SageMaker Python SDK (version 3): prepare, train, deploy and predict.

Written as a user of AWS writes it; nothing here knows that the server is not AWS:

    eval "$(sagebrush env --data-dir DIR)"
    python -m pip install 'sagemaker>=3' boto3
    python workflow_sdk.py --ratings ratings.csv --books books.csv

On a server started with `serve --intercept` and the environment of `sagebrush env --intercept`, leave --bucket and
--role out: the SDK then asks for the default bucket and the execution role as it does in a notebook.
"""

import argparse
import json
import pathlib
import sys

import boto3
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, S3DataSource, StoppingCondition

from workflow import SHAPE, baselines, batches, mse, settings

HERE = pathlib.Path(__file__).resolve().parent
SPLITS = ("train", "validation", "test")
OUTPUTS = (*SPLITS, "bookratings", "users", "books", "summary", "quantiles")
PREFIX = "goodbooks-sdk"


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--ratings", required=True, help="CSV with the columns user_id, book_id and rating")
    parser.add_argument("--books", help="CSV with the columns book_id and title")
    parser.add_argument("--min-user-ratings", type=int, default=130)
    parser.add_argument("--min-book-ratings", type=int, default=1200)
    parser.add_argument("--bucket", help="the bucket to use; without it the SDK's default bucket")
    parser.add_argument("--role", help="the ARN of the execution role; without it the one of the session")
    parser.add_argument("--chapter-settings", action="store_true", help="train as the chapter does")
    parser.add_argument("--only-aws", action="store_true", help="use no hyperparameter that AWS does not have")
    parser.add_argument("--hyperparameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--keep", action="store_true", help="leave the endpoint running")
    return parser.parse_args()


class Chapter:
    """The session and what every step needs."""

    def __init__(self, options):
        boto_session = boto3.Session()
        self.session = Session(boto_session=boto_session, default_bucket=options.bucket)
        self.role = options.role or get_execution_role(self.session)
        self.bucket = self.session.default_bucket()
        self.s3 = boto_session.client("s3")
        if options.bucket:
            self.s3.create_bucket(Bucket=options.bucket)
        account = boto_session.client("sts").get_caller_identity()["Account"]
        self.registry = f"{account}.dkr.ecr.{boto_session.region_name}.amazonaws.com"

    def uri(self, rest):
        return f"s3://{self.bucket}/{PREFIX}/{rest}"

    def prepare(self, options):
        """Step 1: filter, index, shuffle and split, with SQL."""
        self.session.upload_data(options.ratings, self.bucket, f"{PREFIX}/input/ratings")
        self.session.upload_data(str(HERE / "prepare.sql"), self.bucket, f"{PREFIX}/input/code")
        if options.books:
            self.session.upload_data(options.books, self.bucket, f"{PREFIX}/input/books")
        else:
            self.s3.put_object(
                Bucket=self.bucket, Key=f"{PREFIX}/input/books/books.csv", Body=b"book_id,title\n")
        settings = {
            "user_column": "user_id", "item_column": "book_id", "rating_column": "rating",
            "min_user_ratings": options.min_user_ratings, "min_book_ratings": options.min_book_ratings, "seed": 1,
        }
        processor = Processor(
            image_uri=f"{self.registry}/sagebrush-sql:1", role=self.role, instance_count=1,
            instance_type="ml.m5.xlarge", base_job_name="goodbooks-prepare", sagemaker_session=self.session)
        processor.run(
            inputs=[
                ProcessingInput(input_name=name, s3_input=ProcessingS3Input(
                    s3_uri=self.uri(f"input/{name}/"), local_path=f"/opt/ml/processing/input/{name}",
                    s3_data_type="S3Prefix", s3_input_mode="File"))
                for name in ("code", "ratings", "books")
            ],
            outputs=[
                ProcessingOutput(output_name=name, s3_output=ProcessingS3Output(
                    s3_uri=self.uri(f"prepared/{name}"), local_path=f"/opt/ml/processing/output/{name}",
                    s3_upload_mode="EndOfJob"))
                for name in OUTPUTS
            ],
            arguments=["--script", "/opt/ml/processing/input/code/prepare.sql"]
            + [part for name, value in settings.items() for part in ("--set", f"{name}={value}")],
            wait=True, logs=True)

    def records(self, split):
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{PREFIX}/prepared/{split}/")
        for page in pages:
            for entry in page.get("Contents", []):
                lines = self.s3.get_object(Bucket=self.bucket, Key=entry["Key"])["Body"].iter_lines()
                for record in (json.loads(line) for line in lines if line.strip()):
                    yield record["in0"][0], record["in1"][0], record["label"]

    def train(self, options, users, books, records):
        """Step 2: Object2Vec on pairs of user and book."""
        hyperparameters = dict(SHAPE, **settings(options, records))
        hyperparameters.update(enc0_vocab_size=str(max(users, 2)), enc1_vocab_size=str(max(books, 2)))
        hyperparameters.update(pair.split("=", 1) for pair in options.hyperparameter)
        trainer = ModelTrainer(
            training_image=f"{self.registry}/object2vec:1", role=self.role, sagemaker_session=self.session,
            base_job_name="goodbooks-train", hyperparameters=hyperparameters,
            compute=Compute(instance_type="ml.m5.4xlarge", instance_count=1, volume_size_in_gb=30),
            output_data_config=OutputDataConfig(s3_output_path=self.uri("models")),
            stopping_condition=StoppingCondition(max_runtime_in_seconds=86_400))
        trainer.train(
            input_data_config=[
                InputData(
                    channel_name=split, content_type="application/jsonlines",
                    data_source=S3DataSource(
                        s3_data_type="S3Prefix", s3_uri=self.uri(f"prepared/{split}/"),
                        s3_data_distribution_type="FullyReplicated"))
                for split in SPLITS
            ],
            wait=True, logs=True)
        job = trainer._latest_training_job
        job.refresh()
        return job

    def deploy(self, job):
        """Step 3: a model and an endpoint."""
        name = job.training_job_name
        builder = ModelBuilder(
            image_uri=f"{self.registry}/object2vec:1", s3_model_data_url=job.model_artifacts.s3_model_artifacts,
            role_arn=self.role, sagemaker_session=self.session, instance_type="ml.m4.xlarge")
        builder.build(model_name=name)
        return builder.deploy(
            endpoint_name=name, initial_instance_count=1, instance_type="ml.m4.xlarge", wait=True)


def predict(endpoint, records):
    """The scores of all pairs, some thousands a request."""
    scores = []
    for batch in batches(records, 4096):
        answer = endpoint.invoke(
            body=json.dumps({"instances": [{"in0": [user], "in1": [book]} for user, book, _ in batch]}),
            content_type="application/json", accept="application/json")
        scores += [one["scores"][0] for one in json.loads(answer.body.read())["predictions"]]
    return scores


def main():
    options = arguments()
    chapter = Chapter(options)
    chapter.prepare(options)
    train, validation, test = (list(chapter.records(split)) for split in SPLITS)
    if not (train and validation and test):
        sys.exit("nothing to learn from: lower --min-user-ratings and --min-book-ratings")
    everything = train + validation + test
    users, books = (max(record[side] for record in everything) + 1 for side in (0, 1))
    job = chapter.train(options, users, books, len(train))
    endpoint = chapter.deploy(job)
    errors = baselines(train, validation, test)
    errors["Object2Vec"] = mse(test, predict(endpoint, test))
    print(f"\n{'error on test':<20}{'MSE':>8}{'RMSE':>8}   ({len(test):,} pairs, all of them)")
    for name, error in errors.items():
        print(f"{name:<20}{error:>8.4f}{error ** 0.5:>8.4f}")
    if options.keep:
        print(f"\nthe endpoint {endpoint.endpoint_name} stays in service")
    else:
        endpoint.delete()


if __name__ == "__main__":
    main()
