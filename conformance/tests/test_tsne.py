"""t-SNE maps: of a model of titles, of its table, of any table; the picture and the page."""

import csv
import io
import json
import re

import pytest
from xml.etree import ElementTree

import titles
from test_title_embedding import finished, unpacked

KIND = {title: kind for _, title, kind in titles.books()}


@pytest.fixture(scope="module")
def embedded(endpoint):
    """A finished job of title_embedding: where its model and its outputs are."""
    endpoint.client("s3").create_bucket(Bucket="tsne")
    titles.embed(endpoint, "tsne", "tsne-titles", stop_words="english")
    job = finished(endpoint.client("sagemaker"), "tsne-titles")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job["ModelArtifacts"]["S3ModelArtifacts"], "s3://tsne/output/tsne-titles/output/output.tar.gz"


def map_of(endpoint, name, uri, **hyperparameters):
    """The files that a job over this channel wrote, and its description."""
    sagemaker = endpoint.client("sagemaker")
    sagemaker.create_training_job(**titles.training_job(name, "tsne", "tsne", {"train": uri}, **hyperparameters))
    job = finished(sagemaker, name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return unpacked(endpoint.client("s3"), f"s3://tsne/output/{name}/output/output.tar.gz"), job


def places(files):
    rows = list(csv.DictReader(io.StringIO(files["tsne.csv"].decode())))
    return {row["title"]: (float(row["x"]), float(row["y"])) for row in rows}


def test_a_model_becomes_a_map_on_which_kinds_are_apart(endpoint, embedded, name):
    files, job = map_of(endpoint, name, embedded[0], perplexity=10, n_iter=500, seed=3)
    on_map = places(files)
    assert set(on_map) == set(KIND)
    squared = lambda a, b: sum((p - q) ** 2 for p, q in zip(on_map[a], on_map[b]))
    nearest = {own: min((other for other in on_map if other != own), key=lambda other: squared(own, other)) for own in on_map}
    assert all(KIND[own] == KIND[other] for own, other in nearest.items())
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert 0 < metrics["train:kl_divergence"] < 2 and .8 < metrics["train:trustworthiness"] <= 1
    model = unpacked(endpoint.client("s3"), job["ModelArtifacts"]["S3ModelArtifacts"])
    assert model == {"tsne.csv": files["tsne.csv"]}


def test_the_table_of_vectors_gives_the_same_map_as_the_model(endpoint, embedded, name):
    settings = dict(perplexity=10, n_iter=100)
    from_model, _ = map_of(endpoint, name + "-m", embedded[0], **settings)
    from_table, _ = map_of(endpoint, name + "-t", embedded[1], **settings)
    assert set(places(from_model)) == set(places(from_table))
    again, _ = map_of(endpoint, name + "-a", embedded[0], **settings)
    assert again["tsne.csv"] == from_model["tsne.csv"]


def test_page_and_picture_hold_titles_as_data(endpoint, name):
    strange = ["</script><script>alert(1)</script>", "Emma & \"Jane\"", "L'étranger", "日本"] * 10
    rows = "".join(f"{number},\"{title.replace(chr(34), chr(34) * 2)}\",{number % 4},{number % 7},{number % 5}\n"
                   for number, title in enumerate(strange))
    endpoint.client("s3").put_object(Bucket="tsne", Key=f"{name}/v.csv", Body=("nr,name,a,b,c\n" + rows).encode())
    files, _ = map_of(endpoint, name, f"s3://tsne/{name}/", perplexity=5, n_iter=50, id_column="nr", picture_title="<b>A</b>")
    page, picture = files["tsne.html"].decode(), files["tsne.svg"].decode()
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL).group(1))
    assert data["labels"] == strange and data["ids"][:2] == ["0", "1"]
    assert "<title>&lt;b&gt;A&lt;/b&gt;</title>" in page and "alert(1)</script>" not in page
    assert not re.search(r"(src|href)\s*=|https?://", page)
    shown = [title.text for title in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}title")]
    assert shown == ["<b>A</b>"] + strange


@pytest.mark.parametrize(("changes", "body", "reason"), [
    ({"perplexity": 30}, "id,x\n1,2\n2,3\n", "Hyperparameter 'perplexity': 30 must be less than the number of points"),
    ({"angle": 1}, "id,x\n1,2\n2,3\n", "Hyperparameter 'angle' is not known to tsne"),
    ({}, "id,title\n1,a\n", "train/v.csv, line 2: no column has a number: there is nothing to map"),
    ({}, "id,x\n1,2\n2,two\n", "train/v.csv, line 3: column 'x': 'two' is not a number"),
])
def test_failures_say_what_to_mend(endpoint, sagemaker, s3_bucket, name, changes, body, reason):
    endpoint.client("s3").put_object(Bucket=s3_bucket, Key="data/v.csv", Body=body.encode())
    sagemaker.create_training_job(**titles.training_job(name, s3_bucket, "tsne", {"train": f"s3://{s3_bucket}/data/"}, **changes))
    job = finished(sagemaker, name)
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith(f"ClientError: {reason}"), job
