"""Vectors like those of titles: means of a few word vectors of length 1.

There is no file of pretrained vectors to rely on here, so words are made: topics of different sizes, each a direction with
words around it, and frequent words that all topics share. The spread is that of means of fastText vectors, about: cosines of
0.3 to 0.5 between most titles, above 0.8 between the nearest.
"""

import csv
import json
import pathlib

import numpy


def titles(count, dim, seed=7):
    """`count` rows of `dim` numbers, of length 1."""
    draw = numpy.random.default_rng(seed)
    topics = max(10, count // 100)
    common = draw.normal(size=dim) * .4
    centre = draw.normal(size=(topics, dim)) * .5 + common
    words = centre[:, None] + draw.normal(size=(topics, 30, dim)) * .8
    frequent = common + draw.normal(size=(50, dim)) * .3
    share = draw.pareto(1.5, topics) + .2
    rows = numpy.empty((count, dim), numpy.float32)
    for row, topic in enumerate(draw.choice(topics, count, p=share / share.sum())):
        own = words[topic, draw.integers(30, size=draw.integers(1, 5))]
        rows[row] = numpy.vstack([own, frequent[draw.integers(50, size=draw.integers(0, 4))]]).mean(0)
    return rows / numpy.linalg.norm(rows, axis=1, keepdims=True)


def write_folder(folder, rows, **hyperparameters):
    """A folder with the layout of /opt/ml."""
    folder = pathlib.Path(folder)
    for place in ("input/config", "input/data/train"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
    with open(folder / "input/data/train/titles.csv", "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "title"] + [f"v{column}" for column in range(rows.shape[1])])
        writer.writerows([number, f"Title {number}"] + list(map(str, row)) for number, row in enumerate(rows))
