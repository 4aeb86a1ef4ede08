"""The user-based recommender: trained, tuned, hosted, asked in every format, transformed; and what is refused."""

import json
import math
import os
import pathlib
import random
import subprocess
import sys

import pytest

from conftest import ROLE, until
from test_tuning_job import wait

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ubcf:1"
EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "goodbooks" / "recommend.py"
# Real ratings, where they lie beside the checkout: they are not part of it.
SHARED = pathlib.Path(os.environ.get("SAGEBRUSH_SHARED", pathlib.Path(__file__).parents[3] / "shared"))
REAL = SHARED / "data" / "goodbooks-275" / "ratings.csv"
PUBLISHED = '[["212","173","492","955","289"]]'
ENDED = ("Completed", "Failed", "Stopped")
HEADER = "user_ind,book_ind,rating\n"
USERS, BOOKS, TRAINED = 60, 40, 55


def table(seed=4):
    """Ratings by user and book; ids are not dense, books differ in popularity, users in level and taste."""
    draw = random.Random(seed)
    tastes = [(draw.gauss(0, .4), draw.gauss(0, .9)) for _ in range(BOOKS)]
    rows = {}
    for user in range(USERS):
        level, taste = draw.gauss(3.5, .4), draw.gauss(0, .9)
        books = [book for book in range(BOOKS) if draw.random() < .75 - book / 80] or [0]
        rows[user * 9] = {book * 2: min(5, max(1, round(level + tastes[book][0] + taste * tastes[book][1] + draw.gauss(0, .4))))
                          for book in books}
    return rows


def lines(rows):
    return "".join(f"{user},{book},{rating}\n" for user, books in rows.items() for book, rating in books.items())


def classic(rows, asking, nn, count):
    """The rule of docs/ubcf.md, mode classic with cosines, for the ratings of one user."""
    centred = lambda books: {book: rating - sum(books.values()) / len(books) for book, rating in books.items()}
    own, mean = centred(asking), sum(asking.values()) / len(asking)
    neighbors = []
    for user in sorted(rows)[:TRAINED]:
        other = centred(rows[user])
        shared = [(own[book], other[book]) for book in sorted(own) if book in other]
        assert shared, "these users have books in common"
        xy, xx, yy = (sum(pair) for pair in zip(*((x * y, x * x, y * y) for x, y in shared)))
        cosine = xy / (math.sqrt(xx) * math.sqrt(yy)) if xx and yy else float(xx == yy)
        neighbors.append((1 - (1 - abs(cosine)), other))
    neighbors = sorted(neighbors, key=lambda neighbor: -neighbor[0])[:nn]
    whole = sum(similarity for similarity, _ in neighbors)
    books = sorted({book for books in rows.values() for book in books} - set(asking))
    predicted = {book: sum(s * other[book] for s, other in neighbors if book in other) / whole + mean for book in books}
    best = sorted(predicted, key=lambda book: -predicted[book])[:count]
    return [str(book) for book in best], [predicted[book] for book in best]


def channel(bucket, name, kind="text/csv"):
    return {"ChannelName": name, "ContentType": kind, "DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/", "S3DataDistributionType": "FullyReplicated"}}}


def definition(bucket, channels=("train",)):
    return dict(
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"}, RoleArn=ROLE,
        InputDataConfig=[channel(bucket, name) for name in channels],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/models"},
        StoppingCondition={"MaxRuntimeInSeconds": 600})


RESOURCES = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10}


def train(sagemaker, name, bucket, channels=("train",), **hyperparameters):
    sagemaker.create_training_job(
        TrainingJobName=name, **definition(bucket, channels), ResourceConfig=RESOURCES,
        HyperParameters={key: str(value) for key, value in hyperparameters.items()})
    return until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ENDED)


def model(sagemaker, name, job):
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={
        "Image": IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]})


def deploy(sagemaker, name, job):
    model(sagemaker, name, job)
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "v", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    described = until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService", "Failed"))
    assert described["EndpointStatus"] == "InService", described


@pytest.fixture(scope="module")
def rows():
    return table()


@pytest.fixture(scope="module")
def job(endpoint, rows):
    """A trained model of the first users; the file is in two parts, the second with another order of columns."""
    s3, sagemaker = endpoint.client("s3"), endpoint.client("sagemaker")
    s3.create_bucket(Bucket="ubcf-tests")
    users = sorted(rows)
    first, second = ({user: rows[user] for user in part} for part in (users[30:], users[:30]))
    s3.put_object(Bucket="ubcf-tests", Key="train/a.csv", Body=(HEADER + lines(first)).encode())
    turned = "".join(",".join(reversed(line.split(","))) + "\n" for line in lines(second).splitlines())
    s3.put_object(Bucket="ubcf-tests", Key="train/b.csv", Body=("rating,book_ind,user_ind\n" + turned).encode())
    job = train(sagemaker, "ubcf-tests", "ubcf-tests", method="cosine", nn=7, n_users=TRAINED, ind=USERS)
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    return job


@pytest.fixture(scope="module")
def deployed(endpoint, job):
    sagemaker = endpoint.client("sagemaker")
    deploy(sagemaker, "ubcf-tests", job)
    yield "ubcf-tests"
    sagemaker.delete_endpoint(EndpointName="ubcf-tests")


@pytest.fixture
def invoke(endpoint, deployed):
    runtime = endpoint.client("sagemaker-runtime")

    def call(body, kind="application/json", **options):
        body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        answer = runtime.invoke_endpoint(EndpointName=deployed, ContentType=kind, Body=body, **options)
        return answer["Body"].read().decode()
    return call


def test_the_log_tells_the_size_of_the_training_set(job, rows):
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    known = sum(len(rows[user]) for user in sorted(rows)[:TRAINED])
    assert metrics["train:users"] == TRAINED and metrics["train:items"] == BOOKS
    assert metrics["train:ratings"] == known
    assert metrics["train:density"] == pytest.approx(known / (TRAINED * BOOKS))


def test_the_chapters_request(invoke, rows):
    body = HEADER + lines(rows)
    last = max(rows)
    assert invoke(body, "text/csv") == json.dumps([classic(rows, rows[last], 7, 5)[0]], separators=(",", ":"))
    first = invoke(body, "text/csv; ind=1; n=3", Accept="application/json")
    assert json.loads(first) == [classic(rows, rows[0], 7, 3)[0]]


def test_users_by_their_ratings_and_by_name(invoke, rows):
    last, known = max(rows), sorted(rows)[4]
    told = {str(book): rating for book, rating in rows[last].items()}
    answer = json.loads(invoke({"instances": [
        {"ratings": told, "n": 4, "with_ratings": True}, {"user": known}, {"user": str(known), "type": "ratings"}]}))
    first, second, third = answer["predictions"]
    books, ratings = classic(rows, rows[last], 7, 4)
    assert first["items"] == books and first["ratings"] == pytest.approx(ratings, abs=1e-9)
    assert second == {"items": classic(rows, rows[known], 7, 5)[0]}
    assert len(third["items"]) == len(third["ratings"]) == BOOKS - len(rows[known])
    assert [book for _, book in sorted(zip(third["ratings"], third["items"]), key=lambda it: -it[0])][:5] == second["items"]
    in_lines = invoke(f'{{"user": {known}}}\n{{"user": 0, "n": 1}}\n', "application/jsonlines").splitlines()
    assert [json.loads(line) for line in in_lines] == [second, {"items": classic(rows, rows[0], 7, 1)[0]}]


@pytest.mark.parametrize(("kind", "body", "status", "expected"), [
    ("application/json", '{"instances": [{"user": 0}, {"user": 1}]}', 400, "Instance 1: key 'user': '1' is not in the training set"),
    ("application/json", '{"instances": [{"ratings": {"2": "good"}}]}', 400, "the rating \"good\" of '2' is not a number"),
    ("application/json", '{"instances": [{"user": 0, "top": 3}]}', 400, "key 'top' is not known"),
    ("application/jsonlines", '{"user": 0}\n{"user": 0, "n": 0}', 400, "Line 2: key 'n': 0 is not a whole number"),
    ("text/csv", HEADER + "1,2,3\n", 400, "The request has ratings of 1 items, but the model has 40"),
    ("text/csv", "a,b\n1,2\n", 400, "Line 1: the header has no column 'user_ind'"),
    ("image/png", "x", 415, "Use text/csv, application/json or application/jsonlines"),
])
def test_a_bad_request_is_explained(endpoint, deployed, kind, body, status, expected):
    runtime = endpoint.client("sagemaker-runtime")
    with pytest.raises(runtime.exceptions.ModelError) as error:
        runtime.invoke_endpoint(EndpointName=deployed, ContentType=kind, Body=body)
    assert error.value.response["OriginalStatusCode"] == status
    assert expected in error.value.response["OriginalMessage"]


def test_the_published_answer_of_the_chapter(endpoint, sagemaker, s3_bucket, name):
    if not REAL.exists():
        pytest.skip("the real ratings do not lie beside the checkout")
    ratings = REAL.read_bytes()
    endpoint.client("s3").put_object(Bucket=s3_bucket, Key="train/ratings.csv", Body=ratings)
    deploy(sagemaker, name, train(sagemaker, name, s3_bucket, method="Cosine", nn=10, n_users=270))
    answer = endpoint.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=ratings)
    assert answer["ContentType"] == "application/json"
    assert answer["Body"].read().decode() == PUBLISHED
    sagemaker.delete_endpoint(EndpointName=name)


def transform(endpoint, sagemaker, name, bucket, kind, split, **output):
    sagemaker.create_transform_job(
        TransformJobName=name, ModelName=name,
        TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/in/"}},
                        "ContentType": kind, "SplitType": split},
        TransformOutput={"S3OutputPath": f"s3://{bucket}/out", **output},
        TransformResources={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1})
    done = until(lambda: sagemaker.describe_transform_job(TransformJobName=name), ENDED)
    assert done["TransformJobStatus"] == "Completed", done
    return lambda key: endpoint.client("s3").get_object(Bucket=bucket, Key=f"out/{key}.out")["Body"].read().decode()


def test_batch_transform_of_users_and_of_a_whole_table(endpoint, sagemaker, job, rows, s3_bucket, name):
    s3 = endpoint.client("s3")
    model(sagemaker, name, job)
    users = sorted(rows)[:TRAINED]
    body = "".join(json.dumps({"user": user}) + "\n" for user in users)
    s3.put_object(Bucket=s3_bucket, Key="in/users.jsonl", Body=body.encode())
    out = transform(endpoint, sagemaker, name, s3_bucket, "application/jsonlines", "Line",
                    Accept="application/jsonlines", AssembleWith="Line")
    answers = [json.loads(line)["items"] for line in out("users.jsonl").splitlines()]
    assert answers == [classic(rows, rows[user], 7, 5)[0] for user in users]

    other = name + "-csv"
    model(sagemaker, other, job)
    s3.delete_object(Bucket=s3_bucket, Key="in/users.jsonl")
    s3.put_object(Bucket=s3_bucket, Key="in/all.csv", Body=(HEADER + lines(rows)).encode())
    out = transform(endpoint, sagemaker, other, s3_bucket, "text/csv", "None")
    assert json.loads(out("all.csv")) == [classic(rows, rows[max(rows)], 7, 5)[0]]


def test_a_search_over_the_number_of_neighbours(endpoint, sagemaker, rows, s3_bucket, name):
    draw, s3 = random.Random(8), endpoint.client("s3")
    parts = {"train": {}, "validation": {}}
    for user, books in rows.items():
        for number, (book, rating) in enumerate(books.items()):
            part = "validation" if number and draw.random() < .2 else "train"
            parts[part].setdefault(user, {})[book] = rating
    for part, ratings in parts.items():
        s3.put_object(Bucket=s3_bucket, Key=f"{part}/ratings.csv", Body=(HEADER + lines(ratings)).encode())
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig={
            "Strategy": "Random", "RandomSeed": 3,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:mean_squared_error"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"IntegerParameterRanges": [{"Name": "nn", "MinValue": "1", "MaxValue": "40"}]}},
        TrainingJobDefinition=dict(
            definition(s3_bucket, ("train", "validation")), StaticHyperParameters={"mode": "modern"},
            HyperParameterTuningResourceConfig=RESOURCES))
    ended = wait(sagemaker, name)
    assert ended["TrainingJobStatusCounters"]["Completed"] == 4, ended
    jobs = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, SortBy="FinalObjectiveMetricValue", SortOrder="Ascending")["TrainingJobSummaries"]
    values = [one["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for one in jobs]
    assert values == sorted(values) and values[0] < values[-1]
    best = sagemaker.describe_training_job(TrainingJobName=jobs[0]["TrainingJobName"])
    metrics = {metric["MetricName"]: metric["Value"] for metric in best["FinalMetricDataList"]}
    assert metrics["validation:root_mean_squared_error"] == pytest.approx(math.sqrt(values[0]), rel=1e-6)
    assert 0 < metrics["validation:coverage"] <= 1 and 0 < metrics["validation:precision"] <= 1


@pytest.mark.parametrize(("hyperparameters", "body", "reason"), [
    ({"neighbours": 3}, HEADER + "1,2,3\n", "Hyperparameter 'neighbours' is not known to ubcf"),
    ({"nn": 0}, HEADER + "1,2,3\n", "Hyperparameter 'nn': 0 is out of range [1, 1000000]"),
    ({"min_matching_items": 2}, HEADER + "1,2,3\n", "'min_matching_items': 2 works with mode modern only"),
    ({}, HEADER + "1,2,3\n1,3,\n", "train/part.csv, line 3: the column 'rating' is empty"),
    ({}, HEADER, "The channel 'train' has no ratings"),
])
def test_a_job_that_cannot_train_says_why(endpoint, sagemaker, s3_bucket, name, hyperparameters, body, reason):
    endpoint.client("s3").put_object(Bucket=s3_bucket, Key="train/part.csv", Body=body.encode())
    job = train(sagemaker, name, s3_bucket, **hyperparameters)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError") and reason in job["FailureReason"]


def test_the_example(endpoint, rows, tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text(HEADER + lines(rows))
    environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint.url, "AWS_DEFAULT_REGION": endpoint.region,
                   "AWS_ACCESS_KEY_ID": endpoint.access_key, "AWS_SECRET_ACCESS_KEY": endpoint.secret_key}

    def run(*options):
        done = subprocess.run(
            [sys.executable, EXAMPLE, "--ratings", path, "--nn", "7", "--n-users", str(TRAINED), *options],
            capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    books, ratings = classic(rows, rows[max(rows)], 7, 5)
    printed = run("--row", str(USERS))
    assert f"trained on {sum(len(rows[user]) for user in sorted(rows)[:TRAINED])} ratings" in printed
    assert f"recommended to row {USERS}: {json.dumps([books], separators=(',', ':'))}" in printed
    printed = run("--user", str(max(rows)), "--count", "2")
    shown = [line.split()[1:] for line in printed.splitlines() if line.startswith("  book ")]
    assert shown == [[book, f"{rating:.2f}"] for book, rating in zip(books[:2], ratings)]
