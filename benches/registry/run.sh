#!/usr/bin/env bash
# Builds the server, fetches Debian's docker-registry without installing it, and runs the comparison. Arguments go to
# run.py. A running container engine is used when there is one.
#   benches/registry/run.sh                  everything
#   benches/registry/run.sh --rounds 1 --mib 100 --pulls 10
set -euo pipefail
cd "$(dirname "$0")/../.."
. bin/setup
cargo build --release --locked --quiet --package sagebrush
cache="${XDG_CACHE_HOME:-$HOME/.cache}/sagebrush"
peer="$cache/bench-registry"
if [ ! -x "$peer/usr/bin/docker-registry" ]; then
    mkdir -p "$peer"
    (cd "$peer" && apt-get download docker-registry >/dev/null && dpkg-deb -x docker-registry_*.deb .)
fi
python="$cache/conformance/bin/python"
if [ ! -x "$python" ]; then
    python3 -m venv "$cache/conformance"
    "$cache/conformance/bin/pip" install --quiet --disable-pip-version-check -r conformance/requirements.txt
fi
exec env SAGEBRUSH="$CARGO_TARGET_DIR/release/sagebrush" PYTHONPATH=conformance \
    "$python" benches/registry/run.py --peer "$peer/usr/bin/docker-registry" "$@"
