"""Buckets by path and by host name, signed in headers and in URLs."""

import socket
import urllib.error
import urllib.request
import uuid

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import Server

DOMAIN = "buckets.example.test"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("addressing") / "data", SAGEBRUSH_DOMAIN=DOMAIN)
    yield server
    assert server.stop() == 0


@pytest.fixture(autouse=True)
def names_of_this_machine(monkeypatch):
    """Not every system resolves names below localhost."""
    resolve = socket.getaddrinfo

    def patched(host, *arguments, **named):
        ours = isinstance(host, str) and host.endswith((".localhost", DOMAIN))
        return resolve("127.0.0.1" if ours else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", patched)


def client(server, host, style, version="s3v4", **more):
    port = server.url.rsplit(":", 1)[1]
    return boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1",
                        aws_access_key_id=server.access_key, aws_secret_access_key=more.get("secret", server.secret_key),
                        config=Config(s3={"addressing_style": style}, signature_version=version, retries={"max_attempts": 1}))


WAYS = [("127.0.0.1", "path"), ("localhost", "virtual"), ("s3.localhost", "virtual"), (DOMAIN, "virtual"),
        (f"s3.{DOMAIN}", "virtual")]
KEYS = ["plain", "a b/c+d", "ü/%2F?x=1&y#z", "double//slash", "dots/../here"]


@pytest.mark.parametrize(("host", "style"), WAYS)
def test_objects_by_path_and_by_host(server, host, style):
    s3, other = client(server, host, style), client(server, "127.0.0.1", "path")
    bucket = f"b-{uuid.uuid4().hex[:8]}"
    sent = []
    s3.meta.events.register("before-send.s3.*", lambda request, **_: sent.append(request.url))
    s3.create_bucket(Bucket=bucket)
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        # What is put in one way is got in the other.
        assert other.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(key.encode())
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == sorted(KEYS, key=str.encode)
    assert s3.list_objects_v2(Bucket=bucket, Prefix="a b/", Delimiter="/")["KeyCount"] == 1
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b/c+d"})
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in [*KEYS, "parts", "copy"]]})
    s3.delete_bucket(Bucket=bucket)
    assert (f"//{bucket}.{host}:" in sent[1]) == (style == "virtual")


@pytest.mark.parametrize("version", ["s3v4", "s3"])
@pytest.mark.parametrize(("host", "style"), WAYS[:2] + WAYS[3:4])
def test_presigned_urls(server, host, style, version):
    s3 = client(server, host, style, version)
    bucket = f"b-{uuid.uuid4().hex[:8]}"
    client(server, "127.0.0.1", "path").create_bucket(Bucket=bucket)
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b/ü"})
    assert (f"//{bucket}." in url) == (style == "virtual")
    urllib.request.urlopen(urllib.request.Request(url, b"body", method="PUT", headers={"Content-Type": ""})).close()
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b/ü"})
    assert urllib.request.urlopen(url).read() == b"body"
    for wrong in (url.replace("a%20b", "a%20c"), url[:-6] + "000000" if version == "s3v4" else url.replace("Signature=", "Signature=A")):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(wrong)
        assert error.value.code == 403


def test_a_signature_is_for_one_bucket(server):
    s3 = client(server, "localhost", "virtual")
    for bucket in ("first-bucket", "second-bucket"):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="k", Body=bucket.encode())
    url = s3.generate_presigned_url("get_object", {"Bucket": "first-bucket", "Key": "k"})
    assert urllib.request.urlopen(url).read() == b"first-bucket"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url.replace("first-bucket", "second-bucket"))
    assert error.value.code == 403
    with pytest.raises(ClientError) as error:
        client(server, "localhost", "virtual", secret="wrong").list_objects_v2(Bucket="first-bucket")
    assert error.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_names_of_other_domains_are_no_buckets(server):
    request = urllib.request.Request(server.url + "/", headers={"Host": "bucket.example.org"})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    assert error.value.code == 403
