#!/bin/sh
# Searches a million generated training jobs, and as many kinds of questions over 30,000 runs in MLflow: run.sh [JOBS [RUNS]]
# Needs 8 GB of disk for a million (BENCH_FOLDER, default a new temporary folder, removed at the end).
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
. "$here/../venv.sh"
cd "$here/../.."
cargo build --release --quiet --package sagebrush-control-plane --example million_jobs
folder=$(mktemp -d "${BENCH_FOLDER:-${TMPDIR:-/tmp}}/sagebrush-search.XXXXXX")
trap 'rm -rf "$folder"' EXIT INT TERM
"${CARGO_TARGET_DIR:-target}/release/examples/million_jobs" "${1:-1000000}" "$folder"
echo
"$venv/bin/python" "$here/mlflow_runs.py" "${2:-30000}"
