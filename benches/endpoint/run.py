"""Measures endpoints against the real binary: run.py [--sagebrush PATH] [--load PATH] (see README.md)."""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "conformance"))
import ratings  # noqa: E402
from conftest import ROLE, Server, until  # noqa: E402

PAIR = '{"instances":[{"in0":[1],"in1":[1]}]}'


class Bench:
    def __init__(self, server, load):
        self.server, self.program = server, load
        self.s3, self.sagemaker = server.client("s3"), server.client("sagemaker")

    def train(self):
        self.s3.create_bucket(Bucket="bucket")
        ratings.upload(self.s3, "bucket")
        self.sagemaker.create_training_job(**ratings.training_job("job", "bucket", epochs=1))
        job = until(lambda: self.sagemaker.describe_training_job(TrainingJobName="job"), ("Completed",))
        self.sagemaker.create_model(ModelName="model", ExecutionRoleArn=ROLE, PrimaryContainer={
            "Image": ratings.IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]})

    def config(self, name, *variants):
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
            {"ModelName": "model", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", **variant} for variant in variants])

    def in_service(self, name):
        until(lambda: self.sagemaker.describe_endpoint(EndpointName=name), ("InService",))

    def load(self, name=None, port=None, **settings):
        """Starts a load on an endpoint, or straight on a model server's port."""
        environment = {name.upper(): str(value) for name, value in settings.items()}
        if port:
            url = f"http://127.0.0.1:{port}/invocations"
        else:
            url = f"{self.server.url}/endpoints/{name}/invocations"
            environment |= {"AWS_ACCESS_KEY_ID": self.server.access_key, "AWS_SECRET_ACCESS_KEY": self.server.secret_key}
        return subprocess.Popen([self.program], env={"URL": url, "BODY": PAIR, **environment}, stdout=subprocess.PIPE, text=True)

    def servers(self):
        """Model servers of this server: process id to port."""
        found = {}
        threads = pathlib.Path(f"/proc/{self.server.process.pid}/task").iterdir()
        for child in {child for thread in threads for child in (thread / "children").read_text().split()}:
            try:
                environment = pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            except OSError:
                continue  # It has just ended.
            ports = [entry.split(b"=")[1] for entry in environment if entry.startswith(b"SAGEMAKER_BIND_TO_PORT=")]
            if ports:
                found[int(child)] = int(ports[0])
        return found


def result(load):
    return json.loads(load.communicate()[0])


def failed(outcome):
    return sum(count for status, count in outcome["statuses"].items() if status != "200")


def split_and_update(bench, requests, rate):
    """Two variants 90/10 under a constant rate, with an UpdateEndpoint in the middle."""
    bench.config("split", {"VariantName": "a", "InitialVariantWeight": 9.0}, {"VariantName": "b", "InitialVariantWeight": 1.0})
    bench.sagemaker.create_endpoint(EndpointName="split", EndpointConfigName="split")
    bench.in_service("split")
    bench.config("again", {"VariantName": "a", "InitialVariantWeight": 9.0}, {"VariantName": "b", "InitialVariantWeight": 1.0})
    load = bench.load("split", count=requests, rate=rate, clients=8)
    time.sleep(requests / rate / 2)
    begun = time.monotonic()
    bench.sagemaker.update_endpoint(EndpointName="split", EndpointConfigName="again")
    bench.in_service("split")
    updated = time.monotonic() - begun
    outcome = result(load)
    answered = sum(outcome["variants"].values())
    share = 100 * outcome["variants"].get("a", 0) / answered
    print(f"split      {answered} requests at {rate}/s: variant a got {share:.2f} % (weight 90 %), off by {abs(share - 90):.2f} points")
    print(f"update     UpdateEndpoint in the middle took {updated:.2f} s: {failed(outcome)} requests failed")
    assert abs(share - 90) < 1.2 and failed(outcome) == 0, outcome
    bench.sagemaker.delete_endpoint(EndpointName="split")


def replacement(bench):
    """A model server is killed; the time until the endpoint has two servers again, and what failed meanwhile."""
    before = bench.servers()
    bench.config("pair", {"VariantName": "v", "InitialInstanceCount": 2})
    bench.sagemaker.create_endpoint(EndpointName="pair", EndpointConfigName="pair")
    bench.in_service("pair")
    started = set(bench.servers()) - set(before)
    load = bench.load("pair", seconds=4, rate=500, clients=8)
    time.sleep(1)
    begun = time.monotonic()
    os.kill(min(started), signal.SIGKILL)
    while True:
        fresh = {pid: port for pid, port in bench.servers().items() if pid not in started and pid not in before}
        if any(ping(port) for port in fresh.values()):
            break
        assert time.monotonic() - begun < 5, "the server was not replaced within 5 s"
        time.sleep(0.005)
    took = time.monotonic() - begun
    outcome = result(load)
    print(f"kill -9    a model server was replaced after {1000 * took:.0f} ms; of {sum(outcome['statuses'].values())} requests "
          f"{failed(outcome)} failed (those inside the killed process)")
    bench.sagemaker.delete_endpoint(EndpointName="pair")


def ping(port):
    import http.client
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False


def latency(bench, rounds, seconds):
    """Signed InvokeEndpoint beside the same request straight to the model server, in turns."""
    before = bench.servers()
    bench.config("one", {"VariantName": "v"})
    bench.sagemaker.create_endpoint(EndpointName="one", EndpointConfigName="one")
    bench.in_service("one")
    port, = (port for pid, port in bench.servers().items() if pid not in before)
    print(f"\n{'clients':>8} {'':14} {'p50 us':>8} {'p99 us':>8} {'req/s':>8}")
    for clients in (1, 4):
        kept = {"endpoint": [], "direct": []}
        for _ in range(rounds):
            kept["endpoint"].append(result(bench.load("one", seconds=seconds, clients=clients)))
            kept["direct"].append(result(bench.load(port=port, seconds=seconds, clients=clients)))
        assert not any(failed(outcome) for outcomes in kept.values() for outcome in outcomes), kept
        middle = {}
        for way, outcomes in kept.items():
            middle[way] = [sorted(outcome[figure] for outcome in outcomes)[len(outcomes) // 2] for figure in ("p50", "p99", "rate")]
            p50, p99, rate = middle[way]
            print(f"{clients:>8} {way:14} {p50:>8.0f} {p99:>8.0f} {rate:>8.0f}")
        ratio = [one / other for one, other in zip(middle["endpoint"], middle["direct"])]
        print(f"{clients:>8} {'ratio':14} {ratio[0]:>8.2f} {ratio[1]:>8.2f} {ratio[2]:>8.2f}")
    bench.sagemaker.delete_endpoint(EndpointName="one")


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/sagebrush/target")) / "release"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sagebrush", default=str(target / "sagebrush"))
    parser.add_argument("--load", default=str(target / "examples/endpoint_load"))
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    import conftest
    conftest.BINARY = options.sagebrush
    with tempfile.TemporaryDirectory() as folder:
        server = Server(pathlib.Path(folder) / "data", SAGEBRUSH_CHECK_ANSWERS="false")
        try:
            bench = Bench(server, options.load)
            bench.train()
            split_and_update(bench, options.requests, options.rate)
            replacement(bench)
            latency(bench, options.rounds, options.seconds)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
