"""Tuning jobs: really searched, limited, stopped early, warm-started, continued after a kill; and what is refused."""

import time

import pytest
from botocore.exceptions import ClientError

import ratings

METRIC = "validation:mean_squared_error"
RANGES = {
    "ContinuousParameterRanges": [
        {"Name": "learning_rate", "MinValue": "0.0005", "MaxValue": "0.05", "ScalingType": "Logarithmic"}],
    "IntegerParameterRanges": [{"Name": "enc_dim", "MinValue": "4", "MaxValue": "32"}],
    "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["adam", "adagrad"]}]}
TUNED = {"learning_rate", "enc_dim", "optimizer"}


def definition(bucket, **changes):
    """A training job definition; keyword arguments change static hyperparameters, None takes them out."""
    job = ratings.training_job("x", bucket, **{"epochs": 2, **changes})
    fixed = {name: value for name, value in job["HyperParameters"].items() if name not in TUNED and value != "None"}
    return dict(
        AlgorithmSpecification=job["AlgorithmSpecification"], RoleArn=job["RoleArn"], StaticHyperParameters=fixed,
        InputDataConfig=job["InputDataConfig"], OutputDataConfig=job["OutputDataConfig"],
        HyperParameterTuningResourceConfig=job["ResourceConfig"], StoppingCondition=job["StoppingCondition"])


def tuning_job(name, bucket, jobs=4, parallel=2, strategy="Random", metric=METRIC, static=None, config=None, **members):
    return dict(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig={
            "Strategy": strategy, "RandomSeed": 7,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": metric},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel},
            "ParameterRanges": RANGES, **(config or {})},
        TrainingJobDefinition=definition(bucket, **(static or {})), **members)


def wait(sagemaker, name, states=("Completed", "Failed", "Stopped"), seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        if job["HyperParameterTuningJobStatus"] in states:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


def run(sagemaker, **request):
    sagemaker.create_hyper_parameter_tuning_job(**request)
    return wait(sagemaker, request["HyperParameterTuningJobName"])


def children(sagemaker, name, **options):
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=name, PaginationConfig={"PageSize": 3}, **options)
    return [job for page in pages for job in page["TrainingJobSummaries"]]


def objective(job):
    return job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]


@pytest.fixture
def data(endpoint, s3_bucket):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    return s3_bucket


def test_a_search_is_done_and_everything_about_it_can_be_read(endpoint, sagemaker, data, name):
    arn = sagemaker.create_hyper_parameter_tuning_job(
        **tuning_job(name, data, Tags=[{"Key": "team", "Value": "books"}]))["HyperParameterTuningJobArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/{name}"
    job = wait(sagemaker, name)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert job["TrainingJobStatusCounters"] == {
        "Completed": 4, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0}
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    assert job["CreationTime"] <= job["HyperParameterTuningEndTime"]
    shown = job["TrainingJobDefinition"]
    assert shown["StaticHyperParameters"]["_tuning_objective_metric"] == METRIC
    assert METRIC in {metric["Name"] for metric in shown["AlgorithmSpecification"]["MetricDefinitions"]}
    assert shown["ResourceConfig"]["InstanceType"] == "ml.m5.xlarge"

    jobs = children(sagemaker, name)
    assert len(jobs) == 4 and all(set(one["TunedHyperParameters"]) == TUNED for one in jobs)
    assert len({one["TunedHyperParameters"]["learning_rate"] for one in jobs}) == 4
    by_value = children(sagemaker, name, SortBy="FinalObjectiveMetricValue", SortOrder="Ascending")
    assert [objective(one) for one in by_value] == sorted(objective(one) for one in jobs)
    assert job["BestTrainingJob"]["TrainingJobName"] == by_value[0]["TrainingJobName"]
    by_name = children(sagemaker, name, SortBy="Name", SortOrder="Ascending", StatusEquals="Completed")
    assert [one["TrainingJobName"][:len(name) + 5] for one in by_name] == [f"{name}-00{number}-" for number in (1, 2, 3, 4)]

    best = sagemaker.describe_training_job(TrainingJobName=by_value[0]["TrainingJobName"])
    assert best["TuningJobArn"] == arn and best["TrainingJobStatus"] == "Completed"
    assert best["HyperParameters"]["learning_rate"] == by_value[0]["TunedHyperParameters"]["learning_rate"]
    assert best["HyperParameters"]["_tuning_objective_metric"] == METRIC and best["HyperParameters"]["mlp_dim"] == "16"
    assert {metric["MetricName"]: metric["Value"] for metric in best["FinalMetricDataList"]}[METRIC] == pytest.approx(
        objective(by_value[0]))
    tags = sagemaker.list_tags(ResourceArn=best["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "books"}]
    listed = sagemaker.list_hyper_parameter_tuning_jobs(NameContains=name)["HyperParameterTuningJobSummaries"]
    assert [(one["HyperParameterTuningJobName"], one["Strategy"]) for one in listed] == [(name, "Random")]

    s3 = endpoint.client("s3")
    page = s3.get_object(Bucket=data, Key=f"output/{name}/report/report.html")["Body"].read().decode()
    assert by_value[0]["TrainingJobName"] in page and page.count("<svg") >= 5 and "learning_rate" in page
    rows = s3.get_object(Bucket=data, Key=f"output/{name}/report/jobs.csv")["Body"].read().decode().splitlines()
    assert rows[0].startswith("job,status,objective,learning_rate,enc_dim,optimizer") and len(rows) == 5

    with pytest.raises(ClientError) as error:
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert error.value.response["Error"]["Code"] == "ValidationException"
    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    with pytest.raises(ClientError) as error:
        sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert error.value.response["Error"]["Code"] == "ResourceNotFound"
    assert sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])


def test_a_grid_is_walked_and_a_metric_of_the_users_is_measured(sagemaker, data, name):
    request = tuning_job(name, data, jobs=9, parallel=1, strategy="Grid", metric="mae", config={
        "ParameterRanges": {"CategoricalParameterRanges": [
            {"Name": "optimizer", "Values": ["adam", "sgd"]}, {"Name": "enc_dim", "Values": ["4", "8"]}]}})
    request["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "mae", "Regex": r"'mean_absolute_error', (\S+)\)"}]
    job = run(sagemaker, **request)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job
    tried = [(one["TunedHyperParameters"]["optimizer"], one["TunedHyperParameters"]["enc_dim"])
             for one in children(sagemaker, name, SortBy="Name", SortOrder="Ascending")]
    assert tried == [("adam", "4"), ("adam", "8"), ("sgd", "4"), ("sgd", "8")]
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["MetricName"] == "mae"


def test_several_definitions_and_a_warm_start(sagemaker, data, name):
    request = tuning_job(name, data, strategy="Bayesian")
    one = request.pop("TrainingJobDefinition")
    two = definition(data, mlp_layers=0)
    goal = request["HyperParameterTuningJobConfig"].pop("HyperParameterTuningJobObjective")
    ranges = request["HyperParameterTuningJobConfig"].pop("ParameterRanges")
    request["TrainingJobDefinitions"] = [
        {"DefinitionName": key, "TuningObjective": goal, "HyperParameterRanges": ranges, **value}
        for key, value in (("deep", one), ("shallow", two))]
    job = run(sagemaker, **request)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job
    names = [one["TrainingJobDefinitionName"] for one in children(sagemaker, name)]
    assert sorted(names) == ["deep", "deep", "shallow", "shallow"]
    parent = name + "p"
    run(sagemaker, **tuning_job(parent, data, jobs=5, strategy="Bayesian"))
    best = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=parent)["BestTrainingJob"]
    for kind in ("IdenticalDataAndAlgorithm", "TransferLearning"):
        child = name + kind[0].lower()
        start = {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": parent}], "WarmStartType": kind}
        job = run(sagemaker, **tuning_job(child, data, jobs=1, parallel=1, strategy="Bayesian", WarmStartConfig=start))
        assert job["HyperParameterTuningJobStatus"] == "Completed", job
        overall = job["OverallBestTrainingJob"]
        if kind == "IdenticalDataAndAlgorithm":
            assert objective(overall) == min(objective(best), objective(job["BestTrainingJob"]))
        else:
            assert overall == job["BestTrainingJob"]


def test_criteria_and_stops_end_a_search(sagemaker, data, name):
    reached = run(sagemaker, **tuning_job(name + "a", data, jobs=50, config={
        "TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 100}}))
    assert reached["HyperParameterTuningJobStatus"] == "Completed"
    assert sum(reached["TrainingJobStatusCounters"].values()) <= 3
    idle = run(sagemaker, **tuning_job(name + "b", data, jobs=50, parallel=1, config={
        "TuningJobCompletionCriteria": {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}}))
    assert idle["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] == 3
    request = tuning_job(name + "c", data, jobs=10)
    request["TrainingJobDefinition"]["StaticHyperParameters"] |= {"epochs": "100", "mini_batch_size": "1", "mlp_dim": "2048"}
    sagemaker.create_hyper_parameter_tuning_job(**request)
    while not children(sagemaker, name + "c", StatusEquals="InProgress"):
        time.sleep(0.05)
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name + "c")
    job = wait(sagemaker, name + "c")
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert job["TrainingJobStatusCounters"]["InProgress"] == 0 and job["TrainingJobStatusCounters"]["Completed"] == 0


def test_what_learns_too_slowly_is_stopped(sagemaker, data, name):
    """Jobs with a useless learning rate run for 100 slow epochs unless they are stopped."""
    static = dict(epochs=100, early_stopping_patience=1, mini_batch_size=2, mlp_dim=512)
    ranges = {"CategoricalParameterRanges": [
        {"Name": "learning_rate", "Values": ["0.001", "0.0012", "0.0014", "0.000001", "0.0000011"]}]}
    for strategy, extra in (("Grid", {"TrainingJobEarlyStoppingType": "Auto"}), ("Hyperband", {
            "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 2, "MaxResource": 20}}})):
        request = tuning_job(name + strategy[0].lower(), data, jobs=5, parallel=1, strategy=strategy, static=static,
                             config={"ParameterRanges": ranges, **extra})
        request["TrainingJobDefinition"]["StaticHyperParameters"] |= {"enc_dim": "64", "early_stopping_tolerance": "0.000001"}
        job = run(sagemaker, **request)
        assert job["HyperParameterTuningJobStatus"] == "Completed", job
        stopped = [one["TunedHyperParameters"]["learning_rate"]
                   for one in children(sagemaker, name + strategy[0].lower(), StatusEquals="Stopped")]
        assert stopped, strategy
        if strategy == "Grid":
            assert set(stopped) == {"0.000001", "0.0000011"}
        assert job["ObjectiveStatusCounters"]["Succeeded"] == 5


def test_a_search_in_which_nothing_succeeds_gives_up(sagemaker, data, name):
    request = tuning_job(name, data, jobs=20)
    request["TrainingJobDefinition"]["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{data}/nothing"
    job = run(sagemaker, **request)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No training job succeeded after 5 attempts.")
    assert "BestTrainingJob" not in job
    assert all("Data download failed" in one["FailureReason"] for one in children(sagemaker, name, StatusEquals="Failed"))


def test_a_killed_server_ends_the_search_as_if_nothing_had_happened(fresh_server):
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    ratings.upload(s3, "bucket")
    request = dict(jobs=8, parallel=1, strategy="Bayesian", static={"mini_batch_size": 8})
    run(sagemaker, **tuning_job("whole", "bucket", **request))

    def story(name):
        return [(one["TunedHyperParameters"], objective(one), one["TrainingJobStatus"])
                for one in children(sagemaker, name, SortBy="Name", SortOrder="Ascending")]

    sagemaker.create_hyper_parameter_tuning_job(**tuning_job("broken", "bucket", **request))
    for done in (1, 3, 6):
        deadline = time.monotonic() + 60
        while True:
            counters = sagemaker.describe_hyper_parameter_tuning_job(
                HyperParameterTuningJobName="broken")["TrainingJobStatusCounters"]
            if counters["Completed"] >= done:
                break
            assert time.monotonic() < deadline
            time.sleep(0.01)
        fresh_server.kill()
        fresh_server.start()
        sagemaker = fresh_server.client("sagemaker")
    assert wait(sagemaker, "broken")["HyperParameterTuningJobStatus"] == "Completed"
    assert story("broken") == story("whole")


def refused(sagemaker, request, code="ValidationException"):
    with pytest.raises(ClientError) as error:
        sagemaker.create_hyper_parameter_tuning_job(**request)
    assert error.value.response["Error"]["Code"] == code
    return error.value.response["Error"]["Message"]


def test_contradictions_are_refused(sagemaker, data, name):
    def changed(change):
        request = tuning_job(name, data)
        change(request, request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"])
        return request

    def ranges(**one):
        range_ = {"Name": "learning_rate", "MinValue": "0.1", "MaxValue": "0.2", **one}
        return changed(lambda r, c, d: c.update(ParameterRanges={"ContinuousParameterRanges": [range_]}))

    both = changed(lambda r, c, d: d["StaticHyperParameters"].update(enc_dim="8"))
    assert "static or tuned, not both" in (message := refused(sagemaker, both)) and "enc_dim" in message
    assert "minimum 0.3 is larger than its maximum 0.2" in refused(sagemaker, ranges(MinValue="0.3"))
    assert "logarithmic scaling needs a minimum larger than 0" in refused(
        sagemaker, ranges(MinValue="0", ScalingType="Logarithmic"))
    assert "'x', of the parameter 'learning_rate', is not a number" in refused(sagemaker, ranges(MaxValue="x"))
    message = refused(sagemaker, tuning_job(name, data, metric="validation:f1"))
    assert "does not emit the metric 'validation:f1'" in message and METRIC in message
    assert "MaxParallelTrainingJobs: 5 training jobs at once are more" in refused(
        sagemaker, tuning_job(name, data, jobs=4, parallel=5))
    assert "1000" in refused(sagemaker, tuning_job(name, data, jobs=5000), "ResourceLimitExceeded")
    assert "categorical or whole numbers" in refused(sagemaker, tuning_job(name, data, strategy="Grid"))
    assert "MaxResource" in refused(sagemaker, changed(
        lambda r, c, d: (c.update(Strategy="Hyperband"), d["StaticHyperParameters"].pop("epochs"))))
    assert "Hyperband stops training jobs by itself" in refused(sagemaker, changed(
        lambda r, c, d: c.update(Strategy="Hyperband", TrainingJobEarlyStoppingType="Auto")))
    assert "MaxNumberOfTrainingJobs, MaxRuntimeInSeconds or" in refused(sagemaker, changed(
        lambda r, c, d: c["ResourceLimits"].pop("MaxNumberOfTrainingJobs")))
    assert "either TrainingJobDefinition or" in refused(sagemaker, changed(lambda r, c, d: r.pop("TrainingJobDefinition")))
    assert "MetricDefinitions: an image of your own" in refused(sagemaker, changed(
        lambda r, c, d: d["AlgorithmSpecification"].update(TrainingImage="me/mine:1")))
    assert "'VpcConfig' is not supported" in refused(sagemaker, changed(
        lambda r, c, d: d.update(VpcConfig={"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]})))
    start = {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "nobody"}],
             "WarmStartType": "TransferLearning"}
    assert "nobody" in refused(sagemaker, tuning_job(name, data, WarmStartConfig=start), "ResourceNotFound")
    request = tuning_job(name, data, jobs=1, parallel=1)
    run(sagemaker, **request)
    assert "already exists" in refused(sagemaker, request, "ResourceInUse")
