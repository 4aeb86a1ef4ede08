#!/usr/bin/env python3
"""The chapter's user-based recommender with the built-in algorithm ubcf: train, deploy, ask for books.

The ratings are a CSV with the columns user_ind,book_ind,rating, as the chapter's preparation leaves them; the server is
found as in workflow.py:

    eval "$(sagebrush env --data-dir DIR)"
    python recommend.py --ratings ratings.csv

asks what the chapter asks: the whole file is sent, and the recommendations are for row 272 of the matrix it makes. With
--user the request has the ratings of that user alone, and the endpoint answers with predicted ratings too. The exit status
is 0 when everything was done.
"""

import argparse
import csv
import json
import sys
import time

import boto3

BUCKET = "goodbooks-recommend"
POLL_SECONDS = 0.2

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--ratings", required=True, help="CSV with the columns user_ind,book_ind,rating")
    parser.add_argument("--method", default="Cosine", choices=["Cosine", "Pearson"])
    parser.add_argument("--nn", type=int, default=10, help="neighbours")
    parser.add_argument("--n-users", type=int, default=270, help="train on the first so many users")
    parser.add_argument("--mode", default="classic", choices=["classic", "modern", "signed"])
    parser.add_argument("--hyperparameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--row", type=int, default=272, help="the row, from 1, to recommend to, as in the chapter")
    parser.add_argument("--user", help="recommend to this user instead, by his own ratings")
    parser.add_argument("--count", type=int, default=5, help="books to recommend")
    parser.add_argument("--keep", action="store_true", help="leave the endpoint running")
    return parser.parse_args()


def wait(describe, key, good):
    """The description at the end of whatever is described."""
    while True:
        described = describe()
        if described[key] == good:
            return described
        if described[key] in ("Failed", "Stopped"):
            sys.exit(f"{described[key]}: {described.get('FailureReason')}")
        time.sleep(POLL_SECONDS)


def train(name, image, role, options):
    """Trains on the file; returns the artifact."""
    try:
        s3.create_bucket(Bucket=BUCKET)
    except s3.exceptions.BucketAlreadyOwnedByYou:
        pass
    s3.upload_file(options.ratings, BUCKET, f"{name}/train/ratings.csv")
    sagemaker.create_training_job(
        TrainingJobName=name, RoleArn=role,
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        HyperParameters={"method": options.method, "nn": str(options.nn), "n_users": str(options.n_users),
                         "mode": options.mode, **dict(pair.split("=", 1) for pair in options.hyperparameter)},
        InputDataConfig=[{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{name}/train/",
            "S3DataDistributionType": "FullyReplicated"}}}],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/models"},
        ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 3600})
    job = wait(lambda: sagemaker.describe_training_job(TrainingJobName=name), "TrainingJobStatus", "Completed")
    values = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    print(f"trained on {values['train:ratings']:.0f} ratings of {values['train:items']:.0f} books "
          f"by {values['train:users']:.0f} users")
    return job["ModelArtifacts"]["S3ModelArtifacts"]


def deploy(name, image, role, artifact):
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=role,
                           PrimaryContainer={"Image": image, "ModelDataUrl": artifact})
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.xlarge"}])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    wait(lambda: sagemaker.describe_endpoint(EndpointName=name), "EndpointStatus", "InService")


def ask_as_the_chapter(endpoint, options):
    """The whole file goes to the endpoint; a list of book_ind comes back."""
    with open(options.ratings, "rb") as ratings:
        answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=ratings,
                                         ContentType=f"text/csv; ind={options.row}; n={options.count}")
    text = answer["Body"].read().decode()
    print(f"recommended to row {options.row}: {text}")


def ask_for_a_user(endpoint, options):
    """Only the user's own ratings go to the endpoint; books with predicted ratings come back."""
    with open(options.ratings) as lines:
        ratings = {row["book_ind"]: float(row["rating"]) for row in csv.DictReader(lines) if row["user_ind"] == options.user}
    if not ratings:
        sys.exit(f"user {options.user} has no ratings in {options.ratings}")
    body = {"instances": [{"ratings": ratings, "n": options.count, "with_ratings": True}]}
    answer = runtime.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=json.dumps(body))
    prediction = json.loads(answer["Body"].read())["predictions"][0]
    print(f"recommended to user {options.user}, who rated {len(ratings)} books")
    for book, rating in zip(prediction["items"], prediction["ratings"]):
        print(f"  book {book:<8}{rating:.2f}")


def main():
    options = arguments()
    account = boto3.client("sts").get_caller_identity()["Account"]
    image = f"{account}.dkr.ecr.{sagemaker.meta.region_name}.amazonaws.com/ubcf:1"
    role = f"arn:aws:iam::{account}:role/goodbooks-recommend"
    name = time.strftime("goodbooks-ubcf-%Y%m%d-%H%M%S")
    deploy(name, image, role, train(name, image, role, options))
    (ask_for_a_user if options.user else ask_as_the_chapter)(name, options)
    if options.keep:
        print(f"the endpoint is {name}")
    else:
        sagemaker.delete_endpoint(EndpointName=name)
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
        sagemaker.delete_model(ModelName=name)


if __name__ == "__main__":
    main()
