#!/bin/sh
# Compares sagebrush's ubcf with NumPy and SciPy in one run: run.sh [compare.py options]
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
. "$here/../venv.sh"
cd "$here/../.."
cargo build --release --quiet --package sagebrush
cargo build --release --quiet --package sagebrush-algorithms --examples
release=${CARGO_TARGET_DIR:-target}/release
exec "$venv/bin/python" "$here/compare.py" --binary "$release/sagebrush" --examples "$release/examples" "$@"
