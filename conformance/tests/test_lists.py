"""Lists of models and endpoint configurations: filters, order and pages."""

import time

import ratings
from conftest import ROLE


def test_models_and_configurations_filter_sort_and_page(sagemaker, name):
    names = [f"{name}-{letter}" for letter in "bca"]
    for number, one in enumerate(names):
        sagemaker.create_model(ModelName=one, ExecutionRoleArn=ROLE, PrimaryContainer={
            "Image": ratings.IMAGE, "ModelDataUrl": "s3://somewhere/model.tar.gz"})
        sagemaker.create_endpoint_config(EndpointConfigName=one, ProductionVariants=[
            {"VariantName": "v", "ModelName": one, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
        time.sleep(0.01)
    for operation, summaries, member, describe in [
        ("list_models", "Models", "ModelName", lambda one: sagemaker.describe_model(ModelName=one)),
        ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName",
         lambda one: sagemaker.describe_endpoint_config(EndpointConfigName=one)),
    ]:
        def listed(**filters):
            pages = sagemaker.get_paginator(operation).paginate(
                NameContains=name, PaginationConfig={"PageSize": 2}, **filters)
            return [entry[member] for page in pages for entry in page[summaries]]
        assert listed() == names[::-1], "the newest first"
        assert listed(SortOrder="Ascending") == names
        assert listed(SortBy="Name", SortOrder="Ascending") == sorted(names)
        assert listed(SortBy="Name", SortOrder="Descending") == sorted(names)[::-1]
        middle = describe(names[1])["CreationTime"]
        assert listed(CreationTimeAfter=middle) == [names[2]]
        assert listed(CreationTimeBefore=middle) == [names[0]]
        assert getattr(sagemaker, operation)(NameContains=name + "x")[summaries] == []
