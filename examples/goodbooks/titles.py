#!/usr/bin/env python3
"""Titles as vectors: similar books, a map of all of them, and scores of books that nobody has rated yet.

The chapter's step with pretrained word vectors: a title is the mean of the vectors of its words. The server is found as in
workflow.py:

    eval "$(sagebrush env --data-dir DIR)"
    python titles.py --books books.csv --vectors cc.en.300.vec --ratings ratings.csv --new "A New Title"

Vectors are files of fastText (.vec, .bin), GloVe (text, or binary with its vocab.txt) or word2vec (binary). Where none is at
hand, --make-vectors makes some from the titles and authors themselves. They are a stand-in for pretrained ones: they know
which words go together in this list of books, and nothing of English.

The map is written to --out: tsne.html opens in a browser, tsne.svg is a picture, tsne.csv has the numbers.
"""

import argparse
import collections
import csv
import io
import json
import math
import os
import pathlib
import random
import re
import sys
import tarfile
import time

import boto3

BUCKET = "goodbooks-titles"
ENDPOINT = "goodbooks-titles"
WORD = re.compile(r"\w+")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--books", required=True, help="CSV with the columns book_id and title")
    vectors = parser.add_mutually_exclusive_group(required=True)
    vectors.add_argument("--vectors", help="pretrained word vectors")
    vectors.add_argument("--make-vectors", action="store_true", help="make a stand-in from titles and authors")
    parser.add_argument("--ratings", help="CSV with the columns user_id, book_id, rating: for cold-start scores")
    parser.add_argument("--user", help="whose ratings are used; the user with the most when it is not given")
    parser.add_argument("--similar", help="a title to find similar ones of; the first of the list when it is not given")
    parser.add_argument("--new", action="append", default=[], help="a title that nobody has rated; may be repeated")
    parser.add_argument("--weights", default="sif", choices=["uniform", "tfidf", "sif"], help="weights of words")
    parser.add_argument("--perplexity", default="30", help="of the map: neighbours that count")
    parser.add_argument("--out", default="title-map", help="folder of the map")
    parser.add_argument("--keep", action="store_true", help="leave the endpoint running")
    return parser.parse_args()


def read_books(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [(row["book_id"], row["title"], row.get("authors", "")) for row in csv.DictReader(file)]


def make_vectors(books, dim=64, seed=1):
    """Word vectors from co-occurrence, as text in fastText's format.

    Random indexing (Sahlgren 2005): every context, here another word of the title or an author, has a random vector, and a
    word is the sum of its contexts' vectors, weighted by their positive pointwise mutual information.
    """
    counts, words, contexts = collections.Counter(), collections.Counter(), collections.Counter()
    for _, title, authors in books:
        tokens = [token.lower() for token in WORD.findall(title)]
        for place, token in enumerate(tokens):
            near = tokens[:place] + tokens[place + 1:] + [f"by {author.strip()}" for author in authors.split(",")]
            for context in near:
                counts[token, context] += 1
                words[token] += 1
                contexts[context] += 1
    total, draw = sum(counts.values()), random.Random(seed)
    signs = {context: [draw.choice((-1.0, 1.0)) for _ in range(dim)] for context in sorted(contexts)}
    vectors = {word: [0.0] * dim for word in words}
    for (word, context), count in counts.items():
        weight = max(0.0, math.log(count * total / (words[word] * contexts[context])))
        vectors[word] = [value + weight * sign for value, sign in zip(vectors[word], signs[context])]
    lines = [f"{len(vectors)} {dim}"]
    lines += [f"{word} " + " ".join(f"{value:.5g}" for value in vectors[word]) for word, _ in words.most_common()]
    return "\n".join(lines) + "\n"


def upload(s3, options, books):
    try:
        s3.create_bucket(Bucket=BUCKET)
    except s3.exceptions.BucketAlreadyOwnedByYou:
        pass
    s3.upload_file(options.books, BUCKET, "titles/books.csv")
    if options.make_vectors:
        print("word vectors: made from titles and authors, a stand-in for pretrained ones")
        s3.put_object(Bucket=BUCKET, Key="vectors/words.vec", Body=make_vectors(books).encode())
        return "words.vec"
    path = pathlib.Path(options.vectors)
    s3.upload_file(str(path), BUCKET, f"vectors/{path.name}")
    if (path.parent / "vocab.txt").is_file():
        s3.upload_file(str(path.parent / "vocab.txt"), BUCKET, "vectors/vocab.txt")
    return path.name


def train(sagemaker, image, name, channels, hyperparameters):
    """Runs a training job to its end; returns its description."""
    sagemaker.create_training_job(
        TrainingJobName=name, RoleArn="arn:aws:iam::123456789012:role/goodbooks",
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"}, HyperParameters=hyperparameters,
        InputDataConfig=[{"ChannelName": channel, "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}}}
            for channel, uri in channels.items()],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/jobs"},
        ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 86400})
    while True:
        job = sagemaker.describe_training_job(TrainingJobName=name)
        if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
            break
        time.sleep(0.2)
    if job["TrainingJobStatus"] != "Completed":
        sys.exit(f"{name} ended as {job['TrainingJobStatus']}: {job.get('FailureReason', '')}")
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    print(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in sorted(metrics.items())))
    return job


def save_map(s3, name, folder):
    """Unpacks the outputs of the map's job."""
    body = s3.get_object(Bucket=BUCKET, Key=f"jobs/{name}/output/output.tar.gz")["Body"].read()
    os.makedirs(folder, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        for entry in archive:
            if entry.isfile():
                pathlib.Path(folder, pathlib.PurePath(entry.name).name).write_bytes(archive.extractfile(entry).read())
    print(f"map: {pathlib.Path(folder, 'tsne.html')}")


def deploy(sagemaker, name, job):
    sagemaker.create_model(ModelName=name, ExecutionRoleArn="arn:aws:iam::123456789012:role/goodbooks", PrimaryContainer={
        "Image": "title_embedding", "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]})
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    while (endpoint := sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] == "Creating":
        time.sleep(0.2)
    if endpoint["EndpointStatus"] != "InService":
        sys.exit(f"{name} ended as {endpoint['EndpointStatus']}: {endpoint.get('FailureReason', '')}")


def ratings_of(path, user):
    """One user's ratings by book; of the user with the most ratings when none is named."""
    by_user = collections.defaultdict(dict)
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            by_user[row["user_id"]][row["book_id"]] = float(row["rating"])
    user = user or max(by_user, key=lambda one: len(by_user[one]))
    return user, by_user[user]


def main():
    options = arguments()
    books = read_books(options.books)
    s3, sagemaker, runtime = boto3.client("s3"), boto3.client("sagemaker"), boto3.client("sagemaker-runtime")
    vectors = upload(s3, options, books)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    job = train(sagemaker, "title_embedding", f"titles-{stamp}",
                {"train": f"s3://{BUCKET}/titles/", "vectors": f"s3://{BUCKET}/vectors/"},
                {"vectors_file": vectors, "token_weights": options.weights, "stop_words": "english"})
    map_job = f"title-map-{stamp}"
    train(sagemaker, "tsne", map_job, {"train": job["ModelArtifacts"]["S3ModelArtifacts"]},
          {"perplexity": options.perplexity, "metric": "cosine", "picture_title": "Books by their titles"})
    save_map(s3, map_job, options.out)

    name = f"{ENDPOINT}-{stamp}"
    deploy(sagemaker, name, job)

    def ask(instance):
        answer = runtime.invoke_endpoint(EndpointName=name, ContentType="application/json",
                                         Body=json.dumps({"instances": [instance]}))
        return json.loads(answer["Body"].read())["predictions"][0]

    title = options.similar or books[0][1]
    print(f"\nsimilar to {title}")
    for entry in ask({"title": title, "n": 6})["similar"]:
        print(f"  {entry['score']:.3f}  {entry['title']}")
    if options.ratings:
        user, ratings = ratings_of(options.ratings, options.user)
        instance = {"ratings": ratings, "n": 5}
        print(f"\nbooks for user {user}, by titles alone")
        for entry in ask(instance)["recommendations"]:
            print(f"  {entry['score']:.2f}  {entry['title']}")
        if options.new:
            print(f"\nnew titles for user {user}, best first")
            for entry in ask({"ratings": ratings, "titles": options.new})["recommendations"]:
                print(f"  {entry['score']:.2f}  {entry['title']}")
    if options.keep:
        print(f"\nthe endpoint {name} is left running")
    else:
        sagemaker.delete_endpoint(EndpointName=name)
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
        sagemaker.delete_model(ModelName=name)


if __name__ == "__main__":
    main()
