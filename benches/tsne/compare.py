"""t-SNE of 1,000 and 10,000 titles of 300 numbers: sagebrush, scikit-learn and openTSNE on the same machine in the same run.

Everybody has perplexity 30, theta 0.5 and PCA as the first map. scikit-learn and sagebrush do 1,000 iterations, openTSNE by
default 750; sagebrush is measured with 750 as well. Trustworthiness is scikit-learn's function over all maps.

Every round has data of its own, because maps of the same data by the same program differ from start to start by more than the
programs differ. Times are those of the embedding, neighbours included, reading and starting left out; processor seconds are
of all threads. Times are medians over the rounds, trustworthiness is the mean, with its difference to sagebrush's and the
standard error of that; the programs take turns within a round.
"""

import argparse
import csv
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile

import numpy

import data

HERE = os.path.dirname(os.path.abspath(__file__))


def sagebrush(options, rows, iterations):
    """Seconds, processor seconds and the map."""
    with tempfile.TemporaryDirectory() as folder:
        data.write_folder(folder, rows, n_iter=str(iterations), trustworthiness_neighbors="0")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([options.program, folder, str(options.threads)], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            sys.exit(done.stdout[-500:])
        seconds = float(re.search(r"Embedded in ([\d.]+) seconds", done.stdout).group(1))
        with open(f"{folder}/output/data/tsne.csv") as file:
            table = numpy.array([(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)])
        # Reading and writing are part of these.
        return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, table


def peer(options, name, rows):
    """The same, of a peer in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        numpy.save(f"{folder}/rows.npy", rows)
        environment = {**os.environ, **{f"{library}_NUM_THREADS": str(options.threads) for library in ("OMP", "OPENBLAS")}}
        done = subprocess.run([sys.executable, f"{HERE}/peer.py", name, folder, str(options.threads)],
                              capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            sys.exit(done.stderr[-2000:])
        measured = json.loads(done.stdout.splitlines()[-1])
        return measured["seconds"], measured["processor"], numpy.load(f"{folder}/map.npy")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--program", required=True, help="the example map_folder")
    parser.add_argument("--titles", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    from sklearn.manifold import trustworthiness

    print(f"{options.threads} threads, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print("| titles | program | seconds | processor seconds | times sagebrush, processor | trustworthiness | to sagebrush |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for count in options.titles:
        programs = {
            "sagebrush": lambda rows: sagebrush(options, rows, 1000),
            "sagebrush, 750 iterations": lambda rows: sagebrush(options, rows, 750),
            "scikit-learn": lambda rows: peer(options, "sklearn", rows),
            "openTSNE": lambda rows: peer(options, "opentsne", rows),
        }
        times = {name: [] for name in programs}
        trust = {name: [] for name in programs}
        for round_ in range(options.rounds):
            rows = data.titles(count, options.dim, seed=7 + round_)
            for name, run in programs.items():
                *seconds, table = run(rows)
                times[name].append(seconds)
                trust[name].append(trustworthiness(rows, table, n_neighbors=5))
        middle = lambda name, column: statistics.median(one[column] for one in times[name])
        for name in programs:
            ratio = middle(name, 1) / middle("sagebrush", 1)
            ahead = [other - own for other, own in zip(trust[name], trust["sagebrush"])]
            error = statistics.stdev(ahead) / len(ahead) ** 0.5 if len(ahead) > 1 else float("nan")
            print(f"| {count:,} | {name} | {middle(name, 0):.2f} | {middle(name, 1):.2f} | {ratio:.1f} |"
                  f" {statistics.mean(trust[name]):.4f} | {statistics.mean(ahead):+.4f} ± {error:.4f} |", flush=True)


if __name__ == "__main__":
    main()
