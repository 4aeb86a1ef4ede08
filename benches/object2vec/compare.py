"""Object2Vec at the size of the book chapter, in sagebrush and in PyTorch, on the same machine in the same run.

Training: the chapter's network (12,347 x 985, 1024 wide, comparators 4096, hidden 256, Adam with dense semantics), records
per second over the steady part of a run, and the same in the first and in the last epoch. Answering: requests and answers
in JSON lines, without HTTP. The roofline is the rate of the matrix products alone, measured here with the same kernels.

On a machine that is not quiet --clock cpu gives records per second of processor time on one thread, in both programs.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import data

HERE = pathlib.Path(__file__).resolve().parent
# Floating point operations of a record: 2 x 4096 x 256 for the output, the weights' and the inputs' gradient each.
OPERATIONS = 3 * 2 * 4096 * 256


def run(command, environment=None):
    """A command's lines with the time of their arrival, its peak resident megabytes, and its processor seconds."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True, env=environment)
    lines = [(time.perf_counter(), line.rstrip("\n")) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{command} failed:\n" + "\n".join(line for _, line in lines[-5:]))
    return lines, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def peer(*arguments):
    lines, _, _ = run([sys.executable, HERE / "peer_torch.py", *arguments])
    return json.loads(lines[-1][1])


def train(options, batch, records, epochs):
    """Rates per epoch, seconds of reading, peak memory, and the folder with the model."""
    folder = tempfile.TemporaryDirectory()
    data.write_folder(folder.name, records, mini_batch_size=str(batch), epochs=str(epochs))
    lines, peak, processor = run([options.examples / "train_folder", folder.name, options.threads])
    at = lambda mark: next(time for time, line in lines if mark in line)
    if options.clock == "cpu":
        # What a run of a quarter of the records takes is left out: reading, and whatever is done once.
        with tempfile.TemporaryDirectory() as quarter:
            data.write_folder(quarter, records // 4, mini_batch_size=str(batch), epochs=str(epochs))
            _, _, less = run([options.examples / "train_folder", quarter, options.threads])
        rates = [epochs * (records - records // 4) / (processor - less)]
        return rates, at("Total: ") - at("Creating data iterator"), peak, folder
    rates = []
    for epoch in range(epochs):
        # Cumulative times every 100 batches; the rate is that of the second half of the epoch.
        marks = [(int(n), float(m) * 60 + float(s)) for _, line in lines for n, m, s in
                 re.findall(rf"Epoch: {epoch}, batches: \d+, num_examples: (\d+), .* so far: 0:(\d+):([\d.]+)", line)]
        marks = [(0, 0.0)] + marks
        half = marks[(len(marks) - 1) // 2]
        rates.append((marks[-1][0] - half[0]) / (marks[-1][1] - half[1]))
    return rates, at("Total: ") - at("Creating data iterator"), peak, folder


def roofline(options, batch):
    """Records per second that the matrix products alone allow."""
    lines, _, _ = run([options.examples / "kernel_rates", batch, 4096, 256, options.threads])
    seconds = [float(re.search(r"best\s+([\d.]+) ms", line).group(1)) / 1e3 for _, line in lines[1:3]]
    return batch / sum(seconds)


def training_table(options):
    print(f"{'training, records/s':34} {'batch 64':>10} {'batch 1024':>11} {'peak MB':>8}")
    own, peaks, folders, steady = {}, {}, [], []
    for batch, records, epochs in ((64, options.records, options.epochs), (1024, options.records, 1)):
        steady, reading, peaks[batch], folder = train(options, batch, records, epochs)
        own[batch] = (steady[0], steady[-1])
        folders.append((folder, reading))
    print(f"{'sagebrush, first epoch':34} {own[64][0]:10,.0f} {own[1024][0]:11,.0f} {max(peaks.values()):8.0f}")
    print(f"{'sagebrush, last epoch':34} {own[64][1]:10,.0f} {own[1024][1]:11,.0f}")
    best = {64: 0.0, 1024: 0.0}
    for variant in ("foreach", "fused", "sparse"):
        results = {batch: peer("train", variant, batch, steps, options.threads, options.clock) for batch, steps in ((64, options.steps), (1024, 40))}
        rates = {batch: result["records_per_second"] for batch, result in results.items()}
        best = {batch: max(best[batch], rates[batch]) for batch in best}
        print(f"{'PyTorch ' + variant:34} {rates[64]:10,.0f} {rates[1024]:11,.0f} {max(r['peak_mb'] for r in results.values()):8.0f}")
    print(f"{'ratio to the best PyTorch':34} {own[64][1] / best[64]:10.1f} {own[1024][1] / best[1024]:11.1f}")
    limits = {batch: roofline(options, batch) for batch in (64, 1024)}
    print(f"{'products alone (roofline)':34} {limits[64]:10,.0f} {limits[1024]:11,.0f}")
    print(f"{'share of the roofline':34} {own[64][1] / limits[64]:10.2f} {own[1024][1] / limits[1024]:11.2f}")
    print(f"GFLOP/s while training: {own[64][1] * OPERATIONS / 1e9:.0f} at batch 64, {own[1024][1] * OPERATIONS / 1e9:.0f} at batch 1024")
    return folders[1]


def reading_line(folder, seconds):
    records = pathlib.Path(folder) / "input/data/train/train.jsonl"
    other = peer("read", records)
    print(f"reading {other['records']:,} JSON lines: sagebrush {seconds:.2f} s, Python {other['seconds']:.2f} s,"
          f" ratio {other['seconds'] / seconds:.1f}")


def answers_table(options, folder):
    lines, peak, _ = run([options.examples / "answer_rates", pathlib.Path(folder) / "model"])
    own, other = json.loads(lines[-1][1]), peer("answer", options.threads)
    counts = {"1 pair": 1, "100 pairs": 100, "10,000 pairs": 10_000, "one user, all books": data.BOOKS}
    print(f"\n{'answering, JSON in and out':24} {'sagebrush':>12} {'pairs/s':>10} {'PyTorch':>12} {'pairs/s':>10} {'ratio':>6}")
    for name, count in counts.items():
        a, b = own[name], other[name]
        print(f"{name:24} {a * 1e6:9,.0f} us {count / a:10,.0f} {b * 1e6:9,.0f} us {count / b:10,.0f} {b / a:6.1f}")
    print(f"{'peak MB':24} {peak:12.0f} {'':10} {other['peak_mb']:12.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--examples", required=True, type=pathlib.Path, help="folder of the built examples")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--records", type=int, default=data.RECORDS, help="of both trainings")
    parser.add_argument("--epochs", type=int, default=3, help="of both trainings")
    parser.add_argument("--steps", type=int, default=300, help="of each PyTorch variant at batch 64")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    if options.clock == "cpu":
        options.threads, options.epochs = 1, 1
    print(f"{options.threads} threads, {options.clock} clock, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    folder, reading = training_table(options)
    reading_line(folder.name, reading)
    answers_table(options, folder.name)


if __name__ == "__main__":
    main()
