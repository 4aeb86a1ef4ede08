"""The model registry: versions of a group, their approval, and a model made from one."""

import pytest
from botocore.exceptions import ClientError

import ratings

SPECIFICATION = {"Containers": [{"Image": ratings.IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz"}],
                 "SupportedContentTypes": ["application/json"], "SupportedResponseMIMETypes": ["application/json"]}


def refused(call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


@pytest.fixture
def group(sagemaker, name):
    sagemaker.create_model_package_group(ModelPackageGroupName=name, ModelPackageGroupDescription="books")
    return name


def register(sagemaker, group, **members):
    return sagemaker.create_model_package(ModelPackageGroupName=group, InferenceSpecification=SPECIFICATION, **members)["ModelPackageArn"]


def test_versions_are_counted_and_approved(sagemaker, group):
    arns = [register(sagemaker, group) for _ in range(3)]
    assert arns[0] == f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{group}/1"
    sagemaker.update_model_package(ModelPackageArn=arns[1], ModelApprovalStatus="Approved", ApprovalDescription="good",
                                   CustomerMetadataProperties={"team": "books"})
    shown = sagemaker.describe_model_package(ModelPackageName=arns[1])
    assert (shown["ModelPackageVersion"], shown["ModelApprovalStatus"], shown["ModelPackageGroupName"]) == (2, "Approved", group)
    assert shown["InferenceSpecification"]["Containers"] == SPECIFICATION["Containers"]
    assert shown["CustomerMetadataProperties"] == {"team": "books"} and "ClientToken" not in shown

    def versions(**request):
        pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group, PaginationConfig={"PageSize": 2}, **request)
        return [one["ModelPackageVersion"] for page in pages for one in page["ModelPackageSummaryList"]]

    assert versions() == [3, 2, 1]
    assert versions(SortOrder="Ascending", SortBy="CreationTime") == [1, 2, 3]
    assert versions(ModelApprovalStatus="Approved") == [2]
    batch = sagemaker.batch_describe_model_package(ModelPackageArnList=[arns[0], arns[0][:-1] + "9"])
    assert list(batch["ModelPackageSummaries"]) == [arns[0]] and list(batch["BatchDescribeModelPackageErrorMap"]) == [arns[0][:-1] + "9"]
    hits = sagemaker.search(Resource="ModelPackage", SearchExpression={"Filters": [{"Name": "ModelPackageGroupName", "Value": group}]})["Results"]
    assert len(hits) == 3

    sagemaker.delete_model_package(ModelPackageName=arns[2])
    assert register(sagemaker, group).endswith("/4"), "a number is not given out again"
    assert refused(sagemaker.delete_model_package_group, ModelPackageGroupName=group)[0] == "ConflictException"
    for version in (1, 2, 4):
        sagemaker.delete_model_package(ModelPackageName=f"{arns[0][:-1]}{version}")
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    assert "does not exist" in refused(sagemaker.describe_model_package_group, ModelPackageGroupName=group)[1]


def test_a_repeated_request_makes_one_version(sagemaker, group, name):
    first = register(sagemaker, group, ClientToken=name)
    assert register(sagemaker, group, ClientToken=name) == first


def test_groups_are_listed_and_carry_a_policy(sagemaker, group):
    names = [one["ModelPackageGroupName"] for one in sagemaker.list_model_package_groups(NameContains=group)["ModelPackageGroupSummaryList"]]
    assert names == [group]
    assert "already exists" in refused(sagemaker.create_model_package_group, ModelPackageGroupName=group)[1]
    policy = '{"Version": "2012-10-17", "Statement": []}'
    sagemaker.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy=policy)
    assert sagemaker.get_model_package_group_policy(ModelPackageGroupName=group)["ResourcePolicy"] == policy
    sagemaker.delete_model_package_group_policy(ModelPackageGroupName=group)
    assert refused(sagemaker.get_model_package_group_policy, ModelPackageGroupName=group)[0] == "ValidationException"
    assert "JSON" in refused(sagemaker.put_model_package_group_policy, ModelPackageGroupName=group, ResourcePolicy="no")[1]


def test_a_model_is_made_from_a_package(sagemaker, group, name):
    arn = register(sagemaker, group)
    role = "arn:aws:iam::123456789012:role/r"
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, Containers=[{"ModelPackageName": arn}])
    container = sagemaker.describe_model(ModelName=name)["Containers"][0]
    assert container["ModelPackageName"] == arn and container["ModelDataUrl"] == "s3://bucket/model.tar.gz"
    sagemaker.delete_model_package(ModelPackageName=arn)
    assert sagemaker.describe_model(ModelName=name)["Containers"][0]["Image"] == ratings.IMAGE
    assert "does not exist" in refused(sagemaker.create_model, ModelName="x" + name, ExecutionRoleArn=role, Containers=[{"ModelPackageName": arn}])[1]


def test_packages_without_a_group(sagemaker, name):
    arn = sagemaker.create_model_package(ModelPackageName=name, InferenceSpecification=SPECIFICATION)["ModelPackageArn"]
    listed = [one["ModelPackageArn"] for one in sagemaker.list_model_packages(NameContains=name)["ModelPackageSummaryList"]]
    assert listed == [arn]
    assert sagemaker.list_model_packages(NameContains=name, ModelPackageType="Versioned")["ModelPackageSummaryList"] == []
    assert "Give either" in refused(sagemaker.create_model_package, InferenceSpecification=SPECIFICATION)[1]
