"""The same network in PyTorch: training steps, reading, and answers. Prints one JSON object.

    peer_torch.py train  VARIANT BATCH STEPS THREADS CLOCK
                         VARIANT: foreach, fused (dense Adam) or sparse (SparseAdam); CLOCK: wall or cpu
    peer_torch.py read   FILE
    peer_torch.py answer THREADS [SECONDS]
"""

import json
import resource
import statistics
import sys
import time

import torch
from torch import nn

from data import BOOKS, RECORDS, USERS, arrays


class Object2Vec(nn.Module):
    def __init__(self, dim=1024, hidden=256, sparse=False):
        super().__init__()
        self.users = nn.Embedding(USERS, dim, sparse=sparse)
        self.books = nn.Embedding(BOOKS, dim, sparse=sparse)
        self.hidden = nn.Linear(4 * dim, hidden)
        self.output = nn.Linear(hidden, 1)
        for table in (self.users, self.books):
            bound = (6 / sum(table.weight.shape)) ** .5
            nn.init.uniform_(table.weight, -bound, bound)

    def forward(self, users, books):
        a, b = self.users(users), self.books(books)
        compared = torch.cat([a * b, a, b, (a - b).abs()], 1)
        return self.output(torch.relu(self.hidden(compared)))[:, 0]


def optimisers(model, variant):
    if variant == "sparse":
        tables = [model.users.weight, model.books.weight]
        rest = list(model.hidden.parameters()) + list(model.output.parameters())
        return [torch.optim.SparseAdam(tables, lr=4e-4), torch.optim.Adam(rest, lr=4e-4, fused=True)]
    return [torch.optim.Adam(model.parameters(), lr=4e-4, fused=variant == "fused", foreach=variant == "foreach" or None)]


def train(variant, batch, steps, threads, clock):
    now = time.process_time if clock == "cpu" else time.perf_counter
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    users, books, labels = (torch.from_numpy(column) for column in arrays(RECORDS))
    labels = labels.float()
    model = Object2Vec(sparse=variant == "sparse")
    steppers = optimisers(model, variant)
    order = torch.randperm(RECORDS)
    times, total = [], 0.0
    for step in range(steps):
        began = now()
        chosen = order[(step * batch) % (RECORDS - batch):][:batch]
        loss = ((model(users[chosen], books[chosen]) - labels[chosen]) ** 2).mean()
        for stepper in steppers:
            stepper.zero_grad()
        loss.backward()
        for stepper in steppers:
            stepper.step()
        total += loss.item()
        times.append(now() - began)
    return {"records_per_second": batch / statistics.median(times[steps // 5:]), "peak_mb": peak()}


def read(path):
    began = time.perf_counter()
    users, books, labels = [], [], []
    with open(path) as lines:
        for line in lines:
            record = json.loads(line)
            users.append(record["in0"][0])
            books.append(record["in1"][0])
            labels.append(record["label"])
    tensors = torch.tensor(users), torch.tensor(books), torch.tensor(labels)
    return {"seconds": time.perf_counter() - began, "records": len(tensors[0])}


def answer(threads, seconds=2.0):
    """JSON lines in, JSON lines out, as the model server does it."""
    torch.set_num_threads(threads)
    model = Object2Vec().eval()
    result = {}
    with torch.inference_mode():
        for name, pairs in workloads():
            body = "".join(f'{{"in0": [{user}], "in1": [{book}]}}\n' for user, book in pairs)

            def once():
                records = [json.loads(line) for line in body.splitlines()]
                users = torch.tensor([record["in0"][0] for record in records])
                books = torch.tensor([record["in1"][0] for record in records])
                return "".join(f'{{"scores": [{score}]}}\n' for score in model(users, books).tolist())

            result[name] = best(once, seconds)
    return {**result, "peak_mb": peak()}


def workloads():
    users, books, _ = arrays(10_000, seed=9)
    pairs = list(zip(users.tolist(), books.tolist()))
    yield "1 pair", pairs[:1]
    yield "100 pairs", pairs[:100]
    yield "10,000 pairs", pairs
    yield "one user, all books", [(5, book) for book in range(BOOKS)]


def best(call, seconds):
    """The least time of a call, seconds: what the machine can do when nobody else wants it."""
    end, least = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < end:
        began = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - began)
    return least


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    task, *rest = sys.argv[1:]
    if task == "train":
        print(json.dumps(train(rest[0], *map(int, rest[1:4]), rest[4])))
    elif task == "read":
        print(json.dumps(read(rest[0])))
    else:
        print(json.dumps(answer(int(rest[0]), *map(float, rest[1:]))))
