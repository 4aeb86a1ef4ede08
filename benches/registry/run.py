"""Pushes and pulls of one large image beside Debian's docker-registry, in turns, on fresh folders."""

import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.parse

from conftest import Server
from registry import CONFIG, LAYER, MANIFEST, Engine, digest_of

LAYERS = 5
NAME = "bench"


class Sagebrush:
    """Our server: every request with a password, every layer fsynced."""

    def __init__(self, folder, port):
        server = self.server = Server(folder / "data", listen=f"127.0.0.1:{port}", SAGEBRUSH_CHECK_ANSWERS="false")
        server.client("ecr").create_repository(repositoryName=NAME)
        engine = Engine(server)
        self.host, self.password, self.headers = engine.host, engine.password, {"Authorization": engine.authorization}
        self.pid = server.process.pid

    def stop(self):
        self.server.stop()


class Distribution:
    """The peer: without passwords, and without fsync, which it does not do."""

    def __init__(self, folder, port, binary):
        self.host, self.password, self.headers = f"127.0.0.1:{port}", None, {}
        config = folder / "config.yml"
        config.write_text(json.dumps({
            "version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}}, "http": {"addr": self.host},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}}}))
        self.process = subprocess.Popen([binary, "serve", str(config)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
        self.pid = self.process.pid
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None, "the peer did not start"
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(connection, server, method, path, body=None, **headers):
    """A request on a kept connection; its answer is read."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {**server.headers, **headers})
    answer = connection.getresponse()
    answer.data = answer.read()
    assert answer.status < 300, (method, path, answer.status, answer.data[:300])
    return answer


def place(location):
    """Path and query of an address that may be absolute."""
    parts = urllib.parse.urlsplit(location)
    return parts.path + ("?" + parts.query if parts.query else "")


def push(server, image):
    """As an engine does, without its compression."""
    connection = http.client.HTTPConnection(server.host, blocksize=1 << 20)
    for digest, path in image["files"].items():
        begun = ask(connection, server, "POST", f"/v2/{NAME}/blobs/uploads/")
        size = path.stat().st_size
        with open(path, "rb") as body:
            sent = ask(connection, server, "PATCH", place(begun.headers["Location"]), body,
                       Content_Length=str(size), Content_Type="application/octet-stream")
        target = place(sent.headers["Location"])
        ask(connection, server, "PUT", target + ("&" if "?" in target else "?") + "digest=" + digest, b"")
    ask(connection, server, "PUT", f"/v2/{NAME}/manifests/latest", image["manifest"], Content_Type=MANIFEST)


def pull(server, image):
    """Every byte of an image, not looked at."""
    connection, buffer = http.client.HTTPConnection(server.host), bytearray(1 << 20)
    ask(connection, server, "GET", f"/v2/{NAME}/manifests/latest", Accept=MANIFEST)
    total = 0
    for digest in image["files"]:
        connection.request("GET", f"/v2/{NAME}/blobs/{digest}", headers=server.headers)
        answer = connection.getresponse()
        assert answer.status == 200
        while length := answer.readinto(buffer):
            total += length
    assert total == image["size"], (total, image["size"])


def make_image(folder, mib):
    """Layers of random bytes, as files and as an image's manifest."""
    parts, files = [], {}
    for number in range(LAYERS + 1):
        path = folder / f"part-{number}"
        content = os.urandom((mib << 20) // LAYERS) if number else b"{}"
        path.write_bytes(content)
        digest = digest_of(content)
        files[digest] = path
        parts.append({"mediaType": LAYER if number else CONFIG, "digest": digest, "size": len(content)})
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0], "layers": parts[1:]}
    return {"files": files, "manifest": json.dumps(manifest).encode(), "size": sum(part["size"] for part in parts)}


class Docker:
    """The engine's client, with passwords in a folder of its own."""

    def __init__(self, folder):
        self.environment = {**os.environ, "DOCKER_CONFIG": str(folder / "docker"), "DOCKER_BUILDKIT": "0"}

    def run(self, *arguments, **options):
        return subprocess.run(["docker", *arguments], check=True, capture_output=True, env=self.environment, **options)

    def build(self, folder, image):
        """The same bytes as layers of an engine's image."""
        context = folder / "context"
        context.mkdir()
        layers = [path for path in image["files"].values() if path.stat().st_size > 2]
        for path in layers:
            os.link(path, context / path.name)
        text = "FROM scratch\n" + "".join(f"COPY {path.name} /{path.name}\n" for path in layers)
        (context / "Dockerfile").write_text(text)
        self.run("build", "--quiet", "--tag", "sagebrush-bench", str(context))

    def measure(self, server):
        """Seconds of a push and of a pull."""
        tag = f"{server.host}/{NAME}:engine"
        if server.password:
            self.run("login", "--username", "AWS", "--password-stdin", server.host, input=server.password.encode())
        self.run("tag", "sagebrush-bench", tag)
        pushed = timed(lambda: self.run("push", tag))
        # As long as the engine has the layers under any name, nothing is fetched.
        self.run("rmi", tag, "sagebrush-bench")
        pulled = timed(lambda: self.run("pull", tag))
        self.run("rmi", tag)
        return pushed, pulled


def timed(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


def peak(pid):
    """Most memory that a process has held, MiB."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def round_of(server, image, pulls, docker):
    figures = {"push, s": timed(lambda: push(server, image)), "pull, s": timed(lambda: pull(server, image))}
    with concurrent.futures.ThreadPoolExecutor(pulls) as threads:
        together = timed(lambda: list(threads.map(lambda _: pull(server, image), range(pulls))))
    figures[f"{pulls} pulls at once, s"] = together
    figures[f"{pulls} pulls at once, MiB/s"] = pulls * image["size"] / together / (1 << 20)
    if docker:
        figures["docker push, s"], figures["docker pull, s"] = docker.measure(server)
    return figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", required=True, help="Debian's docker-registry")
    parser.add_argument("--mib", type=int, default=500, help="size of the image")
    parser.add_argument("--pulls", type=int, default=50, help="pulls at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-docker", action="store_true", help="leave the engine out")
    parser.add_argument("--folder", help="where the servers keep their data")
    arguments = parser.parse_args()
    root = pathlib.Path(tempfile.mkdtemp(prefix="registry-bench-", dir=arguments.folder))
    usable = shutil.which("docker") and subprocess.run(["docker", "version"], capture_output=True).returncode == 0
    docker = Docker(root) if usable and not arguments.no_docker else None
    results = {"sagebrush": [], "docker-registry": []}
    try:
        image = make_image(root, arguments.mib)
        for number in range(arguments.rounds):
            for name, found in results.items():
                folder = root / f"{name}-{number}"
                folder.mkdir()
                if docker:
                    # The round before has removed it.
                    shutil.rmtree(root / "context", ignore_errors=True)
                    docker.build(root, image)
                server = (Sagebrush(folder, free_port()) if name == "sagebrush"
                          else Distribution(folder, free_port(), arguments.peer))
                try:
                    figures = round_of(server, image, arguments.pulls, docker)
                    figures["peak memory, MiB"] = peak(server.pid)
                    found.append(figures)
                finally:
                    server.stop()
                    shutil.rmtree(folder)
    finally:
        shutil.rmtree(root)
    print(f"{arguments.mib} MiB in {LAYERS} layers, medians of {arguments.rounds} rounds\n")
    print(f"{'':32} {'sagebrush':>12} {'docker-registry':>16} {'ratio':>8}")
    for figure in results["sagebrush"][0]:
        ours, theirs = (statistics.median(row[figure] for row in results[name]) for name in results)
        print(f"{figure:32} {ours:12.2f} {theirs:16.2f} {ours / theirs:7.2f}x")


if __name__ == "__main__":
    main()
