#!/bin/sh
# Starts `train` or `serve`. R does not act on SIGTERM as the first process of a container, so tini is first: it hands the
# signal on, and R ends at once.
set -eu
case "${1:-}" in
train | serve) exec tini -s -- Rscript --vanilla "/opt/program/$1.R" ;;
*)
    echo "usage: train | serve" >&2
    exit 2
    ;;
esac
