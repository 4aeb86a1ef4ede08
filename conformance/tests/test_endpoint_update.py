"""Updates of endpoints: other configurations, weights and numbers, without a request that fails."""

import os
import signal
import threading
import time

import pytest
from botocore.exceptions import ClientError

import ratings
from conftest import ROLE, until
from test_endpoint import PAIR, deploy, descendants


class Load:
    """Clients that invoke an endpoint all the time and keep what went wrong and who answered."""

    def __init__(self, server, name, clients=4):
        self.failures, self.variants, self.ended = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(server.client("sagemaker-runtime"), name))
                        for _ in range(clients)]

    def run(self, runtime, name):
        while not self.ended.is_set():
            try:
                answer = runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=PAIR)
                answer["Body"].read()
                self.variants.append(answer["InvokedProductionVariant"])
            except Exception as error:  # noqa: BLE001
                self.failures.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def answered(self, count=20):
        """Waits until that many more requests were answered."""
        wanted, deadline = len(self.variants) + count, time.monotonic() + 30
        while len(self.variants) < wanted:
            assert time.monotonic() < deadline, self.failures[:3]
            time.sleep(0.01)


@pytest.fixture
def runtime(endpoint):
    return endpoint.client("sagemaker-runtime")


def config(sagemaker, name, model, *variants):
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", **variant} for variant in variants])


def settled(sagemaker, name):
    description = until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService", "Failed"))
    assert description["EndpointStatus"] == "InService", description
    return description


def gone(sagemaker, name):
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def test_an_update_replaces_the_servers_and_no_request_fails(endpoint, sagemaker, trained, name):
    before = set(descendants(endpoint.process.pid))
    deploy(sagemaker, name, trained[0], ({"VariantName": "old"},))
    config(sagemaker, name + "-2", name, {"VariantName": "new", "InitialInstanceCount": 2})
    with Load(endpoint, name) as load:
        load.answered()
        assert sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name + "-2")["EndpointArn"]
        description = settled(sagemaker, name)
        load.answered()
    assert not load.failures
    assert set(load.variants) == {"old", "new"} and load.variants[-10:] == ["new"] * 10
    assert description["EndpointConfigName"] == name + "-2" and "FailureReason" not in description
    assert [(variant["VariantName"], variant["CurrentInstanceCount"]) for variant in description["ProductionVariants"]] == [("new", 2)]
    deadline = time.monotonic() + 10
    while len(set(descendants(endpoint.process.pid)) - before) != 2:
        assert time.monotonic() < deadline, "the old server did not end"
        time.sleep(0.05)
    sagemaker.delete_endpoint(EndpointName=name)


def test_an_update_that_cannot_be_served_leaves_the_old_servers(endpoint, sagemaker, trained, runtime, name):
    deploy(sagemaker, name, trained[0])
    sagemaker.create_model(ModelName=name + "-bad", ExecutionRoleArn=ROLE, PrimaryContainer={
        "Image": ratings.IMAGE, "ModelDataUrl": trained[0] + ".missing"})
    config(sagemaker, name + "-bad", name + "-bad", {"VariantName": "AllTraffic"})
    with Load(endpoint, name) as load:
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name + "-bad")
        description = settled(sagemaker, name)
        load.answered()
    assert not load.failures
    assert "missing" in description["FailureReason"] and description["EndpointConfigName"] == name
    # The next update that can be served clears the reason.
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name)
    assert "FailureReason" not in settled(sagemaker, name)
    sagemaker.delete_endpoint(EndpointName=name)


def test_weights_and_capacities_change_without_a_new_deployment(endpoint, sagemaker, trained, name):
    before = set(descendants(endpoint.process.pid))
    deploy(sagemaker, name, trained[0], ({"VariantName": "a"}, {"VariantName": "b", "InitialVariantWeight": 0.0}))
    started = set(descendants(endpoint.process.pid)) - before
    with Load(endpoint, name) as load:
        load.answered()
        assert set(load.variants) == {"a"}
        sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 0.0}, {"VariantName": "b", "DesiredWeight": 2.0, "DesiredInstanceCount": 3}])
        description = settled(sagemaker, name)
        load.answered()
        assert load.variants[-10:] == ["b"] * 10
        a, b = description["ProductionVariants"]
        assert (a["CurrentWeight"], a["CurrentInstanceCount"]) == (0.0, 1)
        assert (b["CurrentWeight"], b["DesiredWeight"], b["CurrentInstanceCount"], b["DesiredInstanceCount"]) == (2.0, 2.0, 3, 3)
        servers = set(descendants(endpoint.process.pid)) - before
        assert started < servers and len(servers) == 4
        sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=[
            {"VariantName": "b", "DesiredInstanceCount": 1}])
        assert settled(sagemaker, name)["ProductionVariants"][1]["CurrentInstanceCount"] == 1
        load.answered()
    assert not load.failures
    # A later update may keep the numbers, or some of them.
    config(sagemaker, name + "-2", name, {"VariantName": "a"}, {"VariantName": "b"})
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name + "-2", RetainAllVariantProperties=True,
                              ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredInstanceCount"}])
    a, b = settled(sagemaker, name)["ProductionVariants"]
    assert (a["CurrentWeight"], b["CurrentWeight"]) == (0.0, 2.0)
    sagemaker.delete_endpoint(EndpointName=name)


def test_traffic_is_shifted_as_the_deployment_configuration_says(endpoint, sagemaker, trained, name):
    deploy(sagemaker, name, trained[0], ({"VariantName": "old"},))
    config(sagemaker, name + "-2", name, {"VariantName": "new"})
    canary = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {
        "Type": "CANARY", "WaitIntervalInSeconds": 2, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}}}}
    with Load(endpoint, name) as load:
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name + "-2", DeploymentConfig=canary)
        pending = sagemaker.describe_endpoint(EndpointName=name)
        assert pending["PendingDeploymentSummary"]["EndpointConfigName"] == name + "-2"
        assert pending["EndpointConfigName"] == name and pending["EndpointStatus"] == "Updating"
        deadline = time.monotonic() + 30
        while "new" not in load.variants:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        shifted = len(load.variants)
        load.answered(60)
        assert set(load.variants[shifted:]) == {"old", "new"}, "both serve while the canary is watched"
        description = settled(sagemaker, name)
        load.answered()
    assert not load.failures and load.variants[-10:] == ["new"] * 10
    assert description["LastDeploymentConfig"] == canary and "PendingDeploymentSummary" not in description
    rolling = {"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 0}}
    config(sagemaker, name + "-3", name, {"VariantName": "new", "InitialInstanceCount": 2})
    with Load(endpoint, name) as load:
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name + "-3", DeploymentConfig=rolling)
        assert settled(sagemaker, name)["ProductionVariants"][0]["CurrentInstanceCount"] == 2
        load.answered()
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name + "-2", RetainDeploymentConfig=True)
        assert settled(sagemaker, name)["LastDeploymentConfig"] == rolling
        load.answered()
    assert not load.failures
    # Of four versions only the last one's model is still on disk.
    deadline = time.monotonic() + 10
    while len(list((endpoint.data_dir / "work").glob(f"endpoint/*/{name}/*"))) != 1:
        assert time.monotonic() < deadline, list((endpoint.data_dir / "work").glob(f"endpoint/*/{name}/*"))
        time.sleep(0.05)
    sagemaker.delete_endpoint(EndpointName=name)


def test_one_killed_server_of_two_takes_along_no_more_than_its_own_requests(endpoint, sagemaker, trained, name):
    before = set(descendants(endpoint.process.pid))
    deploy(sagemaker, name, trained[0], ({"VariantName": "v", "InitialInstanceCount": 2},))
    first, second = set(descendants(endpoint.process.pid)) - before
    with Load(endpoint, name) as load:
        load.answered()
        os.kill(first, signal.SIGKILL)
        load.answered(50)
        deadline = time.monotonic() + 30
        while len(set(descendants(endpoint.process.pid)) - before) != 2:
            assert time.monotonic() < deadline, "the server was not replaced"
            time.sleep(0.02)
        load.answered(50)
    assert second in descendants(endpoint.process.pid)
    # What was inside the killed process is lost, and its caller is told to try again.
    codes = {error.response["Error"]["Code"] for error in load.failures}
    assert codes <= {"ServiceUnavailable"} and len(load.failures) < len(load.variants) / 2
    sagemaker.delete_endpoint(EndpointName=name)


def test_what_cannot_be_updated_is_refused(sagemaker, trained, name):
    def refused(call, **arguments):
        with pytest.raises(ClientError) as error:
            call(EndpointName=name, **arguments)
        assert error.value.response["Error"]["Code"] == "ValidationException"
        return error.value.response["Error"]["Message"]

    assert refused(sagemaker.update_endpoint, EndpointConfigName=name).startswith("Could not find endpoint")
    deploy(sagemaker, name, trained[0])
    assert refused(sagemaker.update_endpoint, EndpointConfigName="x").startswith("Could not find endpoint configuration")
    alarms = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}
    assert "Alarms" in refused(sagemaker.update_endpoint, EndpointConfigName=name, DeploymentConfig=alarms)
    weights = sagemaker.update_endpoint_weights_and_capacities
    assert "no variant \"x\"" in refused(weights, DesiredWeightsAndCapacities=[{"VariantName": "x"}])
    assert "add up" in refused(weights, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 0.0}])
    assert "between 1 and" in refused(weights, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 99}])
    # An update that takes its time, and one that comes on top.
    slow = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 600}}}
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name, DeploymentConfig=slow)
    assert refused(sagemaker.update_endpoint, EndpointConfigName=name).startswith("Cannot update in-progress endpoint")
    # Deleted in the middle, it goes all the same.
    sagemaker.delete_endpoint(EndpointName=name)
    gone(sagemaker, name)


def test_an_update_survives_a_kill_of_the_server(fresh_server):
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    ratings.upload(s3, "bucket")
    sagemaker.create_training_job(**ratings.training_job("job", "bucket", epochs=1))
    job = until(lambda: sagemaker.describe_training_job(TrainingJobName="job"), ("Completed",))
    deploy(sagemaker, "live", job["ModelArtifacts"]["S3ModelArtifacts"], ({"VariantName": "old"},))
    config(sagemaker, "second", "live", {"VariantName": "new", "InitialInstanceCount": 2})
    slow = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 3}}}
    sagemaker.update_endpoint(EndpointName="live", EndpointConfigName="second", DeploymentConfig=slow)
    # Neither the model nor the configurations are needed any more.
    sagemaker.delete_model(ModelName="live")
    sagemaker.delete_endpoint_config(EndpointConfigName="second")
    time.sleep(0.5)
    fresh_server.kill()
    fresh_server.start()
    sagemaker = fresh_server.client("sagemaker")
    assert sagemaker.describe_endpoint(EndpointName="live")["EndpointStatus"] == "Updating"
    description = settled(sagemaker, "live")
    assert [variant["VariantName"] for variant in description["ProductionVariants"]] == ["new"]
    answer = fresh_server.client("sagemaker-runtime").invoke_endpoint(EndpointName="live", ContentType="application/json", Body=PAIR)
    assert answer["InvokedProductionVariant"] == "new"
    deadline = time.monotonic() + 10
    while len(descendants(fresh_server.process.pid)) != 2:
        assert time.monotonic() < deadline, "the old server did not end"
        time.sleep(0.05)
