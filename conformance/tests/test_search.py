"""Search: every operator, nesting, order and page, over jobs that really ran."""

import datetime

import pytest
from botocore.exceptions import ClientError

import ratings
from conftest import until

DIMS = [8, 9, 10, 16]


@pytest.fixture(scope="module")
def jobs(endpoint):
    """Four finished jobs that differ in enc_dim and tags; a name that they share."""
    import uuid
    sagemaker, s3 = endpoint.client("sagemaker"), endpoint.client("s3")
    bucket = "t-" + uuid.uuid4().hex
    s3.create_bucket(Bucket=bucket)
    ratings.upload(s3, bucket)
    stem = "search-" + uuid.uuid4().hex[:8]
    for index, dim in enumerate(DIMS):
        request = ratings.training_job(f"{stem}-{index}", bucket, enc_dim=dim, epochs=1)
        request["Tags"] = [{"Key": "stage", "Value": "prod" if index % 2 else "dev"}, {"Key": "stem", "Value": stem}]
        sagemaker.create_training_job(**request)
    done = [until(lambda: sagemaker.describe_training_job(TrainingJobName=f"{stem}-{index}"), ("Completed", "Failed"))
            for index in range(len(DIMS))]
    assert all(job["TrainingJobStatus"] == "Completed" for job in done)
    return stem, done


def find(sagemaker, stem, *filters, size=100, **request):
    """Suffixes of the names found among the jobs of `stem`, over all pages."""
    own = {"Name": "Tags.stem", "Operator": "Equals", "Value": stem}
    expression = request.pop("expression", None)
    if filters:
        expression = {"Filters": [dict(zip(("Name", "Operator", "Value"), one)) for one in filters]}
    parts = [{"Filters": [own]}] + ([expression] if expression else [])
    pages = sagemaker.get_paginator("search").paginate(
        Resource="TrainingJob", SearchExpression={"SubExpressions": parts, "Operator": "And"},
        PaginationConfig={"PageSize": size}, **request)
    return [result["TrainingJob"]["TrainingJobName"].removeprefix(stem + "-") for page in pages for result in page["Results"]]


@pytest.mark.parametrize("name, operator, value, expected", [
    ("HyperParameters.enc_dim", "Equals", "9", "1"),
    ("HyperParameters.enc_dim", "Equals", "9.0", "1"),
    ("HyperParameters.enc_dim", "NotEquals", "9", "023"),
    ("HyperParameters.enc_dim", "GreaterThan", "9", "23"),
    ("HyperParameters.enc_dim", "GreaterThanOrEqualTo", "9", "123"),
    ("HyperParameters.enc_dim", "LessThan", "10", "01"),
    ("HyperParameters.enc_dim", "LessThanOrEqualTo", "10", "012"),
    ("HyperParameters.enc_dim", "In", "8,16,99", "03"),
    ("HyperParameters.enc0_network", "Contains", "pooled", "0123"),
    ("HyperParameters.enc0_network", "Contains", "Pooled", ""),
    ("FailureReason", "NotExists", None, "0123"),
    ("ModelArtifacts.S3ModelArtifacts", "Exists", None, "0123"),
    ("TrainingJobStatus", "Equals", "Failed", ""),
    ("Tags.stage", "Equals", "prod", "13"),
    ("CreationTime", "GreaterThan", "2020-01-01T00:00:00Z", "0123"),
    ("CreationTime", "LessThan", "2020-01-01", ""),
    ("Metrics.validation:mean_squared_error", "LessThan", "1e9", "0123"),
    ("Metrics.validation:mean_squared_error", "LessThan", "0", ""),
    ("AlgorithmSpecification.TrainingImage", "Contains", "object2vec", "0123"),
    ("No.Such.Property", "Exists", None, ""),
])
def test_operators(sagemaker, jobs, name, operator, value, expected):
    condition = (name, operator, value) if value is not None else (name, operator)
    assert "".join(sorted(find(sagemaker, jobs[0], condition))) == expected


def test_expressions_nest(sagemaker, jobs):
    stem, _ = jobs
    small = {"Name": "HyperParameters.enc_dim", "Operator": "LessThan", "Value": "9"}
    large = {"Name": "HyperParameters.enc_dim", "Operator": "GreaterThan", "Value": "10"}
    prod = {"Name": "Tags.stage", "Value": "prod"}
    assert sorted(find(sagemaker, stem, expression={"Filters": [small, large], "Operator": "Or"})) == ["0", "3"]
    either = {"SubExpressions": [{"Filters": [small, large], "Operator": "Or"}, {"Filters": [prod]}]}
    assert find(sagemaker, stem, expression=either) == ["3"]


def test_nested_filters_hold_for_one_element(sagemaker, jobs):
    def channel(name, part):
        return {"NestedFilters": [{"NestedPropertyName": "InputDataConfig", "Filters": [
            {"Name": "InputDataConfig.ChannelName", "Value": name},
            {"Name": "InputDataConfig.DataSource.S3DataSource.S3Uri", "Operator": "Contains", "Value": part}]}]}
    stem, done = jobs
    uris = {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in done[0]["InputDataConfig"]}
    assert sorted(find(sagemaker, stem, expression=channel("train", uris["train"]))) == list("0123")
    assert find(sagemaker, stem, expression=channel("validation", uris["train"])) == []


def test_the_history_of_statuses_is_searched_by_its_steps(sagemaker, jobs):
    def step(*filters):
        return {"NestedFilters": [{"NestedPropertyName": "SecondaryStatusTransitions", "Filters": [
            {"Name": f"SecondaryStatusTransitions.{member}", "Operator": operator, "Value": value}
            for member, operator, value in filters]}]}
    stem, done = jobs
    assert sorted(find(sagemaker, stem, expression=step(("Status", "Equals", "Training")))) == list("0123")
    assert find(sagemaker, stem, expression=step(("Status", "Equals", "Stopping"))) == []
    starting, last = done[2]["SecondaryStatusTransitions"][0], done[2]["SecondaryStatusTransitions"][-1]
    begun = (last["StartTime"] - datetime.timedelta(milliseconds=1)).isoformat()
    # Both hold for the job, and for one of its steps only where that step began then.
    ended = step(("Status", "Equals", last["Status"]), ("StartTime", "GreaterThanOrEqualTo", begun))
    assert "2" in find(sagemaker, stem, expression=ended)
    mixed = step(("Status", "Equals", starting["Status"]), ("StartTime", "GreaterThanOrEqualTo", begun))
    assert "2" not in find(sagemaker, stem, expression=mixed)


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_orders_and_pages(sagemaker, jobs, order):
    stem, done = jobs
    metric = "validation:mean_squared_error"
    values = {str(index): next(one["Value"] for one in job["FinalMetricDataList"] if one["MetricName"] == metric)
              for index, job in enumerate(done)}
    by_metric = sorted(values, key=values.get, reverse=order == "Descending")
    for size in (1, 3, 100):
        assert find(sagemaker, stem, size=size, SortBy=f"Metrics.{metric}", SortOrder=order) == by_metric
    by_dim = list("0123") if order == "Ascending" else list("3210")
    assert find(sagemaker, stem, size=1, SortBy="HyperParameters.enc_dim", SortOrder=order) == by_dim
    assert find(sagemaker, stem, size=2, SortBy="CreationTime", SortOrder=order) == by_dim


def test_a_result_is_what_describe_shows_with_tags(sagemaker, jobs):
    stem, done = jobs
    found = sagemaker.search(Resource="TrainingJob", SearchExpression={"Filters": [
        {"Name": "TrainingJobName", "Operator": "Equals", "Value": f"{stem}-0"}]})
    assert found["TotalHits"] == {"Value": 1, "Relation": "EqualTo"}
    job = found["Results"][0]["TrainingJob"]
    assert {"Key": "stem", "Value": stem} in job.pop("Tags")
    described = {key: value for key, value in done[0].items() if key != "ResponseMetadata"}
    assert job == {key: described[key] for key in job}


def test_tags_are_searched_as_they_are_now(sagemaker, jobs):
    stem, done = jobs
    arn = done[2]["TrainingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "late", "Value": "yes"}])
    assert find(sagemaker, stem, ("Tags.late", "Equals", "yes")) == ["2"]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["late"])
    assert find(sagemaker, stem, ("Tags.late", "Exists")) == []


def test_suggestions_name_properties(sagemaker, jobs):
    query = {"PropertyNameQuery": {"PropertyNameHint": "HyperParameters.enc_"}}
    names = [one["PropertyName"] for one in sagemaker.get_search_suggestions(
        Resource="TrainingJob", SuggestionQuery=query)["PropertyNameSuggestions"]]
    assert "HyperParameters.enc_dim" in names and all(name.startswith("HyperParameters.enc_") for name in names)


@pytest.mark.parametrize("request_, message", [
    ({"Resource": "TrainingJob", "SearchExpression": {}}, "at least one of"),
    ({"Resource": "TrainingJob", "NextToken": "stranger"}, "NextToken"),
    ({"Resource": "Pipeline"}, "no resources of the kind Pipeline"),
    ({"Resource": "TrainingJob", "SearchExpression": {"Filters": [{"Name": "A", "Operator": "Contains"}]}}, "needs a value"),
])
def test_what_cannot_be_searched_is_said(sagemaker, request_, message):
    with pytest.raises(ClientError) as caught:
        sagemaker.search(**request_)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert message in caught.value.response["Error"]["Message"]


def test_other_kinds_and_regions(endpoint, sagemaker, name):
    image = "382416733822.dkr.ecr.us-east-1.amazonaws.com/object2vec:1"
    sagemaker.create_model(ModelName=name, ExecutionRoleArn="arn:aws:iam::123456789012:role/r",
                           PrimaryContainer={"Image": image, "ModelDataUrl": "s3://b/k"})
    expression = {"Filters": [{"Name": "ModelName", "Operator": "Equals", "Value": name}]}
    results = sagemaker.search(Resource="Model", SearchExpression=expression)["Results"]
    assert [one["Model"]["Model"]["ModelName"] for one in results] == [name]
    elsewhere = endpoint.client("sagemaker", region="eu-west-1")
    assert elsewhere.search(Resource="Model", SearchExpression=expression)["Results"] == []
