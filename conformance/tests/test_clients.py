"""Clients that we did not write, each in an environment of its own: the programs of conformance/clients."""

import json
import os
import pathlib
import random
import shutil
import subprocess

import pytest

import ratings
from conftest import BINARY, ROLE, until

CLIENTS = pathlib.Path(__file__).parents[1] / "clients"
EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "goodbooks" / "workflow_sdk.py"
# Folder with an environment per client, made by bin/test.
ENVIRONMENTS = os.environ.get("SAGEBRUSH_CLIENTS")

pytestmark = pytest.mark.skipif(not ENVIRONMENTS, reason="SAGEBRUSH_CLIENTS names no folder of environments")


def tool(client, name):
    return str(pathlib.Path(ENVIRONMENTS) / client / "bin" / name)


def run(endpoint, command, tmp_path, **extra):
    """Runs a client that knows only what `sagebrush env` says; returns what it printed."""
    exports = subprocess.run(
        [BINARY, "env", "--data-dir", str(endpoint.data_dir)], check=True, capture_output=True, text=True).stdout
    script = f'{exports}\nunset AWS_CA_BUNDLE\nexec "$@"'
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    done = subprocess.run(
        ["bash", "-c", script, "client", *command], capture_output=True, text=True, timeout=400, cwd=tmp_path,
        env={**kept, "HOME": str(tmp_path), **extra})
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed[-6000:]
    return done.stdout


def patiently(client, program, *arguments):
    return [tool(client, "python"), str(CLIENTS / "patience.py"), str(program), *arguments]


def test_sdk_version_2(endpoint, tmp_path):
    printed = run(endpoint, patiently("sdk_v2", CLIENTS / "sdk_v2" / "workflow.py"), tmp_path,
                  SAGEMAKER_SUPPRESS_V2_WARNING="1")
    assert printed.rstrip().endswith("done")


def test_sdk_version_3_runs_the_chapter(endpoint, tmp_path):
    draw = random.Random(3)
    with open(tmp_path / "ratings.csv", "w") as out:
        out.write("user_id,book_id,rating\n")
        for row in ratings.records(count=2000):
            out.write(f"u{row['in0'][0]},b{row['in1'][0]},{round(row['label'] + draw.gauss(0, .1))}\n")
    printed = run(
        endpoint,
        patiently("sdk_v3", EXAMPLE, "--ratings", str(tmp_path / "ratings.csv"), "--bucket", "sdk-v3", "--role", ROLE,
                  "--min-user-ratings", "5", "--min-book-ratings", "5", "--hyperparameter", "epochs=20"),
        tmp_path)
    errors = {line[:20].strip(): float(line[20:28]) for line in printed.splitlines() if line[20:28].strip()[:2] == "0."
              or line[20:28].strip()[:2] == "1."}
    assert errors["Object2Vec"] < errors["global mean"], printed[-2000:]


def script_run(endpoint, tmp_path, client, **extra):
    """Trains and serves the example's scikit-learn script; the error that it prints."""
    for part, rows in ratings.parts().items():
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    splits = [word for part in ("train", "validation", "test") for word in (f"--{part}", str(tmp_path / f"{part}.jsonl"))]
    # In advance, so that a slow download does not take the client's time.
    endpoint.run("python", "prepare", "sagemaker-scikit-learn:1.2-1-cpu-py3")
    program = EXAMPLE.parent / "script" / f"run_{client}.py"
    printed = run(endpoint, patiently(client, program, *splits, "--bucket", f"script-{client}".replace("_", "-")), tmp_path, **extra)
    return float(printed.rstrip().rsplit(" ", 1)[1])


def test_a_scikit_learn_script_with_sdk_version_2(endpoint, tmp_path):
    assert script_run(endpoint, tmp_path, "sdk_v2", SAGEMAKER_SUPPRESS_V2_WARNING="1") < 0.3


def test_a_scikit_learn_script_with_sdk_version_3(endpoint, tmp_path):
    assert script_run(endpoint, tmp_path, "sdk_v3") < 0.3


def test_pandas_pyarrow_and_s3fs(endpoint, tmp_path):
    printed = run(endpoint, [tool("s3fs", "python"), str(CLIENTS / "s3fs" / "files.py")], tmp_path)
    assert printed.rstrip().endswith("done")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not there")
def test_the_aws_cli(endpoint, tmp_path, s3_bucket, name):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    sagemaker = endpoint.client("sagemaker")
    sagemaker.create_training_job(**ratings.training_job(name, s3_bucket, epochs=1))
    until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ["Completed"])
    run(endpoint, ["bash", str(CLIENTS / "cli" / "files.sh")], tmp_path, AWS=tool("cli", "aws"), JOB=name)
