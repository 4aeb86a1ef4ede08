"""Invocations in detail: headers both ways, streamed answers, captured data."""

import base64
import json
import time
import uuid

import pytest
from botocore.exceptions import ClientError

import ratings
from conftest import ROLE, until
from test_endpoint import PAIR, deploy


@pytest.fixture(scope="module")
def serving(endpoint, trained):
    name = "t-" + uuid.uuid4().hex[:12]
    deploy(endpoint.client("sagemaker"), name, trained[0])
    yield name
    endpoint.client("sagemaker").delete_endpoint(EndpointName=name)


@pytest.fixture
def runtime(endpoint):
    return endpoint.client("sagemaker-runtime")


def invoke(runtime, name, **more):
    return runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=PAIR, **more)


def test_what_the_caller_says_beside_the_body_is_accepted(serving, runtime):
    answer = invoke(runtime, serving, Accept="application/json", CustomAttributes="trace=1", InferenceId="i-1",
                    TargetVariant="AllTraffic")
    assert answer["ContentType"].startswith("application/json") and "predictions" in json.loads(answer["Body"].read())
    lines = invoke(runtime, serving, Accept="application/jsonlines")
    assert lines["ContentType"].startswith("application/jsonlines")


@pytest.mark.parametrize(("member", "value"), [
    ("TargetModel", "a.tar.gz"), ("TargetContainerHostname", "second"), ("EnableExplanations", "`true`"),
    ("InferenceComponentName", "part"), ("SessionId", "NEW_SESSION"), ("CustomAttributes", "x" * 1025)])
def test_what_would_not_be_done_is_refused_by_name(serving, runtime, member, value):
    with pytest.raises(ClientError) as error:
        invoke(runtime, serving, **{member: value})
    assert error.value.response["Error"]["Code"] == "ValidationError"
    assert member.lower() in error.value.response["Error"]["Message"].lower()


def test_an_answer_comes_as_a_stream_of_events(serving, runtime, trained):
    pairs = [{"in0": row["in0"], "in1": row["in1"]} for row in trained[2]] * 100
    body = json.dumps({"instances": pairs})
    whole = runtime.invoke_endpoint(EndpointName=serving, ContentType="application/json", Body=body)["Body"].read()
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName=serving, ContentType="application/json", Accept="application/json", Body=body, TargetVariant="AllTraffic")
    assert answer["ContentType"].startswith("application/json") and answer["InvokedProductionVariant"] == "AllTraffic"
    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
    assert len(parts) > 1 and b"".join(parts) == whole


def test_a_stream_that_begins_with_an_error_is_that_error(serving, runtime, name):
    with pytest.raises(runtime.exceptions.ModelError) as error:
        runtime.invoke_endpoint_with_response_stream(EndpointName=serving, ContentType="text/csv", Body=b"1,2")
    assert error.value.response["OriginalStatusCode"] == 415
    with pytest.raises(ClientError) as error:
        runtime.invoke_endpoint_with_response_stream(EndpointName=name, Body=b"{}")
    assert error.value.response["Error"]["Message"] == f"Endpoint {name} of account 123456789012 not found."


def capture(destination, **more):
    return {"EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": destination,
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}, **more}


def captured(s3, bucket, prefix):
    """The lines under a prefix, with the keys they stand in."""
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
    return keys, [json.loads(line) for key in keys for line in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_lines()]


def test_requests_and_answers_are_captured_as_model_monitor_reads_them(endpoint, sagemaker, runtime, trained, s3_bucket, name):
    s3 = endpoint.client("s3")
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE,
                           PrimaryContainer={"Image": ratings.IMAGE, "ModelDataUrl": trained[0]})
    config = dict(EndpointConfigName=name, DataCaptureConfig=capture(f"s3://{s3_bucket}/kept"),
                  ProductionVariants=[{"VariantName": "v", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    sagemaker.create_endpoint_config(**config)
    assert sagemaker.describe_endpoint_config(EndpointConfigName=name)["DataCaptureConfig"] == config["DataCaptureConfig"]
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    description = until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService", "Failed"))
    assert description["DataCaptureConfig"] == {
        "EnableCapture": True, "CaptureStatus": "Started", "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{s3_bucket}/kept", "KmsKeyId": ""}
    answers = [invoke(runtime, name, InferenceId="mine")["Body"].read(),
               b"".join(event["PayloadPart"]["Bytes"] for event in runtime.invoke_endpoint_with_response_stream(
                   EndpointName=name, ContentType="application/json", Body=PAIR)["Body"]),
               invoke(runtime, name, Accept="application/jsonlines")["Body"].read()]
    with pytest.raises(runtime.exceptions.ModelError):
        runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=b"1,2")
    deadline = time.monotonic() + 30
    lines = []
    while len(lines) < 3:
        assert time.monotonic() < deadline, lines
        time.sleep(0.2)
        keys, lines = captured(s3, s3_bucket, f"kept/{name}/v/")
    # yyyy/mm/dd/hh/minute-….jsonl under endpoint and variant.
    assert all(len(key.split("/")) == 8 and key.endswith(".jsonl") for key in keys)
    assert len(lines) == 3, "an answer that is an error is not captured"
    for line, answer in zip(lines, answers):
        data = line["captureData"]
        assert data["endpointInput"] == {"observedContentType": "application/json", "mode": "INPUT", "data": PAIR, "encoding": "JSON"}
        assert data["endpointOutput"]["mode"] == "OUTPUT" and line["eventVersion"] == "0" and line["eventMetadata"]["eventId"]
        if data["endpointOutput"]["observedContentType"].startswith("application/jsonlines"):
            assert data["endpointOutput"]["encoding"] == "BASE64"
            assert base64.b64decode(data["endpointOutput"]["data"]) == answer
        else:
            assert data["endpointOutput"]["encoding"] == "JSON" and data["endpointOutput"]["data"].encode() == answer
    assert lines[0]["eventMetadata"]["inferenceId"] == "mine" and "inferenceId" not in lines[1]["eventMetadata"]
    sagemaker.delete_endpoint(EndpointName=name)


def test_captured_data_is_written_when_the_server_ends(fresh_server):
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    ratings.upload(s3, "bucket")
    sagemaker.create_training_job(**ratings.training_job("job", "bucket", epochs=1))
    job = until(lambda: sagemaker.describe_training_job(TrainingJobName="job"), ("Completed",))
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={
        "Image": ratings.IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]})
    sagemaker.create_endpoint_config(
        EndpointConfigName="c", DataCaptureConfig=capture("s3://bucket/kept", CaptureOptions=[{"CaptureMode": "InputAndOutput"}]),
        ProductionVariants=[{"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    until(lambda: sagemaker.describe_endpoint(EndpointName="e"), ("InService",))
    for _ in range(5):
        invoke(fresh_server.client("sagemaker-runtime"), "e")
    assert fresh_server.stop() == 0
    fresh_server.start()
    _, lines = captured(fresh_server.client("s3"), "bucket", "kept/e/v/")
    assert len(lines) == 5 and all("endpointOutput" in line["captureData"] for line in lines)


def test_capture_that_cannot_be_kept_is_refused(sagemaker, trained, name):
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE,
                           PrimaryContainer={"Image": ratings.IMAGE, "ModelDataUrl": trained[0]})
    for config, expected in [(capture("s3://b/p", KmsKeyId="key"), "KmsKeyId"), (capture("https://b/p"), "DestinationS3Uri")]:
        with pytest.raises(ClientError) as error:
            sagemaker.create_endpoint_config(EndpointConfigName=name, DataCaptureConfig=config, ProductionVariants=[
                {"VariantName": "v", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
        assert expected in error.value.response["Error"]["Message"]


def test_invocations_become_metrics_of_their_variant(fresh_server):
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    ratings.upload(s3, "bucket")
    sagemaker.create_training_job(**ratings.training_job("job", "bucket", epochs=1))
    job = until(lambda: sagemaker.describe_training_job(TrainingJobName="job"), ("Completed",))
    deploy(sagemaker, "e", job["ModelArtifacts"]["S3ModelArtifacts"], ({"VariantName": "v", "InitialInstanceCount": 2},))
    runtime = fresh_server.client("sagemaker-runtime")
    for _ in range(6):
        invoke(runtime, "e")
    for _ in range(2):
        with pytest.raises(runtime.exceptions.ModelError):
            runtime.invoke_endpoint(EndpointName="e", ContentType="text/csv", Body=b"1,2")
    # The metrics of a minute are written when it is over, or when the server ends.
    assert fresh_server.stop() == 0
    fresh_server.start()
    cloudwatch = fresh_server.client("cloudwatch")
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}]
    names = [metric["MetricName"] for metric in cloudwatch.list_metrics(Namespace="AWS/SageMaker", Dimensions=dimensions)["Metrics"]]
    assert sorted(names) == ["Invocation4XXErrors", "Invocation5XXErrors", "Invocations", "InvocationsPerInstance",
                             "ModelLatency", "OverheadLatency"]
    now = time.time()

    def statistics(metric, *statistics):
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName=metric, Dimensions=dimensions, StartTime=now - 3600, EndTime=now + 3600,
            Period=7200, Statistics=list(statistics))["Datapoints"]
        return {name: sum(point[name] for point in points) if name in ("Sum", "SampleCount") else max(point[name] for point in points)
                for name in statistics} | {"Unit": points[0]["Unit"]}

    assert statistics("Invocations", "Sum", "SampleCount") == {"Sum": 8.0, "SampleCount": 8.0, "Unit": "None"}
    assert statistics("InvocationsPerInstance", "Sum")["Sum"] == 4.0
    assert statistics("Invocation4XXErrors", "Sum", "SampleCount") == {"Sum": 2.0, "SampleCount": 8.0, "Unit": "None"}
    assert statistics("Invocation5XXErrors", "Sum")["Sum"] == 0.0
    latency = statistics("ModelLatency", "Minimum", "Maximum", "SampleCount")
    assert latency["Unit"] == "Microseconds" and latency["SampleCount"] == 8.0 and 10 < latency["Minimum"] <= latency["Maximum"]
    answer, = cloudwatch.get_metric_data(StartTime=now - 3600, EndTime=now + 3600, MetricDataQueries=[
        {"Id": "m", "MetricStat": {"Metric": {"Namespace": "AWS/SageMaker", "MetricName": "Invocations", "Dimensions": dimensions},
                                   "Period": 60, "Stat": "Sum"}}])["MetricDataResults"]
    assert sum(answer["Values"]) == 8.0
