"""The control API and S3 beside the moto server and the plain file system, in one run.

Every round starts each server on an empty folder, sends it the same load from the same client (benches/load)
and stops it; the table shows medians over the rounds and the ratio to the peer.
"""

import argparse
import configparser
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

CONTROL = [
    ("CreateTrainingJob, requests/s", ("create", "per_second")),
    ("CreateTrainingJob, p50 ms", ("create", "p50_ms")),
    ("CreateTrainingJob, p99 ms", ("create", "p99_ms")),
    ("DescribeTrainingJob, requests/s", ("describe", "per_second")),
    ("DescribeTrainingJob, p50 ms", ("describe", "p50_ms")),
    ("DescribeTrainingJob, p99 ms", ("describe", "p99_ms")),
]
SMALL = [
    ("small puts, objects/s", ("put", "per_second")),
    ("small puts, p99 ms", ("put", "p99_ms")),
    ("small gets, objects/s", ("get", "per_second")),
    ("small gets, p99 ms", ("get", "p99_ms")),
]
LARGE = [
    ("large put, MiB/s", ("put_mib_per_second",)),
    ("large get, MiB/s", ("get_mib_per_second",)),
]


class Sagebrush:
    name = "sagebrush"

    def __init__(self, options, folder):
        self.data = folder / "data"
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(
            [options.sagebrush, "serve", "--data-dir", str(self.data), "--listen", "127.0.0.1:0"],
            stdout=self.log, stderr=self.log)
        info = self.data / "server.json"
        wait_for(info.exists, self.process)
        credentials = configparser.ConfigParser()
        credentials.read(self.data / "credentials")
        key = credentials["default"]
        self.environment = {
            "AWS_ENDPOINT_URL": json.loads(info.read_text())["endpoint"],
            "AWS_ACCESS_KEY_ID": key["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["aws_secret_access_key"],
        }


class Moto:
    name = "moto"

    def __init__(self, options, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(
            [options.moto, "-H", "127.0.0.1", "-p", str(port)], stdout=self.log, stderr=self.log)
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{url}/moto-api/"), self.process)
        self.environment = {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "load", "AWS_SECRET_ACCESS_KEY": "load"}


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=1).status == 200
    except OSError:
        return False


def wait_for(ready, process):
    deadline = time.monotonic() + 60
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("a server did not start")
        time.sleep(0.05)


def peak_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def load(options, environment, *arguments):
    done = subprocess.run(
        [options.load, *map(str, arguments)], env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        return {"error": done.stderr.strip()}
    return json.loads(done.stdout)


def against(server_type, options, *arguments):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    try:
        server = server_type(options, folder)
        report = load(options, server.environment, *arguments)
        report["peak_mib"] = peak_mib(server.process.pid)
        server.process.terminate()
        server.process.wait()
        server.log.close()
        return report
    finally:
        shutil.rmtree(folder)


def on_files(options, *arguments):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    try:
        return load(options, {}, arguments[0], folder / "files", *arguments[1:])
    finally:
        shutil.rmtree(folder)


def take(report, path):
    for part in path:
        report = report.get(part) if isinstance(report, dict) else None
    return report


def row(label, path, columns, ours, peer):
    shown = [f"{label:<34}"]
    medians = {}
    for name, reports in columns.items():
        values = [value for value in (take(report, path) for report in reports) if value is not None]
        medians[name] = statistics.median(values) if values else None
        shown.append(f"{medians[name]:>14,.2f}" if values else f"{'failed':>14}")
    if medians.get(ours) and medians.get(peer):
        shown.append(f"{medians[ours] / medians[peer]:>9.2f}x")
    print("".join(shown), flush=True)


def table(title, rows, columns, ours, peer):
    print(f"\n{title}")
    print(f"{'':<34}" + "".join(f"{name:>14}" for name in columns) + f"{'/ ' + peer:>10}")
    for label, path in rows:
        row(label, path, columns, ours, peer)
    for name, reports in columns.items():
        for report in reports:
            for part in (report, *(value for value in report.values() if isinstance(value, dict))):
                reason = part.get("error") or part.get("first_failure")
                if reason:
                    print(f"  {name}: {part.get('failed', '')} failed: {reason[:200]}")
                    break


def rounds(options, plan):
    columns = {name: [] for name in plan}
    for _ in range(options.rounds):
        for name, run in plan.items():
            columns[name].append(run())
    return columns


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["control", "small", "large"], help="control, small, large")
    parser.add_argument("--sagebrush", required=True, help="the release binary")
    parser.add_argument("--load", required=True, help="the binary of benches/load")
    parser.add_argument("--moto", required=True, help="the program moto_server")
    parser.add_argument("--folder", default=None, help="where the servers keep their data (default: the temporary folder)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=800)
    parser.add_argument("--describes", type=int, default=20_000)
    parser.add_argument("--moto-share", type=float, default=0.1, help="share of the describes that moto is asked")
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--large-bytes", type=int, default=1 << 30)
    options = parser.parse_args()
    peak = ("peak memory of the server, MiB", ("peak_mib",))
    if "control" in options.what:
        # Rates are compared, so the slower server may be asked less often.
        fewer = max(int(options.describes * options.moto_share), 500)
        columns = rounds(options, {
            "sagebrush": lambda: against(
                Sagebrush, options, "control", "--jobs", options.jobs, "--describes", options.describes),
            "moto": lambda: against(Moto, options, "control", "--jobs", options.jobs, "--describes", fewer),
        })
        table(f"control API: {options.jobs} training jobs, 16 requests at once", CONTROL + [peak], columns,
              "sagebrush", "moto")
    if "small" in options.what:
        count = ("--count", options.objects)
        columns = rounds(options, {
            "sagebrush": lambda: against(Sagebrush, options, "small-objects", *count),
            "moto": lambda: against(Moto, options, "small-objects", *count),
            "files": lambda: on_files(options, "small-files", *count),
        })
        title = f"S3: {options.objects} objects of 10 KiB, 16 at once (files: fsynced, with their folder)"
        table(title, SMALL + [peak], columns, "sagebrush", "files")
    if "large" in options.what:
        size = ("--bytes", options.large_bytes)
        columns = rounds(options, {
            "sagebrush": lambda: against(Sagebrush, options, "large-object", *size),
            "moto": lambda: against(Moto, options, "large-object", *size),
            "files": lambda: on_files(options, "large-file", *size),
        })
        title = f"S3: one object of {options.large_bytes >> 20} MiB (files: fsynced)"
        table(title, LARGE + [peak], columns, "sagebrush", "files")


if __name__ == "__main__":
    main()
