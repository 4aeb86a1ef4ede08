#!/bin/sh
# Compares sagebrush's ubcf with NumPy and SciPy in one run: run.sh [compare.py options]
# Python packages go to a virtual environment outside the source tree (BENCH_VENV, default below the user's cache).
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
venv=${BENCH_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/sagebrush/bench-ubcf}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
cd "$here/../.."
cargo build --release --quiet --package sagebrush
cargo build --release --quiet --package sagebrush-algorithms --examples
release=${CARGO_TARGET_DIR:-target}/release
exec "$venv/bin/python" "$here/compare.py" --binary "$release/sagebrush" --examples "$release/examples" "$@"
