#!/bin/sh
# Compares sagebrush's t-SNE with scikit-learn's and openTSNE's in one run: run.sh [compare.py options]
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
. "$here/../venv.sh"
cd "$here/../.."
cargo build --release --quiet --package sagebrush-algorithms --example map_folder
exec "$venv/bin/python" "$here/compare.py" --program "${CARGO_TARGET_DIR:-target}/release/examples/map_folder" "$@"
