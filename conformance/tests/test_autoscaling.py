"""Application Auto Scaling of production variants."""

import time

import pytest
from botocore.exceptions import ClientError

from test_endpoint import PAIR, deploy


@pytest.fixture
def scaling(endpoint):
    return endpoint.client("application-autoscaling")


def kind(name, variant="AllTraffic"):
    return dict(ServiceNamespace="sagemaker", ResourceId=f"endpoint/{name}/variant/{variant}",
                ScalableDimension="sagemaker:variant:DesiredInstanceCount")


def tracking(target, **more):
    return dict(PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
        "TargetValue": target, "PredefinedMetricSpecification": {
            "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}, **more})


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def settled(sagemaker, scaling, name, count):
    """Waits for the scaling that leads to `count` servers; returns the newest activity."""
    deadline = time.monotonic() + 40
    while True:
        description = sagemaker.describe_endpoint(EndpointName=name)
        activities = scaling.describe_scaling_activities(ServiceNamespace="sagemaker", ResourceId=kind(name)["ResourceId"])
        newest = next(iter(activities["ScalingActivities"]), {"StatusCode": "none"})
        if description["ProductionVariants"][0]["CurrentInstanceCount"] == count and newest["StatusCode"] == "Successful":
            assert description["EndpointStatus"] == "InService"
            return newest
        assert time.monotonic() < deadline, (description, newest)
        time.sleep(0.2)


def test_a_variant_grows_with_its_invocations_and_keeps_its_bounds(endpoint, sagemaker, trained, scaling, name):
    deploy(sagemaker, name, trained[0])
    runtime = endpoint.client("sagemaker-runtime")
    arn = scaling.register_scalable_target(**kind(name), MinCapacity=1, MaxCapacity=3)["ScalableTargetARN"]
    assert arn.startswith("arn:aws:application-autoscaling:us-east-1:123456789012:scalable-target/")
    policy = scaling.put_scaling_policy(PolicyName="follow", **kind(name), **tracking(20.0, ScaleOutCooldown=0, ScaleInCooldown=0))
    assert policy["Alarms"] == []
    for _ in range(45):
        runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=PAIR)
    # 45 invocations in a minute are more than two servers should have.
    activity = settled(sagemaker, scaling, name, 3)
    assert activity["Description"] == "Setting desired instance count to 3." and activity["EndTime"] >= activity["StartTime"]
    assert activity["Cause"].startswith("45 invocations in the last minute")
    # A bound below what there is holds without any load.
    assert scaling.register_scalable_target(**kind(name), MaxCapacity=2)["ScalableTargetARN"] == arn
    assert settled(sagemaker, scaling, name, 2)["Description"] == "Setting desired instance count to 2."
    target, = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[kind(name)["ResourceId"]])["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"], target["ScalableTargetARN"]) == (1, 2, arn)
    described, = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=kind(name)["ResourceId"])["ScalingPolicies"]
    assert described["PolicyARN"] == policy["PolicyARN"] and described["PolicyType"] == "TargetTrackingScaling"
    assert described["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 20.0
    # A deleted endpoint takes its targets along.
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert not scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[kind(name)["ResourceId"]])["ScalableTargets"]


def test_targets_and_policies_come_and_go(sagemaker, trained, scaling, name):
    code, message = refused(scaling.register_scalable_target, **kind(name), MinCapacity=1, MaxCapacity=2)
    assert code == "ValidationException" and "Could not find endpoint" in message
    deploy(sagemaker, name, trained[0])
    assert refused(scaling.put_scaling_policy, PolicyName="p", **kind(name), **tracking(5.0))[0] == "ObjectNotFoundException"
    assert "MaxCapacity" in refused(scaling.register_scalable_target, **kind(name), MinCapacity=1)[1]
    assert "not a range" in refused(scaling.register_scalable_target, **kind(name), MinCapacity=3, MaxCapacity=2)[1]
    assert "no production variant" in refused(scaling.register_scalable_target, **kind(name, "x"), MinCapacity=1, MaxCapacity=2)[1]
    scaling.register_scalable_target(**kind(name), MinCapacity=1, MaxCapacity=2)
    first = scaling.put_scaling_policy(PolicyName="p", **kind(name), **tracking(5.0))
    assert scaling.put_scaling_policy(PolicyName="p", **kind(name), **tracking(6.0))["PolicyARN"] == first["PolicyARN"]
    scaling.put_scaling_policy(PolicyName="q", **kind(name), **tracking(7.0))
    page = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=kind(name)["ResourceId"], MaxResults=1)
    rest = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=kind(name)["ResourceId"], NextToken=page["NextToken"])
    assert [policy["PolicyName"] for policy in page["ScalingPolicies"] + rest["ScalingPolicies"]] == ["p", "q"]
    scaling.delete_scaling_policy(PolicyName="p", **kind(name))
    assert refused(scaling.delete_scaling_policy, PolicyName="p", **kind(name))[0] == "ObjectNotFoundException"
    scaling.deregister_scalable_target(**kind(name))
    assert refused(scaling.deregister_scalable_target, **kind(name))[0] == "ObjectNotFoundException"
    sagemaker.delete_endpoint(EndpointName=name)


def test_what_is_not_scaled_here_is_refused_by_name(sagemaker, trained, scaling, name):
    table = dict(ServiceNamespace="dynamodb", ResourceId="table/t", ScalableDimension="dynamodb:table:ReadCapacityUnits")
    assert "ServiceNamespace" in refused(scaling.register_scalable_target, **table, MinCapacity=1, MaxCapacity=2)[1]
    deploy(sagemaker, name, trained[0])
    scaling.register_scalable_target(**kind(name), MinCapacity=1, MaxCapacity=2)
    step = dict(PolicyType="StepScaling", StepScalingPolicyConfiguration={"AdjustmentType": "ChangeInCapacity"})
    for policy, expected in [
        (step, "StepScaling"),
        (dict(PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 1.0, "CustomizedMetricSpecification": {"MetricName": "m", "Namespace": "n", "Statistic": "Sum"}}), "CustomizedMetricSpecification"),
        (dict(PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 1.0, "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}}), "PredefinedMetricType"),
    ]:
        code, message = refused(scaling.put_scaling_policy, PolicyName="p", **kind(name), **policy)
        assert code == "ValidationException" and expected in message
    sagemaker.delete_endpoint(EndpointName=name)
