"""Training jobs: the work is really done, described, logged, measured; and what goes wrong is named."""

import io
import json
import tarfile

import pytest
from botocore.exceptions import ClientError

import ratings
from conftest import until


def run(sagemaker, request, states=("Completed", "Failed", "Stopped")):
    arn = sagemaker.create_training_job(**request)["TrainingJobArn"]
    name = request["TrainingJobName"]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}"
    return until(lambda: sagemaker.describe_training_job(TrainingJobName=name), states)


def failure(sagemaker, request):
    job = run(sagemaker, request)
    assert job["TrainingJobStatus"] == "Failed", job
    assert "ModelArtifacts" not in job
    return job["FailureReason"]


def test_a_job_trains_and_everything_about_it_can_be_read(endpoint, sagemaker, s3_bucket, name):
    s3 = endpoint.client("s3")
    ratings.upload(s3, s3_bucket)
    job = run(sagemaker, ratings.training_job(name, s3_bucket))
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    transitions = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert transitions == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(step["StatusMessage"] and step["EndTime"] >= step["StartTime"] for step in job["SecondaryStatusTransitions"])
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]
    assert job["OutputDataConfig"]["KmsKeyId"] == ""
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert {"train:mean_squared_error", "validation:mean_squared_error", "test:mean_squared_error"} <= set(metrics)
    defined = {metric["Name"] for metric in job["AlgorithmSpecification"]["MetricDefinitions"]}
    assert set(metrics) <= defined

    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{s3_bucket}/output/{name}/output/model.tar.gz"
    body = s3.get_object(Bucket=s3_bucket, Key=uri.split("/", 3)[3])["Body"].read()
    assert tarfile.open(fileobj=io.BytesIO(body)).getnames() == ["model_algo-1"]

    logs = endpoint.client("logs")
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=name + "/")["logStreams"]
    assert len(streams) == 1 and streams[0]["logStreamName"].startswith(name + "/algo-1-")
    page = logs.get_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=streams[0]["logStreamName"],
                               startFromHead=True)
    lines = [event["message"] for event in page["events"]]
    assert sum("#quality_metric: host=algo-1, epoch=" in line and "validation mean_squared_error" in line for line in lines) == 3
    after = logs.get_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=streams[0]["logStreamName"],
                                startFromHead=True, nextToken=page["nextForwardToken"])
    assert after["events"] == [] and after["nextForwardToken"] == page["nextForwardToken"]

    statistics = endpoint.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs", MetricName="validation:mean_squared_error",
        Dimensions=[{"Name": "TrainingJobName", "Value": name}], Period=60, Statistics=["Average", "SampleCount"],
        StartTime=job["CreationTime"], EndTime=job["TrainingEndTime"].timestamp() + 60)
    assert sum(point["SampleCount"] for point in statistics["Datapoints"]) == 3


def test_training_learns(sagemaker, endpoint, s3_bucket, name):
    parts = ratings.upload(endpoint.client("s3"), s3_bucket)
    job = run(sagemaker, ratings.training_job(name, s3_bucket, epochs=20, early_stopping_patience=5))
    mean = sum(row["label"] for row in parts["train"]) / len(parts["train"])
    constant = sum((row["label"] - mean) ** 2 for row in parts["test"]) / len(parts["test"])
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert metrics["test:mean_squared_error"] < 0.8 * constant


def test_lists_filter_sort_and_page(sagemaker, endpoint, s3_bucket, name):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    names = [f"{name}-{letter}" for letter in "cab"]
    for job in names:
        run(sagemaker, ratings.training_job(job, s3_bucket, epochs=1))
    pages = sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains=name, SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2})
    assert [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]] == sorted(names)
    newest = sagemaker.list_training_jobs(NameContains=name, StatusEquals="Completed", MaxResults=1)
    assert newest["TrainingJobSummaries"][0]["TrainingJobName"] == names[-1]
    assert sagemaker.list_training_jobs(NameContains=name, StatusEquals="Failed")["TrainingJobSummaries"] == []


def test_pages_are_stable_while_jobs_come(sagemaker, endpoint, s3_bucket, name):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    create = lambda job: sagemaker.create_training_job(**ratings.training_job(f"{name}-{job}", s3_bucket, epochs=1))
    for job in range(4):
        create(job)
    first = sagemaker.list_training_jobs(NameContains=name, SortBy="CreationTime", SortOrder="Descending", MaxResults=2)
    create(4)
    second = sagemaker.list_training_jobs(NameContains=name, SortBy="CreationTime", SortOrder="Descending", MaxResults=9,
                                          NextToken=first["NextToken"])
    seen = [job["TrainingJobName"] for page in (first, second) for job in page["TrainingJobSummaries"]]
    assert seen == [f"{name}-{job}" for job in (3, 2, 1, 0)] and "NextToken" not in second
    times = [job["CreationTime"] for job in first["TrainingJobSummaries"]]
    listed = lambda **filters: [job["TrainingJobName"] for job in sagemaker.list_training_jobs(
        NameContains=name, SortOrder="Ascending", **filters)["TrainingJobSummaries"]]
    assert listed(CreationTimeBefore=times[0], CreationTimeAfter=times[1]) == []
    assert listed(CreationTimeAfter=times[1]) == [f"{name}-3", f"{name}-4"]
    assert listed(CreationTimeBefore=times[1]) == [f"{name}-0", f"{name}-1"]
    ended = [run_to_end(sagemaker, f"{name}-{job}") for job in range(5)]
    last = max(job["LastModifiedTime"] for job in ended)
    assert listed(LastModifiedTimeAfter=last) == []
    assert len(listed(LastModifiedTimeBefore=last.timestamp() + 1, StatusEquals="Completed")) == 5
    # No job here has a warm pool or a training plan, so none matches.
    assert listed(WarmPoolStatusEquals="Available") == []
    plan = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/a"
    assert listed(TrainingPlanArnEquals=plan) == []
    code, message = code_and_message(lambda: sagemaker.list_training_jobs(NextToken="strange"))
    assert code == "ValidationException" and "NextToken" in message


def run_to_end(sagemaker, name):
    return until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Completed", "Failed", "Stopped"))


def test_a_job_over_is_deleted_and_its_name_free(sagemaker, endpoint, s3_bucket, name, experiment):
    s3 = endpoint.client("s3")
    ratings.upload(s3, s3_bucket)
    request = ratings.training_job(name, s3_bucket, epochs=1)
    experiment.update(TrialComponentDisplayName="c", RunName="r")
    arn = sagemaker.create_training_job(**request, ExperimentConfig=experiment, Tags=[{"Key": "a", "Value": "b"}])["TrainingJobArn"]
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    job = sagemaker.describe_training_job(TrainingJobName=name)
    assert job["ExperimentConfig"] == experiment
    for _ in range(3):
        sagemaker.delete_training_job(TrainingJobName=name)
        for call in (sagemaker.describe_training_job, sagemaker.delete_training_job):
            code, message = code_and_message(lambda: call(TrainingJobName=name))
            assert code == "ResourceNotFound" and name in message
        code, _ = code_and_message(lambda: sagemaker.list_tags(ResourceArn=arn))
        assert code == "ValidationException"
        # What it stored stays.
        s3.head_object(Bucket=s3_bucket, Key=job["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3])
        again = run(sagemaker, request)
        assert again["TrainingJobStatus"] == "Completed" and "ExperimentConfig" not in again


def test_a_running_job_is_updated_and_not_deleted(sagemaker, endpoint, s3_bucket, name):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    sagemaker.create_training_job(**ratings.long_training_job(name, s3_bucket))
    code, message = code_and_message(lambda: sagemaker.delete_training_job(TrainingJobName=name))
    assert code == "ResourceInUse" and "InProgress" in message
    arn = sagemaker.update_training_job(TrainingJobName=name, ProfilerConfig={"DisableProfiler": True})["TrainingJobArn"]
    job = sagemaker.describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobArn"], job["ProfilerConfig"], job["ProfilingStatus"]) == (arn, {"DisableProfiler": True}, "Disabled")
    for change in ({"ResourceConfig": {"KeepAlivePeriodInSeconds": 60}}, {"RemoteDebugConfig": {"EnableRemoteDebug": True}},
                   {"ProfilerConfig": {"ProfilingParameters": {"a": "b"}}}):
        code, message = code_and_message(lambda: sagemaker.update_training_job(TrainingJobName=name, **change))
        assert code == "ValidationException" and next(iter(change)) in message
    sagemaker.stop_training_job(TrainingJobName=name)
    run_to_end(sagemaker, name)
    code, message = code_and_message(lambda: sagemaker.update_training_job(TrainingJobName=name))
    assert code == "ValidationException" and "Stopped" in message
    sagemaker.delete_training_job(TrainingJobName=name)


def test_a_job_can_be_stopped(sagemaker, endpoint, s3_bucket, name):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    request = ratings.long_training_job(name, s3_bucket)
    sagemaker.create_training_job(**request)
    until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("InProgress",))
    sagemaker.stop_training_job(TrainingJobName=name)
    job = until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Stopped", "Completed", "Failed"), 30)
    assert job["TrainingJobStatus"] == "Stopped", job
    with pytest.raises(ClientError) as error:
        sagemaker.stop_training_job(TrainingJobName=name)
    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_a_job_over_its_time_is_stopped(sagemaker, endpoint, s3_bucket, name):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    request = ratings.long_training_job(name, s3_bucket)
    request["StoppingCondition"]["MaxRuntimeInSeconds"] = 1
    job = run(sagemaker, request)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded"), job


def test_a_spot_job_has_a_limit_for_waiting_and_running(sagemaker, endpoint, s3_bucket, name):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    # As many as run at once.
    blockers = [f"{name}-{index}" for index in range(4)]
    for blocker in blockers:
        sagemaker.create_training_job(**ratings.long_training_job(blocker, s3_bucket))
    try:
        request = ratings.long_training_job(f"{name}-spot", s3_bucket)
        request |= {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}}
        waited = run(sagemaker, request)
        assert (waited["TrainingJobStatus"], waited["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded"), waited
        assert "TrainingStartTime" not in waited
    finally:
        for blocker in blockers:
            sagemaker.stop_training_job(TrainingJobName=blocker)
        for blocker in blockers:
            run_to_end(sagemaker, blocker)
    request["TrainingJobName"] = f"{name}-spot-runs"
    request["StoppingCondition"] = {"MaxRuntimeInSeconds": 2, "MaxWaitTimeInSeconds": 2}
    ran = run(sagemaker, request)
    assert (ran["TrainingJobStatus"], ran["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded"), ran
    assert "TrainingStartTime" in ran


@pytest.mark.parametrize(
    ("spot", "condition"),
    [(True, {}), (True, {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 8}), (True, {"MaxWaitTimeInSeconds": 86399}),
     (False, {"MaxWaitTimeInSeconds": 90000})],
)
def test_limits_of_waiting_belong_to_spot_training(sagemaker, endpoint, s3_bucket, name, spot, condition):
    request = ratings.training_job(name, s3_bucket, epochs=1)
    request |= {"EnableManagedSpotTraining": spot, "StoppingCondition": condition}
    code, message = code_and_message(lambda: sagemaker.create_training_job(**request))
    assert code == "ValidationException" and "Invalid MaxWaitTimeInSeconds" in message


def code_and_message(call):
    with pytest.raises(ClientError) as error:
        call()
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_errors_of_the_request(sagemaker, endpoint, s3_bucket, name):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    request = ratings.training_job(name, s3_bucket, epochs=1)
    code, message = code_and_message(lambda: sagemaker.describe_training_job(TrainingJobName=name))
    assert code == "ResourceNotFound" and name in message
    unable = {**request, "AlgorithmSpecification": {"TrainingImage": "sagebrush-sql:1", "TrainingInputMode": "File"}}
    code, message = code_and_message(lambda: sagemaker.create_training_job(**unable))
    assert code == "ValidationException" and "TrainingImage: the built-in 'sagebrush-sql' does not train" in message
    unsupported = {**request, "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
    code, message = code_and_message(lambda: sagemaker.create_training_job(**unsupported))
    assert code == "ValidationException" and "'VpcConfig' is not supported" in message
    bad_name = {**request, "TrainingJobName": "not_a_name"}
    code, message = code_and_message(lambda: sagemaker.create_training_job(**bad_name))
    assert code == "ValidationException"
    assert message.startswith("1 validation error detected: Value 'not_a_name' at 'trainingJobName' failed to satisfy constraint")
    run(sagemaker, request)
    code, message = code_and_message(lambda: sagemaker.create_training_job(**request))
    assert code == "ResourceInUse" and "already exists" in message


def test_a_missing_member_is_named(endpoint, name):
    client = endpoint.client("sagemaker", parameter_validation=False)
    code, message = code_and_message(lambda: client.create_training_job(TrainingJobName=name))
    assert code == "ValidationException"
    assert "Value null at 'roleArn' failed to satisfy constraint: Member must not be null" in message
    code, message = code_and_message(lambda: client.describe_training_job(TrainingJobName={"a": 1}))
    assert code == "SerializationException" and "trainingJobName" in message


def test_reasons_of_failed_jobs(sagemaker, endpoint, s3_bucket, name):
    s3 = endpoint.client("s3")
    ratings.upload(s3, s3_bucket)
    request = ratings.training_job(f"{name}-1", s3_bucket)
    request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{s3_bucket}/nothing/here"
    reason = failure(sagemaker, request)
    assert reason.startswith("ClientError: Data download failed") and f"s3://{s3_bucket}/nothing/here" in reason

    reason = failure(sagemaker, ratings.training_job(f"{name}-2", s3_bucket, enc_dim=3))
    assert reason.startswith("ClientError:") and "enc_dim" in reason and "3" in reason
    reason = failure(sagemaker, ratings.training_job(f"{name}-3", s3_bucket, enc0_vocab_size=30))
    assert reason.startswith("ClientError:") and "train.jsonl" in reason and "in0" in reason
    reason = failure(sagemaker, ratings.training_job(f"{name}-4", s3_bucket, no_such_parameter=1))
    assert reason.startswith("ClientError:") and "no_such_parameter" in reason

    good = json.dumps({"in0": [1], "in1": [1], "label": 3.0})
    s3.put_object(Bucket=s3_bucket, Key="data/train/broken.jsonl", Body=f'{good}\n{good}\n{{"in0": [1], "in1"\n'.encode())
    reason = failure(sagemaker, ratings.training_job(f"{name}-5", s3_bucket))
    assert reason.startswith("ClientError:") and "broken.jsonl" in reason and "3" in reason

    reason = failure(sagemaker, ratings.training_job(f"{name}-6", s3_bucket, channels=("validation",)))
    assert reason.startswith("ClientError:") and "train" in reason


def test_tags(sagemaker, endpoint, s3_bucket, name):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    request = ratings.training_job(name, s3_bucket, epochs=1)
    arn = sagemaker.create_training_job(**request, Tags=[{"Key": "project", "Value": "books"}])["TrainingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "me"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["project"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "owner", "Value": "me"}]
    until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Completed",))


@pytest.mark.parametrize("variable", ["LD_PRELOAD", "GLIBC_TUNABLES", "SAGEBRUSH_ML_ROOT"])
def test_a_job_cannot_load_code_into_a_built_in(sagemaker, s3_bucket, name, variable):
    request = ratings.training_job(name, s3_bucket)
    code, message = code_and_message(lambda: sagemaker.create_training_job(**request, Environment={variable: "/x"}))
    assert code == "ValidationException" and f"'{variable}' is reserved" in message


@pytest.mark.parametrize(("period", "start"), [(9_223_372_036_854_775_800, 0), (60, -1e300)])
def test_numbers_beyond_all_bounds_are_refused(endpoint, period, start):
    client = endpoint.client("cloudwatch")
    client.meta.events.register(
        "before-call.cloudwatch.GetMetricStatistics",
        lambda params, **_: params.update(body=json.dumps({
            "Namespace": "n", "MetricName": "m", "StartTime": start, "EndTime": 1, "Period": period,
            "Statistics": ["Sum"]}).encode()))
    code, _ = code_and_message(lambda: client.get_metric_statistics(
        Namespace="n", MetricName="m", StartTime=0, EndTime=1, Period=60, Statistics=["Sum"]))
    assert code.startswith("InvalidParameterValue")
