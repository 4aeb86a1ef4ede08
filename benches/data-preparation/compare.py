"""Runs the same data preparation in sagebrush, DuckDB and Polars, round by round, and compares.

Every run is a fresh process on files that lie in the page cache. Printed are medians over the rounds of wall time,
processor time (all threads) and peak resident memory, with the ratio to the best, and whether the rows that came out
are equal: SHA-256 over all columns of the rows sorted by user and book.
"""

import argparse
import hashlib
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import pyarrow.parquet as parquet

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = ["user_id", "book_id", "rating", "title", "user_ind", "book_ind"]


def place(source, target):
    """The same file at another place: a hard link, or a copy where that cannot be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def measure(command, environment, log):
    """Runs a command; gives wall seconds, processor seconds and peak resident megabytes."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{shlex.join(command)} ended with {process.returncode}; see its output above")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def digest(path):
    """Rows and SHA-256 of a Parquet file, independent of the order of its rows."""
    table = parquet.read_table(path, columns=COLUMNS).sort_by([("user_id", "ascending"), ("book_id", "ascending")])
    columns = [[str(value) for value in column.to_pylist()] for column in table.columns]
    total = hashlib.sha256()
    for row in zip(*columns):
        total.update("\x1f".join(row).encode() + b"\n")
    return table.num_rows, total.hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratings", required=True, type=pathlib.Path)
    parser.add_argument("--books", required=True, type=pathlib.Path)
    parser.add_argument("--sagebrush", default="sagebrush algorithm sql --", help="the command; {root} in it becomes the folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--min-user-ratings", type=int, default=130)
    parser.add_argument("--min-book-ratings", type=int, default=1200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(options, pathlib.Path(folder))


def compare(options, folder):
    root = folder / "ml"
    inputs = root / "processing" / "input"
    place(options.ratings, inputs / "ratings" / "ratings.csv")
    place(options.books, inputs / "books" / "books.csv")
    place(HERE / "core.sql", inputs / "code" / "core.sql")
    least = [str(options.min_user_ratings), str(options.min_book_ratings)]
    values = ["--set", f"min_user_ratings={least[0]}", "--set", f"min_book_ratings={least[1]}"]
    own = [word.replace("{root}", str(root)) for word in shlex.split(options.sagebrush)] + values
    outputs = {"sagebrush": root / "processing" / "output" / "bookratings.parquet"}
    commands = {"sagebrush": own}
    for peer in ("duckdb", "polars"):
        outputs[peer] = folder / f"{peer}.parquet"
        program = str(HERE / f"peer_{peer}.py")
        commands[peer] = [sys.executable, program, str(options.ratings), str(options.books), str(outputs[peer]), *least]
    environment = {**os.environ, "SAGEBRUSH_ML_ROOT": str(root)}
    runs = {name: [] for name in commands}
    with open(folder / "log", "w+") as log:
        for _ in range(options.rounds):
            for name, command in commands.items():
                outputs[name].unlink(missing_ok=True)
                try:
                    runs[name].append(measure(command, environment, log))
                except SystemExit:
                    log.seek(0)
                    sys.stderr.write(log.read())
                    raise
    report(runs, {name: digest(path) for name, path in outputs.items()})


def report(runs, digests):
    medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in runs.items()}
    best = [min(column) for column in zip(*medians.values())]
    print(f"{'engine':10} {'wall s':>8} {'ratio':>6} {'range':>13} {'CPU s':>8} {'ratio':>6} {'peak MB':>8} {'ratio':>6} {'rows':>10}  sha256")
    for name, (wall, processor, memory) in medians.items():
        walls = [row[0] for row in runs[name]]
        rows, total = digests[name]
        print(
            f"{name:10} {wall:8.2f} {wall / best[0]:6.2f} {min(walls):6.2f}-{max(walls):<6.2f} {processor:8.2f} "
            f"{processor / best[1]:6.2f} {memory:8.0f} {memory / best[2]:6.2f} {rows:10d}  {total}"
        )
    if len(set(digests.values())) != 1:
        raise SystemExit("the rows differ")
    print("all rows are equal")


if __name__ == "__main__":
    main()
