"""Multi-model endpoints: many artifacts under a prefix behind one container that loads and unloads them."""

import io
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import ROLE
from test_container import deploy, gone, image, nothing_is_left, pytestmark  # noqa: F401
from test_container_pipeline import GROUP, host, invoker, refused


def artifact(server, bucket, key, text, file="text"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo(file)
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    server.client("s3").put_object(Bucket=bucket, Key=key, Body=packed.getvalue())


@pytest.fixture
def models(endpoint, s3_bucket):
    """The URL of a prefix with the models a.tar.gz, deep/b.tar.gz and c.tar.gz."""
    for key in ("a", "deep/b", "c"):
        artifact(endpoint, s3_bucket, f"models/{key}.tar.gz", key)
    return f"s3://{s3_bucket}/models/"


def many(image, url, cache=None, **environment):  # noqa: F811
    config = {"MultiModelConfig": {"ModelCacheSetting": cache}} if cache else {}
    return {"Image": image, "Mode": "MultiModel", "ModelDataUrl": url, "Environment": environment, **config}


def log(server, name, prefix="all/"):
    logs = server.client("logs")
    streams = logs.describe_log_streams(logGroupName=GROUP + name, logStreamNamePrefix=prefix)["logStreams"]
    events = [event for stream in streams for event in logs.get_log_events(
        logGroupName=GROUP + name, logStreamName=stream["logStreamName"], startFromHead=True)["events"]]
    return [event["message"] for event in events]


def logged(server, name, *expected):
    """Waits until the loads and unloads in the log are these."""
    deadline = time.monotonic() + 20
    while (seen := [line for line in log(server, name) if "loaded" in line]) != list(expected):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)


def test_models_are_loaded_when_they_are_asked_for(endpoint, sagemaker, models, s3_bucket, name, image):  # noqa: F811
    described = host(sagemaker, name, PrimaryContainer=many(image, models, MOST_MODELS="2"))
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    invoke = invoker(endpoint, name)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: invoke(str(number), TargetModel="a.tar.gz"), range(8)))
    assert answers == [f"a|{number}" for number in range(8)]
    assert invoke("1", TargetModel="deep/b.tar.gz") == "deep/b|1"
    assert invoke("2", TargetModel="a.tar.gz") == "a|2"
    # There is room for two, and the one that was not used for longest goes.
    assert invoke("3", TargetModel="c.tar.gz") == "c|3"
    logged(endpoint, name, "loaded a", "loaded deep/b", "unloaded deep/b", "loaded c")
    # An artifact that comes later is found, one that is replaced when it is loaded again.
    answer = refused(invoke, "1", TargetModel="late.tar.gz")["Error"]
    assert answer["Code"] == "ValidationError"
    assert f"Failed to download model data(bucket: {s3_bucket}, key: models/late.tar.gz)" in answer["Message"]
    artifact(endpoint, s3_bucket, "models/late.tar.gz", "late")
    assert invoke("4", TargetModel="late.tar.gz") == "late|4"
    gone(sagemaker, name)


def test_models_that_cannot_be_used(endpoint, sagemaker, models, s3_bucket, name, image):  # noqa: F811
    artifact(endpoint, s3_bucket, "models/strange.tar.gz", "x", file="other")
    endpoint.client("s3").put_object(Bucket=s3_bucket, Key="models/broken", Body=b"no archive")
    artifact(endpoint, s3_bucket, "secret.tar.gz", "not below the prefix")
    host(sagemaker, name, PrimaryContainer=many(image, models.rstrip("/")))
    invoke = invoker(endpoint, name)
    for target, words in [
            ("../secret.tar.gz", "must be the path of an artifact below"), ("broken", "Failed to extract model data")]:
        answer = refused(invoke, "1", TargetModel=target)["Error"]
        assert answer["Code"] == "ValidationError" and words in answer["Message"], answer
    answer = refused(invoke, "1", TargetModel="strange.tar.gz")
    assert answer["Error"]["Code"] == "ModelError" and answer["OriginalStatusCode"] == 422
    assert answer["OriginalMessage"] == "the model has no text"
    answer = refused(invoke, "1")["Error"]
    assert answer["Code"] == "ValidationError" and "missing a target model header" in answer["Message"]
    assert invoke("1", TargetModel="a.tar.gz") == "a|1", "the server goes on"
    gone(sagemaker, name)


def test_without_a_cache_models_go_when_they_have_answered(endpoint, sagemaker, models, name, image):  # noqa: F811
    host(sagemaker, name, PrimaryContainer=many(image, models, "Disabled"))
    container = sagemaker.describe_model(ModelName=name)["PrimaryContainer"]
    assert container["Mode"] == "MultiModel" and container["MultiModelConfig"] == {"ModelCacheSetting": "Disabled"}
    invoke = invoker(endpoint, name)
    assert invoke("1", TargetModel="a.tar.gz") == "a|1"
    logged(endpoint, name, "loaded a", "unloaded a")
    assert invoke("2", TargetModel="a.tar.gz") == "a|2"
    logged(endpoint, name, "loaded a", "unloaded a", "loaded a", "unloaded a")
    gone(sagemaker, name)


def test_many_models_in_a_pipeline(endpoint, sagemaker, models, name, image):  # noqa: F811
    pipeline = [many(image, models), {"Image": image, "Environment": {"SUFFIX": "!"}}]
    host(sagemaker, name, Containers=pipeline)
    invoke = invoker(endpoint, name)
    assert invoke("1", TargetModel="c.tar.gz") == "c|1!"
    gone(sagemaker, name)


def test_what_serves_one_model_has_no_target_model(endpoint, sagemaker, models, s3_bucket, name, image):  # noqa: F811
    deploy(sagemaker, name, image)
    answer = refused(invoker(endpoint, name), "1", TargetModel="a.tar.gz")["Error"]
    assert answer["Code"] == "ValidationError"
    assert answer["Message"].startswith(f"Endpoint {name} is not a multi-model endpoint")
    gone(sagemaker, name)
    sagemaker.create_model(ModelName=name + "-m", ExecutionRoleArn=ROLE, PrimaryContainer=many(image, models))
    answer = refused(
        sagemaker.create_endpoint_config, EndpointConfigName=name + "-m",
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": f"s3://{s3_bucket}/out"}},
        ProductionVariants=[{"VariantName": "all", "ModelName": name + "-m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    assert "answer in real time only" in answer["Error"]["Message"]
