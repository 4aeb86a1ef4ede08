"""Asynchronous inference: accepted requests end in objects, whatever happens meanwhile."""

import json
import time

import pytest
from botocore.exceptions import ClientError

import ratings
from conftest import ROLE, until
from test_recovery import all_gone, descendants

JSON = "application/json"
PAIR = b'{"instances":[{"in0":[1],"in1":[2]}]}'


def train(server, bucket):
    s3, sagemaker = server.client("s3"), server.client("sagemaker")
    s3.create_bucket(Bucket=bucket)
    ratings.upload(s3, bucket)
    sagemaker.create_training_job(**ratings.training_job(bucket, bucket, epochs=1))
    job = until(lambda: sagemaker.describe_training_job(TrainingJobName=bucket), ("Completed", "Failed"))
    sagemaker.create_model(ModelName=bucket, ExecutionRoleArn=ROLE, PrimaryContainer={
        "Image": ratings.IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]})


def deploy(server, name, model, bucket, failure_path=True, **client):
    sagemaker = server.client("sagemaker")
    output = {"S3OutputPath": f"s3://{bucket}/out/"}
    if failure_path:
        output["S3FailurePath"] = f"s3://{bucket}/errors"
    config = {"OutputConfig": output, **({"ClientConfig": client} if client else {})}
    sagemaker.create_endpoint_config(EndpointConfigName=name, AsyncInferenceConfig=config, ProductionVariants=[
        {"VariantName": "AllTraffic", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    assert sagemaker.describe_endpoint_config(EndpointConfigName=name)["AsyncInferenceConfig"] == config
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    endpoint = until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService", "Failed"))
    assert endpoint["EndpointStatus"] == "InService", endpoint
    assert endpoint["AsyncInferenceConfig"] == config


@pytest.fixture(scope="module")
def deployed(endpoint):
    train(endpoint, "async-tests")
    deploy(endpoint, "async-tests", "async-tests", "async-tests")
    yield "async-tests"
    endpoint.client("sagemaker").delete_endpoint(EndpointName="async-tests")


@pytest.fixture
def runtime(endpoint):
    return endpoint.client("sagemaker-runtime")


def fetch(s3, uri, seconds=30):
    """The object at a place where one will be."""
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = s3.get_object(Bucket=bucket, Key=key)
            return answer["ContentType"], answer["Body"].read()
        except s3.exceptions.NoSuchKey:
            assert time.monotonic() < deadline, f"{uri} does not come"
            time.sleep(0.02)


def code_and_message(call):
    with pytest.raises(ClientError) as error:
        call()
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_answers_and_errors_become_objects(endpoint, deployed, runtime, name):
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=deployed, Key="in/a.json", Body=PAIR)
    accepted = runtime.invoke_endpoint_async(
        EndpointName=deployed, InputLocation=f"s3://{deployed}/in/a.json", ContentType=JSON, Accept=JSON,
        InferenceId=name, RequestTTLSeconds=600, InvocationTimeoutSeconds=60)
    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["InferenceId"] == name
    assert accepted["OutputLocation"] == f"s3://{deployed}/out/{name}.out"
    assert accepted["FailureLocation"] == f"s3://{deployed}/errors/{name}-error.out"
    content_type, body = fetch(s3, accepted["OutputLocation"])
    assert content_type.startswith(JSON) and len(json.loads(body)["predictions"]) == 1

    for location, expected in [(f"s3://{deployed}/nowhere", "nowhere"), (f"s3://{deployed}/bad", "Received client error (400)")]:
        s3.put_object(Bucket=deployed, Key="bad", Body=b'{"instances":[{"in0":[1],"in1":[999999]}]}')
        accepted = runtime.invoke_endpoint_async(EndpointName=deployed, InputLocation=location, ContentType=JSON)
        _, body = fetch(s3, accepted["FailureLocation"])
        assert expected in body.decode()
        with pytest.raises(ClientError):
            bucket, key = accepted["OutputLocation"].removeprefix("s3://").split("/", 1)
            s3.head_object(Bucket=bucket, Key=key)


def test_a_payload_within_the_request(endpoint, deployed, runtime):
    accepted = runtime.invoke_endpoint_async(EndpointName=deployed, Body=PAIR, ContentType=JSON, Filename="x.json",
                                             S3OutputPathExtension="a/b")
    assert accepted["OutputLocation"] == f"s3://{deployed}/out/a/b/x.json"
    _, body = fetch(endpoint.client("s3"), accepted["OutputLocation"])
    assert "predictions" in json.loads(body)


def test_many_requests_are_answered(endpoint, deployed, runtime):
    places = [runtime.invoke_endpoint_async(EndpointName=deployed, Body=PAIR, ContentType=JSON)["OutputLocation"]
              for _ in range(50)]
    assert len(set(places)) == 50
    for place in places:
        fetch(endpoint.client("s3"), place)


def test_each_kind_of_endpoint_refuses_the_other_kind_of_request(endpoint, sagemaker, deployed, runtime, name):
    code, message = code_and_message(lambda: runtime.invoke_endpoint(EndpointName=deployed, Body=PAIR, ContentType=JSON))
    assert code == "ValidationError" and "InvokeEndpointAsync" in message
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "v", "ModelName": deployed, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService",))
    code, message = code_and_message(lambda: runtime.invoke_endpoint_async(EndpointName=name, Body=PAIR))
    assert code == "ValidationError" and "AsyncInferenceConfig" in message
    sagemaker.delete_endpoint(EndpointName=name)


def test_errors_of_the_request(endpoint, sagemaker, deployed, name):
    runtime = endpoint.client("sagemaker-runtime", parameter_validation=False)
    invoke = lambda **members: code_and_message(lambda: runtime.invoke_endpoint_async(**{"EndpointName": deployed, **members}))
    assert invoke(EndpointName=name, Body=PAIR) == ("ValidationError", f"Endpoint {name} of account 123456789012 not found.")
    for members, expected in [
        ({}, "InputLocation"),
        ({"Body": PAIR, "InputLocation": "s3://b/k"}, "not both"),
        ({"Body": b"x" * 128_001}, "128000"),
        ({"InputLocation": "s3://b/"}, "names no object"),
        ({"InputLocation": "s3://b/k", "RequestTTLSeconds": 5}, "requestTTLSeconds"),
    ]:
        code, message = invoke(**members)
        assert code == "ValidationError" and expected.lower() in message.lower(), message
    code, message = code_and_message(lambda: sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[
            {"VariantName": "v", "ModelName": deployed, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}],
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://b/o", "NotificationConfig": {
            "SuccessTopic": "arn:aws:sns:us-east-1:123456789012:t"}}}))
    assert code == "ValidationException" and "NotificationConfig" in message
    unsigned = endpoint.client("sagemaker-runtime", secret_key="wrong")
    code, _ = code_and_message(lambda: unsigned.invoke_endpoint_async(EndpointName=deployed, Body=PAIR))
    assert code == "InvalidSignatureException"


def test_accepted_requests_survive_a_kill_and_the_end_of_their_endpoint(fresh_server):
    train(fresh_server, "bucket")
    deploy(fresh_server, "live", "bucket", "bucket", MaxConcurrentInvocationsPerInstance=1)
    runtime = fresh_server.client("sagemaker-runtime")
    places = [runtime.invoke_endpoint_async(EndpointName="live", Body=PAIR, ContentType=JSON)["OutputLocation"]
              for _ in range(40)]
    processes = descendants(fresh_server.process.pid)
    fresh_server.kill()
    all_gone(processes)
    fresh_server.start()
    s3 = fresh_server.client("s3")
    for place in places:
        fetch(s3, place)

    # What nobody will answer any more gets an error: the endpoint is deleted before it is up again.
    runtime, sagemaker = fresh_server.client("sagemaker-runtime"), fresh_server.client("sagemaker")
    until(lambda: sagemaker.describe_endpoint(EndpointName="live"), ("InService",))
    accepted = [runtime.invoke_endpoint_async(EndpointName="live", Body=PAIR, ContentType=JSON) for _ in range(40)]
    sagemaker.delete_endpoint(EndpointName="live")
    deadline = time.monotonic() + 30
    waiting = accepted
    while waiting:
        held = {entry["Key"] for prefix in ("out/", "errors/")
                for entry in s3.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])}
        waiting = [request for request in waiting
                   if not {request["OutputLocation"][12:], request["FailureLocation"][12:]} & held]
        assert time.monotonic() < deadline, f"{len(waiting)} requests without an end"
        time.sleep(0.05)
