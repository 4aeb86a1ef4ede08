"""Keys with policies: what they may do, how refusals read, and that changes hold at once."""

import json
import subprocess
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import BINARY, ROLE


def refused(call, *arguments, **parameters):
    """The error of a call that must be refused."""
    with pytest.raises(ClientError) as error:
        call(*arguments, **parameters)
    return error.value.response


def allow(*actions, resource="*", **more):
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


def test_a_key_without_policies_may_do_nothing_but_say_who_it_is(endpoint, name):
    key = endpoint.user(name)
    identity = endpoint.client("sts", **key).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::123456789012:user/{name}"
    answer = refused(endpoint.client("sagemaker", **key).list_models)
    assert answer["Error"]["Code"] == "AccessDeniedException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["Error"]["Message"] == (
        f"User: arn:aws:iam::123456789012:user/{name} is not authorized to perform: sagemaker:ListModels on "
        "resource: * because no identity-based policy allows the sagemaker:ListModels action")
    answer = refused(endpoint.client("s3", **key).list_buckets)
    assert answer["Error"]["Code"] == "AccessDenied" and answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "s3:ListAllMyBuckets" in answer["Error"]["Message"]
    answer = refused(endpoint.client("iam", **key).list_roles)
    assert answer["Error"]["Code"] == "AccessDenied" and answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    answer = refused(endpoint.client("cloudwatch", **key).list_metrics)
    assert answer["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    answer = refused(endpoint.client("logs", **key).describe_log_groups)
    assert answer["Error"]["Code"] == "AccessDeniedException"
    answer = refused(endpoint.client("sagemaker-runtime", **key).invoke_endpoint, EndpointName="x", Body=b"")
    assert answer["Error"]["Code"] == "AccessDeniedException"
    assert "arn:aws:sagemaker:us-east-1:123456789012:endpoint/x" in answer["Error"]["Message"]


def test_keys_are_disabled_enabled_and_deleted_at_once(endpoint, name):
    key = endpoint.user(name, "AmazonS3ReadOnlyAccess")
    s3 = endpoint.client("s3", **key)
    s3.list_buckets()
    endpoint.run("access-key", "disable", key["access_key"])
    assert refused(s3.list_buckets)["Error"]["Code"] == "InvalidAccessKeyId"
    endpoint.run("access-key", "enable", key["access_key"])
    s3.list_buckets()
    endpoint.run("policy", "detach", name, "AmazonS3ReadOnlyAccess")
    assert refused(s3.list_buckets)["Error"]["Code"] == "AccessDenied"
    endpoint.run("policy", "attach", name, "AmazonS3ReadOnlyAccess")
    s3.list_buckets()
    endpoint.run("access-key", "delete", key["access_key"])
    assert refused(s3.list_buckets)["Error"]["Code"] == "InvalidAccessKeyId"


def test_keys_survive_a_restart_and_no_secret_is_shown_twice(fresh_server):
    key = fresh_server.user("alice", "AdministratorAccess")
    fresh_server.kill()
    fresh_server.start()
    fresh_server.client("sagemaker", **key).list_models()
    listed = fresh_server.run("access-key", "list")
    assert key["access_key"] in listed and fresh_server.access_key in listed
    assert key["secret_key"] not in listed and key["secret_key"] not in fresh_server.log.read_text()
    for file in ("identities.json", "session-key"):
        assert (fresh_server.data_dir / "access" / file).stat().st_mode & 0o777 == 0o600


def test_the_first_key_cannot_be_locked_out(endpoint):
    done = subprocess.run([BINARY, "access-key", "disable", endpoint.access_key, "--data-dir", endpoint.data_dir],
                          capture_output=True, text=True)
    assert done.returncode == 1 and "first key" in done.stderr


def test_a_policy_that_is_not_understood_is_not_attached(endpoint, name, tmp_path):
    endpoint.user(name)
    policy = tmp_path / "bad.json"
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"Bool": {"aws:MultiFactorAuth": "true"}}}]}))
    done = subprocess.run([BINARY, "policy", "attach", name, policy, "--data-dir", endpoint.data_dir],
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert "Statement[0].Condition.Bool.aws:MultiFactorAuth: the condition key" in done.stderr
    assert endpoint.run("policy", "show", name) == ""


def test_s3_by_bucket_prefix_and_operation(endpoint, s3_bucket, name):
    admin = endpoint.client("s3")
    for key in ("in/a", "in/b", "out/a", f"home/{name}/x", "home/other/x"):
        admin.put_object(Bucket=s3_bucket, Key=key, Body=b"x")
    bucket, objects = f"arn:aws:s3:::{s3_bucket}", f"arn:aws:s3:::{s3_bucket}/"
    s3 = endpoint.client("s3", **endpoint.user(name, [
        allow("s3:GetObject", "s3:PutObject", resource=[objects + "in/*", objects + "home/${aws:username}/*"]),
        allow("s3:DeleteObject", resource=objects + "in/a"),
        allow("s3:ListBucket", resource=bucket, Condition={"StringLike": {"s3:prefix": ["in/*", "home/${aws:username}/*"]}}),
        {"Effect": "Deny", "Action": "s3:*", "Resource": objects + "in/secret*"},
    ]))
    assert s3.get_object(Bucket=s3_bucket, Key="in/a")["Body"].read() == b"x"
    s3.get_object(Bucket=s3_bucket, Key=f"home/{name}/x")
    s3.head_object(Bucket=s3_bucket, Key="in/b")
    assert refused(s3.get_object, Bucket=s3_bucket, Key="home/other/x")["Error"]["Code"] == "AccessDenied"
    assert refused(s3.head_object, Bucket=s3_bucket, Key="out/a")["ResponseMetadata"]["HTTPStatusCode"] == 403
    answer = refused(s3.put_object, Bucket=s3_bucket, Key="in/secret", Body=b"x")
    assert "with an explicit deny in an identity-based policy" in answer["Error"]["Message"]
    assert s3.list_objects_v2(Bucket=s3_bucket, Prefix="in/")["KeyCount"] == 2
    for prefix in ({}, {"Prefix": ""}, {"Prefix": "out/"}):
        assert refused(s3.list_objects_v2, Bucket=s3_bucket, **prefix)["Error"]["Code"] == "AccessDenied"
        assert refused(s3.list_objects, Bucket=s3_bucket, **prefix)["Error"]["Code"] == "AccessDenied"
    # A copy needs its source and its target.
    s3.copy_object(Bucket=s3_bucket, Key="in/c", CopySource={"Bucket": s3_bucket, "Key": "in/b"})
    assert refused(s3.copy_object, Bucket=s3_bucket, Key="in/d", CopySource={"Bucket": s3_bucket, "Key": "out/a"})
    assert refused(s3.copy_object, Bucket=s3_bucket, Key="out/d", CopySource={"Bucket": s3_bucket, "Key": "in/b"})
    # Multipart: PutObject begins and completes, AbortMultipartUpload is a permission of its own.
    upload = s3.create_multipart_upload(Bucket=s3_bucket, Key="in/m")["UploadId"]
    s3.upload_part(Bucket=s3_bucket, Key="in/m", UploadId=upload, PartNumber=1, Body=b"x")
    assert "s3:AbortMultipartUpload" in refused(
        s3.abort_multipart_upload, Bucket=s3_bucket, Key="in/m", UploadId=upload)["Error"]["Message"]
    assert "s3:ListMultipartUploadParts" in refused(
        s3.list_parts, Bucket=s3_bucket, Key="in/m", UploadId=upload)["Error"]["Message"]
    # Of many keys, each is decided alone.
    deleted = s3.delete_objects(Bucket=s3_bucket, Delete={"Objects": [{"Key": "in/a"}, {"Key": "in/b"}]})
    assert [one["Key"] for one in deleted["Deleted"]] == ["in/a"]
    assert [(one["Key"], one["Code"]) for one in deleted["Errors"]] == [("in/b", "AccessDenied")]
    keys = {one["Key"] for one in admin.list_objects_v2(Bucket=s3_bucket)["Contents"]}
    assert keys == {"in/b", "in/c", "out/a", f"home/{name}/x", "home/other/x"}


def test_presigned_urls_honour_policy_and_status(endpoint, s3_bucket, name):
    admin = endpoint.client("s3")
    admin.put_object(Bucket=s3_bucket, Key="open", Body=b"open")
    admin.put_object(Bucket=s3_bucket, Key="closed", Body=b"closed")
    key = endpoint.user(name, [allow("s3:GetObject", resource=f"arn:aws:s3:::{s3_bucket}/open")])

    def fetch(url):
        try:
            return urllib.request.urlopen(url).read()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    for version in ("s3", "s3v4"):
        s3 = endpoint.client("s3", **key, signature_version=version)
        urls = {name: s3.generate_presigned_url("get_object", Params={"Bucket": s3_bucket, "Key": name})
                for name in ("open", "closed")}
        assert fetch(urls["open"]) == b"open"
        assert fetch(urls["closed"])[0] == 403
        endpoint.run("access-key", "disable", key["access_key"])
        assert "InvalidAccessKeyId" in fetch(urls["open"])[1]
        endpoint.run("access-key", "enable", key["access_key"])


def test_resources_conditions_and_pass_role(endpoint, name):
    region = "arn:aws:sagemaker:us-east-1:123456789012:"
    key = endpoint.user(name, [
        allow("sagemaker:CreateModel", "sagemaker:DeleteModel", resource=region + "model/mine-*"),
        allow("sagemaker:ListModels", Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}}),
        allow("sagemaker:CreateEndpointConfig",
              Condition={"ForAllValues:StringLike": {"sagemaker:InstanceTypes": "ml.m5.*"},
                         "StringEquals": {"aws:RequestTag/team": "red"}}),
        allow("iam:PassRole", resource="arn:aws:iam::123456789012:role/good",
              Condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}),
        allow("sagemaker:ListEndpoints", Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}),
        allow("sagemaker:ListTrainingJobs", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"},
                                                       "Bool": {"aws:SecureTransport": "false"}}),
    ])
    sagemaker = endpoint.client("sagemaker", **key)
    container = {"Image": "382416733822.dkr.ecr.us-east-1.amazonaws.com/object2vec:1", "ModelDataUrl": "s3://b/m.tar.gz"}
    good = "arn:aws:iam::123456789012:role/good"
    mine, other = f"mine-{name}", f"other-{name}"
    answer = refused(sagemaker.create_model, ModelName=other, ExecutionRoleArn=good, PrimaryContainer=container)
    assert f"sagemaker:CreateModel on resource: {region}model/{other}" in answer["Error"]["Message"]
    answer = refused(sagemaker.create_model, ModelName=mine, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    assert answer["Error"]["Message"].startswith(
        f"User: arn:aws:iam::123456789012:user/{name} is not authorized to perform: iam:PassRole on resource: {ROLE}")
    sagemaker.create_model(ModelName=mine, ExecutionRoleArn=good, PrimaryContainer=container)
    sagemaker.list_models()
    assert refused(endpoint.client("sagemaker", **key, region="eu-west-1").list_models)
    sagemaker.list_training_jobs()
    assert refused(sagemaker.list_endpoints)

    def config(instance, team):
        return {"EndpointConfigName": mine, "Tags": [{"Key": "team", "Value": team}], "ProductionVariants": [
            {"VariantName": "v", "ModelName": mine, "InitialInstanceCount": 1, "InstanceType": instance}]}

    assert refused(sagemaker.create_endpoint_config, **config("ml.c5.large", "red"))
    assert refused(sagemaker.create_endpoint_config, **config("ml.m5.large", "blue"))
    sagemaker.create_endpoint_config(**config("ml.m5.large", "red"))
    sagemaker.delete_model(ModelName=mine)
    endpoint.client("sagemaker").delete_endpoint_config(EndpointConfigName=mine)
    assert other not in {model["ModelName"] for model in endpoint.client("sagemaker").list_models()["Models"]}
