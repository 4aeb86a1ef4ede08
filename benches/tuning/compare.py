"""Sample efficiency of sagebrush's tuner beside Optuna's samplers and random search, in one run.

Every sampler is asked for settings and told their objectives, on the same problems with the same seeds, one job after
the other or several in parallel (jobs take drawn times, so results come out of order). Printed is the best value found
after 10, 20 and 40 jobs: median and quartiles over the seeds. On a noisy problem the value is that of the setting that
looked best, without the noise.
"""

import argparse
import heapq
import json
import pathlib
import random
import statistics
import subprocess
import sys
import time
import warnings

from problems import PROBLEMS, check

COUNTS = (10, 20, 40)


class Sagebrush:
    """The tuner of crates/tuning, through its ask_tell example."""

    def __init__(self, program, strategy):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.strategy = strategy

    def call(self, document):
        self.process.stdin.write(json.dumps(document) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def begin(self, problem, seed):
        self.names = [parameter[0] for parameter in problem.space]
        space = []
        for name, kind, *rest in problem.space:
            if kind == "category":
                range_ = {"Categorical": {"values": rest[0]}}
            else:
                scaling = "Logarithmic" if rest[2] else "Linear"
                range_ = {{"float": "Continuous", "int": "Integer"}[kind]: {"min": rest[0], "max": rest[1], "scaling": scaling}}
            space.append({"name": name, "range": range_})
        self.call({"space": space, "settings": {"strategy": self.strategy, "direction": "Minimize", "seed": seed}})

    def ask(self):
        number, values = self.call({"ask": True})
        return number, dict(zip(self.names, values))

    def tell(self, number, value):
        self.call({"tell": number, "objective": value})


class Optuna:
    def __init__(self, make):
        self.make = make

    def begin(self, problem, seed):
        import optuna
        self.space = problem.space
        self.study = optuna.create_study(direction="minimize", sampler=self.make(optuna.samplers, seed))

    def ask(self):
        trial = self.study.ask()
        setting = {}
        for name, kind, *rest in self.space:
            if kind == "category":
                setting[name] = trial.suggest_categorical(name, rest[0])
            elif kind == "int":
                setting[name] = trial.suggest_int(name, rest[0], rest[1], log=rest[2])
            else:
                setting[name] = trial.suggest_float(name, rest[0], rest[1], log=rest[2])
        return trial, setting

    def tell(self, trial, value):
        self.study.tell(trial, value)


def search(sampler, problem, seed, parallel, jobs):
    """The best true value after each job, in the order in which jobs end."""
    draw = random.Random(seed * 7919 + 1)
    sampler.begin(problem, seed)
    running, clock, started, best, seen = [], 0.0, 0, [], (float("inf"), float("inf"))
    asking = 0.0
    while len(best) < jobs:
        while len(running) < parallel and started < jobs:
            begun = time.perf_counter()
            token, setting = sampler.ask()
            asking += time.perf_counter() - begun
            heapq.heappush(running, (clock + draw.uniform(0.5, 1.5), started, token, setting))
            started += 1
        clock, _, token, setting = heapq.heappop(running)
        value = problem.measure(setting, draw)
        begun = time.perf_counter()
        sampler.tell(token, value)
        asking += time.perf_counter() - begun
        seen = min(seen, (value, problem.value(setting)))
        best.append(seen[1])
    return best, asking / jobs


def samplers(program):
    tpe = {"multivariate": False}
    return {
        "sagebrush": Sagebrush(program, "Bayesian"),
        "Optuna GP": Optuna(lambda s, seed: s.GPSampler(seed=seed)),
        "Optuna TPE": Optuna(lambda s, seed: s.TPESampler(seed=seed, **tpe)),
        "Optuna random": Optuna(lambda s, seed: s.RandomSampler(seed=seed)),
        "sagebrush random": Sagebrush(program, "Random"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, help="the built example: target/release/examples/ask_tell")
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--samplers", default="")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--parallel", default="1,4")
    parser.add_argument("--raw", type=pathlib.Path, help="also write every search as a JSON line")
    options = parser.parse_args()
    check()
    if not pathlib.Path(options.program).exists():
        sys.exit(f"{options.program} is not there: cargo build --release -p sagebrush-tuning --example ask_tell")
    warnings.filterwarnings("ignore")
    try:
        import optuna
        optuna.logging.set_verbosity(optuna.logging.ERROR)
    except ImportError:
        if not options.samplers:
            sys.exit("Optuna is not there: pip install -r requirements.txt")
    chosen = {name: sampler for name, sampler in samplers(options.program).items()
              if not options.samplers or name in options.samplers.split(",")}
    raw = open(options.raw, "a") if options.raw else None
    for key in options.problems.split(","):
        problem = PROBLEMS[key]()
        for parallel in map(int, options.parallel.split(",")):
            together = "one job at a time" if parallel == 1 else f"{parallel} jobs in parallel"
            print(f"\n{problem.name}, {together}, {options.seeds} seeds: median (quartiles) of the best value", flush=True)
            print(f"{'':<18}" + "".join(f"{f'after {count} jobs':>32}" for count in COUNTS) + f"{'s/suggestion':>14}")
            for name, sampler in chosen.items():
                runs, seconds = [], []
                for seed in range(options.seeds):
                    best, asking = search(sampler, problem, seed, parallel, max(COUNTS))
                    runs.append(best)
                    seconds.append(asking)
                    if raw:
                        line = {"problem": key, "parallel": parallel, "sampler": name, "seed": seed, "best": best}
                        raw.write(json.dumps(line) + "\n")
                        raw.flush()
                cells = ""
                for count in COUNTS:
                    values = [run[count - 1] for run in runs]
                    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
                    cells += f"{f'{middle:.4f} ({low:.4f} {high:.4f})':>32}"
                print(f"{name:<18}{cells}{statistics.median(seconds):>14.3f}", flush=True)


if __name__ == "__main__":
    main()
