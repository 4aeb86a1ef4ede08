"""The main job and the example, as a stranger runs them: from a ratings file to answers from a live endpoint."""

import json
import os
import pathlib
import random
import re
import subprocess
import sys

import pytest

from conftest import BINARY

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "goodbooks" / "workflow.py"


@pytest.fixture(scope="module")
def ratings_csv(tmp_path_factory):
    """300 users, 120 books: biases, two-dimensional tastes, noise. Ids are not dense and not numbers."""
    draw = random.Random(5)
    books = [(draw.gauss(0, .4), draw.gauss(0, .8), draw.gauss(0, .8)) for _ in range(120)]
    path = tmp_path_factory.mktemp("ratings") / "stars.csv"
    with open(path, "w") as out:
        out.write("reader,volume,stars\n")
        for user in range(300):
            bias, t0, t1 = draw.gauss(3.6, .5), draw.gauss(0, .8), draw.gauss(0, .8)
            for book in draw.sample(range(120), draw.randint(5, 80)):
                b, u0, u1 = books[book]
                stars = min(5, max(1, round(bias + b + t0 * u0 + t1 * u1 + draw.gauss(0, .3))))
                out.write(f"u{user * 7},b{book * 3},{stars}\n")
    return path


@pytest.fixture(scope="module")
def report(ratings_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart")
    printed = subprocess.run(
        [BINARY, "quickstart", "--ratings", ratings_csv, "--columns", "user=reader,item=volume,rating=stars",
         "--min-user-ratings", "20", "--min-book-ratings", "100", "--report", folder / "report.json",
         "--plot", folder / "curve.svg", "--data-dir", folder / "data"], capture_output=True, text=True, timeout=300)
    assert printed.returncode == 0, printed.stdout + printed.stderr
    return json.loads((folder / "report.json").read_text()), printed.stdout, (folder / "curve.svg").read_text()


def kept(ratings_csv, least_user, least_book):
    rows = [line.split(",") for line in ratings_csv.read_text().splitlines()[1:]]
    count = lambda column: {key: sum(row[column] == key for row in rows) for key in {row[column] for row in rows}}
    users, books = count(0), count(1)
    return [row for row in rows if users[row[0]] >= least_user and books[row[1]] >= least_book]


def test_the_preparation_keeps_what_the_thresholds_say(report, ratings_csv):
    rows = report[0]["rows"]
    expected = kept(ratings_csv, 20, 100)
    text = json.dumps(rows)
    assert str(len(expected)) in text, rows
    assert str(len({row[0] for row in expected})) in text and str(len({row[1] for row in expected})) in text


def test_the_errors_are_ordered_as_they_should_be(report):
    errors = report[0]["test_mse"]
    assert errors["object2vec"] < errors["user_mean"] < errors["global_mean"], errors
    assert errors["object2vec"] < errors["bias"], errors


def test_the_report_and_the_screen_tell_the_same(report):
    document, printed, curve = report
    assert f"{document['test_mse']['object2vec']:.4f}" in printed
    assert {step["name"] for step in document["steps"]} >= {"prepare", "train", "deploy", "evaluate", "recommend"}
    assert all(rate > 0 for rate in document["records_per_second"])
    assert document["peak_memory_bytes"] > 10 << 20
    assert len(document["recommendations"]) == 5
    assert curve.startswith("<svg") or "<svg" in curve[:200]


def test_nothing_is_left_running(report):
    commands = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            pass  # it ended meanwhile
    assert not [command for command in commands if "quickstart0/data" in command]


@pytest.mark.parametrize(("arguments", "expected"), [
    (["--ratings", "/no/such/file.csv"], "/no/such/file.csv"),
    (["--ratings", "RATINGS"], "reader"),
    (["--ratings", "RATINGS", "--columns", "user=reader,item=volume,rating=stars", "--min-user-ratings", "5000"], "5"),
])
def test_input_that_cannot_work_is_explained(ratings_csv, tmp_path, arguments, expected):
    arguments = [str(ratings_csv) if argument == "RATINGS" else argument for argument in arguments]
    printed = subprocess.run([BINARY, "quickstart", *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert printed.returncode == 1
    assert expected in printed.stderr and "panicked" not in printed.stderr, printed.stderr


def test_the_example_is_the_same_run_in_boto3(endpoint, ratings_csv):
    environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint.url, "AWS_ACCESS_KEY_ID": endpoint.access_key,
                   "AWS_SECRET_ACCESS_KEY": endpoint.secret_key, "AWS_DEFAULT_REGION": "us-east-1"}
    printed = subprocess.run(
        [sys.executable, EXAMPLE, "--ratings", ratings_csv, "--columns", "user=reader,item=volume,rating=stars",
         "--min-user-ratings", "20", "--min-book-ratings", "100"], capture_output=True, text=True, env=environment, timeout=300)
    assert printed.returncode == 0, printed.stdout + printed.stderr
    errors = {name.lower(): float(value) for name, value in re.findall(r"(user mean|user \+ book bias|Object2Vec)\s+(\d\.\d+)", printed.stdout)}
    assert errors["object2vec"] < errors["user mean"], printed.stdout
