"""Real container engines and command lines against the registry. They need a running engine, and images are made
here, since none can be fetched."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
import time
import warnings

import pytest

from conftest import Server
from registry import Engine
from test_clients import ENVIRONMENTS, run, tool
from test_registry import files


def engines():
    """The clients of a running engine: a machine may have more than one."""
    found = []
    for path in dict.fromkeys([shutil.which("docker"), "/usr/bin/docker", "/usr/local/bin/docker"]):
        if path and os.access(path, os.X_OK):
            try:
                answer = subprocess.run([path, "version"], capture_output=True, timeout=60)
            except subprocess.TimeoutExpired:
                continue
            if answer.returncode == 0:
                found.append(path)
    return found


ENGINES = engines()
if not ENGINES:
    warnings.warn("no container engine is running: nothing is pushed or pulled by one")
pytestmark = pytest.mark.skipif(not ENGINES, reason="no container engine is running")


class Docker:
    """One client, with a folder of its own for passwords."""

    def __init__(self, path, folder):
        self.path = path
        self.environment = {"DOCKER_CONFIG": str(folder), "PATH": os.environ["PATH"], "HOME": str(folder)}
        self.made = []

    def start(self, *arguments):
        return subprocess.Popen([self.path, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, env=self.environment)

    def run(self, *arguments, stdin=None, fails=False):
        process = self.start(*arguments)
        printed, _ = process.communicate(stdin, timeout=300)
        assert (process.returncode != 0) == fails, printed
        return printed

    def image(self, tag, size=1 << 20):
        """An image with one layer of random bytes; its id."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("content")
            entry.size = size
            tar.addfile(entry, io.BytesIO(os.urandom(size)))
        self.made.append(tag)
        imported = subprocess.run([self.path, "import", "-", tag], input=archive.getvalue(), capture_output=True,
                                  check=True, env=self.environment)
        return imported.stdout.decode().strip()

    def id(self, tag):
        return self.run("image", "inspect", "--format", "{{.Id}}", tag).strip()

    def login(self, server, **key):
        token = server.client("ecr", **key).get_authorization_token()["authorizationData"][0]
        password = Engine(server, **key).password
        return self.run("login", "--username", "AWS", "--password-stdin", token["proxyEndpoint"], stdin=password)


@pytest.fixture(params=ENGINES)
def docker(request, tmp_path):
    docker = Docker(request.param, tmp_path)
    yield docker
    if docker.made:
        subprocess.run([docker.path, "rmi", "--force", *docker.made], capture_output=True)


@pytest.fixture
def repository(endpoint, name):
    return endpoint.client("ecr").create_repository(repositoryName=name + "/app")["repository"]


def test_an_image_goes_in_and_comes_out(endpoint, docker, repository):
    uri, name = repository["repositoryUri"], repository["repositoryName"]
    image = docker.image(uri + ":v1")
    assert "no basic auth credentials" in docker.run("push", uri + ":v1", fails=True)
    assert "Login Succeeded" in docker.login(endpoint)
    pushed = docker.run("push", uri + ":v1")
    docker.run("tag", uri + ":v1", uri + ":latest")
    docker.made.append(uri + ":latest")
    assert "Layer already exists" in docker.run("push", uri + ":latest")
    docker.run("rmi", uri + ":v1", uri + ":latest")
    docker.run("pull", uri + ":v1")
    assert docker.id(uri + ":v1") == image
    found = endpoint.client("ecr").describe_images(repositoryName=name)["imageDetails"]
    assert [entry["imageTags"] for entry in found] == [["latest", "v1"]]
    assert found[0]["imageDigest"] in pushed
    docker.run("rmi", uri + ":v1")
    docker.run("pull", f"{uri}@{found[0]['imageDigest']}")
    docker.made.append(image)
    assert docker.id(f"{uri}@{found[0]['imageDigest']}") == image


def test_refusals_are_said_in_words(endpoint, docker, repository, name):
    uri = repository["repositoryUri"]
    docker.image(uri + ":v1")
    docker.image(uri + "-absent:v1")
    assert "unauthorized" in docker.run(
        "login", "--username", "AWS", "--password-stdin", endpoint.url, stdin="wrong", fails=True).lower()
    docker.login(endpoint)
    assert "does not exist in the registry with id" in docker.run("push", uri + "-absent:v1", fails=True)
    docker.login(endpoint, **endpoint.user(name, "AmazonEC2ContainerRegistryReadOnly"))
    denied = docker.run("push", uri + ":v1", fails=True)
    assert "is not authorized to perform: ecr:InitiateLayerUpload" in denied
    assert "does not exist within the repository" in docker.run("pull", uri + ":absent", fails=True)


def test_a_layer_that_another_repository_has_is_mounted(endpoint, docker, repository):
    ecr = endpoint.client("ecr")
    second = ecr.create_repository(repositoryName=repository["repositoryName"] + "-second")["repository"]
    docker.image(repository["repositoryUri"] + ":v1")
    docker.login(endpoint)
    docker.run("push", repository["repositoryUri"] + ":v1")
    docker.run("tag", repository["repositoryUri"] + ":v1", second["repositoryUri"] + ":v1")
    docker.made.append(second["repositoryUri"] + ":v1")
    assert "Mounted from" in docker.run("push", second["repositoryUri"] + ":v1")


def upload_sizes(server):
    for path in (server.data_dir / "registry/uploads").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield path.stat().st_size


@pytest.mark.parametrize("victim", ["client", "server"])
def test_a_push_that_is_killed_leaves_nothing_wrong(docker, tmp_path, victim):
    with_port = Server(tmp_path / "first")
    address = with_port.url.removeprefix("http://")
    with_port.stop()
    server = Server(tmp_path / "data", listen=address)
    uri = server.client("ecr").create_repository(repositoryName="app")["repository"]["repositoryUri"]
    image = docker.image(uri + ":v1", 16 << 20)
    docker.login(server)
    push = docker.start("push", uri + ":v1")
    deadline = time.monotonic() + 60
    while not any(size > 1 << 20 for size in upload_sizes(server)):
        assert push.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    if victim == "server":
        server.kill()
    push.send_signal(signal.SIGKILL)
    push.communicate()
    if victim == "server":
        server.start()
    engine = Engine(server)
    assert engine.ask("GET", "/v2/app/tags/list").json["tags"] == []
    docker.run("push", uri + ":v1")
    docker.run("rmi", uri + ":v1")
    docker.run("pull", uri + ":v1")
    assert docker.id(uri + ":v1") == image
    engine.pull("app", "v1")
    assert files(server) == 2
    assert server.stop() == 0


@pytest.mark.skipif(not ENVIRONMENTS, reason="SAGEBRUSH_CLIENTS names no folder of environments")
def test_the_command_line_logs_an_engine_in(endpoint, docker, repository, tmp_path):
    aws = tool("cli", "aws")
    password = run(endpoint, [aws, "ecr", "get-login-password"], tmp_path)
    assert "Login Succeeded" in docker.run(
        "login", "--username", "AWS", "--password-stdin", endpoint.url, stdin=password.strip())
    docker.run("logout", endpoint.url)
    # As the notebook does: the command line prints the command.
    command = run(endpoint, [aws, "ecr", "get-login", "--no-include-email"], tmp_path).split()
    assert command[:4] == ["docker", "login", "-u", "AWS"]
    assert "Login Succeeded" in docker.run(*command[1:])
    docker.image(repository["repositoryUri"])
    docker.run("push", repository["repositoryUri"])
