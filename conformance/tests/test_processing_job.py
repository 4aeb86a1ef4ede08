"""Processing jobs with the built-in SQL program."""

import io
import json

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE, until

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagebrush-sql:1"
CSV = "user_id,book_id,rating\n" + "".join(f"{u},{b},{1 + (u + b) % 5}\n" for u in range(20) for b in range(u % 7 + 1))


def processing_job(name, bucket, script="prepare.sql", arguments=(), **changes):
    local = "/opt/ml/processing"
    source = lambda key: {"S3Uri": f"s3://{bucket}/{key}", "LocalPath": f"{local}/input/{key.split('/')[0]}",
                          "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return dict(
        ProcessingJobName=name, RoleArn=ROLE,
        AppSpecification={"ImageUri": IMAGE, "ContainerArguments": ["--script", f"{local}/input/code/{script}", *arguments]},
        ProcessingInputs=[{"InputName": "code", "S3Input": source("code")},
                          {"InputName": "ratings", "S3Input": source("ratings")}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": {
            "S3Uri": f"s3://{bucket}/out/{name}", "LocalPath": f"{local}/output/out", "S3UploadMode": "EndOfJob"}}]},
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 5}},
        StoppingCondition={"MaxRuntimeInSeconds": 600}, **changes)


def run(sagemaker, request):
    arn = sagemaker.create_processing_job(**request)["ProcessingJobArn"]
    assert arn.endswith(":processing-job/" + request["ProcessingJobName"])
    describe = lambda: sagemaker.describe_processing_job(ProcessingJobName=request["ProcessingJobName"])
    return until(describe, ("Completed", "Failed", "Stopped"))


@pytest.fixture
def data(endpoint, s3_bucket):
    def put(script):
        s3 = endpoint.client("s3")
        s3.put_object(Bucket=s3_bucket, Key="code/prepare.sql", Body=script.encode())
        s3.put_object(Bucket=s3_bucket, Key="ratings/ratings.csv", Body=CSV.encode())
    return put


def objects(endpoint, bucket, prefix):
    s3 = endpoint.client("s3")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {entry["Key"]: s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in listed}


def test_a_script_reads_tables_and_writes_outputs(endpoint, sagemaker, s3_bucket, name, data):
    data("""
        -- users with enough ratings
        CREATE VIEW kept AS SELECT user_id, count(*) AS n FROM ratings GROUP BY user_id HAVING count(*) >= ${least};
        SELECT count(*) AS users FROM kept;
        COPY (SELECT * FROM kept ORDER BY user_id) TO '/opt/ml/processing/output/out/kept.json' STORED AS JSON;
        COPY ratings TO '/opt/ml/processing/output/out/parquet/' STORED AS PARQUET PARTITIONED BY (rating);
    """)
    job = run(sagemaker, processing_job(name, s3_bucket, arguments=["--set", "least=5"]))
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    out = objects(endpoint, s3_bucket, f"out/{name}/")
    kept = [json.loads(line) for line in out[f"out/{name}/kept.json"].splitlines()]
    # CSV columns are text, as they stand in the file.
    expected = {str(u): u % 7 + 1 for u in range(20) if u % 7 + 1 >= 5}
    assert {row["user_id"]: row["n"] for row in kept} == expected
    partitions = {key.split("/")[3] for key in out if "/parquet/" in key}
    assert partitions == {f"rating={value}" for value in range(1, 6)}
    assert all(body[:4] == b"PAR1" == body[-4:] for key, body in out.items() if "/parquet/" in key)
    logs = endpoint.client("logs").filter_log_events(logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=name)
    assert logs["events"]


@pytest.mark.parametrize(("script", "expected"), [
    ("SELECT no_such_column FROM ratings", "no_such_column"),
    ("SELEC 1", "SELEC"),
    ("SELECT ${undefined} FROM ratings", "undefined"),
    ("COPY ratings TO '/etc/stolen.csv' STORED AS CSV", "/etc/stolen.csv"),
    ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "/etc/passwd"),
])
def test_a_script_that_cannot_run_says_why(sagemaker, s3_bucket, name, data, script, expected):
    data("SELECT 1;\n" + script + ";\n")
    job = run(sagemaker, processing_job(name, s3_bucket))
    assert job["ProcessingJobStatus"] == "Failed"
    assert expected in job["ExitMessage"] and expected in job["FailureReason"], job


def test_inputs_that_are_not_there_fail_the_job(sagemaker, endpoint, s3_bucket, name, data):
    data("SELECT 1")
    request = processing_job(name, s3_bucket)
    request["ProcessingInputs"][1]["S3Input"]["S3Uri"] = f"s3://{s3_bucket}/nowhere"
    job = run(sagemaker, request)
    assert job["FailureReason"].startswith("ClientError: Data download failed") and "nowhere" in job["FailureReason"]


def test_errors_of_the_request(sagemaker, s3_bucket, name):
    request = processing_job(name, s3_bucket)
    request["ProcessingInputs"][0]["S3Input"]["LocalPath"] = "/opt/ml/processing/../../etc"
    with pytest.raises(ClientError) as error:
        sagemaker.create_processing_job(**request)
    assert "ProcessingInputs[0].S3Input.LocalPath" in error.value.response["Error"]["Message"]
    with pytest.raises(ClientError) as error:
        sagemaker.create_processing_job(**processing_job(name, s3_bucket, NetworkConfig={
            "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}))
    assert "'NetworkConfig.VpcConfig' is not supported" in error.value.response["Error"]["Message"]
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_processing_job(ProcessingJobName=name)


def test_a_job_over_is_listed_with_its_reason_and_deleted(endpoint, sagemaker, s3_bucket, name, data, experiment):
    data("SELECT 1")
    experiment["TrialComponentDisplayName"] = "c"
    request = processing_job(name, s3_bucket, ExperimentConfig=experiment)
    sagemaker.create_processing_job(**request)
    sagemaker.get_waiter("processing_job_completed_or_stopped").wait(
        ProcessingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    job = sagemaker.describe_processing_job(ProcessingJobName=name)
    assert job["ExperimentConfig"] == experiment
    data("SELECT nonsense")
    failed = run(sagemaker, processing_job(name + "-2", s3_bucket))
    listed = sagemaker.list_processing_jobs(NameContains=name, SortBy="Status", SortOrder="Ascending")["ProcessingJobSummaries"]
    assert [(entry["ProcessingJobName"], entry.get("FailureReason")) for entry in listed] == \
        [(name, None), (name + "-2", failed["FailureReason"])]
    sagemaker.delete_processing_job(ProcessingJobName=name)
    for call in (sagemaker.describe_processing_job, sagemaker.delete_processing_job):
        with pytest.raises(ClientError) as error:
            call(ProcessingJobName=name)
        assert error.value.response["Error"]["Code"] == "ResourceNotFound"
    data("SELECT 1")
    assert run(sagemaker, request)["ProcessingJobStatus"] == "Completed"
