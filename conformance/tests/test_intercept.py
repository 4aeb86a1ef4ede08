"""TLS on the port, and the proxy that answers AWS's host names."""

import base64
import json
import os
import shlex
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from conftest import BINARY, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("intercept") / "data", SAGEBRUSH_INTERCEPT="true")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def exports(server):
    """What `eval "$(sagebrush env --intercept)"` sets, over an environment that knows nothing of it."""
    bare = {name: value for name, value in os.environ.items()
            if "PROXY" not in name.upper() and not name.endswith(("CA_BUNDLE", "CERT_FILE", "CERT_DIR"))}
    printed = subprocess.run([BINARY, "env", "--intercept", "--data-dir", server.data_dir, "--ca-bundle", ssl_bundle()],
                             capture_output=True, text=True, check=True, env={**bare, "NO_PROXY": "intern.example"})
    words = shlex.split(printed.stdout)
    return {**bare, **dict(word.split("=", 1) for word in words if "=" in word)}


def ssl_bundle():
    import botocore
    return os.path.join(os.path.dirname(botocore.__file__), "cacert.pem")


def run(exports, code, **more):
    """Runs code in a process that knows the server by its environment alone; returns what it prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**exports, **more}, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def password(server):
    return (server.data_dir / "tls" / "proxy-password").read_text()


def connect(server, target, secret=None, host="127.0.0.1"):
    """Sends a CONNECT request; returns the socket and the status line with what follows it."""
    stream = socket.create_connection((host, int(server.url.rsplit(":", 1)[1])), timeout=20)
    header = ""
    if secret is not None:
        header = "Proxy-Authorization: Basic " + base64.b64encode(f"sagebrush:{secret}".encode()).decode() + "\r\n"
    stream.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{header}\r\n".encode())
    return stream, stream.recv(65536).decode()


def test_unmodified_calls_of_aws_hosts_are_answered_here(server, exports):
    answer = run(exports, """
import json, os, boto3
del os.environ["AWS_ENDPOINT_URL"]
hard_coded = boto3.client("sts", endpoint_url="https://sts.us-east-1.amazonaws.com").get_caller_identity()["Account"]
sagemaker = boto3.client("sagemaker")
s3 = boto3.client("s3", region_name="eu-west-1")
s3.create_bucket(Bucket="intercepted", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
s3.put_object(Bucket="intercepted", Key="a b/ü+", Body=b"hello" * 100_000)
body = s3.get_object(Bucket="intercepted", Key="a b/ü+")["Body"].read()
boto3.client("cloudwatch").put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1}])
print(json.dumps({
    "account": hard_coded, "global": boto3.client("sts", region_name="us-east-1").get_caller_identity()["Account"],
    "hosts": [sagemaker.meta.endpoint_url, s3.meta.endpoint_url], "models": sagemaker.list_models()["Models"],
    "bytes": len(body), "logs": boto3.client("logs").describe_log_groups()["logGroups"],
    "url": s3.generate_presigned_url("get_object", {"Bucket": "intercepted", "Key": "a b/ü+"}),
}))""")
    assert answer["account"] == answer["global"] == "123456789012"
    assert answer["hosts"][0] == "https://api.sagemaker.us-east-1.amazonaws.com"
    assert (answer["bytes"], answer["models"], answer["logs"]) == (500_000, [], [])
    assert answer["url"].startswith("https://intercepted.s3")
    # requests, curl and urllib go the same way: a presigned URL works as it is.
    code = "import json, sys, urllib.request; print(json.dumps(len(urllib.request.urlopen(sys.stdin.read()).read())))"
    done = subprocess.run([sys.executable, "-c", code], input=answer["url"], capture_output=True, text=True, env=exports,
                          timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "500000"), done.stderr


def test_the_sdks_reports_are_refused_at_once(exports):
    assert run(exports, """
import json, urllib.request, urllib.error
try:
    urllib.request.urlopen("https://sm-pysdk-t-us-east-1.s3.us-east-1.amazonaws.com/telemetry?x-accountId=1")
except urllib.error.HTTPError as error:
    print(json.dumps(error.code))""") == 403


def test_env_keeps_what_the_user_trusted_and_excepted(server, exports):
    bundle = open(exports["AWS_CA_BUNDLE"]).read()
    ours = (server.data_dir / "tls" / "ca.pem").read_text()
    assert bundle.startswith(ours) and open(ssl_bundle()).read() in bundle
    assert exports["AWS_CA_BUNDLE"] == exports["REQUESTS_CA_BUNDLE"] == exports["SSL_CERT_FILE"]
    assert exports["NO_PROXY"] == exports["no_proxy"] == "intern.example,127.0.0.1,localhost"
    # Asked again with these exports in force, nothing is lost.
    subprocess.run([BINARY, "env", "--intercept", "--data-dir", server.data_dir], check=True, capture_output=True, env=exports)
    assert open(exports["AWS_CA_BUNDLE"]).read() == bundle


def test_env_says_when_the_server_does_not_intercept(endpoint):
    done = subprocess.run([BINARY, "env", "--intercept", "--data-dir", endpoint.data_dir], capture_output=True, text=True)
    assert done.returncode == 1 and "sagebrush serve --intercept" in done.stderr


@pytest.fixture
def echo():
    """A foreign server that says what it hears."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            with stream:
                while data := stream.recv(65536):
                    stream.sendall(data[::-1])

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def test_other_hosts_are_tunnelled_untouched(server, echo):
    stream, answer = connect(server, f"127.0.0.1:{echo}", password(server))
    assert answer.startswith("HTTP/1.1 200")
    with stream:
        for text in (b"\x16\x03\x01abc", b"GET / HTTP/1.1\r\n\r\n"):
            stream.sendall(text)
            assert stream.recv(100) == text[::-1]


@pytest.mark.parametrize("secret", [None, "wrong", ""])
def test_the_proxy_wants_its_password(server, echo, secret):
    for target in (f"127.0.0.1:{echo}", "sts.amazonaws.com:443"):
        stream, answer = connect(server, target, secret)
        stream.close()
        assert answer.startswith("HTTP/1.1 407") and "Proxy-Authenticate: Basic" in answer


def test_hosts_out_of_reach_are_named(server):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    stream, answer = connect(server, f"127.0.0.1:{port}", password(server))
    stream.close()
    assert answer.startswith("HTTP/1.1 502") and f"127.0.0.1:{port} cannot be reached" in answer
    stream, answer = connect(server, "no/host:1", password(server))
    stream.close()
    assert answer.startswith("HTTP/1.1 400")


def test_without_the_option_there_is_no_proxy(endpoint):
    stream, answer = connect(endpoint, "sts.amazonaws.com:443", "anything")
    stream.close()
    assert answer.startswith("HTTP/1.1 405")
    assert not (endpoint.data_dir / "tls").exists()


def own_address():
    """An address of this machine that is not loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address


@pytest.mark.skipif(own_address() is None, reason="this machine has no address but loopback")
def test_another_machine_cannot_use_the_proxy(tmp_path):
    server = Server(tmp_path / "data", listen="0.0.0.0:0", SAGEBRUSH_INTERCEPT="true")
    try:
        stream, answer = connect(server, "sts.amazonaws.com:443", password(server), host=own_address())
        stream.close()
        assert answer.startswith("HTTP/1.1 405")
        stream, answer = connect(server, "sts.amazonaws.com:443", password(server))
        stream.close()
        assert answer.startswith("HTTP/1.1 200")
    finally:
        assert server.stop() == 0


def tls(server, name, trust=True):
    """A TLS connection to the port itself."""
    context = ssl.create_default_context(cafile=str(server.data_dir / "tls" / "ca.pem"))
    stream = socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=20)
    return context.wrap_socket(stream, server_hostname=name)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "bucket.localhost", "sts.eu-west-1.amazonaws.com"])
def test_tls_on_the_same_port(server, name):
    with tls(server, name) as stream:
        stream.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert stream.recv(100).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("name", ["example.org", "ec2.us-east-1.amazonaws.com", "evil-sts.amazonaws.com"])
def test_no_certificate_is_signed_for_other_names(server, name):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls(server, name)


def test_secrets_are_for_their_owner_only(server):
    folder = server.data_dir / "tls"
    for file in ("ca.key", "proxy-password"):
        assert (folder / file).stat().st_mode & 0o777 == 0o600
    assert password(server) not in server.log.read_text()
    assert "PRIVATE" not in (folder / "ca.pem").read_text()


def test_the_authority_is_limited_to_its_names(server):
    text = subprocess.run(["openssl", "x509", "-in", server.data_dir / "tls" / "ca.pem", "-noout", "-text"],
                          capture_output=True, text=True)
    if text.returncode != 0:
        pytest.skip("openssl is not installed")
    assert "X509v3 Name Constraints: critical" in text.stdout
    assert "DNS:amazonaws.com" in text.stdout and "CA:TRUE, pathlen:0" in text.stdout


def test_a_tls_server_without_interception(tmp_path):
    server = Server(tmp_path / "data", SAGEBRUSH_TLS="true")
    try:
        with tls(server, "localhost") as stream:
            assert stream.version() in ("TLSv1.2", "TLSv1.3")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            tls(server, "sts.amazonaws.com")
        stream, answer = connect(server, "sts.amazonaws.com:443", "x")
        stream.close()
        assert answer.startswith("HTTP/1.1 405")
        server.client("sts").get_caller_identity()
    finally:
        assert server.stop() == 0
