"""Signatures: who is let in, and the error of who is not."""

import socket
import subprocess
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import BINARY

CALLS = [("sagemaker", "list_models"), ("logs", "describe_log_groups"), ("cloudwatch", "list_metrics"),
         ("sts", "get_caller_identity"), ("s3", "list_buckets")]


def test_identity(endpoint):
    identity = endpoint.client("sts").get_caller_identity()
    assert identity["Account"] == "123456789012"
    assert identity["Arn"].startswith("arn:aws:sts::123456789012:assumed-role/")


@pytest.mark.parametrize(("service", "call"), CALLS)
def test_the_right_key_is_let_in(endpoint, service, call):
    getattr(endpoint.client(service), call)()


@pytest.mark.parametrize(("service", "call"), CALLS)
def test_a_wrong_secret_is_refused(endpoint, service, call):
    with pytest.raises(ClientError) as error:
        getattr(endpoint.client(service, secret_key="wrong" * 8), call)()
    assert error.value.response["Error"]["Code"] in ("InvalidSignatureException", "InvalidSignature", "SignatureDoesNotMatch")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(("service", "call"), CALLS)
def test_an_unknown_key_is_refused(endpoint, service, call):
    with pytest.raises(ClientError) as error:
        getattr(endpoint.client(service, access_key="AKIAUNKNOWNUNKNOWN00"), call)()
    code = error.value.response["Error"]["Code"]
    assert code in ("UnrecognizedClientException", "UnrecognizedClient", "InvalidClientTokenId", "InvalidAccessKeyId"), code
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(("method", "path", "headers", "code"), [
    ("POST", "/", {"X-Amz-Target": "SageMaker.ListModels"}, "MissingAuthenticationTokenException"),
    ("GET", "/bucket/key", {}, "AccessDenied"),
    ("PUT", "/bucket/key", {}, "AccessDenied"),
    ("POST", "/endpoints/x/invocations", {}, "MissingAuthenticationTokenException"),
])
def test_no_signature_is_refused(endpoint, method, path, headers, code):
    body = None if method == "GET" else b"{}"
    request = urllib.request.Request(endpoint.url + path, data=body, headers=headers, method=method)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    assert error.value.code == 403
    assert code in error.value.read().decode() + error.value.headers.get("x-amzn-errortype", "")


def test_a_wrong_secret_cannot_invoke(endpoint):
    with pytest.raises(ClientError) as error:
        endpoint.client("sagemaker-runtime", secret_key="wrong").invoke_endpoint(EndpointName="x", Body=b"{}")
    assert error.value.response["Error"]["Code"] == "InvalidSignatureException"


def test_an_operation_of_aws_that_is_not_performed_says_so(endpoint):
    with pytest.raises(ClientError) as error:
        endpoint.client("sagemaker").list_auto_ml_jobs()
    assert error.value.response["Error"]["Code"] == "UnknownOperationException"
    assert "ListAutoMLJobs is not performed by this server" in error.value.response["Error"]["Message"]


def test_the_key_is_for_its_owner_only(endpoint):
    assert (endpoint.data_dir / "credentials").stat().st_mode & 0o777 == 0o600


def test_env_prints_what_clients_need(endpoint):
    printed = subprocess.run([BINARY, "env", "--data-dir", endpoint.data_dir], capture_output=True, text=True, check=True)
    assert f"export AWS_ENDPOINT_URL='{endpoint.url}'" in printed.stdout
    assert f"export AWS_SECRET_ACCESS_KEY='{endpoint.secret_key}'" in printed.stdout


def test_the_secret_is_in_no_log(endpoint):
    assert endpoint.secret_key not in endpoint.log.read_text()


def test_a_second_server_on_the_folder_is_refused(endpoint):
    second = subprocess.run([BINARY, "serve", "--data-dir", endpoint.data_dir, "--listen", "127.0.0.1:0"],
                            capture_output=True, text=True)
    assert second.returncode == 1
    assert "another sagebrush server has the data folder" in second.stderr and endpoint.url in second.stderr


def test_a_body_over_the_limit_is_refused(endpoint):
    with pytest.raises(ClientError) as error:
        endpoint.client("sagemaker").create_model(
            ModelName="large", ExecutionRoleArn="arn:aws:iam::123456789012:role/r",
            Tags=[{"Key": f"k{index}", "Value": "v" * 256} for index in range(20_000)])
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert "4194304 bytes" in error.value.response["Error"]["Message"]


@pytest.mark.parametrize("path", ["/", "/endpoints/x/invocations"])
def test_no_body_is_read_for_an_unknown_sender(endpoint, path):
    """A body is announced and never sent: the answer must not wait for it."""
    host, port = endpoint.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall((f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: SageMaker.ListModels\r\n"
                            "Content-Length: 1000000\r\n\r\n").encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 403")
