"""Checkpoints: a job that was stopped or killed goes on in another job and ends with the same model."""

import io
import tarfile
import time

import pytest
from botocore.exceptions import ClientError

import ratings
from conftest import until

KEY = "state/run-7/object2vec.checkpoint"


def job(name, bucket, epochs, location="state/run-7"):
    """Slow steps towards a far minimum: the loss falls in every epoch, so nothing stops early. Single records through a
    network that is wide for them: a hundred epochs take several seconds, in which a checkpoint reaches S3."""
    request = ratings.training_job(name, bucket, channels=("train", "validation"), epochs=epochs, enc_dim=256, mlp_dim=256,
                                   mini_batch_size=1, learning_rate=0.00001, early_stopping_tolerance=0.000001,
                                   early_stopping_patience=5, dropout=0.2)
    if location:
        request["CheckpointConfig"] = {"S3Uri": f"s3://{bucket}/{location}", "LocalPath": "/opt/ml/checkpoints"}
    return request


def lines(server, name):
    logs = server.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    stream = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name + "/")["logStreams"][0]["logStreamName"]
    page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in page["events"]]


def model(server, description):
    bucket, key = description["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
    body = server.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return tarfile.open(fileobj=io.BytesIO(body)).extractfile("model_algo-1").read()


def wait_for_checkpoint(s3, bucket):
    deadline = time.monotonic() + 60
    while True:
        try:
            return s3.head_object(Bucket=bucket, Key=KEY)
        except ClientError:
            assert time.monotonic() < deadline, "no checkpoint"
            time.sleep(0.05)


def finish(server, name, request):
    sagemaker = server.client("sagemaker")
    sagemaker.create_training_job(**request)
    ended = until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Completed", "Failed", "Stopped"))
    assert ended["TrainingJobStatus"] == "Completed", ended.get("FailureReason")
    return ended


def test_a_stopped_job_goes_on_and_ends_with_the_same_model(endpoint, sagemaker, s3_bucket, name):
    s3 = endpoint.client("s3")
    ratings.upload(s3, s3_bucket)
    sagemaker.create_training_job(**job(name + "-a", s3_bucket, 100))
    wait_for_checkpoint(s3, s3_bucket)
    sagemaker.stop_training_job(TrainingJobName=name + "-a")
    stopped = until(lambda: sagemaker.describe_training_job(TrainingJobName=name + "-a"), ("Stopped", "Completed", "Failed"))
    assert stopped["TrainingJobStatus"] == "Stopped", stopped
    assert stopped["CheckpointConfig"] == {"S3Uri": f"s3://{s3_bucket}/state/run-7", "LocalPath": "/opt/ml/checkpoints"}
    done = sum("Saved checkpoint to" in line for line in lines(endpoint, name + "-a"))
    assert 0 < done < 100
    resumed = finish(endpoint, name + "-b", job(name + "-b", s3_bucket, done + 2))
    printed = lines(endpoint, name + "-b")
    (begun,) = [int(line.rpartition(": ")[2]) for line in printed if "Continuing with epoch: " in line]
    # The stop may come between a checkpoint and the line that tells of it.
    assert begun in (done, done + 1), (begun, done)
    assert sum("Completed Epoch:" in line for line in printed) == done + 2 - begun
    whole = finish(endpoint, name + "-c", job(name + "-c", s3_bucket, done + 2, location=None))
    assert model(endpoint, resumed) == model(endpoint, whole)
    assert any("Checkpoint loading and saving are disabled." in line for line in lines(endpoint, name + "-c"))
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=s3_bucket, Prefix="state/")["Contents"]]
    assert keys == [KEY]


def test_a_checkpoint_survives_the_death_of_the_server(fresh_server):
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    ratings.upload(s3, "bucket")
    sagemaker.create_training_job(**job("first", "bucket", 100))
    wait_for_checkpoint(s3, "bucket")
    fresh_server.kill()
    fresh_server.start()
    until(lambda: fresh_server.client("sagemaker").describe_training_job(TrainingJobName="first"), ("Failed",))
    finish(fresh_server, "second", job("second", "bucket", 1))
    printed = lines(fresh_server, "second")
    assert any("Loaded checkpoint from /opt/ml/checkpoints/object2vec.checkpoint" in line for line in printed), printed
    assert not any("Completed Epoch:" in line for line in printed), "what was done is not done again"


def test_what_does_not_fit_is_explained(endpoint, sagemaker, s3_bucket, name):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    finish(endpoint, name + "-a", job(name + "-a", s3_bucket, 1))
    other = job(name + "-b", s3_bucket, 1)
    other["HyperParameters"]["enc_dim"] = "64"
    sagemaker.create_training_job(**other)
    failed = until(lambda: sagemaker.describe_training_job(TrainingJobName=name + "-b"), ("Completed", "Failed"))
    assert failed["FailureReason"].startswith("ClientError: The checkpoint") and "enc_dim = 256" in failed["FailureReason"]
    for change, member in [({"S3Uri": "https://example.com/x"}, "CheckpointConfig.S3Uri"),
                           ({"S3Uri": f"s3://{s3_bucket}/x", "LocalPath": "/tmp/x"}, "CheckpointConfig.LocalPath")]:
        with pytest.raises(ClientError) as error:
            sagemaker.create_training_job(**{**job(name + "-c", s3_bucket, 1), "CheckpointConfig": change})
        assert error.value.response["Error"]["Code"] == "ValidationException"
        assert member in error.value.response["Error"]["Message"]
    missing = job(name + "-d", s3_bucket, 1)
    missing["CheckpointConfig"]["S3Uri"] = "s3://no-such-bucket-here/x"
    sagemaker.create_training_job(**missing)
    failed = until(lambda: sagemaker.describe_training_job(TrainingJobName=name + "-d"), ("Completed", "Failed"))
    assert failed["FailureReason"].startswith("ClientError: The checkpoints could not be downloaded"), failed["FailureReason"]
