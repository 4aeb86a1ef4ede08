"""Models, endpoint configurations, endpoints and invocations."""

import json
import os
import pathlib
import signal
import time

import pytest
from botocore.exceptions import ClientError

import ratings
from conftest import ROLE, until


PAIR = '{"instances":[{"in0":[1],"in1":[1]}]}'


def deploy(sagemaker, name, artifact, variants=({"VariantName": "AllTraffic"},)):
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE,
                           PrimaryContainer={"Image": ratings.IMAGE, "ModelDataUrl": artifact})
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.xlarge", **variant} for variant in variants])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    description = until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService", "Failed"))
    assert description["EndpointStatus"] == "InService", description
    return description


@pytest.fixture
def deployed(sagemaker, trained, name):
    deploy(sagemaker, name, trained[0])
    yield name
    sagemaker.delete_endpoint(EndpointName=name)


@pytest.fixture
def runtime(endpoint):
    return endpoint.client("sagemaker-runtime")


def test_predictions_have_the_error_that_training_reported(deployed, runtime, trained):
    _, metrics, test = trained
    pairs = [{"in0": row["in0"], "in1": row["in1"]} for row in test]
    answer = runtime.invoke_endpoint(EndpointName=deployed, ContentType="application/json",
                                     Body=json.dumps({"instances": pairs}))
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    scores = [entry["scores"][0] for entry in json.loads(answer["Body"].read())["predictions"]]
    error = sum((score - row["label"]) ** 2 for score, row in zip(scores, test)) / len(test)
    reported = {metric["MetricName"]: metric["Value"] for metric in metrics}["test:mean_squared_error"]
    assert error == pytest.approx(reported, rel=1e-3)
    lines = "\n".join(json.dumps(row) for row in test)
    answer = runtime.invoke_endpoint(EndpointName=deployed, ContentType="application/jsonlines", Body=lines)
    assert [json.loads(line)["scores"][0] for line in answer["Body"].read().splitlines()] == pytest.approx(scores)


def test_embeddings(deployed, runtime):
    def embeddings(side, ids):
        answer = runtime.invoke_endpoint(EndpointName=deployed, ContentType="application/json",
                                         Body=json.dumps({"instances": [{side: [one]} for one in ids]}))
        return [entry["embeddings"] for entry in json.loads(answer["Body"].read())["predictions"]]
    first, again, other = embeddings("in0", [1, 1, 2])
    assert len(first) == 16 and first == again != other
    assert embeddings("in1", [1])[0] != first


@pytest.mark.parametrize(("content_type", "body", "expected"), [
    ("application/json", '{"instances": [{"in0": [1], "in1": [99]}]}', "in1"),
    ("application/json", "{", "JSON"),
    ("text/csv", "1,2", "text/csv"),
])
def test_a_bad_request_is_a_model_error(deployed, runtime, content_type, body, expected):
    with pytest.raises(runtime.exceptions.ModelError) as error:
        runtime.invoke_endpoint(EndpointName=deployed, ContentType=content_type, Body=body)
    response = error.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] in (400, 415) and expected in response["OriginalMessage"]


def test_a_missing_endpoint(runtime, name):
    with pytest.raises(ClientError) as error:
        runtime.invoke_endpoint(EndpointName=name, Body=b"{}")
    assert error.value.response["Error"]["Code"] == "ValidationError"
    assert error.value.response["Error"]["Message"] == f"Endpoint {name} of account 123456789012 not found."


def test_a_body_over_the_limit(deployed, runtime):
    with pytest.raises(ClientError) as error:
        runtime.invoke_endpoint(EndpointName=deployed, ContentType="application/json", Body=b" " * (26 << 20))
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_variants_are_chosen_by_name_and_weight(sagemaker, runtime, trained, name):
    description = deploy(sagemaker, name, trained[0], (
        {"VariantName": "a", "InitialVariantWeight": 1.0, "InitialInstanceCount": 2},
        {"VariantName": "b", "InitialVariantWeight": 0.0}))
    assert [variant["CurrentInstanceCount"] for variant in description["ProductionVariants"]] == [2, 1]
    invoke = lambda **more: runtime.invoke_endpoint(
        EndpointName=name, ContentType="application/json", Body='{"instances":[{"in0":[1],"in1":[1]}]}', **more)
    assert {invoke()["InvokedProductionVariant"] for _ in range(20)} == {"a"}
    assert invoke(TargetVariant="b")["InvokedProductionVariant"] == "b"
    with pytest.raises(ClientError) as error:
        invoke(TargetVariant="c")
    assert error.value.response["Error"]["Code"] == "ValidationError"
    sagemaker.delete_endpoint(EndpointName=name)


def descendants(pid):
    threads = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sorted({int(child) for thread in threads for child in (thread / "children").read_text().split()})


def test_a_killed_model_server_is_replaced(endpoint, sagemaker, trained, runtime, name):
    before = set(descendants(endpoint.process.pid))
    deploy(sagemaker, name, trained[0])
    started, = set(descendants(endpoint.process.pid)) - before
    os.kill(started, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while True:
        try:
            runtime.invoke_endpoint(EndpointName=name, ContentType="application/json",
                                    Body='{"instances":[{"in0":[1],"in1":[1]}]}')
            break
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceUnavailable", error
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    sagemaker.delete_endpoint(EndpointName=name)


def test_an_endpoint_outlives_its_configuration_and_ends_when_deleted(sagemaker, trained, runtime, name):
    deploy(sagemaker, name, trained[0])
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)
    runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body='{"instances":[{"in0":[1]}]}')
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    with pytest.raises(ClientError) as error:
        sagemaker.describe_endpoint(EndpointName=name)
    assert error.value.response["Error"]["Message"].startswith("Could not find endpoint")


def test_a_model_that_cannot_be_served_fails_the_endpoint(endpoint, sagemaker, s3_bucket, name):
    endpoint.client("s3").put_object(Bucket=s3_bucket, Key="bad.tar.gz", Body=b"no archive")
    for suffix, artifact, expected in [("1", f"s3://{s3_bucket}/missing.tar.gz", "missing.tar.gz"),
                                       ("2", f"s3://{s3_bucket}/bad.tar.gz", "archive")]:
        sagemaker.create_model(ModelName=name + suffix, ExecutionRoleArn=ROLE,
                               PrimaryContainer={"Image": ratings.IMAGE, "ModelDataUrl": artifact})
        sagemaker.create_endpoint_config(EndpointConfigName=name + suffix, ProductionVariants=[
            {"VariantName": "v", "ModelName": name + suffix, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
        sagemaker.create_endpoint(EndpointName=name + suffix, EndpointConfigName=name + suffix)
        description = until(lambda: sagemaker.describe_endpoint(EndpointName=name + suffix), ("InService", "Failed"))
        assert description["EndpointStatus"] == "Failed" and expected in description["FailureReason"]
        sagemaker.delete_endpoint(EndpointName=name + suffix)


def test_names_are_unique_and_missing_ones_are_named(sagemaker, trained, name):
    model = dict(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": ratings.IMAGE, "ModelDataUrl": trained[0]})
    sagemaker.create_model(**model)
    with pytest.raises(ClientError) as error:
        sagemaker.create_model(**model)
    assert error.value.response["Error"]["Message"].startswith("Cannot create already existing model")
    assert sagemaker.describe_model(ModelName=name)["PrimaryContainer"]["ModelDataUrl"] == trained[0]
    assert [entry["ModelName"] for entry in sagemaker.list_models(NameContains=name)["Models"]] == [name]
    with pytest.raises(ClientError) as error:
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert error.value.response["Error"]["Message"].startswith("Could not find endpoint configuration")
    sagemaker.delete_model(ModelName=name)
    with pytest.raises(ClientError) as error:
        sagemaker.delete_model(ModelName=name)
    assert error.value.response["Error"]["Message"].startswith("Could not find model")


def test_endpoints_deleted_at_any_moment_of_their_deployment_are_gone(sagemaker, trained, name):
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE,
                           PrimaryContainer={"Image": ratings.IMAGE, "ModelDataUrl": trained[0] + ".missing"})
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "v", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    for number in range(10):
        endpoint_name = f"{name}-{number}"
        sagemaker.create_endpoint(EndpointName=endpoint_name, EndpointConfigName=name)
        time.sleep(number * 0.002)
        sagemaker.delete_endpoint(EndpointName=endpoint_name)
    deadline = time.monotonic() + 30
    while sagemaker.list_endpoints(NameContains=name)["Endpoints"]:
        assert time.monotonic() < deadline, sagemaker.list_endpoints(NameContains=name)["Endpoints"]
        time.sleep(0.05)


def test_weights_that_add_up_to_nothing_or_everything_are_refused(sagemaker, trained, name):
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE,
                           PrimaryContainer={"Image": ratings.IMAGE, "ModelDataUrl": trained[0]})
    for weight in (0.0, 1.7e308):
        with pytest.raises(ClientError) as error:
            sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
                {"VariantName": variant, "ModelName": name, "InitialVariantWeight": weight} for variant in "ab"])
        assert "InitialVariantWeights must add up" in error.value.response["Error"]["Message"]
