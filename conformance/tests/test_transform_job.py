"""Batch transform: every object goes through the model, and what goes wrong is named."""

import gzip
import json
import time

import pytest
from botocore.exceptions import ClientError

import ratings
from conftest import ROLE, until
from test_recovery import all_gone, descendants

ENDED = ("Completed", "Failed", "Stopped")


def train(server, bucket, name, **changes):
    """A trained model under a name; returns its test records."""
    s3, sagemaker = server.client("s3"), server.client("sagemaker")
    parts = ratings.upload(s3, bucket)
    sagemaker.create_training_job(**ratings.training_job(name, bucket, epochs=1, **changes))
    job = until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ENDED)
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE,
                           PrimaryContainer={"Image": ratings.IMAGE, "ModelDataUrl": artifact})
    return parts["test"]


@pytest.fixture(scope="module")
def model(endpoint):
    endpoint.client("s3").create_bucket(Bucket="transform-tests")
    return "transform-tests", train(endpoint, "transform-tests", "transform-tests")


def request(name, model, bucket, **changes):
    job = dict(
        TransformJobName=name, ModelName=model,
        TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/in"}},
                        "ContentType": "application/jsonlines", "SplitType": "Line"},
        TransformOutput={"S3OutputPath": f"s3://{bucket}/out", "Accept": "application/jsonlines", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1})
    for key, value in changes.items():
        job[key] = {**job[key], **value} if isinstance(job.get(key), dict) else value
    return job


def run(sagemaker, job):
    sagemaker.create_transform_job(**job)
    return until(lambda: sagemaker.describe_transform_job(TransformJobName=job["TransformJobName"]), ENDED)


def body(s3, bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def lines(rows):
    return "".join(json.dumps({"in0": row["in0"], "in1": row["in1"]}) + "\n" for row in rows).encode()


def keys(s3, bucket, prefix="out/"):
    return sorted(entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []))


def code_and_message(call):
    with pytest.raises(ClientError) as error:
        call()
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def expected_scores(endpoint, model, rows, name):
    """What an endpoint with the same model answers."""
    sagemaker = endpoint.client("sagemaker")
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "v", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService", "Failed"))
    answer = endpoint.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=name, ContentType="application/jsonlines", Accept="application/jsonlines", Body=lines(rows))
    scores = [json.loads(line) for line in answer["Body"].read().splitlines()]
    sagemaker.delete_endpoint(EndpointName=name)
    return scores


def test_every_record_of_every_object_is_answered_in_order(endpoint, sagemaker, model, s3_bucket, name, experiment):
    model, rows = model
    s3 = endpoint.client("s3")
    rows = rows * 30
    s3.put_object(Bucket=s3_bucket, Key="in/a.jsonl", Body=lines(rows))
    s3.put_object(Bucket=s3_bucket, Key="in/deep/b.jsonl", Body=lines(rows[:5]).rstrip())
    s3.put_object(Bucket=s3_bucket, Key="in/empty", Body=b"")
    s3.put_object(Bucket=s3_bucket, Key="in/folder/", Body=b"")
    asked = request(name, model, s3_bucket, BatchStrategy="SingleRecord", MaxConcurrentTransforms=4, MaxPayloadInMB=1,
                    TransformResources={"InstanceCount": 2}, Environment={"LEVEL": "info"},
                    ExperimentConfig=experiment)
    arn = sagemaker.create_transform_job(**asked)["TransformJobArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:transform-job/{name}"
    sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
        TransformJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    job = sagemaker.describe_transform_job(TransformJobName=name)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    assert job["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
    assert job["ExperimentConfig"] == experiment
    assert job["ModelName"] == model and job["MaxConcurrentTransforms"] == 4
    assert keys(s3, s3_bucket) == ["out/a.jsonl.out", "out/deep/b.jsonl.out", "out/empty.out"]
    expected = expected_scores(endpoint, model, rows, name)
    answers = [json.loads(line) for line in body(s3, s3_bucket, "out/a.jsonl.out").splitlines()]
    assert len(answers) == len(rows)
    assert [answer["scores"][0] for answer in answers] == pytest.approx([answer["scores"][0] for answer in expected])
    assert len(body(s3, s3_bucket, "out/deep/b.jsonl.out").splitlines()) == 5
    assert body(s3, s3_bucket, "out/empty.out") == b""
    logs = endpoint.client("logs")
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=name + "/")
    messages = [event["message"] for stream in streams["logStreams"] for event in logs.get_log_events(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamName=stream["logStreamName"], startFromHead=True)["events"]]
    assert any("MaxConcurrentTransforms=4, MaxPayloadInMB=1, BatchStrategy=SINGLE_RECORD" in line for line in messages)


def test_a_manifest_of_compressed_objects_joined_and_filtered(endpoint, sagemaker, model, s3_bucket, name):
    model, rows = model
    s3 = endpoint.client("s3")
    rows = [{"id": number, "pair": {"in0": row["in0"], "in1": row["in1"]}} for number, row in enumerate(rows)]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    s3.put_object(Bucket=s3_bucket, Key="in/a.gz", Body=gzip.compress(text))
    s3.put_object(Bucket=s3_bucket, Key="in/not-listed", Body=b"nothing")
    s3.put_object(Bucket=s3_bucket, Key="manifest",
                  Body=json.dumps([{"prefix": f"s3://{s3_bucket}/in/"}, "a.gz"]).encode())
    source = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": f"s3://{s3_bucket}/manifest"}}
    job = run(sagemaker, request(
        name, model, s3_bucket, TransformInput={"DataSource": source, "CompressionType": "Gzip"},
        DataProcessing={"InputFilter": "$.pair", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"}))
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert keys(s3, s3_bucket) == ["out/a.gz.out"]
    joined = [json.loads(line) for line in body(s3, s3_bucket, "out/a.gz.out").splitlines()]
    assert [row["id"] for row in joined] == list(range(len(rows)))
    assert all(set(row) == {"id", "SageMakerOutput"} and len(row["SageMakerOutput"]["scores"]) == 1 for row in joined)


def test_whole_objects_pass_as_they_are(endpoint, sagemaker, model, s3_bucket, name):
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=s3_bucket, Key="in/a.json", Body=b'{"instances": [{"in0": [1], "in1": [2]}, {"in0": [3], "in1": [4]}]}')
    job = run(sagemaker, request(
        name, model[0], s3_bucket, TransformInput={"ContentType": "application/json", "SplitType": "None"},
        TransformOutput={"Accept": "application/json", "AssembleWith": "None"}))
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert len(json.loads(body(s3, s3_bucket, "out/a.json.out"))["predictions"]) == 2


def test_an_object_that_fails_is_named_and_has_no_output(endpoint, sagemaker, model, s3_bucket, name):
    model, rows = model
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=s3_bucket, Key="in/bad", Body=lines(rows) + b'{"in0": [1], "in1": [99999]}\n')
    s3.put_object(Bucket=s3_bucket, Key="in/good", Body=lines(rows))
    asked = request(name, model, s3_bucket, BatchStrategy="SingleRecord")
    sagemaker.create_transform_job(**asked)
    with pytest.raises(Exception, match="Waiter TransformJobCompletedOrStopped failed"):
        sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
            TransformJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    job = sagemaker.describe_transform_job(TransformJobName=name)
    assert job["TransformJobStatus"] == "Failed"
    reason = job["FailureReason"]
    assert reason.startswith("ClientError: 1 of 2 objects") and f"s3://{s3_bucket}/in/bad" in reason
    assert "Bad HTTP status received from algorithm: 400" in reason and "in1" in reason
    assert keys(s3, s3_bucket) == ["out/good.out"]


def reason(sagemaker, job):
    job = run(sagemaker, job)
    assert job["TransformJobStatus"] == "Failed", job
    return job["FailureReason"]


def test_reasons_of_failed_jobs(endpoint, sagemaker, model, s3_bucket, name):
    model, rows = model
    s3 = endpoint.client("s3")
    why = reason(sagemaker, request(f"{name}-1", model, s3_bucket))
    assert "No S3 objects found" in why and f"s3://{s3_bucket}/in" in why
    s3.put_object(Bucket=s3_bucket, Key="in/a", Body=lines(rows) + b" " * (2 << 20))
    why = reason(sagemaker, request(f"{name}-2", model, s3_bucket, MaxPayloadInMB=1))
    assert f"line {len(rows) + 1}" in why and "MaxPayloadInMB" in why
    whole = {"SplitType": "None"}
    why = reason(sagemaker, request(f"{name}-3", model, s3_bucket, MaxPayloadInMB=1, TransformInput=whole))
    assert "The object is larger" in why and "SplitType" in why
    s3.put_object(Bucket=s3_bucket, Key="in/a", Body=lines(rows))
    why = reason(sagemaker, request(f"{name}-4", model, s3_bucket, TransformInput={"CompressionType": "Gzip"}))
    assert f"s3://{s3_bucket}/in/a" in why and "gzip" in why
    missing = {"S3OutputPath": "s3://no-such-bucket-anywhere/out"}
    why = reason(sagemaker, request(f"{name}-5", model, s3_bucket, TransformOutput=missing))
    assert "s3://no-such-bucket-anywhere/out/a.out" in why
    why = reason(sagemaker, request(f"{name}-6", model, s3_bucket, DataProcessing={"InputFilter": "$.nothing"}))
    assert "InputFilter: line 1" in why and "nothing" in why
    s3.put_object(Bucket=s3_bucket, Key="broken.tar.gz", Body=b"no archive")
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={
        "Image": ratings.IMAGE, "ModelDataUrl": f"s3://{s3_bucket}/broken.tar.gz"})
    assert "broken.tar.gz" in reason(sagemaker, request(f"{name}-7", name, s3_bucket))
    assert keys(s3, s3_bucket) == []


def test_errors_of_the_request(sagemaker, model, s3_bucket, name):
    model, _ = model
    create = lambda **changes: code_and_message(
        lambda: sagemaker.create_transform_job(**request(name, changes.pop("model", model), s3_bucket, **changes)))
    code, message = create(model="no-such-model")
    assert code == "ValidationException" and message.startswith("Could not find model")
    for changes, expected in [
        ({"TransformInput": {"SplitType": "RecordIO"}}, "TransformInput.SplitType"),
        ({"MaxPayloadInMB": 0}, "MaxPayloadInMB"),
        ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "MaxPayloadInMB"),
        ({"DataCaptureConfig": {"DestinationS3Uri": "s3://b/x"}}, "'DataCaptureConfig' is not supported"),
        ({"DataProcessing": {"InputFilter": "$..x"}}, "DataProcessing.InputFilter"),
        ({"DataProcessing": {"JoinSource": "Input"}, "TransformInput": {"ContentType": "image/png"}}, "image/png"),
        ({"DataProcessing": {"JoinSource": "Input"}, "TransformOutput": {"AssembleWith": "None"}}, "AssembleWith"),
        ({"Environment": {"LD_PRELOAD": "/x"}}, "'LD_PRELOAD' is reserved"),
        ({"TransformOutput": {"KmsKeyId": "k"}}, "KmsKeyId"),
    ]:
        code, message = create(**changes)
        assert code == "ValidationException" and expected in message, message
    code, message = code_and_message(lambda: sagemaker.describe_transform_job(TransformJobName=name))
    assert code == "ResourceNotFound" and name in message
    code, _ = code_and_message(lambda: sagemaker.stop_transform_job(TransformJobName=name))
    assert code == "ResourceNotFound"
    run(sagemaker, request(name, model, s3_bucket))
    code, message = create()
    assert code == "ResourceInUse" and "already exists" in message


def test_lists_stops_and_tags(endpoint, sagemaker, model, s3_bucket, name):
    model, rows = model
    # Minutes of work: a request per record, one at a time.
    endpoint.client("s3").put_object(Bucket=s3_bucket, Key="in/a", Body=lines(rows * 2000))
    asked = request(name, model, s3_bucket, BatchStrategy="SingleRecord", MaxConcurrentTransforms=1)
    arn = sagemaker.create_transform_job(**asked, Tags=[{"Key": "owner", "Value": "me"}])["TransformJobArn"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "owner", "Value": "me"}]
    deadline = time.monotonic() + 30
    while "TransformStartTime" not in sagemaker.describe_transform_job(TransformJobName=name):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    sagemaker.stop_transform_job(TransformJobName=name)
    job = until(lambda: sagemaker.describe_transform_job(TransformJobName=name), ENDED, 30)
    assert job["TransformJobStatus"] == "Stopped", job
    assert keys(endpoint.client("s3"), s3_bucket) == []
    code, _ = code_and_message(lambda: sagemaker.stop_transform_job(TransformJobName=name))
    assert code == "ValidationException"
    listed = sagemaker.list_transform_jobs(NameContains=name, StatusEquals="Stopped", SortBy="Name")["TransformJobSummaries"]
    assert [entry["TransformJobName"] for entry in listed] == [name]
    assert sagemaker.list_transform_jobs(NameContains=name, StatusEquals="Completed")["TransformJobSummaries"] == []


def test_a_job_whose_server_is_killed_is_done_again_and_leaves_no_process(fresh_server):
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    rows = train(fresh_server, "bucket", "model") * 100
    s3.put_object(Bucket="bucket", Key="in/a", Body=lines(rows))
    sagemaker.create_transform_job(**request("job", "model", "bucket", BatchStrategy="SingleRecord"))
    deadline = time.monotonic() + 30
    while not descendants(fresh_server.process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    sagemaker.delete_model(ModelName="model")
    processes = descendants(fresh_server.process.pid)
    fresh_server.kill()
    all_gone(processes)
    fresh_server.start()
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    job = until(lambda: sagemaker.describe_transform_job(TransformJobName="job"), ENDED)
    assert job["TransformJobStatus"] == "Completed", job
    assert len(body(s3, "bucket", "out/a.out").splitlines()) == len(rows)
    all_gone(descendants(fresh_server.process.pid))
