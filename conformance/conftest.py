"""A real server per test session, and boto3 clients that know nothing of it but its address and key."""

import configparser
import json
import os
import pathlib
import signal
import subprocess
import time
import uuid

import boto3
import pytest
from botocore.config import Config

import ratings

BINARY = os.environ.get("SAGEBRUSH", "sagebrush")
ROLE = "arn:aws:iam::123456789012:role/conformance"


class Server:
    """A `sagebrush serve` process on a data folder."""

    def __init__(self, data_dir, listen="127.0.0.1:0", **environment):
        self.listen = listen
        self.data_dir = pathlib.Path(data_dir)
        self.log = self.data_dir.parent / f"{self.data_dir.name}.log"
        self.environment = environment
        self.start()

    def start(self):
        info = self.data_dir / "server.json"
        info.unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--data-dir", str(self.data_dir), "--listen", self.listen],
                stdout=log, stderr=log, env={**os.environ, "SAGEBRUSH_CHECK_ANSWERS": "true", **self.environment})
        deadline = time.monotonic() + 60
        while not info.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        self.url = json.loads(info.read_text())["endpoint"]
        credentials = configparser.ConfigParser()
        credentials.read(self.data_dir / "credentials")
        self.access_key = credentials["default"]["aws_access_key_id"]
        self.secret_key = credentials["default"]["aws_secret_access_key"]
        self.region = "us-east-1"

    def client(self, service, access_key=None, secret_key=None, region=None, token=None, **config):
        return boto3.client(
            service, endpoint_url=self.url, region_name=region or self.region,
            aws_access_key_id=access_key or self.access_key,
            aws_secret_access_key=secret_key or self.secret_key, aws_session_token=token,
            config=Config(retries={"max_attempts": 1}, **config))

    def run(self, *arguments):
        """A command of the binary on this server's data folder; what it prints."""
        command = [BINARY, *arguments, "--data-dir", str(self.data_dir)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def user(self, name, *policies):
        """A new user's key with the given policies: names of managed ones, or documents."""
        options = []
        for index, policy in enumerate(policies):
            if not isinstance(policy, str):
                path = self.data_dir.parent / f"{name}-{index}.json"
                path.write_text(json.dumps({"Version": "2012-10-17", "Statement": policy}))
                policy = str(path)
            options += ["--policy", policy]
        key = json.loads(self.run("access-key", "create", name, "--format", "json", *options))["AccessKey"]
        return {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}

    def kill(self):
        """kill -9 of the server process alone."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        return self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server") / "data")
    yield server
    assert server.stop() == 0
    errors = [line for line in server.log.read_text().splitlines() if " ERROR " in line]
    assert not errors, "\n".join(errors)


@pytest.fixture
def fresh_server(tmp_path):
    """A server of the test's own, which it may kill."""
    server = Server(tmp_path / "data")
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def name():
    return "t-" + uuid.uuid4().hex[:12]


@pytest.fixture
def sagemaker(endpoint):
    return endpoint.client("sagemaker")


@pytest.fixture
def experiment(sagemaker, name):
    """An experiment with a trial, as an ExperimentConfig names them."""
    sagemaker.create_experiment(ExperimentName=name)
    sagemaker.create_trial(TrialName=name + "-trial", ExperimentName=name)
    return {"ExperimentName": name, "TrialName": name + "-trial"}


@pytest.fixture
def s3_bucket(endpoint):
    bucket = "t-" + uuid.uuid4().hex
    endpoint.client("s3").create_bucket(Bucket=bucket)
    return bucket


@pytest.fixture(scope="session")
def trained(endpoint):
    """A trained model: its artifact and its test records."""
    s3, sagemaker = endpoint.client("s3"), endpoint.client("sagemaker")
    s3.create_bucket(Bucket="endpoint-tests")
    parts = ratings.upload(s3, "endpoint-tests")
    sagemaker.create_training_job(**ratings.training_job("endpoint-tests", "endpoint-tests", epochs=5))
    job = until(lambda: sagemaker.describe_training_job(TrainingJobName="endpoint-tests"), ("Completed", "Failed"))
    return job["ModelArtifacts"]["S3ModelArtifacts"], job["FinalMetricDataList"], parts["test"]


def until(describe, states, seconds=120):
    """Polls until the described status is one of `states`; returns the description."""
    deadline = time.monotonic() + seconds
    while True:
        description = describe()
        status = next(description[key] for key in ("TrainingJobStatus", "ProcessingJobStatus", "TransformJobStatus", "EndpointStatus")
                      if key in description)
        if status in states:
            return description
        assert time.monotonic() < deadline, description
        time.sleep(0.05)
