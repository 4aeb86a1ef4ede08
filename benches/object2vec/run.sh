#!/bin/sh
# Compares sagebrush's Object2Vec with PyTorch in one run: run.sh [compare.py options]
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
. "$here/../venv.sh"
cd "$here/../.."
cargo build --release --quiet --package sagebrush-algorithms --examples
examples=${CARGO_TARGET_DIR:-target}/release/examples
exec "$venv/bin/python" "$here/compare.py" --examples "$examples" "$@"
