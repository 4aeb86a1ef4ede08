#!/usr/bin/env python3
"""Your own container, from the registry to an endpoint, with nothing but boto3 and a container engine.

Pushes the image that build.sh made, trains it on a file of ratings, hosts the model, sends the whole file to the endpoint
and prints the books that it recommends. boto3 reads the address and the key of the server from the environment:

    ./build.sh r-recommender
    eval "$(sagebrush env --data-dir DIR)"
    python recommend.py --ratings ratings.csv

The exit status is 0 when books were recommended, 1 with the reason when a step failed.
"""

import argparse
import base64
import subprocess
import sys
import time

import boto3
from botocore.exceptions import ClientError

BUCKET = "goodbooks-r"
POLL_SECONDS = 0.5


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--ratings", required=True, help="CSV with the columns user_ind, book_ind and rating")
    parser.add_argument("--image", default="r-recommender:latest", help="the image in the local engine")
    parser.add_argument("--repository", default="goodbooks-r", help="made when it is not there")
    parser.add_argument("--engine", default="docker", help="docker or podman")
    parser.add_argument("--method", default="Cosine", choices=["Cosine", "Pearson"])
    parser.add_argument("--nn", type=int, default=10, help="neighbours of a user")
    parser.add_argument("--n-users", type=int, default=270, help="the first users train the model")
    parser.add_argument("--mode", default="classic", choices=["classic", "modern"])
    parser.add_argument("--row", type=int, default=272, help="the user to recommend books to, counted from 1")
    parser.add_argument("--keep", action="store_true", help="leave endpoint, model, repository and login as they are")
    return parser.parse_args()


class Run:
    """One run: the clients, the names of what it makes, and how to take that away again."""

    def __init__(self, options):
        self.options = options
        self.ecr = boto3.client("ecr")
        self.s3 = boto3.client("s3")
        self.sagemaker = boto3.client("sagemaker")
        self.runtime = boto3.client("sagemaker-runtime")
        self.role = f"arn:aws:iam::{boto3.client('sts').get_caller_identity()['Account']}:role/goodbooks-r"
        self.name = "goodbooks-r-" + time.strftime("%Y%m%d-%H%M%S")
        self.undo = []

    def repository(self):
        """The URI of the repository, which is made when it is not there."""
        name = self.options.repository
        try:
            return self.ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"]
        except self.ecr.exceptions.RepositoryNotFoundException:
            made = self.ecr.create_repository(repositoryName=name)["repository"]
            self.undo.append(lambda: self.ecr.delete_repository(repositoryName=name, force=True))
            return made["repositoryUri"]

    def engine(self, *command, **options):
        try:
            done = subprocess.run([self.options.engine, *command], capture_output=True, text=True, **options)
        except FileNotFoundError:
            sys.exit(f"{self.options.engine} is not installed; --engine names another container engine")
        if done.returncode != 0:
            sys.exit(f"{self.options.engine} {command[0]} failed: {done.stderr.strip()}")

    def push(self):
        """Logs the engine in and pushes the image; returns its name for jobs."""
        image = self.repository() + ":latest"
        registry = image.split("/")[0]
        token = self.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        user, password = base64.b64decode(token).decode().split(":", 1)
        self.engine("login", "--username", user, "--password-stdin", registry, input=password)
        self.undo.append(lambda: self.engine("logout", registry))
        self.engine("tag", self.options.image, image)
        self.undo.append(lambda: self.engine("image", "rm", image))
        self.engine("push", image)
        return image

    def train(self, image):
        extra = {}
        if self.s3.meta.region_name != "us-east-1":
            extra["CreateBucketConfiguration"] = {"LocationConstraint": self.s3.meta.region_name}
        try:
            self.s3.create_bucket(Bucket=BUCKET, **extra)
        except self.s3.exceptions.BucketAlreadyOwnedByYou:
            pass
        self.s3.upload_file(self.options.ratings, BUCKET, f"{self.name}/train/ratings.csv")
        self.sagemaker.create_training_job(
            TrainingJobName=self.name,
            RoleArn=self.role,
            AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
            HyperParameters={
                "method": self.options.method,
                "nn": str(self.options.nn),
                "n_users": str(self.options.n_users),
                "mode": self.options.mode,
            },
            InputDataConfig=[
                {
                    "ChannelName": "train",
                    "ContentType": "text/csv",
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": f"s3://{BUCKET}/{self.name}/train/",
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
            ],
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/{self.name}/models"},
            ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m4.xlarge", "VolumeSizeInGB": 20},
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
        )
        job = wait(
            lambda: self.sagemaker.describe_training_job(TrainingJobName=self.name), "TrainingJobStatus", "Completed"
        )
        return job["ModelArtifacts"]["S3ModelArtifacts"]

    def host(self, image, artifact):
        name = self.name
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.role,
            PrimaryContainer={
                "Image": image,
                "ModelDataUrl": artifact,
                "Environment": {"RECOMMENDER_ROW": str(self.options.row)},
            },
        )
        self.undo.append(lambda: self.sagemaker.delete_model(ModelName=name))
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {
                    "VariantName": "AllTraffic",
                    "ModelName": name,
                    "InitialInstanceCount": 1,
                    "InstanceType": "ml.t2.medium",
                    "InitialVariantWeight": 1,
                }
            ],
        )
        self.undo.append(lambda: self.sagemaker.delete_endpoint_config(EndpointConfigName=name))
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.undo.append(lambda: self.sagemaker.delete_endpoint(EndpointName=name))
        wait(lambda: self.sagemaker.describe_endpoint(EndpointName=name), "EndpointStatus", "InService")

    def invoke(self):
        with open(self.options.ratings, "rb") as ratings:
            answer = self.runtime.invoke_endpoint(EndpointName=self.name, ContentType="text/csv", Body=ratings.read())
        return answer["Body"].read().decode()

    def take_down(self):
        """Takes away what was made, the last first. What fails is told and does not keep the rest."""
        for step in reversed(self.undo):
            try:
                step()
            except (Exception, SystemExit) as fault:
                print(f"not cleaned up: {fault}", file=sys.stderr)


def wait(describe, status, good):
    while True:
        answer = describe()
        if answer[status] == good:
            return answer
        if answer[status] in ("Failed", "Stopped"):
            sys.exit(f"ended as {answer[status]}: {answer.get('FailureReason', 'no reason given')}")
        time.sleep(POLL_SECONDS)


def main():
    run = Run(arguments())
    try:
        print("push", flush=True)
        image = run.push()
        print(f"train {image}", flush=True)
        artifact = run.train(image)
        print(f"host {artifact}", flush=True)
        run.host(image, artifact)
        print(run.invoke())
    except ClientError as fault:
        sys.exit(str(fault))
    finally:
        if not run.options.keep:
            run.take_down()


if __name__ == "__main__":
    main()
