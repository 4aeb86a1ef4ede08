"""The audit log: every request has its line, and no line has a secret."""

import json

import pytest
from botocore.exceptions import ClientError


def lines(server, *options):
    return [json.loads(line) for line in server.run("audit", "--format", "json", *options).splitlines()]


def test_every_request_has_its_line(fresh_server):
    server = fresh_server
    key = server.user("alice", "AmazonS3FullAccess")
    s3 = server.client("s3", **key)
    s3.create_bucket(Bucket="audited")
    s3.put_object(Bucket="audited", Key="a/k", Body=b"the-body")
    # Changes are in the log when they are answered; reads follow.
    written = lines(server, "--key", key["access_key"])
    assert [(line["service"], line["operation"], line["resource"], line["status"]) for line in written] == [
        ("s3", "CreateBucket", "arn:aws:s3:::audited", 200), ("s3", "PutObject", "arn:aws:s3:::audited/a/k", 200)]
    assert written[1]["principal"] == "arn:aws:iam::123456789012:user/alice"
    assert written[1]["sourceIp"] == "127.0.0.1" and "Boto3" in written[1]["userAgent"]
    for call in (lambda: server.client("sagemaker", **key).create_model(
                     ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/r"),
                 lambda: s3.get_object(Bucket="audited", Key="none"),
                 lambda: server.client("s3", secret_key="wrong").put_object(Bucket="audited", Key="k", Body=b""),
                 lambda: server.client("logs", access_key="AKIAUNKNOWN").describe_log_groups()):
        with pytest.raises(ClientError):
            call()
    credentials = server.client("sts", **key).get_session_token()["Credentials"]
    assert server.stop() == 0
    denied = lines(server, "--denied")
    assert {(line["accessKeyId"], line["error"]) for line in denied} == {
        (key["access_key"], "AccessDeniedException"), (server.access_key, "SignatureDoesNotMatch"),
        ("AKIAUNKNOWN", "UnrecognizedClientException")}
    missing = lines(server, "--operation", "s3:GetObject")
    assert [(line["status"], line["error"]) for line in missing] == [(404, "NoSuchKey")]
    assert lines(server, "--since", "1h") and not lines(server, "--since", "2100-01-01T00:00:00Z")
    assert all(line["requestId"] and line["time"] for line in lines(server))
    text = "".join(path.read_text() for path in (server.data_dir / "audit").iterdir())
    for secret in (key["secret_key"], server.secret_key, credentials["SecretAccessKey"], credentials["SessionToken"],
                   "the-body"):
        assert secret not in text
    assert (server.data_dir / "audit" / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    table = server.run("audit", "--denied")
    assert "sagemaker:CreateModel" in table and "AccessDeniedException" in table


def test_a_change_is_in_the_log_after_a_kill(fresh_server):
    s3 = fresh_server.client("s3")
    s3.create_bucket(Bucket="killed")
    for index in range(20):
        s3.put_object(Bucket="killed", Key=f"k{index}", Body=b"x")
    fresh_server.kill()
    assert len(lines(fresh_server, "--operation", "PutObject")) == 20
