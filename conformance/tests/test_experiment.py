"""Experiments, trials and trial components: made by clients, joined by jobs, measured, found."""

import datetime

import pytest
from botocore.exceptions import ClientError

import ratings
from conftest import until


def code(call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture
def trial(sagemaker, name):
    """An experiment `name` with the trial `name-trial`."""
    sagemaker.create_experiment(ExperimentName=name, Description="d", Tags=[{"Key": "a", "Value": "b"}])
    sagemaker.create_trial(TrialName=name + "-trial", ExperimentName=name)
    return name + "-trial"


def test_an_experiment_is_made_shown_changed_and_deleted(sagemaker, name):
    arn = sagemaker.create_experiment(ExperimentName=name)["ExperimentArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:experiment/{name}"
    sagemaker.update_experiment(ExperimentName=name, DisplayName="shown", Description="new")
    shown = sagemaker.describe_experiment(ExperimentName=name)
    assert (shown["DisplayName"], shown["Description"], shown["ExperimentArn"]) == ("shown", "new", arn)
    assert shown["CreationTime"] <= shown["LastModifiedTime"]
    listed = sagemaker.list_experiments(SortBy="CreationTime", SortOrder="Descending", CreatedAfter=shown["CreationTime"] - datetime.timedelta(seconds=1))
    assert name in [one["ExperimentName"] for one in listed["ExperimentSummaries"]]
    refused = code(sagemaker.create_experiment, ExperimentName=name)
    assert refused[0] == "ValidationException" and "already exists" in refused[1]
    sagemaker.delete_experiment(ExperimentName=name)
    assert code(sagemaker.describe_experiment, ExperimentName=name)[0] == "ResourceNotFound"


def test_trials_and_components_hang_together(sagemaker, name, trial):
    assert code(sagemaker.create_trial, TrialName="x" + name, ExperimentName="no-" + name)[0] == "ResourceNotFound"
    for index in range(3):
        sagemaker.create_trial_component(TrialComponentName=f"{name}-c{index}", Parameters={"lr": {"NumberValue": index / 10}})
        sagemaker.associate_trial_component(TrialComponentName=f"{name}-c{index}", TrialName=trial)
    other = name + "-other"
    sagemaker.create_experiment(ExperimentName=other)
    sagemaker.create_trial(TrialName=other, ExperimentName=other)
    sagemaker.associate_trial_component(TrialComponentName=f"{name}-c0", TrialName=other)

    def trials(**request):
        return [one["TrialName"] for one in sagemaker.list_trials(SortBy="Name", SortOrder="Ascending", **request)["TrialSummaries"]]

    assert trials(ExperimentName=name) == [trial]
    assert trials(TrialComponentName=f"{name}-c0") == [other, trial]
    assert trials(TrialComponentName=f"{name}-c1") == [trial]
    pages = sagemaker.get_paginator("list_trial_components").paginate(
        TrialName=trial, SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2})
    assert [one["TrialComponentName"] for page in pages for one in page["TrialComponentSummaries"]] == [f"{name}-c{at}" for at in range(3)]
    assert len(sagemaker.list_trial_components(ExperimentName=other)["TrialComponentSummaries"]) == 1

    assert "Delete its trials first" in code(sagemaker.delete_experiment, ExperimentName=name)[1]
    assert "Disassociate" in code(sagemaker.delete_trial, TrialName=trial)[1]
    assert code(sagemaker.delete_trial_component, TrialComponentName=f"{name}-c1")[0] == "ValidationException"
    for index in range(3):
        sagemaker.disassociate_trial_component(TrialComponentName=f"{name}-c{index}", TrialName=trial)
    assert code(sagemaker.disassociate_trial_component, TrialComponentName=f"{name}-c0", TrialName=trial)[0] == "ResourceNotFound"
    sagemaker.delete_trial_component(TrialComponentName=f"{name}-c1")
    sagemaker.delete_trial(TrialName=trial)
    sagemaker.delete_experiment(ExperimentName=name)


def test_components_are_changed_and_searched(sagemaker, name, trial):
    for letter, rate in zip("abc", (0.5, 10, 9)):
        component = f"{name}-{letter}"
        sagemaker.create_trial_component(TrialComponentName=component, DisplayName=letter, Parameters={"rate": {"NumberValue": rate}, "opt": {"StringValue": letter}})
        sagemaker.associate_trial_component(TrialComponentName=component, TrialName=trial)
    sagemaker.update_trial_component(
        TrialComponentName=f"{name}-a", Status={"PrimaryStatus": "Completed", "Message": "m"}, ParametersToRemove=["opt"],
        Parameters={"extra": {"StringValue": "x"}}, OutputArtifacts={"model": {"MediaType": "application/x-tar", "Value": "s3://b/k"}})
    shown = sagemaker.describe_trial_component(TrialComponentName=f"{name}-a")
    assert shown["Parameters"] == {"rate": {"NumberValue": 0.5}, "extra": {"StringValue": "x"}}
    assert shown["Status"]["PrimaryStatus"] == "Completed" and "Parents" not in shown

    def found(*filters, **request):
        expression = {"Filters": [{"Name": "Parents.TrialName", "Value": trial}] + [dict(zip(("Name", "Operator", "Value"), one)) for one in filters]}
        results = sagemaker.search(Resource="ExperimentTrialComponent", SearchExpression=expression, **request)["Results"]
        return [one["TrialComponent"] for one in results]

    rising = found(SortBy="Parameters.rate", SortOrder="Ascending")
    assert [one["DisplayName"] for one in rising] == list("acb")
    assert rising[0]["Parents"] == [{"TrialName": trial, "ExperimentName": name}]
    assert [one["DisplayName"] for one in found(("Parameters.rate", "GreaterThan", "9"))] == ["b"]
    assert [one["DisplayName"] for one in found(("OutputArtifacts.model.Value", "Contains", "s3://b"))] == ["a"]
    trials = sagemaker.search(Resource="ExperimentTrial", SearchExpression={"Filters": [{"Name": "ExperimentName", "Value": name}]})
    assert [one["Trial"]["TrialName"] for one in trials["Results"]] == [trial]


def test_metrics_are_summed_up_and_read_back(endpoint, sagemaker, name):
    arn = sagemaker.create_trial_component(TrialComponentName=name)["TrialComponentArn"]
    metrics = endpoint.client("sagemaker-metrics")
    now = datetime.datetime.now(datetime.timezone.utc)
    for step, value in enumerate([1.0, 0.5, 0.25]):
        metrics.batch_put_metrics(TrialComponentName=name, MetricData=[
            {"MetricName": "train:loss", "Timestamp": now, "Step": step, "Value": value}])
    summary = sagemaker.describe_trial_component(TrialComponentName=name)["Metrics"][0]
    assert (summary["MetricName"], summary["Count"], summary["Min"], summary["Max"], summary["Last"]) == ("train:loss", 3, 0.25, 1.0, 0.25)
    assert abs(summary["Avg"] - 1.75 / 3) < 1e-12
    query = {"MetricName": "train:loss", "ResourceArn": arn, "MetricStat": "Last", "Period": "IterationNumber", "XAxisType": "IterationNumber"}
    result = metrics.batch_get_metrics(MetricQueries=[query, {**query, "ResourceArn": arn + "x"}])["MetricQueryResults"]
    assert (result[0]["Status"], result[0]["XAxisValues"], result[0]["MetricValues"]) == ("Complete", [0, 1, 2], [1.0, 0.5, 0.25])
    assert result[1]["Status"] == "ValidationError"
    by_metric = sagemaker.search(Resource="ExperimentTrialComponent", SearchExpression={"Filters": [
        {"Name": "TrialComponentName", "Value": name}, {"Name": "Metrics.train:loss.Last", "Operator": "LessThan", "Value": "0.3"}]})
    assert len(by_metric["Results"]) == 1
    assert code(metrics.batch_put_metrics, TrialComponentName="no-" + name, MetricData=[
        {"MetricName": "x", "Timestamp": now, "Value": 1}])[0] == "ResourceNotFound"


def test_a_job_has_a_component_and_joins_a_trial(endpoint, sagemaker, s3_bucket, name, trial):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    request = ratings.training_job(name, s3_bucket, epochs=1)
    assert code(sagemaker.create_training_job, **request, ExperimentConfig={"ExperimentName": "no-" + name})[0] == "ResourceNotFound"
    sagemaker.create_training_job(**request, ExperimentConfig={"ExperimentName": name, "TrialName": trial, "TrialComponentDisplayName": "Training"})
    job = until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Completed", "Failed"))
    assert job["ExperimentConfig"]["TrialName"] == trial
    component = sagemaker.describe_trial_component(TrialComponentName=name + "-aws-training-job")
    assert component["Source"]["SourceArn"] == job["TrainingJobArn"]
    assert component["DisplayName"] == "Training" and component["Status"]["PrimaryStatus"] == "Completed"
    assert component["Parameters"]["enc_dim"] == {"NumberValue": 16}
    assert component["OutputArtifacts"]["SageMaker.ModelArtifact"]["Value"] == job["ModelArtifacts"]["S3ModelArtifacts"]
    assert {one["MetricName"] for one in component["Metrics"]} == {one["MetricName"] for one in job["FinalMetricDataList"]}
    listed = sagemaker.list_trial_components(TrialName=trial)["TrialComponentSummaries"]
    assert [one["TrialComponentName"] for one in listed] == [name + "-aws-training-job"]
    found = sagemaker.search(Resource="ExperimentTrialComponent", SearchExpression={"Filters": [
        {"Name": "Source.SourceArn", "Value": job["TrainingJobArn"]}]})["Results"][0]["TrialComponent"]
    assert found["SourceDetail"]["TrainingJob"]["TrainingJobName"] == name
