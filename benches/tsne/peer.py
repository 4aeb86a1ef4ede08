"""One run of a peer: peer.py sklearn|opentsne FOLDER THREADS reads FOLDER/rows.npy, writes FOLDER/map.npy, prints its times."""

import json
import sys
import time

import numpy


def sklearn(rows, threads):
    from sklearn.manifold import TSNE
    return lambda: TSNE(perplexity=30, init="pca", n_jobs=threads, random_state=0).fit_transform(rows)


def opentsne(rows, threads):
    from openTSNE import TSNE
    return lambda: numpy.asarray(TSNE(perplexity=30, n_jobs=threads, random_state=0).fit(rows))


name, folder, threads = sys.argv[1:]
fit = {"sklearn": sklearn, "opentsne": opentsne}[name](numpy.load(f"{folder}/rows.npy"), int(threads))
began, used = time.perf_counter(), time.process_time()
result = fit()
print(json.dumps({"seconds": time.perf_counter() - began, "processor": time.process_time() - used}))
numpy.save(f"{folder}/map.npy", result)
