"""Signatures made by botocore: random requests and their mutants, and the cases of AWS's own suite by name."""

import datetime
import urllib.parse

import pytest
from botocore.auth import SIGV4_TIMESTAMP, S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from signatures import REFUSALS, Sender, run

REQUESTS = 500


def test_random_requests_are_believed_and_their_mutants_are_not(endpoint):
    counts, wrong = run(endpoint.url, endpoint.access_key, endpoint.secret_key, REQUESTS, seed=20261124)
    assert not wrong, "\n".join(map(str, wrong[:5]))
    assert counts["signed by botocore: accepted"] == REQUESTS
    assert sum(count for kind, count in counts.items() if kind.endswith(": refused")) > 4 * REQUESTS


# Name, service, path, query: what the published suite of test cases is about.
CASES = [
    ("get-vanilla", "logs", "/", ""),
    ("get-relative", "logs", "/example/..", ""),
    ("get-relative-relative", "logs", "/example1/example2/../..", ""),
    ("get-slash", "logs", "//", ""),
    ("get-slash-dot-slash", "logs", "/./", ""),
    ("get-slash-pointless-dot", "logs", "/./example", ""),
    ("get-slashes", "logs", "//example//", ""),
    ("get-space", "logs", "/example%20space/", ""),
    ("get-unreserved", "logs", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", ""),
    ("get-utf8", "logs", "/%E1%88%B4", ""),
    ("get-vanilla-empty-query-key", "logs", "/", "Param1=value1"),
    ("get-vanilla-query-order-key", "logs", "/", "Param1=value2&Param1=Value1"),
    ("get-vanilla-query-order-key-case", "logs", "/", "Param2=value2&Param1=value1"),
    ("get-vanilla-query-order-value", "logs", "/", "Param1=value2&Param1=value1"),
    ("get-vanilla-query-unreserved", "logs", "/", "-._~0123456789=-._~0123456789"),
    ("get-vanilla-utf8-query", "logs", "/", "%E1%88%B4=bar"),
    ("query-prefix-names", "logs", "/", "a=1&a-b=2&a.b=3&aa=4"),
    ("s3-raw-path", "s3", "/bucket/a//b/../c", ""),
    ("s3-escapes", "s3", "/bucket/a%2Bb%20c%3D%26%C3%BC", ""),
    ("s3-dots", "s3", "/bucket/./a/..", ""),
]


@pytest.mark.parametrize(("name", "service", "path", "query"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize("token", [False, True], ids=["key", "session"])
def test_the_cases_of_the_published_suite(endpoint, name, service, path, query, token):
    credentials = Credentials(endpoint.access_key, endpoint.secret_key)
    if token:
        session = endpoint.client("sts").get_session_token(DurationSeconds=900)["Credentials"]
        credentials = Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    host = endpoint.url.removeprefix("http://")
    headers = {"Host": host, "My-Header1": "  value1  ", "My-Header2": '"a   b   c"', "my-header3": "value3"}
    if service != "s3":
        headers["X-Amz-Target"] = "Logs_20140328.DescribeLogGroups"
    request = AWSRequest(method="GET", url=f"http://{host}{path}" + (f"?{query}" if query else ""), headers=headers)
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(credentials, service, "us-east-1").add_auth(request)
    sent = {"method": "GET", "path": path, "query": query, "headers": dict(request.headers.items()), "body": b""}
    status, code = Sender(host).send(sent)
    assert code not in REFUSALS and not (status == 403), (status, code)


@pytest.mark.parametrize("minutes", [-16, -14, 14, 16])
def test_a_clock_may_be_a_quarter_of_an_hour_wrong(endpoint, minutes, monkeypatch):
    shifted = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: shifted.replace(tzinfo=None), raising=False)
    host = endpoint.url.removeprefix("http://")
    for service, headers in (("logs", {"X-Amz-Target": "Logs_20140328.DescribeLogGroups"}), ("s3", {})):
        request = AWSRequest(method="GET", url=f"http://{host}/", headers={"Host": host, **headers})
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        signer(Credentials(endpoint.access_key, endpoint.secret_key), service, "us-east-1").add_auth(request)
        assert request.headers["X-Amz-Date"] == shifted.strftime(SIGV4_TIMESTAMP)
        sent = {"method": "GET", "path": "/", "query": "", "headers": dict(request.headers.items()), "body": b""}
        status, code = Sender(host).send(sent)
        if abs(minutes) > 15:
            assert status == 403 and code in ("InvalidSignatureException", "RequestTimeTooSkewed"), (status, code)
        else:
            assert status == 200, (status, code)
