"""Models of several containers: in a row or invoked by name, of containers and built-in algorithms, and isolated ones."""

import json
import time

import pytest
from botocore.exceptions import ClientError

import containers
import ratings
from conftest import ROLE, until
from test_container import gone, image, nothing_is_left, pytestmark, put  # noqa: F401
from test_endpoint import PAIR

GROUP = "/aws/sagemaker/Endpoints/"


def host(sagemaker, name, **model):
    """An endpoint of one instance with a model of these members; its description when it is up or failed."""
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, **model)
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "all", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService", "Failed"))


def container(image, name=None, **environment):
    return {"Image": image, "Environment": environment, **({"ContainerHostname": name} if name else {})}


def invoker(server, name):
    runtime = server.client("sagemaker-runtime")
    return lambda body, **more: runtime.invoke_endpoint(
        EndpointName=name, ContentType="text/csv", Body=body, **more)["Body"].read().decode()


def refused(call, *arguments, **members):
    with pytest.raises(ClientError) as error:
        call(*arguments, **members)
    return error.value.response


def test_a_pipeline_passes_answers_on_and_has_one_life(endpoint, sagemaker, name, image):  # noqa: F811
    pipeline = [container(image, SUFFIX="d"), container(image, "second", SUFFIX="!")]
    described = host(sagemaker, name, Containers=pipeline)
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    images = described["ProductionVariants"][0]["DeployedImages"]
    assert [entry["SpecifiedImage"] for entry in images] == [image, image]
    shown = sagemaker.describe_model(ModelName=name)["Containers"]
    assert [entry.get("ContainerHostname") for entry in shown] == [None, "second"] and shown[0]["Mode"] == "SingleModel"
    invoke = invoker(endpoint, name)
    assert invoke("1,2") == "1,2d!"
    # Each failure says whose it is.
    for body, whose in [("bad", "container-1"), ("ba", "second")]:
        answer = refused(invoke, body)
        assert answer["Error"]["Code"] == "ModelError" and answer["OriginalMessage"] == "that is bad"
        assert f"Received client error (400) from {whose} with message" in answer["Error"]["Message"]
    answer = refused(invoke, "1", TargetContainerHostname="second")
    assert answer["Error"]["Code"] == "ValidationError" and "not configured for direct invocation" in answer["Error"]["Message"]
    # One that ends takes the other with it, and both come again.
    before = set(containers.labelled(endpoint))
    assert len(before) == 2
    refused(invoke, "die")
    deadline = time.monotonic() + 60
    while before & set(containers.labelled(endpoint)) or len(containers.labelled(endpoint)) < 2:
        assert time.monotonic() < deadline, "the containers were not replaced"
        time.sleep(0.2)
    while True:
        try:
            assert invoke("2") == "2d!"
            break
        except ClientError:
            assert time.monotonic() < deadline, "the pipeline did not come again"
            time.sleep(0.2)
    streams = endpoint.client("logs").describe_log_streams(logGroupName=GROUP + name)["logStreams"]
    parts = [stream["logStreamName"].split("/") for stream in streams]
    assert {(stream[0], stream[2]) for stream in parts} == {("all", "container-1"), ("all", "second")}
    gone(sagemaker, name)


def test_direct_invocation(endpoint, sagemaker, name, image):  # noqa: F811
    several = [container(image, "red", COLOUR="red"), container(image, "blue", COLOUR="blue")]
    host(sagemaker, name, Containers=several, InferenceExecutionConfig={"Mode": "Direct"})
    assert sagemaker.describe_model(ModelName=name)["InferenceExecutionConfig"] == {"Mode": "Direct"}
    invoke = invoker(endpoint, name)
    for colour in ("red", "blue"):
        assert invoke("1", TargetContainerHostname=colour).split("|")[1] == colour
        assert "from blue with" in refused(invoke, "bad", TargetContainerHostname="blue")["Error"]["Message"]
    for target in ({}, {"TargetContainerHostname": "green"}):
        answer = refused(invoke, "1", **target)
        assert answer["Error"]["Code"] == "ValidationError" and "red, blue" in answer["Error"]["Message"]
    gone(sagemaker, name)


def test_a_built_in_in_a_pipeline(endpoint, sagemaker, trained, name, image):  # noqa: F811
    pipeline = [{"Image": ratings.IMAGE, "ModelDataUrl": trained[0]}, container(image, COLOUR="green")]
    host(sagemaker, name, Containers=pipeline)
    runtime = endpoint.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=PAIR)
    kind, colour, _, _, body = answer["Body"].read().decode().split("|")
    assert kind.startswith("application/json") and colour == "green" and "predictions" in json.loads(body)
    assert "from container-1 with" in refused(invoker(endpoint, name), "1,2")["Error"]["Message"]
    gone(sagemaker, name)


def test_a_transform_job_goes_through_all_containers(endpoint, sagemaker, s3_bucket, name, image):  # noqa: F811
    put(endpoint, s3_bucket, "in/a", "in/b")
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, Containers=[
        container(image, SUFFIX="1"), container(image, "second", SUFFIX="2")])
    job = dict(
        TransformOutput={"S3OutputPath": f"s3://{s3_bucket}/done"},
        TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{s3_bucket}/in/"}}},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1})
    sagemaker.create_transform_job(TransformJobName=name, ModelName=name, **job)
    done = until(lambda: sagemaker.describe_transform_job(TransformJobName=name), ("Completed", "Failed"))
    assert done["TransformJobStatus"] == "Completed", done
    body = endpoint.client("s3").get_object(Bucket=s3_bucket, Key="done/b.out")["Body"].read()
    assert body == b"in/b12"
    streams = endpoint.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=name)["logStreams"]
    assert {stream["logStreamName"].split("/")[2] for stream in streams} == {"container-1", "second"}
    sagemaker.create_model(ModelName=name + "-d", ExecutionRoleArn=ROLE, InferenceExecutionConfig={"Mode": "Direct"}, Containers=[
        container(image, "a"), container(image, "b")])
    answer = refused(sagemaker.create_transform_job, TransformJobName=name + "-d", ModelName=name + "-d", **job)
    assert "Direct" in answer["Error"]["Message"]


@pytest.fixture
def outside(image):  # noqa: F811
    """The address of a container that belongs to nobody here, on the engine's usual network."""
    identity = containers.docker("run", "--detach", image, "serve").strip()
    yield containers.docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", identity).strip() + ":8080"
    containers.docker("rm", "--force", identity)


def test_an_isolated_model_reaches_its_own_containers_alone(endpoint, sagemaker, outside, name, image):  # noqa: F811
    several = [container(image, "a"), container(image, "b")]
    for isolated in (False, True):
        of_mode = f"{name}-{int(isolated)}"
        host(sagemaker, of_mode, Containers=several, InferenceExecutionConfig={"Mode": "Direct"}, EnableNetworkIsolation=isolated)
        invoke = invoker(endpoint, of_mode)
        assert invoke(f"reach {outside}", TargetContainerHostname="a") == f"reached={'false' if isolated else 'true'}"
        if isolated:
            assert invoke("reach b:8080", TargetContainerHostname="a") == "reached=true"
            assert len(containers.labelled(endpoint, "network")) == 1
        gone(sagemaker, of_mode)


def test_a_killed_server_brings_its_pipelines_up_again(fresh_server, name, image):  # noqa: F811
    pipeline = [container(image, SUFFIX="1"), container(image, SUFFIX="2")]
    host(fresh_server.client("sagemaker"), name, Containers=pipeline, EnableNetworkIsolation=True)
    before = set(containers.labelled(fresh_server))
    fresh_server.kill()
    fresh_server.start()
    invoke = invoker(fresh_server, name)
    deadline = time.monotonic() + 60
    while True:
        try:
            assert invoke("x") == "x12"
            break
        except ClientError:
            assert time.monotonic() < deadline, "the pipeline did not come again"
            time.sleep(0.2)
    assert not before & set(containers.labelled(fresh_server))
    gone(fresh_server.client("sagemaker"), name)


@pytest.mark.parametrize(("members", "words"), [
    ({"Containers": [{"Image": "x"}], "PrimaryContainer": {"Image": "x"}}, "not both"),
    ({"Containers": [{"Image": "x", "ContainerHostname": "a"}, {"Image": "x", "ContainerHostname": "a"}]}, "name of two containers"),
    ({"Containers": [{"Image": "x"}, {"Image": "x"}], "InferenceExecutionConfig": {"Mode": "Direct"}}, "needs a ContainerHostname"),
    ({"PrimaryContainer": {"Image": "x"}, "InferenceExecutionConfig": {"Mode": "Direct"}}, "one of several Containers"),
    ({"Containers": [{"Image": "x"}, {"Image": ratings.IMAGE}]}, "Containers[1].ModelDataUrl"),
    ({"Containers": [{"Image": "x"}] * 16}, "15"),
    ({"PrimaryContainer": {"Image": "x", "Mode": "MultiModel"}}, "PrimaryContainer.ModelDataUrl"),
    ({"PrimaryContainer": {"Image": "x", "MultiModelConfig": {"ModelCacheSetting": "Disabled"}}}, "goes with Mode MultiModel"),
    ({"PrimaryContainer": {"Image": ratings.IMAGE, "ModelDataUrl": "s3://b/p", "Mode": "MultiModel"}}, "a built-in algorithm serves one"),
])
def test_models_that_cannot_be_served_are_refused(sagemaker, name, members, words):
    answer = refused(sagemaker.create_model, ModelName=name, ExecutionRoleArn=ROLE, **members)
    assert words in answer["Error"]["Message"], answer["Error"]["Message"]
