#!/usr/bin/env python3
"""Searches the hyperparameters of the chapter's model with a tuning job, and compares its best job with the chapter's.

Reads Object2Vec records (JSON lines) of a train, a validation and a test split; the server is found as in workflow.py:

    eval "$(sagebrush env --data-dir DIR)"
    python tune.py --train train.jsonl --validation validation.jsonl --test test.jsonl

The exit status is 0 when the tuning job completed.
"""

import argparse
import json
import sys
import time

import boto3

BUCKET = "goodbooks-workflow"
METRIC = "validation:mean_squared_error"

# What stays as it is. The data's own numbers (vocabulary sizes) are added.
STATIC = {
    "enc0_network": "pooled_embedding", "enc0_max_seq_len": "1", "enc1_network": "pooled_embedding",
    "enc1_max_seq_len": "1", "output_layer": "mean_squared_error", "comparator_list": "hadamard, concat",
    "mlp_activation": "relu", "mlp_dim": "64", "mini_batch_size": "64", "epochs": "60", "early_stopping_patience": "5",
    "early_stopping_tolerance": "0.00001",
}

# The chapter's kind of search: a decay that AWS accepts (0 to 10,000) and that no model survives.
CHAPTER = {
    "ContinuousParameterRanges": [
        {"Name": "learning_rate", "MinValue": "0.0004", "MaxValue": "0.02"},
        {"Name": "dropout", "MinValue": "0", "MaxValue": "0.4"},
        {"Name": "weight_decay", "MinValue": "0", "MaxValue": "300"}],
    "IntegerParameterRanges": [
        {"Name": "enc_dim", "MinValue": "32", "MaxValue": "128"}, {"Name": "mlp_layers", "MinValue": "1", "MaxValue": "2"}],
    "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["adam", "sgd"]}]}
# The same search with ranges that hold good models.
RANGES = {
    "ContinuousParameterRanges": [
        {"Name": "learning_rate", "MinValue": "0.0004", "MaxValue": "0.3", "ScalingType": "Logarithmic"},
        {"Name": "dropout", "MinValue": "0", "MaxValue": "0.7"},
        {"Name": "weight_decay", "MinValue": "0.000001", "MaxValue": "0.01", "ScalingType": "Logarithmic"}],
    "IntegerParameterRanges": [
        {"Name": "enc_dim", "MinValue": "8", "MaxValue": "128", "ScalingType": "Logarithmic"},
        {"Name": "mlp_layers", "MinValue": "0", "MaxValue": "1"}],
    "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["adam", "adagrad", "sgd"]}]}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for split in ("train", "validation", "test"):
        parser.add_argument(f"--{split}", required=True, help="Object2Vec records, JSON lines")
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--strategy", default="Bayesian", choices=["Bayesian", "Random", "Hyperband"])
    parser.add_argument("--early-stopping", default="Auto", choices=["Auto", "Off"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chapter-ranges", action="store_true", help="the chapter's ranges, which cannot work")
    parser.add_argument("--name", help="of the tuning job; made from the time when it is not given")
    return parser.parse_args()


def upload(s3, options):
    """Uploads the splits; returns the sizes of both vocabularies."""
    try:
        s3.create_bucket(Bucket=BUCKET)
    except s3.exceptions.BucketAlreadyOwnedByYou:
        pass
    sizes = [2, 2]
    for split in ("train", "validation", "test"):
        path = getattr(options, split)
        s3.upload_file(path, BUCKET, f"tuning/{split}/{split}.jsonl")
        with open(path) as lines:
            for line in lines:
                record = json.loads(line)
                sizes = [max(size, 1 + max(record[side])) for size, side in zip(sizes, ("in0", "in1"))]
    return sizes


def definition(account, region, users, books):
    return {
        "AlgorithmSpecification": {
            "TrainingImage": f"{account}.dkr.ecr.{region}.amazonaws.com/object2vec:1", "TrainingInputMode": "File"},
        "RoleArn": f"arn:aws:iam::{account}:role/goodbooks-workflow",
        "StaticHyperParameters": dict(STATIC, enc0_vocab_size=str(users), enc1_vocab_size=str(books)),
        "InputDataConfig": [
            {"ChannelName": split, "ContentType": "application/jsonlines", "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/tuning/{split}/",
                "S3DataDistributionType": "FullyReplicated"}}}
            for split in ("train", "validation", "test")],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/tuning/models"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.4xlarge", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400}}


def follow(sagemaker, name):
    """Prints every training job as it ends; returns the description of the tuning job when it is over."""
    told = set()
    while True:
        tuning = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
            HyperParameterTuningJobName=name, SortBy="Name", SortOrder="Ascending")
        for job in (job for page in pages for job in page["TrainingJobSummaries"]):
            if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") and job["TrainingJobName"] not in told:
                told.add(job["TrainingJobName"])
                value = job.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")
                tuned = " ".join(f"{key}={value[:8]}" for key, value in sorted(job["TunedHyperParameters"].items()))
                shown = f"{value:.4f}" if value is not None else job.get("FailureReason", "")[:60]
                print(f"{job['TrainingJobName'][-12:]}  {job['TrainingJobStatus']:<10}{shown:<10}{tuned}", flush=True)
        if tuning["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped"):
            return tuning
        time.sleep(0.2)


def main():
    options = arguments()
    s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
    account = boto3.client("sts").get_caller_identity()["Account"]
    users, books = upload(s3, options)
    name = options.name or time.strftime("goodbooks-tuning-%m%d-%H%M%S")
    config = {
        "Strategy": options.strategy, "RandomSeed": options.seed,
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": METRIC},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": options.jobs, "MaxParallelTrainingJobs": options.parallel},
        "ParameterRanges": CHAPTER if options.chapter_ranges else RANGES,
        "TrainingJobEarlyStoppingType": "Off" if options.strategy == "Hyperband" else options.early_stopping}
    began = time.monotonic()
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, HyperParameterTuningJobConfig=config,
        TrainingJobDefinition=definition(account, sagemaker.meta.region_name, users, books))
    tuning = follow(sagemaker, name)
    seconds = time.monotonic() - began
    if tuning["HyperParameterTuningJobStatus"] != "Completed":
        sys.exit(f"{name} ended as {tuning['HyperParameterTuningJobStatus']}: {tuning.get('FailureReason', '')}")
    best = tuning["BestTrainingJob"]
    job = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    training = tuning["ConsumedResources"]["RuntimeInSeconds"]
    print(f"\n{options.strategy}: {seconds:.1f} s, {training} s of training, counters {tuning['TrainingJobStatusCounters']}")
    print(f"best {best['TrainingJobName']}: {METRIC} {metrics[METRIC]:.4f}"
          + (f", test {metrics['test:mean_squared_error']:.4f}" if "test:mean_squared_error" in metrics else ""))
    print(f"its model: {job['ModelArtifacts']['S3ModelArtifacts']}")
    print(f"the report: s3://{BUCKET}/tuning/models/{name}/report/report.html, or sagebrush tuning report {name}")


if __name__ == "__main__":
    main()
