#!/usr/bin/env bash
# Builds what is compared, gets moto from PyPI, and runs the comparison. Arguments go to run.py.
#   benches/api/run.sh                      everything
#   benches/api/run.sh control --rounds 5   the control API alone
set -euo pipefail
cd "$(dirname "$0")/../.."
. bin/setup
cargo build --release --locked --quiet --package sagebrush --package sagebrush-load
venv="${XDG_CACHE_HOME:-$HOME/.cache}/sagebrush/bench-api"
if [ ! -x "$venv/bin/moto_server" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r benches/api/requirements.txt
fi
release="$CARGO_TARGET_DIR/release"
exec "$venv/bin/python" benches/api/run.py --sagebrush "$release/sagebrush" --load "$release/load" \
    --moto "$venv/bin/moto_server" "$@"
