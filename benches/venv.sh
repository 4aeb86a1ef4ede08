# Read by the run.sh of a benchmark, which sets `here`, its folder: makes the virtual environment of its Python packages
# when there is none, outside the source tree (BENCH_VENV, default below the user's cache), and sets `venv`.
venv=${BENCH_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/sagebrush/bench-$(basename "$here")}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
