"""Titles embedded by word vectors: the job, its table of vectors, and an endpoint that finds and recommends."""

import csv
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest
from botocore.exceptions import ClientError

import titles
from conftest import ROLE, until

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "goodbooks" / "titles.py"
KIND = {number: kind for number, _, kind in titles.books()}


def finished(sagemaker, name):
    return until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Completed", "Failed", "Stopped"))


def unpacked(s3, uri):
    """The files of an archive in S3."""
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    archive = tarfile.open(fileobj=io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
    return {pathlib.PurePath(entry.name).name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}


@pytest.fixture(scope="module")
def job(endpoint):
    endpoint.client("s3").create_bucket(Bucket="title-embedding")
    titles.embed(endpoint, "title-embedding", "title-embedding", stop_words="english")
    job = finished(endpoint.client("sagemaker"), "title-embedding")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job


@pytest.fixture(scope="module")
def ask(endpoint, job):
    """Asks an endpoint with the job's model."""
    sagemaker = endpoint.client("sagemaker")
    sagemaker.create_model(ModelName="titles", ExecutionRoleArn=ROLE, PrimaryContainer={
        "Image": "title_embedding", "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]})
    sagemaker.create_endpoint_config(EndpointConfigName="titles", ProductionVariants=[
        {"ModelName": "titles", "VariantName": "v", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    sagemaker.create_endpoint(EndpointName="titles", EndpointConfigName="titles")
    description = until(lambda: sagemaker.describe_endpoint(EndpointName="titles"), ("InService", "Failed"))
    assert description["EndpointStatus"] == "InService", description
    runtime = endpoint.client("sagemaker-runtime")

    def ask(*instances):
        answer = runtime.invoke_endpoint(EndpointName="titles", ContentType="application/json",
                                         Body=json.dumps({"instances": list(instances)}))
        return json.loads(answer["Body"].read())["predictions"]
    yield ask
    sagemaker.delete_endpoint(EndpointName="titles")


def test_the_job_measures_what_it_knows(job):
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert metrics == {"train:token_coverage": 1, "train:subword_share": 0, "train:title_coverage": 1}


def test_the_table_of_vectors_is_an_output(endpoint, job):
    files = unpacked(endpoint.client("s3"), "s3://title-embedding/output/title-embedding/output/output.tar.gz")
    rows = list(csv.reader(io.StringIO(files["embeddings.csv"].decode())))
    assert rows[0] == ["id", "title"] + [f"v{column}" for column in range(12)]
    assert [(int(row[0]), row[1]) for row in rows[1:]] == [(number, title) for number, title, _ in titles.books()]
    lengths = [sum(float(value) ** 2 for value in row[2:]) for row in rows[1:]]
    assert lengths == pytest.approx([1] * len(lengths), rel=1e-4)


def test_similar_titles_are_of_the_same_kind(ask):
    for answer, own in zip(ask(*({"id": number, "n": 5} for number in KIND)), KIND):
        found = [int(entry["id"]) for entry in answer["similar"]]
        assert len(found) == 5 and own not in found
        assert {KIND[number] for number in found} == {KIND[own]}
        scores = [entry["score"] for entry in answer["similar"]]
        assert scores == sorted(scores, reverse=True) and scores[0] <= 1.0001
    answer, = ask({"title": "A Captain's ISLAND, unheard-of"})
    assert KIND[int(answer["similar"][0]["id"])] == "sea"
    assert (answer["known_words"], answer["unknown_words"]) == (2, ["unheard"])
    answer, = ask({"id": "1", "type": "embedding"})
    assert len(answer["embedding"]) == 12


def test_a_new_title_is_scored_from_ratings_of_others(ask):
    garden, sea = ([number for number in KIND if KIND[number] == kind][:4] for kind in ("garden", "sea"))
    ratings = {str(number): 5 for number in garden} | {str(number): 1 for number in sea}
    rose, ship, unknown = ask(*({"ratings": ratings, "title": title} for title in ("Rose and seed", "Ship", "Xyzzy")))
    assert rose["score"] > 3.5 and ship["score"] < 2.5 and unknown["score"] == pytest.approx(3)
    ranked, = ask({"ratings": ratings, "titles": ["Storm", "Meadow", "Anchor", "Orchard"]})
    assert {entry["title"] for entry in ranked["recommendations"][:2]} == {"Meadow", "Orchard"}
    listed, = ask({"ratings": ratings, "n": 3})
    found = [int(entry["id"]) for entry in listed["recommendations"]]
    assert {KIND[number] for number in found} == {"garden"} and not set(found) & set(garden)


@pytest.mark.parametrize(("instance", "message"), [
    ({"titel": "x"}, "Instance 1: key 'titel' is not known"),
    ({"id": 999}, "Instance 1: key 'id': no title of the model has the id '999'"),
    ({"ratings": {"1": "five"}}, "Instance 1: key 'ratings': \"five\" for '1' is not a number"),
])
def test_what_is_wrong_with_an_instance_is_named(ask, instance, message):
    with pytest.raises(ClientError) as refusal:
        ask({"id": 1}, instance)
    assert refusal.value.response["OriginalStatusCode"] == 400
    assert message in refusal.value.response["OriginalMessage"]


@pytest.mark.parametrize(("changes", "vectors", "reason"), [
    ({"token_weigths": "sif"}, None, "Hyperparameter 'token_weigths' is not known to title_embedding"),
    ({"title_column": "name"}, None, "train/books.csv, line 1: there is no column 'name' among [book_id, authors, title]"),
    ({}, b"3 2\nrose 1 2\n", "vectors/words.vec: line 1 says that there are 3 words, but 1 follow; the file may be cut"),
    ({}, b"un deux trois", "vectors/words.vec: "),
])
def test_failures_say_what_to_mend(endpoint, sagemaker, s3_bucket, name, changes, vectors, reason):
    if vectors:
        endpoint.client("s3").put_object(Bucket=s3_bucket, Key="bad/words.vec", Body=vectors)
    endpoint.client("s3").put_object(Bucket=s3_bucket, Key="vectors/words.vec", Body=titles.vectors().encode())
    endpoint.client("s3").put_object(Bucket=s3_bucket, Key="books/books.csv", Body=titles.csv(titles.books()).encode())
    channels = {"train": f"s3://{s3_bucket}/books/", "vectors": f"s3://{s3_bucket}/{'bad' if vectors else 'vectors'}/"}
    sagemaker.create_training_job(**titles.training_job(name, s3_bucket, "title_embedding", channels, **changes))
    job = finished(sagemaker, name)
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith(f"ClientError: {reason}"), job


def test_the_example_goes_the_whole_way(endpoint, tmp_path):
    (tmp_path / "books.csv").write_text(titles.csv(titles.books()))
    (tmp_path / "ratings.csv").write_text("user_id,book_id,rating\n" + "".join(
        f"u,{number},{5 if kind == 'garden' else 1}\n" for number, kind in list(KIND.items())[:20]))
    environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint.url, "AWS_ACCESS_KEY_ID": endpoint.access_key,
                   "AWS_SECRET_ACCESS_KEY": endpoint.secret_key, "AWS_DEFAULT_REGION": "us-east-1"}
    printed = subprocess.run(
        [sys.executable, EXAMPLE, "--books", tmp_path / "books.csv", "--ratings", tmp_path / "ratings.csv",
         "--make-vectors", "--out", tmp_path / "map", "--perplexity", "5", "--new", "Meadow orchard", "--new", "Sailor, anchor"],
        capture_output=True, text=True, env=environment, timeout=300)
    assert printed.returncode == 0, printed.stdout + printed.stderr
    assert "a stand-in for pretrained ones" in printed.stdout
    assert printed.stdout.index("Meadow orchard", printed.stdout.index("new titles")) \
        < printed.stdout.index("Sailor, anchor", printed.stdout.index("new titles")), printed.stdout
    assert {path.name for path in (tmp_path / "map").iterdir()} == {"tsne.csv", "tsne.html", "tsne.svg"}
