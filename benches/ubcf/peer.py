"""The rule `classic` with NumPy and SciPy, as one would write it there: sparse products instead of loops over users.

    peer.py fit FOLDER            reads the channel, centres, saves FOLDER/model/peer.npz
    peer.py predict FOLDER        loads it and answers FOLDER/requests.jsonl, all at once and one at a time

The last line is a JSON object with seconds, and with the lists.
"""

import json
import pathlib
import sys
import time

import numpy as np
import pandas
from scipy import sparse

NN, TOP, REPEATS = 10, 5, 5


def fit(folder):
    table = pandas.read_csv(folder / "input/data/train/ratings.csv")
    table = table.groupby(["user_ind", "book_ind"], as_index=False)["rating"].mean()
    users, rows = np.unique(table.user_ind, return_inverse=True)
    books, columns = np.unique(table.book_ind, return_inverse=True)
    ratings = sparse.csr_matrix((table.rating.astype(float), (rows, columns)), (len(users), len(books)))
    centred = centre(ratings)[0]
    (folder / "model").mkdir(exist_ok=True)
    np.savez_compressed(folder / "model/peer.npz", data=centred.data, indices=centred.indices, indptr=centred.indptr,
                        shape=centred.shape, books=books)


def centre(ratings):
    """Deviations, stored zeros included, and the means."""
    counts = np.diff(ratings.indptr)
    means = np.asarray(ratings.sum(1)).ravel() / counts
    centred = ratings.copy()
    centred.data = ratings.data - np.repeat(means, counts)
    return centred, means


def marks(matrix):
    return sparse.csr_matrix((np.ones_like(matrix.data), matrix.indices, matrix.indptr), matrix.shape)


def squares(matrix):
    return sparse.csr_matrix((matrix.data ** 2, matrix.indices, matrix.indptr), matrix.shape)


class Model:
    def __init__(self, file):
        stored = np.load(file)
        self.books = stored["books"]
        self.train = sparse.csr_matrix((stored["data"], stored["indices"], stored["indptr"]), tuple(stored["shape"]))
        # By item, so that products touch only what is rated.
        self.products = [part.T.tocsr() for part in (self.train, squares(self.train), marks(self.train))]

    def recommend(self, told):
        """Lists for users, each an object of books and ratings."""
        place = {str(book): column for column, book in enumerate(self.books.tolist())}
        rows = np.repeat(np.arange(len(told)), [len(one) for one in told])
        columns = np.array([place[book] for one in told for book in one])
        values = np.array([rating for one in told for rating in one.values()], float)
        ratings = sparse.csr_matrix((values, (rows, columns)), (len(told), len(self.books)))
        asking, means = centre(ratings)
        train, train_squares, train_marks = self.products
        xy = (asking @ train).toarray()
        xx = (squares(asking) @ train_marks).toarray()
        yy = (marks(asking) @ train_squares).toarray()
        shared = (marks(asking) @ train_marks).toarray()
        with np.errstate(all="ignore"):
            cosine = xy / (np.sqrt(xx) * np.sqrt(yy))
        cosine = np.where(np.isnan(cosine), np.where((xx == 0) & (yy == 0), 1, 0), cosine)
        similarity = np.where(shared > 0, 1 - (1 - np.abs(cosine)), np.nan)
        lists = []
        for row in range(len(told)):
            nearest = np.argsort(-similarity[row], kind="stable")[:NN]
            weights = similarity[row][nearest]
            predictions = weights @ self.train[nearest].toarray() / np.nansum(weights) + means[row]
            predictions[asking.indices[asking.indptr[row]:asking.indptr[row + 1]]] = np.nan
            best = np.argsort(-predictions, kind="stable")[:TOP]
            lists.append([str(self.books[item]) for item in best if not np.isnan(predictions[item])])
        return lists


def measured(work, share=1):
    """The least seconds by the clock, the mean seconds of processor time, and what the work returns."""
    result = work()
    clock, began = [], time.process_time()
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        clock.append(time.perf_counter() - start)
    processor = (time.process_time() - began) / REPEATS
    return {"clock": min(clock) * share, "processor": processor * share}, result


def predict(folder):
    told = [json.loads(line)["ratings"] for line in open(folder / "requests.jsonl")]
    began = time.perf_counter()
    model = Model(folder / "model/peer.npz")
    load = time.perf_counter() - began
    batch, lists = measured(lambda: model.recommend(told))
    some = told[:20]
    each, _ = measured(lambda: [model.recommend([one]) for one in some], 1 / len(some))
    print(json.dumps({"load": load, "batch": batch, "each": each, "lists": lists}))


if __name__ == "__main__":
    {"fit": fit, "predict": predict}[sys.argv[1]](pathlib.Path(sys.argv[2]))
