"""STS and IAM: temporary credentials, users, keys, roles, policies, simulations."""

import base64
import hashlib
import hmac
import json
import time
import urllib.request

import pytest
from botocore.exceptions import ClientError

EXECUTION_ROLE = "arn:aws:iam::123456789012:role/SagebrushExecutionRole"


def code(call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    return error.value.response["Error"]["Code"]


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(principal):
    return document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def session(credentials):
    return {"access_key": credentials["AccessKeyId"], "secret_key": credentials["SecretAccessKey"],
            "token": credentials["SessionToken"]}


def expired_session(server, parent=None):
    """Credentials of a session that ended a second ago, sealed with the server's own key."""
    key = bytes.fromhex((server.data_dir / "access" / "session-key").read_text())
    encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    identifier, now = "ASIAEXPIREDEXPIRED00", int(time.time())
    text = json.dumps({"k": identifier, "p": parent or server.access_key, "i": now - 901, "e": now - 1}).encode()
    mark = hmac.new(key, b"token:" + text, hashlib.sha256).digest()
    secret = hmac.new(key, b"secret:" + identifier.encode(), hashlib.sha256).digest()[:30]
    return {"access_key": identifier, "secret_key": encode(secret), "token": f"SGB1.{encode(text)}.{encode(mark)}"}


def test_the_execution_role_is_found_as_the_sdks_look_for_it(endpoint):
    identity = endpoint.client("sts").get_caller_identity()
    role = identity["Arn"].split("/")[-2]
    found = endpoint.client("iam").get_role(RoleName=role)["Role"]
    assert found["Arn"] == EXECUTION_ROLE
    services = found["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
    assert services == "sagemaker.amazonaws.com"
    actions = ["sagemaker:CreateTrainingJob", "s3:PutObject", "logs:CreateLogGroup"]
    pages = endpoint.client("iam").get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=EXECUTION_ROLE, ActionNames=actions, PaginationConfig={"PageSize": 2})
    results = [result for page in pages for result in page["EvaluationResults"]]
    assert [(result["EvalActionName"], result["EvalDecision"]) for result in results] == [
        (action, "allowed") for action in actions]


def test_a_role_that_nobody_made_cannot_be_verified_and_jobs_take_it(endpoint, name):
    iam = endpoint.client("iam")
    assert code(iam.get_role, RoleName=name) == "NoSuchEntity"
    arn = f"arn:aws:iam::123456789012:role/{name}"
    assert code(iam.simulate_principal_policy, PolicySourceArn=arn, ActionNames=["s3:GetObject"]) == "AccessDenied"
    assert code(iam.get_role, RoleName=name) == "AccessDenied"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"Service": "sagemaker.amazonaws.com"}))
    assert iam.get_role(RoleName=name)["Role"]["Arn"] == arn
    iam.delete_role(RoleName=name)


def test_get_session_token(endpoint, name):
    key = endpoint.user(name, "AmazonS3FullAccess")
    sts = endpoint.client("sts", **key)
    credentials = sts.get_session_token(DurationSeconds=900)["Credentials"]
    left = credentials["Expiration"].timestamp() - time.time()
    assert 880 < left < 920
    temporary = session(credentials)
    assert endpoint.client("sts", **temporary).get_caller_identity()["Arn"] == f"arn:aws:iam::123456789012:user/{name}"
    s3 = endpoint.client("s3", **temporary)
    bucket = f"s-{name}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for version in ("s3", "s3v4"):
        url = endpoint.client("s3", **temporary, signature_version=version).generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": "k"})
        assert urllib.request.urlopen(url).read() == b"x"
    assert code(endpoint.client("sagemaker", **temporary).list_models) == "AccessDeniedException"
    # Without its token, with a changed one, with another key's, the key is unknown.
    for token in (None, temporary["token"][:-2] + "AA", sts.get_session_token()["Credentials"]["SessionToken"]):
        bad = {**temporary, "token": token}
        assert code(endpoint.client("sagemaker", **bad).list_models) == "UnrecognizedClientException"
        assert code(endpoint.client("sts", **bad).get_caller_identity) == "InvalidClientTokenId"
        assert code(endpoint.client("s3", **bad).list_buckets) == "InvalidToken"
    assert code(endpoint.client("sts", **temporary).get_session_token) == "AccessDenied"
    assert code(sts.get_session_token, DurationSeconds=129601) == "ValidationError"
    endpoint.run("access-key", "disable", key["access_key"])
    assert code(s3.list_buckets) == "InvalidToken"


def test_an_expired_session_is_told_so(endpoint):
    expired = expired_session(endpoint)
    assert code(endpoint.client("sagemaker", **expired).list_models) == "ExpiredTokenException"
    assert code(endpoint.client("sts", **expired).get_caller_identity) == "ExpiredToken"
    assert code(endpoint.client("s3", **expired).list_buckets) == "ExpiredToken"
    assert code(endpoint.client("sagemaker-runtime", **expired).invoke_endpoint, EndpointName="x", Body=b"") == (
        "ExpiredTokenException")


def test_assume_role_and_its_session_policy_survive_a_restart(fresh_server):
    iam = fresh_server.client("iam")
    key = fresh_server.user("alice")
    role = iam.create_role(
        RoleName="reader", Path="/team/", Description="reads", MaxSessionDuration=7200,
        AssumeRolePolicyDocument=trust({"AWS": "arn:aws:iam::123456789012:user/alice"}),
        Tags=[{"Key": "team", "Value": "red"}])["Role"]
    assert role["Arn"] == "arn:aws:iam::123456789012:role/team/reader"
    iam.put_role_policy(RoleName="reader", PolicyName="read", PolicyDocument=document(
        {"Effect": "Allow", "Action": ["s3:*", "sagemaker:List*"], "Resource": "*"}))
    sts = fresh_server.client("sts", **key)
    assumed = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="work", DurationSeconds=7200, Policy=document(
        {"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}))
    assert assumed["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/reader/work"
    fresh_server.kill()
    fresh_server.start()
    temporary = session(assumed["Credentials"])
    fresh_server.client("sagemaker", **temporary).list_models()
    with pytest.raises(ClientError) as error:
        fresh_server.client("s3", **temporary).list_buckets()
    assert "because no session policy allows the s3:ListAllMyBuckets action" in str(error.value)
    sts, iam = fresh_server.client("sts", **key), fresh_server.client("iam")
    assert code(sts.assume_role, RoleArn=role["Arn"], RoleSessionName="work", DurationSeconds=7201) == "ValidationError"
    for arn in (EXECUTION_ROLE, role["Arn"].replace("reader", "other")):
        assert code(sts.assume_role, RoleArn=arn, RoleSessionName="work") == "AccessDenied"
    # A role that is made anew is another role.
    iam.delete_role_policy(RoleName="reader", PolicyName="read")
    iam.delete_role(RoleName="reader")
    iam.create_role(RoleName="reader", Path="/team/", AssumeRolePolicyDocument=trust("*"))
    assert code(fresh_server.client("sagemaker", **temporary).list_models) == "UnrecognizedClientException"


def test_users_and_keys_through_iam(endpoint, name):
    iam = endpoint.client("iam")
    user = iam.create_user(UserName=name)["User"]
    assert user["Arn"] == f"arn:aws:iam::123456789012:user/{name}" and user["UserId"].startswith("AIDA")
    assert code(iam.create_user, UserName=name) == "EntityAlreadyExists"
    key = iam.create_access_key(UserName=name)["AccessKey"]
    own = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    iam.create_access_key(UserName=name)
    assert code(iam.create_access_key, UserName=name) == "LimitExceeded"
    iam.put_user_policy(UserName=name, PolicyName="self", PolicyDocument=document(
        {"Effect": "Allow", "Action": "iam:*", "Resource": "arn:aws:iam::*:user/${aws:username}"}))
    mine = endpoint.client("iam", **own)
    assert mine.get_user()["User"]["UserName"] == name
    keys = mine.list_access_keys()["AccessKeyMetadata"]
    assert len(keys) == 2 and "SecretAccessKey" not in str(keys)
    other = next(one["AccessKeyId"] for one in keys if one["AccessKeyId"] != key["AccessKeyId"])
    mine.update_access_key(AccessKeyId=other, Status="Inactive")
    mine.delete_access_key(AccessKeyId=other)
    assert code(mine.get_user, UserName="somebody") == "AccessDenied"
    assert endpoint.client("sts").get_access_key_info(AccessKeyId=key["AccessKeyId"])["Account"] == "123456789012"
    iam.attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
    assert iam.list_attached_user_policies(UserName=name)["AttachedPolicies"] == [
        {"PolicyName": "AmazonS3ReadOnlyAccess", "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}]
    simulated = iam.simulate_principal_policy(
        PolicySourceArn=user["Arn"], ActionNames=["s3:GetObject", "s3:PutObject"],
        ResourceArns=["arn:aws:s3:::b/k"])["EvaluationResults"]
    assert [one["EvalDecision"] for one in simulated] == ["allowed", "implicitDeny"]
    assert iam.list_user_policies(UserName=name)["PolicyNames"] == ["self"]
    assert iam.get_user_policy(UserName=name, PolicyName="self")["PolicyDocument"]["Statement"][0]["Action"] == "iam:*"
    assert code(iam.put_user_policy, UserName=name, PolicyName="bad", PolicyDocument="{}") == "MalformedPolicyDocument"
    assert code(iam.get_user_policy, UserName=name, PolicyName="none") == "NoSuchEntity"
    assert code(iam.delete_user, UserName=name) == "DeleteConflict"
    mine.delete_access_key(AccessKeyId=key["AccessKeyId"])
    iam.detach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
    iam.delete_user_policy(UserName=name, PolicyName="self")
    iam.delete_user(UserName=name)
    assert code(iam.get_user, UserName=name) == "NoSuchEntity"


def test_roles_are_listed_and_the_servers_own_stays(endpoint, name):
    iam = endpoint.client("iam")
    names = sorted(f"{name}-{index}" for index in range(3))
    for role in names:
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust({"Service": "sagemaker.amazonaws.com"}))
    assert code(iam.create_role, RoleName=names[0], AssumeRolePolicyDocument=trust("*")) == "EntityAlreadyExists"
    pages = iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 2})
    found = [role["RoleName"] for page in pages for role in page["Roles"]]
    assert set(names) <= set(found) and "SagebrushExecutionRole" in found and found == sorted(found)
    iam.update_assume_role_policy(RoleName=names[0], PolicyDocument=trust("*"))
    assert iam.get_role(RoleName=names[0])["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == "*"
    iam.attach_role_policy(RoleName=names[0], PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    assert code(iam.delete_role, RoleName=names[0]) == "DeleteConflict"
    iam.detach_role_policy(RoleName=names[0], PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    for role in names:
        iam.delete_role(RoleName=role)
    assert code(iam.delete_role, RoleName="SagebrushExecutionRole") == "UnmodifiableEntity"
    assert code(iam.attach_role_policy, RoleName="SagebrushExecutionRole",
                PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess") == "UnmodifiableEntity"
    assert iam.list_attached_role_policies(RoleName="SagebrushExecutionRole")["AttachedPolicies"][0]["PolicyName"] == (
        "AdministratorAccess")
    with pytest.raises(ClientError) as error:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust("*"), PermissionsBoundary=EXECUTION_ROLE)
    assert "'PermissionsBoundary' is not supported" in str(error.value)
