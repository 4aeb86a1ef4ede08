#!/bin/sh
# Searches a million generated training jobs, and as many kinds of questions over 30,000 runs in MLflow: run.sh [JOBS [RUNS]]
# Needs 8 GB of disk for a million (BENCH_FOLDER, default a new temporary folder, removed at the end). Python packages go to
# a virtual environment outside the source tree (BENCH_VENV, default below the user's cache).
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
venv=${BENCH_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/sagebrush/bench-search}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
cd "$here/../.."
cargo build --release --quiet --package sagebrush-control-plane --example million_jobs
folder=$(mktemp -d "${BENCH_FOLDER:-${TMPDIR:-/tmp}}/sagebrush-search.XXXXXX")
trap 'rm -rf "$folder"' EXIT INT TERM
"${CARGO_TARGET_DIR:-target}/release/examples/million_jobs" "${1:-1000000}" "$folder"
echo
"$venv/bin/python" "$here/mlflow_runs.py" "${2:-30000}"
