#!/bin/sh
# Compares sagebrush's t-SNE with scikit-learn's and openTSNE's in one run: run.sh [compare.py options]
# Python packages go to a virtual environment outside the source tree (BENCH_VENV, default below the user's cache).
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
venv=${BENCH_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/sagebrush/bench-tsne}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
cd "$here/../.."
cargo build --release --quiet --package sagebrush-algorithms --example map_folder
exec "$venv/bin/python" "$here/compare.py" --program "${CARGO_TARGET_DIR:-target}/release/examples/map_folder" "$@"
