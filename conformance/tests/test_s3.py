"""S3 as boto3 and plain HTTP see it, against the real binary."""

import base64
import hashlib
import http.client
import io
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import zlib

import boto3
import botocore.session
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.exceptions import ClientError

MIB = 2**20


def make_client(endpoint, **config):
    keys = {"access_key": endpoint.access_key, "secret_key": endpoint.secret_key}
    for name in list(keys):
        keys[name] = config.pop(name, keys[name])
    return boto3.client(
        "s3",
        endpoint_url=config.pop("url", endpoint.url),
        aws_access_key_id=keys["access_key"],
        aws_secret_access_key=keys["secret_key"],
        region_name=config.pop("region", endpoint.region),
        config=Config(retries={"max_attempts": 0}, **config),
    )


@pytest.fixture
def s3(endpoint):
    return make_client(endpoint)


@pytest.fixture
def bucket(s3, endpoint):
    name = "conformance-" + uuid.uuid4().hex[:16]
    create(s3, name, endpoint.region)
    yield name
    for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        keys = [{"Key": found["Key"]} for found in page.get("Contents", [])]
        if keys:
            s3.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
    s3.delete_bucket(Bucket=name)


def create(s3, name, region):
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    return s3.create_bucket(Bucket=name, **where)


def refused(call, **arguments):
    """The code and status of the error that a call must answer."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def fetch(url, method="GET", data=None, headers=None):
    """Status, headers and body of a plain HTTP request."""
    request = urllib.request.Request(url, method=method, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


# Buckets


def test_a_bucket_is_created_found_and_deleted(s3, endpoint):
    name = "conformance-" + uuid.uuid4().hex[:16]
    create(s3, name, endpoint.region)
    assert name in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == endpoint.region
    location = s3.get_bucket_location(Bucket=name)["LocationConstraint"]
    assert location == (None if endpoint.region == "us-east-1" else endpoint.region)
    assert "Status" not in s3.get_bucket_versioning(Bucket=name)
    s3.put_object(Bucket=name, Key="key", Body=b"x")
    assert refused(s3.delete_bucket, Bucket=name) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=name, Key="key")
    s3.delete_bucket(Bucket=name)
    assert refused(s3.head_bucket, Bucket=name) == ("404", 404)
    assert refused(s3.list_objects_v2, Bucket=name) == ("NoSuchBucket", 404)


def test_location_constraints_follow_the_region_of_the_request(endpoint):
    name = "conformance-" + uuid.uuid4().hex[:16]
    west = make_client(endpoint, region="eu-west-1")
    assert refused(west.create_bucket, Bucket=name)[0] == "IllegalLocationConstraintException"
    constraint = {"LocationConstraint": "eu-west-1"}
    west.create_bucket(Bucket=name, CreateBucketConfiguration=constraint)
    again = refused(west.create_bucket, Bucket=name, CreateBucketConfiguration=constraint)
    assert again == ("BucketAlreadyOwnedByYou", 409)
    assert west.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    make_client(endpoint, region="us-east-1").create_bucket(Bucket=name)
    west.delete_bucket(Bucket=name)


def test_the_expected_owner_is_compared(s3, bucket):
    owner = s3.list_buckets()["Owner"]["ID"]
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=owner)
    assert refused(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner="999999999999") == ("403", 403)


# Objects


@pytest.mark.parametrize("key", ["a/hello world+ü.txt", "a//b", "../up", "folder/", "a&b<c>'\"", "k" * 1024])
def test_keys_of_every_kind_round_trip(s3, bucket, key):
    body = os.urandom(1000)
    put = s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/plain", Metadata={"k": "v"})
    assert put["ETag"] == '"%s"' % hashlib.md5(body).hexdigest()
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == body
    assert (got["ContentType"], got["Metadata"]) == ("text/plain", {"k": "v"})
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == 1000
    for version in ("list_objects", "list_objects_v2"):
        assert [found["Key"] for found in getattr(s3, version)(Bucket=bucket)["Contents"]] == [key]


def test_a_key_and_what_looks_like_its_folder_both_exist(s3, bucket):
    for key in ("foo", "foo/bar", "foo/"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in ("foo", "foo/bar", "foo/"):
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()


def test_missing_keys_and_keys_too_long(s3, bucket):
    assert refused(s3.get_object, Bucket=bucket, Key="no") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket=bucket, Key="no") == ("404", 404)
    assert refused(s3.put_object, Bucket=bucket, Key="k" * 1025, Body=b"") == ("KeyTooLongError", 400)
    s3.delete_object(Bucket=bucket, Key="no")


def test_attributes_are_kept_and_overridden(s3, bucket):
    headers = {"CacheControl": "no-cache", "ContentDisposition": "inline", "ContentEncoding": "gzip", "ContentLanguage": "de"}
    s3.put_object(Bucket=bucket, Key="key", Body=b"x", Tagging="a=1&b=2", **headers)
    head = s3.head_object(Bucket=bucket, Key="key")
    assert {name: head[name] for name in headers} == headers
    got = s3.get_object(Bucket=bucket, Key="key", ResponseContentType="text/css", ResponseCacheControl="private")
    assert (got["ContentType"], got["CacheControl"], got["TagCount"]) == ("text/css", "private", 2)


def test_ranges(s3, bucket):
    body = os.urandom(3 * MIB)
    s3.put_object(Bucket=bucket, Key="key", Body=body)
    for asked, start, end in [("bytes=1-3", 1, 4), ("bytes=-5", len(body) - 5, len(body)), ("bytes=100-", 100, len(body)), ("bytes=0-99999999", 0, len(body))]:
        got = s3.get_object(Bucket=bucket, Key="key", Range=asked, ChecksumMode="ENABLED")
        assert got["Body"].read() == body[start:end]
        assert got["ContentRange"] == "bytes %d-%d/%d" % (start, end - 1, len(body))
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert not [name for name in got if name.startswith("Checksum")]
    assert refused(s3.get_object, Bucket=bucket, Key="key", Range="bytes=99999999-") == ("InvalidRange", 416)
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert refused(s3.get_object, Bucket=bucket, Key="empty", Range="bytes=0-1") == ("InvalidRange", 416)
    assert s3.head_object(Bucket=bucket, Key="key", Range="bytes=0-9")["ContentLength"] == 10


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="key", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="key")["LastModified"]
    read = dict(Bucket=bucket, Key="key")
    assert s3.get_object(IfMatch=etag, **read)["Body"].read() == b"x"
    assert refused(s3.get_object, IfMatch='"no"', **read) == ("PreconditionFailed", 412)
    assert refused(s3.get_object, IfNoneMatch=etag, **read) == ("304", 304)
    assert refused(s3.head_object, IfNoneMatch=etag, **read) == ("304", 304)
    assert refused(s3.get_object, IfModifiedSince=modified, **read) == ("304", 304)
    assert s3.get_object(IfUnmodifiedSince=modified, **read)["Body"].read() == b"x"
    url = s3.generate_presigned_url("get_object", Params=read)
    status, headers, body = fetch(url, headers={"If-None-Match": etag})
    assert (status, headers["ETag"], body) == (304, etag, b"")


def test_conditional_writes(s3, bucket):
    write = dict(Bucket=bucket, Key="key")
    etag = s3.put_object(Body=b"1", IfNoneMatch="*", **write)["ETag"]
    assert refused(s3.put_object, Body=b"2", IfNoneMatch="*", **write) == ("PreconditionFailed", 412)
    s3.put_object(Body=b"3", IfMatch=etag, **write)
    assert refused(s3.put_object, Body=b"4", IfMatch=etag, **write) == ("PreconditionFailed", 412)
    assert s3.get_object(**write)["Body"].read() == b"3"


# Checksums


def test_every_checksum_is_verified_stored_and_told(s3, bucket):
    body = b"123456789"
    known = {
        "CRC32": base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode(),
        "SHA1": base64.b64encode(hashlib.sha1(body).digest()).decode(),
        "SHA256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        "CRC32C": base64.b64encode(bytes.fromhex("e3069283")).decode(),
        "CRC64NVME": base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode(),
    }
    for name, value in known.items():
        field = "Checksum" + name
        put = s3.put_object(Bucket=bucket, Key=name, Body=body, **{field: value})
        assert put[field] == value
        head = s3.head_object(Bucket=bucket, Key=name, ChecksumMode="ENABLED")
        assert (head[field], head["ChecksumType"]) == (value, "FULL_OBJECT")
        told = s3.get_object_attributes(Bucket=bucket, Key=name, ObjectAttributes=["Checksum", "ETag", "ObjectSize"])
        assert told["Checksum"][field] == value
        assert (told["ETag"].strip('"'), told["ObjectSize"]) == (hashlib.md5(body).hexdigest(), 9)
        wrong = base64.b64encode(bytes(len(base64.b64decode(value)))).decode()
        put_wrong = dict(Bucket=bucket, Key=name, Body=body + b"!")
        assert refused(s3.put_object, **put_wrong, **{field: wrong}) == ("BadDigest", 400)
        assert s3.get_object(Bucket=bucket, Key=name)["Body"].read() == body


def test_content_md5(s3, bucket):
    put = dict(Bucket=bucket, Key="key", Body=b"abc")
    s3.put_object(ContentMD5=base64.b64encode(hashlib.md5(b"abc").digest()).decode(), **put)
    wrong = base64.b64encode(hashlib.md5(b"abd").digest()).decode()
    assert refused(s3.put_object, ContentMD5=wrong, **put) == ("BadDigest", 400)
    assert refused(s3.put_object, ContentMD5="nonsense", **put) == ("InvalidDigest", 400)


def test_the_signed_hash_of_the_body_is_verified(endpoint, s3, bucket):
    url = "%s/%s/key" % (endpoint.url, bucket)
    request = AWSRequest("PUT", url, data=b"signed", headers={"x-amz-content-sha256": hashlib.sha256(b"signed").hexdigest()})
    credentials = botocore.session.Session()
    credentials.set_credentials(endpoint.access_key, endpoint.secret_key)
    SigV4Auth(credentials.get_credentials(), "s3", endpoint.region).add_auth(request)
    status, _, body = fetch(url, "PUT", b"forged", dict(request.headers))
    assert (status, b"XAmzContentSHA256Mismatch" in body) == (400, True)
    assert refused(s3.head_object, Bucket=bucket, Key="key") == ("404", 404)


def chunked(endpoint, bucket, key, chunks, trailer, algorithm="crc32"):
    """PUT with aws-chunked, an unsigned payload and a checksum after it, as over HTTPS."""
    at = urllib.parse.urlsplit(endpoint.url)
    headers = {
        "Content-Encoding": "aws-chunked",
        "Content-Type": "text/plain",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-trailer": "x-amz-checksum-" + algorithm,
        "x-amz-decoded-content-length": str(sum(map(len, chunks))),
    }
    request = AWSRequest("PUT", "%s/%s/%s" % (endpoint.url, bucket, key), headers=headers)
    session = botocore.session.Session()
    session.set_credentials(endpoint.access_key, endpoint.secret_key)
    SigV4Auth(session.get_credentials(), "s3", endpoint.region).add_auth(request)
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    body += b"0\r\nx-amz-checksum-%s:%s\r\n\r\n" % (algorithm.encode(), trailer.encode())
    connection = http.client.HTTPConnection(at.netloc)
    connection.request("PUT", "/%s/%s" % (bucket, key), body, dict(request.headers))
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_a_checksum_after_the_body(endpoint, s3, bucket):
    chunks = [os.urandom(70000), os.urandom(5)]
    right = base64.b64encode(zlib.crc32(b"".join(chunks)).to_bytes(4, "big")).decode()
    status, headers, _ = chunked(endpoint, bucket, "key", chunks, right)
    assert (status, headers["x-amz-checksum-crc32"]) == (200, right)
    got = s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got["ChecksumCRC32"]) == (b"".join(chunks), right)
    assert "ContentEncoding" not in got
    status, _, body = chunked(endpoint, bucket, "other", chunks, "AAAAAA==")
    assert (status, b"BadDigest" in body) == (400, True)
    assert refused(s3.head_object, Bucket=bucket, Key="other") == ("404", 404)


# Multipart


def test_managed_transfers(s3, bucket, tmp_path):
    body = os.urandom(11 * MIB + 17)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(body)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_file(str(source), bucket, "big", Config=config, ExtraArgs={"ContentType": "text/csv"})
    head = s3.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")
    assert head["ETag"].endswith('-3"') and head["ContentType"] == "text/csv"
    assert (head["ChecksumType"], head["ChecksumCRC32"][-2:]) == ("COMPOSITE", "-3")
    s3.download_file(bucket, "big", str(target), Config=config)
    assert target.read_bytes() == body
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copy", Config=config)
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == body
    got = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert (got["Body"].read(), got["PartsCount"]) == (body[5 * MIB : 10 * MIB], 3)
    parts = s3.get_object_attributes(Bucket=bucket, Key="big", ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert (parts["TotalPartsCount"], [part["Size"] for part in parts["Parts"]]) == (3, [5 * MIB, 5 * MIB, MIB + 17])
    s3.upload_fileobj(io.BytesIO(body), bucket, "stream", Config=config)
    assert s3.head_object(Bucket=bucket, Key="stream")["ContentLength"] == len(body)


def test_the_steps_of_an_upload(s3, bucket):
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    at = dict(Bucket=bucket, Key="key")
    upload = s3.create_multipart_upload(ContentType="text/csv", Metadata={"a": "b"}, **at)["UploadId"]
    at["UploadId"] = upload
    assert [found["UploadId"] for found in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    first = s3.upload_part(PartNumber=1, Body=b"z" * 5 * MIB, **at)["ETag"]
    copied = s3.upload_part_copy(PartNumber=7, CopySource={"Bucket": bucket, "Key": "source"}, CopySourceRange="bytes=2-4", **at)
    last = copied["CopyPartResult"]["ETag"]
    pages = s3.get_paginator("list_parts").paginate(PaginationConfig={"PageSize": 1}, **at)
    assert [part["PartNumber"] for page in pages for part in page["Parts"]] == [1, 7]
    parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 7, "ETag": last}]

    def complete(parts, **more):
        return s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **at, **more)

    assert refused(complete, parts=parts[::-1]) == ("InvalidPartOrder", 400)
    assert refused(complete, parts=[{"PartNumber": 1, "ETag": last}]) == ("InvalidPart", 400)
    assert refused(complete, parts=[{"PartNumber": 2, "ETag": first}]) == ("InvalidPart", 400)
    assert refused(complete, parts=[]) == ("MalformedXML", 400)
    made = complete(parts)
    digests = hashlib.md5(b"z" * 5 * MIB).digest() + hashlib.md5(b"234").digest()
    assert made["ETag"] == '"%s-2"' % hashlib.md5(digests).hexdigest()
    assert complete(parts)["ETag"] == made["ETag"]
    got = s3.get_object(Bucket=bucket, Key="key", Range="bytes=%d-" % (5 * MIB - 1))
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (b"z234", {"a": "b"}, "text/csv")
    assert refused(s3.upload_part, PartNumber=1, Body=b"", **at) == ("NoSuchUpload", 404)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_small_parts_and_aborted_uploads(s3, bucket):
    at = dict(Bucket=bucket, Key="key")
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
    etags = [s3.upload_part(PartNumber=number, Body=b"small", **at)["ETag"] for number in (1, 2)]
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in zip((1, 2), etags)]
    assert refused(s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **at) == ("EntityTooSmall", 400)
    s3.abort_multipart_upload(**at)
    assert refused(s3.abort_multipart_upload, **at) == ("NoSuchUpload", 404)
    assert refused(s3.list_parts, **at) == ("NoSuchUpload", 404)


# Listings


def test_listings(s3, bucket):
    keys = ["a+b", "a/1", "a/2", "a/b/3", "b", "c/ü", "d e"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [found["Prefix"] for found in page["CommonPrefixes"]] == ["a/", "c/"]
    assert [found["Key"] for found in page["Contents"]] == ["a+b", "b", "d e"]
    assert (page["KeyCount"], page["IsTruncated"]) == (5, False)
    for name in ("list_objects", "list_objects_v2"):
        for delimiter in ("", "/"):
            pages = list(s3.get_paginator(name).paginate(Bucket=bucket, Delimiter=delimiter, PaginationConfig={"PageSize": 2}))
            found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
            prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
            if delimiter:
                assert (found, prefixes) == (["a+b", "b", "d e"], ["a/", "c/"])
            else:
                assert (found, prefixes, len(pages)) == (keys, [], 4)
    started = s3.list_objects_v2(Bucket=bucket, Prefix="a/", StartAfter="a/1", FetchOwner=True)["Contents"]
    assert [entry["Key"] for entry in started] == ["a/2", "a/b/3"]
    assert started[0]["Owner"]["ID"] and started[0]["ETag"] == '"%s"' % hashlib.md5(b"x").hexdigest()
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    assert refused(s3.list_objects_v2, Bucket=bucket, ContinuationToken="nonsense") == ("InvalidArgument", 400)


# Copies, deletions, tags


def test_copies(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x", ContentType="text/csv", Metadata={"m": "1"}, Tagging="t=1")
    source = {"Bucket": bucket, "Key": "a b"}
    etag = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["CopyObjectResult"]["ETag"]
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert (head["ETag"], head["ContentType"], head["Metadata"]) == (etag, "text/csv", {"m": "1"})
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == [{"Key": "t", "Value": "1"}]
    itself = dict(Bucket=bucket, Key="a b", CopySource=source)
    assert refused(s3.copy_object, **itself) == ("InvalidRequest", 400)
    s3.copy_object(MetadataDirective="REPLACE", Metadata={"m": "2"}, ContentType="text/plain", **itself)
    head = s3.head_object(Bucket=bucket, Key="a b")
    assert (head["ContentType"], head["Metadata"]) == ("text/plain", {"m": "2"})
    missing = {"Bucket": bucket, "Key": "no"}
    assert refused(s3.copy_object, Bucket=bucket, Key="x", CopySource=missing) == ("NoSuchKey", 404)
    held = refused(s3.copy_object, Bucket=bucket, Key="x", CopySource=source, CopySourceIfMatch='"no"')
    assert held == ("PreconditionFailed", 412)


def test_deleting_many(s3, bucket):
    for key in ("a", "b<&"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    objects = [{"Key": key} for key in ("a", "b<&", "never")]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [found["Key"] for found in answer["Deleted"]] == ["a", "b<&", "never"]
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    assert "Deleted" not in quiet and "Errors" not in quiet


def test_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    at = dict(Bucket=bucket, Key="key")
    tags = [{"Key": "a", "Value": "ü"}, {"Key": "b", "Value": ""}]
    s3.put_object_tagging(Tagging={"TagSet": tags}, **at)
    assert s3.get_object_tagging(**at)["TagSet"] == tags
    twice = {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}
    assert refused(s3.put_object_tagging, Tagging=twice, **at) == ("InvalidTag", 400)
    s3.delete_object_tagging(**at)
    assert s3.get_object_tagging(**at)["TagSet"] == []
    assert refused(s3.get_object_tagging, Bucket=bucket, Key="no") == ("NoSuchKey", 404)


# Signatures


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls(endpoint, bucket, version):
    s3 = make_client(endpoint, signature_version=version)
    at = dict(Bucket=bucket, Key="a b+ü")
    put = s3.generate_presigned_url("put_object", Params=at, ExpiresIn=60)
    assert fetch(put, "PUT", b"body", {"Content-Type": ""})[0] == 200
    get = s3.generate_presigned_url("get_object", Params=at, ExpiresIn=60)
    assert fetch(get)[::2] == (200, b"body")
    assert ("X-Amz-Signature" in get) == (version == "s3v4")
    forged = make_client(endpoint, signature_version=version, secret_key="wrong")
    status, _, body = fetch(forged.generate_presigned_url("get_object", Params=at))
    assert (status, b"SignatureDoesNotMatch" in body) == (403, True)
    other = get.replace("a%20b", "a%20c")
    assert fetch(other)[0] == 403
    expired = s3.generate_presigned_url("get_object", Params=at, ExpiresIn=1)
    time.sleep(2.1)
    assert fetch(expired)[0] == 403


def test_the_default_presigned_url(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"abc")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"})
    assert fetch(url)[::2] == (200, b"abc")


def test_signatures_are_required(endpoint, bucket):
    wrong = make_client(endpoint, secret_key="wrong")
    assert refused(wrong.list_buckets) == ("SignatureDoesNotMatch", 403)
    unknown = make_client(endpoint, access_key="AKIAUNKNOWN")
    assert refused(unknown.list_buckets) == ("InvalidAccessKeyId", 403)
    status, _, body = fetch("%s/%s/key" % (endpoint.url, bucket))
    assert (status, b"AccessDenied" in body, b"<Message>" in body) == (403, True, True)


def test_a_bucket_in_the_host_name(endpoint, s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"abc")
    port = urllib.parse.urlsplit(endpoint.url).port
    virtual = make_client(endpoint, url="http://localhost:%d" % port, signature_version="s3v4", s3={"addressing_style": "virtual"})
    url = virtual.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"})
    at = urllib.parse.urlsplit(url)
    assert at.netloc == "%s.localhost:%d" % (bucket, port)
    # Not every resolver knows names under localhost, so the address is given and the name is told.
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", at.path + "?" + at.query, headers={"Host": at.netloc})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"abc")


# What is not served


def test_what_is_not_supported_is_refused(s3, bucket):
    put = dict(Bucket=bucket, Key="key", Body=b"x")
    for field in ({"ACL": "public-read"}, {"StorageClass": "GLACIER"}, {"WebsiteRedirectLocation": "/x"}, {"SSEKMSKeyId": "k", "ServerSideEncryption": "aws:kms"}):
        assert refused(s3.put_object, **put, **field) == ("NotImplemented", 501)
    versioning = {"Status": "Enabled"}
    assert refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=versioning)[0] == "NotImplemented"
    assert refused(s3.get_bucket_policy, Bucket=bucket)[0] == "NotImplemented"
    assert refused(s3.get_bucket_acl, Bucket=bucket)[0] == "NotImplemented"
    assert refused(s3.get_object, Bucket=bucket, Key="key", VersionId="abc")[0] == "InvalidArgument"
