"""Synthetic ratings of the size of goodbooks-10k's popular part: users by activity, books by popularity, biases and tastes."""

import json
import pathlib

import numpy as np

USERS, ASKING, BOOKS, RATINGS = 12_247, 100, 985, 1_050_000


def triples(seed=7):
    """Users (those who ask are the last), books and ratings 1 to 5; every pair at most once."""
    draw = np.random.default_rng(seed)
    everybody = USERS + ASKING
    activity = draw.lognormal(0, .35, everybody)
    counts = np.clip(activity / activity.sum() * RATINGS, 20, BOOKS // 2).astype(int)
    popularity = 1 / (np.arange(BOOKS) + 20) ** .7
    # The smallest of exponential clocks: books drawn without replacement, by popularity.
    users, books = [], []
    for user, count in enumerate(counts):
        clocks = draw.exponential(1, BOOKS) / popularity
        users.append(np.full(count, user))
        books.append(np.argpartition(clocks, count)[:count])
    users, books = np.concatenate(users), np.concatenate(books)
    levels = draw.normal(3.7, .5, everybody)[users] + draw.normal(0, .4, BOOKS)[books]
    tastes = (draw.normal(0, .6, (everybody, 3))[users] * draw.normal(0, .6, (BOOKS, 3))[books]).sum(1)
    ratings = np.clip(np.rint(levels + tastes + draw.normal(0, .6, len(users))), 1, 5).astype(int)
    order = draw.permutation(len(users))
    return users[order], books[order], ratings[order]


def write(root, **hyperparameters):
    """A folder as a training container finds it, and beside it requests.jsonl: an instance per asking user."""
    root = pathlib.Path(root)
    (root / "input/config").mkdir(parents=True)
    (root / "input/data/train").mkdir(parents=True)
    (root / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
    users, books, ratings = triples()
    known = users < USERS
    with open(root / "input/data/train/ratings.csv", "w") as out:
        out.write("user_ind,book_ind,rating\n")
        for user, book, rating in zip(users[known].tolist(), books[known].tolist(), ratings[known].tolist()):
            out.write(f"{user},{book},{rating}\n")
    told = {user: {} for user in range(USERS, USERS + ASKING)}
    for user, book, rating in zip(users[~known].tolist(), books[~known].tolist(), ratings[~known].tolist()):
        told[user][str(book)] = rating
    with open(root / "requests.jsonl", "w") as out:
        for user in sorted(told):
            out.write(json.dumps({"ratings": told[user]}) + "\n")
    return int(known.sum())
