"""ubcf at the size of goodbooks-10k's popular part, in sagebrush and in NumPy and SciPy, in the same run.

12,247 users, 985 books, 1.05 million ratings: training as the service sees it (start, read, fit, save), and the five best
books for 100 other users, in one request and in one each. The R package's figures are printed beside; they were measured
before, on another machine (README.md).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import data

HERE = pathlib.Path(__file__).resolve().parent
# recommenderlab 0.2-5 on R 4.2.2: processor seconds and megabytes.
R = {"train_cpu": 21.5, "train_peak": 1820, "batch": 2.66, "each": 0.324, "predict_peak": 619}


def run(command):
    """Output, wall seconds, processor seconds and peak resident megabytes of a command, which prints little.

    The peak is read while it runs: what the system reports at the end counts the memory of this process too, as it was
    when the command began.
    """
    began = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    peak, ended = 0, 0
    while not ended:
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), peak)
        except ProcessLookupError:
            pass
        time.sleep(.002)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    wall = time.perf_counter() - began
    output = process.stdout.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command} failed:\n{output[-2000:]}")
    return output, wall, usage.ru_utime + usage.ru_stime, peak / 1024


def median(command, repeats):
    """The last output, and medians of the three figures."""
    runs = [run(command) for _ in range(repeats)]
    return runs[-1][0], *(statistics.median(figures) for figures in list(zip(*runs))[1:])


def row(what, ours, peer, theirs, form):
    ratio = lambda figure: f"{figure / ours:.0f}" if figure else "-"
    shown = lambda figure: format(figure, form) if figure else "-"
    print(f"| {what} | {shown(ours)} | {shown(peer)} | {shown(theirs)} | {ratio(peer)} | {ratio(theirs)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True, type=pathlib.Path, help="sagebrush")
    parser.add_argument("--examples", required=True, type=pathlib.Path, help="the folder with recommend_rates")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        count = data.write(folder, method="Cosine", nn="10", top_n="5")
        _, wall, cpu, peak = median([options.binary, "algorithm", "--root", folder, "ubcf", "train"], options.repeats)
        _, peer_wall, peer_cpu, peer_peak = median([sys.executable, HERE / "peer.py", "fit", folder], options.repeats)
        requests = pathlib.Path(folder) / "requests.jsonl"
        output, _, _, served = run([options.examples / "recommend_rates", f"{folder}/model", requests])
        peer_output, _, _, peer_served = run([sys.executable, HERE / "peer.py", "predict", folder])
        size = os.path.getsize(f"{folder}/model/model_algo-1") / 1e6
    ours, peer = json.loads(output.splitlines()[-1]), json.loads(peer_output.splitlines()[-1])
    same = sum(answer["items"] == other for answer, other in zip(ours["answers"], peer["lists"]))
    print(f"{count} training ratings; a model of {size:.1f} MB; {same} of {len(peer['lists'])} lists equal the peer's\n")
    print("| | sagebrush | NumPy and SciPy | R | times NumPy | times R |")
    print("| --- | --- | --- | --- | --- | --- |")
    row("train, processor s", cpu, peer_cpu, R["train_cpu"], ".3f")
    row("train, wall s", wall, peer_wall, None, ".3f")
    row("train, peak MB", peak, peer_peak, R["train_peak"], ".0f")
    row("load, s", ours["load"], peer["load"], None, ".4f")
    for what, key in (("100 users in one request", "batch"), ("one user", "each")):
        row(f"{what}, processor ms", *(1e3 * it for it in (ours[key]["processor"], peer[key]["processor"], R[key])), ".2f")
        row(f"{what}, clock ms", 1e3 * ours[key]["clock"], 1e3 * peer[key]["clock"], None, ".2f")
    row("load and answer, peak MB", served, peer_served, R["predict_peak"], ".0f")


if __name__ == "__main__":
    main()
