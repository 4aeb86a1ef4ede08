"""A predictor of ratings with scikit-learn: the mean, a bias of each user and a bias of each book, shrunk.

A script for SageMaker's scikit-learn image: started with the hyperparameters as arguments it trains; the model
server imports it for the four functions at its end.
"""

import argparse
import json
import os
import pathlib

import joblib
import numpy
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def records(folder):
    """Users and books as a table of two columns, and their ratings, of every file in a channel."""
    lines = [line for path in sorted(pathlib.Path(folder).iterdir()) for line in path.read_text().splitlines() if line]
    rows = [json.loads(line) for line in lines]
    return pairs(rows), numpy.array([row["label"] for row in rows], dtype=float)


def pairs(rows):
    return numpy.array([[row["in0"][0], row["in1"][0]] for row in rows]).reshape(-1, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--alpha", type=float, default=5.0, help="how strongly biases are shrunk")
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR"))
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--validation", default=os.environ.get("SM_CHANNEL_VALIDATION"))
    options = parser.parse_args()

    people, ratings = records(options.train)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge(alpha=options.alpha))
    model.fit(people, ratings)
    print(f"trained on {len(ratings)} ratings")
    if options.validation:
        people, ratings = records(options.validation)
        error = numpy.mean((numpy.clip(model.predict(people), 1, 5) - ratings) ** 2)
        # The metric definition of the job reads this line.
        print(f"validation mse={error:.6f};")
    joblib.dump(model, os.path.join(options.model_dir, "model.joblib"))


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))


def input_fn(body, content_type):
    if content_type != "application/json":
        raise ValueError(f"this model reads application/json, not {content_type}")
    return pairs(json.loads(body)["instances"])


def predict_fn(people, model):
    return numpy.clip(model.predict(people), 1, 5) if len(people) else numpy.array([])


def output_fn(prediction, accept):
    return json.dumps({"predictions": [{"scores": [float(score)]} for score in prediction]}), "application/json"


if __name__ == "__main__":
    main()
