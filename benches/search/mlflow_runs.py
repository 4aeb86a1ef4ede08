"""The five kinds of searches on runs in MLflow with its SQLite backend, for comparison with `million_jobs`.

    python benches/search/mlflow_runs.py [RUNS]

`run.sh` installs what it needs and runs it after `million_jobs`.

The runs have the same shape: 20 parameters, 10 metrics, 5 tags. They are written straight into MLflow's tables, because
logging them one by one takes hours; they are searched through MLflow's own client.
"""

import os
import random
import resource
import sqlite3
import statistics
import sys
import tempfile
import time

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from mlflow.tracking import MlflowClient

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
SEARCHES, PAGE = 20, 100


def fill(path, experiment):
    draw = random.Random(3)
    base = sqlite3.connect(path)
    columns = [row[1] for row in base.execute("PRAGMA table_info(runs)")]
    begun = time.perf_counter()
    for number in range(RUNS):
        run, at = f"{number:032x}", 1_700_000_000_000 + number * 10_000
        row = {"run_uuid": run, "name": f"job-{number:07}", "source_type": "LOCAL", "user_id": "u", "status": "FINISHED",
               "start_time": at, "end_time": at + 60_000, "lifecycle_stage": "active", "experiment_id": experiment,
               "artifact_uri": f"s3://models/job-{number:07}", "source_name": "", "entry_point_name": "", "source_version": ""}
        row = {key: value for key, value in row.items() if key in columns}
        base.execute(f"INSERT INTO runs ({','.join(row)}) VALUES ({','.join('?' * len(row))})", list(row.values()))
        params = [(f"choice_{at}", str(1 << draw.randrange(10))) for at in range(10)] + \
                 [(f"rate_{at}", f"{draw.random():.6f}") for at in range(10)]
        base.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", [(key, value, run) for key, value in params])
        base.executemany("INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, 0, 0, ?)",
                         [(f"metric_{key}", draw.random() * 2, at, run) for key in range(10)])
        image = draw.choice(["object2vec:1", "xgboost:1.7", "linear-learner:1", "custom/trainer:3"])
        tags = {"team": f"team-{draw.randrange(200)}", "image": image, "artifact": f"s3://models/job-{number:07}/model.tar.gz",
                "train": f"s3://data-{draw.randrange(50)}/train/{draw.randrange(1000)}",
                "validation": f"s3://data-{draw.randrange(50)}/validation/{draw.randrange(1000)}"}
        base.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", [(key, value, run) for key, value in tags.items()])
    base.commit()
    base.close()
    return time.perf_counter() - begun


def searches(draw):
    """Kind, filter and order. MLflow compares parameters as text and has no Or, so that kind is two searches."""
    yield "equality", [f"tags.artifact = 's3://models/job-{draw.randrange(RUNS):07}/model.tar.gz'"], None
    yield "contains", [f"tags.image LIKE '%{draw.choice(['object2vec', 'xgboost', 'trainer'])}%'"], None
    low = draw.random() * 0.9
    yield "range, sorted by metric", [f"params.rate_3 LIKE '{low:.1f}%'"], ["metrics.metric_4 ASC"]
    yield "or of nested filters", [f"tags.train = 's3://data-{draw.randrange(50)}/train/{draw.randrange(1000)}'",
                                   f"tags.validation = 's3://data-{draw.randrange(50)}/validation/{draw.randrange(1000)}'"], None
    start = 1_700_000_000_000 + int(draw.random() * 0.9 * RUNS * 10_000)
    yield "tag plus date", [f"tags.team = 'team-{draw.randrange(200)}' AND attributes.start_time > {start} "
                            f"AND attributes.start_time < {start + RUNS * 1000}"], None


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mlflow.db")
        client = MlflowClient(tracking_uri=f"sqlite:///{path}")
        experiment = client.create_experiment("bench", artifact_location=folder)
        seconds = fill(path, experiment)
        print(f"MLflow {mlflow.__version__}, {RUNS} runs, filled in {seconds:.0f} s, {os.path.getsize(path) >> 20} MB on disk")
        draw, times = random.Random(7), {}
        for _ in range(SEARCHES):
            for kind, filters, order in searches(draw):
                begun = time.perf_counter()
                for one in filters:
                    client.search_runs([experiment], one, max_results=PAGE, order_by=order)
                times.setdefault(kind, []).append((time.perf_counter() - begun) * 1000)
        print("\n| search | p50 ms | p99 ms |\n| --- | --- | --- |")
        for kind, all_times in times.items():
            all_times.sort()
            print(f"| {kind} | {statistics.median(all_times):.1f} | {all_times[round((len(all_times) - 1) * 0.99)]:.1f} |")
        print(f"\n{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB resident")


main()
