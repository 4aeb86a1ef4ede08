"""The problems of the comparison: a space, an objective to minimise, and the values reported.

A parameter is (name, kind, ...): ("float", low, high, log), ("int", low, high, log) or ("category", values).
"""

import csv
import math
import pathlib
import random

HERE = pathlib.Path(__file__).resolve().parent


class Problem:
    """What a search sees (`measure`, possibly noisy) and what counts (`value`, without noise)."""

    def __init__(self, name, space, value, noise=0.0):
        self.name, self.space, self.value, self.noise = name, space, value, noise

    def measure(self, setting, draw):
        return self.value(setting) + self.noise * draw.gauss(0, 1)


def branin(s):
    x, y = s["x"], s["y"]
    b, c, t = 5.1 / (4 * math.pi ** 2), 5 / math.pi, 1 / (8 * math.pi)
    return (y - b * x * x + c * x - 6) ** 2 + 10 * (1 - t) * math.cos(x) + 10


ALPHA = [1.0, 1.2, 3.0, 3.2]
A = [[10, 3, 17, 3.5, 1.7, 8], [.05, 10, 17, .1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, .05, 10, .1, 14]]
P = [[.1312, .1696, .5569, .0124, .8283, .5886], [.2329, .4135, .8307, .3736, .1004, .9991],
     [.2348, .1451, .3522, .2883, .3047, .6650], [.4047, .8828, .8732, .5743, .1091, .0381]]


def hartmann6(s):
    x = [s[f"x{i}"] for i in range(6)]
    return -sum(alpha * math.exp(-sum(a * (v - p) ** 2 for a, v, p in zip(row, x, place)))
                for alpha, row, place in zip(ALPHA, A, P))


def noisy_training(s):
    """Like the error of a network: a valley in learning rate and batch size, regularisation that helps a little, an
    optimiser that moves the valley, a width with diminishing returns. The least value is 0.2."""
    shift = {"adam": 0.0, "sgd": 1.3, "adagrad": 0.8}[s["optimizer"]]
    floor = {"adam": 0.0, "sgd": 0.05, "adagrad": 0.02}[s["optimizer"]]
    rate = math.log10(s["learning_rate"]) + 2.7 - shift - 0.5 * math.log10(s["batch"] / 64)
    decay = math.log10(s["weight_decay"]) + 4
    width = math.log2(s["width"] / 512)
    error = 0.2 + floor + 0.25 * (1 - math.exp(-rate ** 2 / 0.5)) + 0.03 * decay ** 2 / (1 + 0.3 * decay ** 2)
    return error + 0.01 * width ** 2 + (0.5 if rate > 1.5 else 0)


def table():
    names = ["learning_rate", "weight_decay", "dropout", "optimizer", "enc_dim", "mlp_layers"]
    with open(HERE / "object2vec-goodbooks-275.csv") as file:
        rows = list(csv.DictReader(file))
    levels = {name: sorted({row[name] for row in rows}, key=lambda text: (0, float(text)) if name != "optimizer" else (0, text))
              for name in names}
    errors = {tuple(row[name] for name in names): float(row["validation_mse"]) for row in rows}

    def value(s):
        return errors[tuple(s[name] if name == "optimizer" else levels[name][s[name]] for name in names)]

    # Numbers are searched as the place among their levels, which are even in the scale a user would name.
    space = [(name, "category", levels[name]) if name == "optimizer" else (name, "int", 0, len(levels[name]) - 1, False)
             for name in names]
    return Problem("Object2Vec, 2,016 real runs", space, value)


PROBLEMS = {
    "branin": lambda: Problem("Branin", [("x", "float", -5, 10, False), ("y", "float", 0, 15, False)], branin),
    "hartmann6": lambda: Problem("Hartmann-6", [(f"x{i}", "float", 0, 1, False) for i in range(6)], hartmann6),
    "noisy": lambda: Problem("noisy training, 5 parameters",
                             [("learning_rate", "float", 1e-6, 1, True), ("weight_decay", "float", 1e-7, 1e-1, True),
                              ("batch", "int", 8, 512, True), ("width", "int", 8, 1024, True),
                              ("optimizer", "category", ["adam", "sgd", "adagrad"])], noisy_training, noise=0.02),
    "table": table,
}


def check():
    assert abs(branin({"x": math.pi, "y": 2.275}) - 0.397887) < 1e-5
    best = [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573]
    assert abs(hartmann6({f"x{i}": v for i, v in enumerate(best)}) + 3.32237) < 1e-4
    assert random.Random(1).random() == random.Random(1).random()
