"""Lineage: what clients record, and the chain that the server records by itself."""

import os
import subprocess

import pytest
from botocore.exceptions import ClientError

import ratings
from conftest import BINARY, ROLE, until
from test_processing_job import processing_job


def refused(call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_entities_are_made_changed_listed_and_deleted(sagemaker, name):
    source = {"SourceUri": f"s3://b/{name}", "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "e"}]}
    arn = sagemaker.create_artifact(ArtifactName="data", Source=source, ArtifactType="DataSet", Properties={"rows": "7"})["ArtifactArn"]
    assert "already exists" in refused(sagemaker.create_artifact, Source=source, ArtifactType="DataSet")[1]
    sagemaker.update_artifact(ArtifactArn=arn, Properties={"more": "1"}, PropertiesToRemove=["rows"], ArtifactName="renamed")
    shown = sagemaker.describe_artifact(ArtifactArn=arn)
    assert shown["Properties"] == {"more": "1"} and shown["ArtifactName"] == "renamed" and shown["Source"] == source
    assert "sagemaker-default-lineage-group" in shown["LineageGroupArn"]
    listed = sagemaker.list_artifacts(SourceUri=source["SourceUri"], ArtifactType="DataSet")["ArtifactSummaries"]
    assert [one["ArtifactArn"] for one in listed] == [arn]

    sagemaker.create_action(ActionName=name, ActionType="Training", Source={"SourceUri": "x"}, Status="InProgress")
    sagemaker.update_action(ActionName=name, Status="Completed")
    assert sagemaker.describe_action(ActionName=name)["Status"] == "Completed"
    assert name in [one["ActionName"] for one in sagemaker.list_actions(ActionType="Training")["ActionSummaries"]]
    sagemaker.create_context(ContextName=name, ContextType="Project", Source={"SourceUri": "y"})
    sagemaker.update_context(ContextName=name, Description="d")
    assert sagemaker.describe_context(ContextName=name)["Description"] == "d"
    assert name in [one["ContextName"] for one in sagemaker.list_contexts(ContextType="Project")["ContextSummaries"]]

    sagemaker.delete_artifact(Source=source)
    sagemaker.delete_action(ActionName=name)
    sagemaker.delete_context(ContextName=name)
    for call, key, value in ((sagemaker.describe_artifact, "ArtifactArn", arn), (sagemaker.describe_action, "ActionName", name),
                             (sagemaker.describe_context, "ContextName", name)):
        assert refused(call, **{key: value})[0] == "ResourceNotFound"


@pytest.fixture
def diamond(sagemaker, name):
    """a → b, a → c, b → d, c → d as artifact, actions and context."""
    arns = {"a": sagemaker.create_artifact(Source={"SourceUri": f"s3://b/{name}"}, ArtifactType="DataSet", Properties={"k": "v"})["ArtifactArn"],
            "b": sagemaker.create_action(ActionName=name + "-b", ActionType="Train", Source={"SourceUri": "x"})["ActionArn"],
            "c": sagemaker.create_action(ActionName=name + "-c", ActionType="Check", Source={"SourceUri": "x"})["ActionArn"],
            "d": sagemaker.create_context(ContextName=name + "-d", ContextType="Endpoint", Source={"SourceUri": "x"})["ContextArn"]}
    for source, destination in ("ab", "ac", "bd", "cd"):
        sagemaker.add_association(SourceArn=arns[source], DestinationArn=arns[destination], AssociationType="ContributedTo")
    return arns


def test_lineage_is_queried_in_both_directions(sagemaker, diamond):
    letters = {arn: letter for letter, arn in diamond.items()}

    def query(start, **request):
        answer = sagemaker.query_lineage(StartArns=[diamond[start]], **request)
        return "".join(sorted(letters[one["Arn"]] for one in answer["Vertices"])), len(answer.get("Edges", []))

    assert query("d", Direction="Ascendants", IncludeEdges=True) == ("abc", 4)
    assert query("a", Direction="Descendants", IncludeEdges=True) == ("bcd", 4)
    assert query("b", Direction="Both", IncludeEdges=True) == ("ad", 2)
    assert query("d", Direction="Ascendants", MaxDepth=1, IncludeEdges=False) == ("bc", 0)
    assert query("d", Direction="Ascendants", Filters={"LineageTypes": ["Artifact"]})[0] == "a"
    assert query("d", Direction="Ascendants", Filters={"Types": ["Check"]})[0] == "c"
    assert query("d", Direction="Ascendants", Filters={"Properties": {"k": "v"}})[0] == "a"
    first = sagemaker.query_lineage(StartArns=[diamond["d"]], Direction="Ascendants", MaxResults=2)
    rest = sagemaker.query_lineage(StartArns=[diamond["d"]], Direction="Ascendants", MaxResults=2, NextToken=first["NextToken"])
    assert len(first["Vertices"]) == 2 and len(rest["Vertices"]) == 1
    assert refused(sagemaker.query_lineage, StartArns=[diamond["a"] + "0"])[0] == "ResourceNotFound"


def test_associations_are_listed_and_hold_their_ends(sagemaker, diamond):
    listed = sagemaker.list_associations(DestinationArn=diamond["d"], SortBy="SourceArn", SortOrder="Ascending")["AssociationSummaries"]
    assert [one["SourceArn"] for one in listed] == [diamond["b"], diamond["c"]]
    assert {one["SourceType"] for one in listed} == {"Train", "Check"} and listed[0]["DestinationType"] == "Endpoint"
    assert len(sagemaker.list_associations(SourceArn=diamond["a"], DestinationType="Train")["AssociationSummaries"]) == 1
    assert "already exists" in refused(sagemaker.add_association, SourceArn=diamond["a"], DestinationArn=diamond["b"])[1]
    assert "associations first" in refused(sagemaker.delete_artifact, ArtifactArn=diamond["a"])[1]
    sagemaker.delete_association(SourceArn=diamond["a"], DestinationArn=diamond["b"])
    assert refused(sagemaker.delete_association, SourceArn=diamond["a"], DestinationArn=diamond["b"])[0] == "ResourceNotFound"


def test_the_chain_from_endpoint_to_raw_data_needs_no_call(endpoint, sagemaker, s3_bucket, name, tmp_path):
    ratings.upload(endpoint.client("s3"), s3_bucket)
    sagemaker.create_training_job(**ratings.training_job(name, s3_bucket, epochs=1))
    job = until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Completed", "Failed"))
    assert not [key for key in job if key.startswith("_")]
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": ratings.IMAGE, "ModelDataUrl": uri})
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "v", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    arn = sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)["EndpointArn"]
    context = sagemaker.list_contexts(SourceUri=arn)["ContextSummaries"][0]["ContextArn"]
    answer = sagemaker.query_lineage(StartArns=[context], Direction="Ascendants", IncludeEdges=True)
    kinds = sorted(one["Type"] for one in answer["Vertices"])
    assert kinds == ["DataSet", "DataSet", "DataSet", "EndpointConfig", "Image", "Model", "SageMakerModel", "SageMakerTrainingJob"]
    model = next(one["Arn"] for one in answer["Vertices"] if one["Type"] == "Model")
    shown = sagemaker.describe_artifact(ArtifactArn=model)
    assert shown["Source"]["SourceUri"] == uri
    etag = endpoint.client("s3").head_object(Bucket=s3_bucket, Key=uri.split("/", 3)[3])["ETag"].strip('"')
    assert shown["Properties"]["ContentHash"] == etag
    until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService", "Failed"))

    picture = tmp_path / "lineage.svg"
    printed = subprocess.run([BINARY, "trace", name, "--svg", str(picture), "--data-dir", str(endpoint.data_dir)],
                             check=True, capture_output=True, text=True, env={**os.environ}).stdout
    assert printed.startswith(f"Endpoint  {name}\n└─ EndpointConfig  {name}")
    assert f"TrainingJob  {name}  [Completed]" in printed and f"s3://{s3_bucket}/data/train" in printed
    assert picture.read_text().count("<rect x=") == 9
    board = subprocess.run([BINARY, "leaderboard", "--metric", "validation:mean_squared_error", "--filter", f"TrainingJobName={name}",
                            "--format", "csv", "--data-dir", str(endpoint.data_dir)], check=True, capture_output=True, text=True).stdout
    assert board.splitlines()[0] == "rank,training_job,validation:mean_squared_error"
    assert board.splitlines()[1].startswith(f"1,{name},")
    sagemaker.delete_endpoint(EndpointName=name)


def test_what_lies_at_a_place_later_is_another_artifact(endpoint, sagemaker, s3_bucket, name):
    s3 = endpoint.client("s3")
    ratings.upload(s3, s3_bucket)
    for run in "ab":
        sagemaker.create_training_job(**ratings.training_job(f"{name}-{run}", s3_bucket, channels=("train",), epochs=1))
        until(lambda: sagemaker.describe_training_job(TrainingJobName=f"{name}-{run}"), ("Completed", "Failed"))
        s3.put_object(Bucket=s3_bucket, Key="data/train/more.jsonl", Body=b'{"in0": [1], "in1": [2], "label": 3}\n')
    found = sagemaker.list_artifacts(SourceUri=f"s3://{s3_bucket}/data/train")["ArtifactSummaries"]
    assert len(found) == 2
    for run, count in (("a", "1"), ("b", "2")):
        component = f"arn:aws:sagemaker:us-east-1:123456789012:experiment-trial-component/{name}-{run}-aws-training-job"
        sources = [one["SourceArn"] for one in sagemaker.list_associations(DestinationArn=component, SourceType="DataSet")["AssociationSummaries"]]
        assert [sagemaker.describe_artifact(ArtifactArn=arn)["Properties"]["Objects"] for arn in sources] == [count]


@pytest.mark.parametrize("place, between", [("", []), ("/", []), ("/kept.json", ["DataSet"])])
def test_a_job_comes_from_the_job_that_wrote_its_data(endpoint, sagemaker, s3_bucket, name, place, between):
    """Whether the folder is named with its slash or without, or a part of it is read."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=s3_bucket, Key="code/prepare.sql", Body=b"""
        COPY (SELECT arrow_cast(user_id, 'Int64') AS label FROM ratings) TO '/opt/ml/processing/output/out/kept.json' STORED AS JSON;""")
    s3.put_object(Bucket=s3_bucket, Key="ratings/ratings.csv", Body=b"user_id\n1\n2\n")
    sagemaker.create_processing_job(**processing_job(name, s3_bucket))
    job = until(lambda: sagemaker.describe_processing_job(ProcessingJobName=name), ("Completed", "Failed"))
    assert job["ProcessingJobStatus"] == "Completed", job
    request = ratings.training_job(name, s3_bucket, channels=("train",), epochs=1)
    request["InputDataConfig"] = [ratings.channel(s3_bucket, "train", f"out/{name}{place}")]
    sagemaker.create_training_job(**request)
    # What it learns from this is of no matter here: what it has read is recorded either way.
    until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Completed", "Failed"))
    component = f"arn:aws:sagemaker:us-east-1:123456789012:experiment-trial-component/{name}-aws-training-job"
    answer = sagemaker.query_lineage(StartArns=[component], Direction="Ascendants")
    kinds = sorted(one["Type"] for one in answer["Vertices"])
    assert kinds == sorted(["Image", "Image", "DataSet", "SageMakerProcessingJob", "Code", "DataSet"] + between)
