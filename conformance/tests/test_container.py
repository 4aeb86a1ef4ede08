"""Images of a user's own: training, processing, hosting and transform under the container contract."""

import io
import tarfile
import time

import pytest
from botocore.exceptions import ClientError

import containers
from conftest import ROLE, Server, until

WHY_NOT = containers.missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"NO CONTAINER ENGINE, CONTAINERS ARE NOT TESTED: {WHY_NOT}")
LOG_GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture(scope="module")
def image():
    return containers.build()


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    server = next((request.getfixturevalue(name) for name in ("fresh_server", "endpoint") if name in request.fixturenames), None)
    yield
    if server is not None and server.process.poll() is None:
        deadline = time.monotonic() + 20
        while containers.labelled(server) or containers.labelled(server, "network"):
            assert time.monotonic() < deadline, "a container or network stayed"
            time.sleep(0.2)


def put(server, bucket, *names):
    for name in names:
        server.client("s3").put_object(Bucket=bucket, Key=name, Body=name.encode())


def request(name, image, bucket, mode, **changes):
    job = dict(
        TrainingJobName=name, RoleArn=ROLE, AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        HyperParameters={"mode": mode}, OutputDataConfig={"S3OutputPath": f"s3://{bucket}/out"},
        ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600})
    return {**job, **changes}


def channel(bucket, distribution="FullyReplicated", **more):
    return {"ChannelName": "train", "DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/in/", "S3DataDistributionType": distribution}}, **more}


def ended(sagemaker, name):
    return until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Completed", "Failed", "Stopped"))


def train(sagemaker, *arguments, **changes):
    job = request(*arguments, **changes)
    sagemaker.create_training_job(**job)
    return ended(sagemaker, job["TrainingJobName"])


def archive(server, uri):
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    body = server.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {member.name: tar.extractfile(member).read().decode() for member in tar if member.isfile()}


def lines(server, name, host="algo-1", group=LOG_GROUP):
    logs = server.client("logs")
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/{host}")["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True)["events"]
    return [event["message"] for event in events]


def wait_for_line(server, name, text):
    deadline = time.monotonic() + 60
    while True:
        try:
            if any(text in line for line in lines(server, name)):
                return
        except (ClientError, IndexError):
            pass
        assert time.monotonic() < deadline, f"no line '{text}'"
        time.sleep(0.05)


def test_training_gets_the_whole_contract(endpoint, sagemaker, s3_bucket, name, image):
    put(endpoint, s3_bucket, "in/a.csv", "in/deep/b.csv")
    done = train(sagemaker, name, image, s3_bucket, "report", InputDataConfig=[channel(s3_bucket, ContentType="text/csv")],
                 Environment={"COLOUR": "green"}, HyperParameters={"mode": "report", "depth": "3"},
                 AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File",
                                         "MetricDefinitions": [{"Name": "loss", "Regex": r"loss=(\S+);"}]})
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    statuses = [step["Status"] for step in done["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert [(metric["MetricName"], metric["Value"]) for metric in done["FinalMetricDataList"]] == [("loss", 0.25)]
    model = archive(endpoint, done["ModelArtifacts"]["S3ModelArtifacts"])
    seen = model["report-algo-1"]
    for part in ["/opt/ml/input/data/train/a.csv 8", "/opt/ml/input/data/train/deep/b.csv 13", "COLOUR=green",
                 f"TRAINING_JOB_NAME={name}", f"TRAINING_JOB_ARN={done['TrainingJobArn']}", "AWS_REGION=us-east-1",
                 '"depth":"3"', '"current_host":"algo-1"', '"hosts":["algo-1"]', '"ContentType":"text/csv"']:
        assert part in seen, part
    assert "SAGEBRUSH" not in seen and "AWS_SECRET" not in seen, "a container gets what its job names"
    output = archive(endpoint, done["OutputDataConfig"]["S3OutputPath"] + f"/{name}/output/output.tar.gz")
    assert output == {"of-algo-1": "extra"}
    printed = lines(endpoint, name)
    assert "loss=0.25;" in printed and "to standard error" in printed


@pytest.mark.parametrize("mode, reason", [
    ("failure", "the data is of the wrong shape"),
    ("exit", "AlgorithmError: the training program ended with exit code 7"),
    # A link that leads out of the job's folder says nothing.
    ("link", "AlgorithmError: the training program ended with exit code 1")])
def test_failures_have_their_reason(sagemaker, s3_bucket, name, image, mode, reason):
    done = train(sagemaker, name, image, s3_bucket, mode)
    assert done["TrainingJobStatus"] == "Failed" and done["FailureReason"].startswith(reason), done["FailureReason"]


def test_what_a_container_may_use_is_bounded(endpoint, sagemaker, s3_bucket, name, image):
    """Memory, disk and processes: the job fails with the reason, and another one beside it goes on."""
    sagemaker.create_training_job(**request(name + "-other", image, s3_bucket, "sleep"))
    done = train(sagemaker, name + "-memory", image, s3_bucket, "memory",
                 ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.t3.medium", "VolumeSizeInGB": 1})
    assert "it ran out of memory, its limit is 4.0 GiB" in done["FailureReason"]
    done = train(sagemaker, name + "-disk", image, s3_bucket, "disk")
    assert "it filled its disk of 1.0 GiB" in done["FailureReason"]
    done = train(sagemaker, name + "-fork", image, s3_bucket, "fork")
    assert done["FailureReason"].startswith("no more processes"), done["FailureReason"]
    assert sagemaker.describe_training_job(TrainingJobName=name + "-other")["SecondaryStatus"] == "Training"
    sagemaker.stop_training_job(TrainingJobName=name + "-other")
    assert ended(sagemaker, name + "-other")["TrainingJobStatus"] == "Stopped"


def test_a_flood_of_lines_is_kept(endpoint, sagemaker, s3_bucket, name, image):
    done = train(sagemaker, name, image, s3_bucket, "logs")
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    logs = endpoint.client("logs")
    stream = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=name + "/")["logStreams"][0]
    last = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream["logStreamName"], limit=1)["events"][0]
    assert last["message"].startswith("102399xxx")


def test_stopping_and_time_limits(endpoint, sagemaker, s3_bucket, name, image):
    sagemaker.create_training_job(**request(name, image, s3_bucket, "sleep"))
    wait_for_line(endpoint, name, "sleeping")
    sagemaker.stop_training_job(TrainingJobName=name)
    done = ended(sagemaker, name)
    assert (done["TrainingJobStatus"], done["SecondaryStatus"]) == ("Stopped", "Stopped")
    done = train(sagemaker, name + "-limit", image, s3_bucket, "sleep", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (done["TrainingJobStatus"], done["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_several_hosts_find_each_other_and_share_the_data(endpoint, sagemaker, s3_bucket, name, image):
    put(endpoint, s3_bucket, "in/1", "in/2", "in/3", "in/4", "in/5")
    two = {"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    done = train(sagemaker, name + "-meet", image, s3_bucket, "meet", ResourceConfig=two, EnableNetworkIsolation=True)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert lines(endpoint, name + "-meet") == ["met algo-2"]
    done = train(sagemaker, name, image, s3_bucket, "report", ResourceConfig=two,
                 InputDataConfig=[channel(s3_bucket, "ShardedByS3Key")])
    model = archive(endpoint, done["ModelArtifacts"]["S3ModelArtifacts"])
    assert sorted(model) == ["common", "report-algo-1", "report-algo-2"] and model["common"] == "algo-1"
    shares = [{line.split()[0][-1] for line in model[f"report-algo-{host}"].splitlines() if "/train/" in line} for host in (1, 2)]
    assert shares == [{"1", "3", "5"}, {"2", "4"}]


def test_isolation_leaves_no_network(endpoint, sagemaker, s3_bucket, name, image):
    for isolated in (False, True):
        done = train(sagemaker, f"{name}-{isolated}", image, s3_bucket, "report", EnableNetworkIsolation=isolated)
        seen = archive(endpoint, done["ModelArtifacts"]["S3ModelArtifacts"])["report-algo-1"]
        networks = next(line for line in seen.splitlines() if line.startswith("networks "))
        assert ('"eth0"' in networks) is not isolated, networks


def test_pipes_and_checkpoints(endpoint, sagemaker, s3_bucket, name, image):
    put(endpoint, s3_bucket, "in/a", "in/bb")
    done = train(sagemaker, name + "-pipe", image, s3_bucket, "pipe", InputDataConfig=[channel(s3_bucket, InputMode="Pipe")])
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert lines(endpoint, name + "-pipe") == ["epoch 0 bytes=9;", "epoch 1 bytes=9;"]
    for run in range(2):
        train(sagemaker, f"{name}-{run}", image, s3_bucket, "checkpoint",
              CheckpointConfig={"S3Uri": f"s3://{s3_bucket}/state"})
        assert lines(endpoint, f"{name}-{run}") == [f"resumed at {run}"]


def test_a_tuning_job_over_a_container(endpoint, sagemaker, s3_bucket, name, image):
    definition = request(name, image, s3_bucket, "report")
    for member in ("TrainingJobName", "HyperParameters"):
        del definition[member]
    definition["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "loss", "Regex": r"loss=(\S+);"}]
    definition["StaticHyperParameters"] = {"mode": "report"}
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, TrainingJobDefinition=definition, HyperParameterTuningJobConfig={
            "Strategy": "Random", "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ParameterRanges": {"IntegerParameterRanges": [{"Name": "depth", "MinValue": "1", "MaxValue": "9"}]}})
    deadline = time.monotonic() + 120
    while (job := sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name))["HyperParameterTuningJobStatus"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.25


def processing(name, image, bucket, arguments=(), count=1, upload="EndOfJob", **changes):
    job = dict(
        ProcessingJobName=name, RoleArn=ROLE, AppSpecification={"ImageUri": image, "ContainerArguments": ["report", *arguments]},
        ProcessingResources={"ClusterConfig": {"InstanceCount": count, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        ProcessingInputs=[{"InputName": "data", "S3Input": {
            "S3Uri": f"s3://{bucket}/in/", "LocalPath": "/opt/ml/processing/input/data", "S3DataType": "S3Prefix",
            "S3InputMode": "File", "S3DataDistributionType": "ShardedByS3Key"}}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "seen", "S3Output": {
            "S3Uri": f"s3://{bucket}/{name}", "LocalPath": "/opt/ml/processing/output", "S3UploadMode": upload}}]})
    return {**job, **changes}


def test_processing(endpoint, sagemaker, s3_bucket, name, image):
    put(endpoint, s3_bucket, "in/1", "in/2", "in/3")
    s3 = endpoint.client("s3")
    describe = lambda job: until(lambda: sagemaker.describe_processing_job(ProcessingJobName=job), ("Completed", "Failed", "Stopped"))
    sagemaker.create_processing_job(**processing(name, image, s3_bucket, count=2))
    done = describe(name)
    assert done["ProcessingJobStatus"] == "Completed" and done["ExitMessage"] == "2 files", done
    seen = {entry["Key"]: s3.get_object(Bucket=s3_bucket, Key=entry["Key"])["Body"].read().decode()
            for entry in s3.list_objects_v2(Bucket=s3_bucket, Prefix=name)["Contents"]}
    assert seen == {f"{name}/seen-by-algo-1": "1\n3", f"{name}/seen-by-algo-2": "2"}
    entry = {"ImageUri": image, "ContainerEntrypoint": ["/program", "other"], "ContainerArguments": ["--exit=4"]}
    sagemaker.create_processing_job(**processing(name + "-x", image, s3_bucket, AppSpecification=entry))
    done = describe(name + "-x")
    assert done["FailureReason"].startswith("AlgorithmError: the program ended with exit code 4"), done
    assert any('["other", "--exit=4"]' in line for line in lines(endpoint, name + "-x", group="/aws/sagemaker/ProcessingJobs"))


def test_outputs_that_are_stored_while_a_job_runs(endpoint, sagemaker, s3_bucket, name, image):
    put(endpoint, s3_bucket, "in/1")
    sagemaker.create_processing_job(**processing(name, image, s3_bucket, ["--sleep=60"], upload="Continuous"))
    deadline = time.monotonic() + 60
    while "Contents" not in endpoint.client("s3").list_objects_v2(Bucket=s3_bucket, Prefix=name):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "InProgress"
    sagemaker.stop_processing_job(ProcessingJobName=name)
    until(lambda: sagemaker.describe_processing_job(ProcessingJobName=name), ("Stopped",))


def deploy(sagemaker, name, image, data=None, **environment):
    container = {"Image": image, "Environment": environment, **({"ModelDataUrl": data} if data else {})}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "all", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService", "Failed"))


def gone(sagemaker, name):
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_hosting(endpoint, sagemaker, s3_bucket, name, image):
    model = train(sagemaker, name, image, s3_bucket, "report")["ModelArtifacts"]["S3ModelArtifacts"]
    assert deploy(sagemaker, name, image, model, COLOUR="red")["EndpointStatus"] == "InService"
    runtime = endpoint.client("sagemaker-runtime")
    invoke = lambda body: runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=body)["Body"].read().decode()
    assert invoke("1,2") == "text/csv|red|/opt/ml/model/common /opt/ml/model/report-algo-1|writable=false|1,2"
    with pytest.raises(ClientError) as error:
        invoke("bad")
    assert error.value.response["Error"]["Code"] == "ModelError" and error.value.response["OriginalMessage"] == "that is bad"
    with pytest.raises(ClientError):
        invoke("die")
    deadline = time.monotonic() + 30
    while True:
        try:
            assert invoke("again").endswith("|again")
            break
        except ClientError:
            assert time.monotonic() < deadline, "the server was not replaced"
            time.sleep(0.1)
    gone(sagemaker, name)


def test_a_server_that_is_not_there_is_explained(sagemaker, s3_bucket, name, image):
    with pytest.raises(ClientError) as error:
        sagemaker.create_training_job(**request(name, image, s3_bucket, "sleep", AlgorithmSpecification={
            "TrainingImage": image, "TrainingInputMode": "File", "MetricDefinitions": [{"Name": "m", "Regex": "(["}]}))
    assert "regular expression of 'm'" in error.value.response["Error"]["Message"]
    done = train(sagemaker, name, "no-such-image:1", s3_bucket, "sleep")
    assert done["FailureReason"].startswith("ClientError: the image no-such-image:1 cannot be had"), done["FailureReason"]
    failed = deploy(sagemaker, name, "no-such-image:1")
    assert "no-such-image:1 cannot be had" in failed["FailureReason"]
    gone(sagemaker, name)


def test_batch_transform(endpoint, sagemaker, s3_bucket, name, image):
    put(endpoint, s3_bucket, "in/a", "in/b")
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image, "Environment": {"SUFFIX": "!"}})
    sagemaker.create_transform_job(
        TransformJobName=name, ModelName=name, TransformOutput={"S3OutputPath": f"s3://{s3_bucket}/done"},
        TransformInput={"ContentType": "text/plain", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{s3_bucket}/in/"}}},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2})
    done = until(lambda: sagemaker.describe_transform_job(TransformJobName=name), ("Completed", "Failed"))
    assert done["TransformJobStatus"] == "Completed", done
    body = endpoint.client("s3").get_object(Bucket=s3_bucket, Key="done/b.out")["Body"].read()
    assert body == b"in/b!"


def test_a_killed_server_leaves_nothing_running(fresh_server, name, image):
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    sagemaker.create_training_job(**request(name, image, "bucket", "sleep", ResourceConfig={
        "InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}))
    wait_for_line(fresh_server, name, "sleeping")
    assert len(containers.labelled(fresh_server)) == 2
    fresh_server.kill()
    deadline = time.monotonic() + 30
    while containers.labelled(fresh_server) or containers.labelled(fresh_server, "network"):
        assert time.monotonic() < deadline, "the guard left something"
        time.sleep(0.2)
    fresh_server.start()
    done = until(lambda: fresh_server.client("sagemaker").describe_training_job(TrainingJobName=name), ("Failed",))
    assert "server stopped while the job was running" in done["FailureReason"]


def test_without_an_engine_the_request_says_so(tmp_path, image):
    for engine, words in [("none", "told not to use"), (f"unix://{tmp_path}/none.sock", "no container engine answers at unix://")]:
        server = Server(tmp_path / engine[:4], SAGEBRUSH_CONTAINER_ENGINE=engine)
        with pytest.raises(ClientError) as error:
            server.client("sagemaker").create_training_job(**request("job", image, "bucket", "report"))
        assert error.value.response["Error"]["Code"] == "ValidationException"
        assert words in error.value.response["Error"]["Message"], error.value.response["Error"]["Message"]
        server.stop()
