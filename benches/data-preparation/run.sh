#!/bin/sh
# Compares sagebrush with DuckDB and Polars on one data set: run.sh RATINGS_CSV BOOKS_CSV [compare.py options]
# Python packages go to a virtual environment outside the source tree (BENCH_VENV, default below the user's cache).
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
if [ $# -lt 2 ]; then
    echo "usage: $0 RATINGS_CSV BOOKS_CSV [--sagebrush COMMAND] [--rounds N]" >&2
    exit 2
fi
ratings=$1
books=$2
shift 2
venv=${BENCH_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/sagebrush/bench-data-preparation}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
exec "$venv/bin/python" "$here/compare.py" --ratings "$ratings" --books "$books" "$@"
