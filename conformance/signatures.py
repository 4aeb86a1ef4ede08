"""Signatures at large: random requests signed by botocore must be accepted, and each of their one-bit mutants refused.

    SAGEBRUSH=target/release/sagebrush python conformance/signatures.py --requests 10000

starts a server of its own and prints how many of each kind were accepted and refused. `tests/test_signature.py` runs a
small share of it. A mutant is left out when it means the same request: the case of a hexadecimal digit in a
percent-escape, and blanks around or between the words of a header.
"""

import argparse
import collections
import http.client
import random
import string
import sys
import tempfile
import urllib.parse

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

# What a server answers whose signature check failed. Any other answer means that the sender was believed.
REFUSALS = {"InvalidSignatureException", "SignatureDoesNotMatch", "InvalidSignature", "IncompleteSignatureException",
            "IncompleteSignature", "MissingAuthenticationTokenException", "AuthorizationQueryParametersError",
            "UnrecognizedClientException", "InvalidAccessKeyId", "XAmzContentSHA256Mismatch", "InvalidToken",
            "RequestTimeTooSkewed"}
# Refusals that come before the signature is looked at, when a changed bit makes a request impossible.
IMPOSSIBLE = {"InvalidRequest", "InvalidBucketName", "InvalidURI", "AuthorizationHeaderMalformed", "UnknownOperationException"}
BUCKET = "signatures"
PLACES = ("method", "path", "query", "header", "body", "signature")


class Signer:
    """Random requests of one server's key."""

    def __init__(self, url, access_key, secret_key, seed, token=None):
        self.host = url.removeprefix("http://")
        self.credentials = Credentials(access_key, secret_key, token)
        self.random = random.Random(seed)

    def text(self, alphabet, least, most):
        return "".join(self.random.choice(alphabet) for _ in range(self.random.randint(least, most)))

    def path(self, service):
        alphabet = string.ascii_letters + string.digits + "-._~ +!*'();:@&=$,%äß日"
        segments = [self.text(alphabet, 1, 12) for _ in range(self.random.randint(1, 4))]
        if service == "s3":
            segments = [BUCKET] + segments
            # S3 keeps what others normalise away.
            segments += self.random.choice([[], ["", "a"], [""]])
        return "/" + "/".join(urllib.parse.quote(segment, safe="~") for segment in segments)

    def query(self):
        alphabet = string.ascii_letters + string.digits + "-_.~ /+=&%ü"
        pairs = [(self.text(alphabet, 1, 6), self.text(alphabet, 0, 8)) for _ in range(self.random.randint(0, 4))]
        if pairs and self.random.random() < 0.3:
            pairs.append((pairs[0][0], self.text(alphabet, 0, 4)))
        # A name of its own, so that no pair means an operation.
        return "&".join(f"z{urllib.parse.quote(name, safe='~')}={urllib.parse.quote(value, safe='~')}"
                        for name, value in pairs)

    def request(self):
        """A signed request: method, path, query, headers, body."""
        service = self.random.choice(["sagemaker", "logs", "s3", "s3", "s3-query"])
        name = "s3" if service.startswith("s3") else service
        method = "GET" if service == "s3-query" else self.random.choice(["GET", "PUT"] if name == "s3" else ["POST", "GET"])
        body = bytes(self.random.randbytes(self.random.randint(1, 64))) if method != "GET" else b""
        path, query = self.path(name), self.query()
        headers = {"Host": self.host}
        if name != "s3":
            headers["X-Amz-Target"] = {"sagemaker": "SageMaker.ListModels", "logs": "Logs_20140328.DescribeLogGroups"}[name]
            headers["Content-Type"] = "application/x-amz-json-1.1"
        if service != "s3-query":
            for _ in range(self.random.randint(0, 3)):
                value = self.text(string.ascii_letters + string.digits + "  ;=,/+", 1, 20)
                headers[f"x-amz-meta-{self.text(string.ascii_lowercase, 1, 6)}"] = f"a{value}z"
        url = f"http://{self.host}{path}" + (f"?{query}" if query else "")
        request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
        if service == "s3-query":
            S3SigV4QueryAuth(self.credentials, "s3", "us-east-1", expires=900).add_auth(request)
        elif name == "s3":
            S3SigV4Auth(self.credentials, "s3", "us-east-1").add_auth(request)
        else:
            SigV4Auth(self.credentials, name, "us-east-1").add_auth(request)
        target = request.url.removeprefix(f"http://{self.host}")
        path, _, query = target.partition("?")
        return {"method": method, "path": path, "query": query, "headers": dict(request.headers.items()), "body": body}

    def flip(self, data, allowed):
        """`data` with one bit changed to another allowed byte, or None."""
        for _ in range(64):
            at, bit = self.random.randrange(len(data)), 1 << self.random.randrange(8)
            if allowed(data, at, data[at] ^ bit):
                return data[:at] + bytes([data[at] ^ bit]) + data[at + 1:]
        return None

    def mutant(self, request, place):
        """The request with one bit changed in one place, or None where that place is empty."""
        changed = {**request, "headers": dict(request["headers"])}
        plain = set((string.ascii_letters + string.digits + "-._~").encode())
        escape = lambda data, at: b"%" in data[max(at - 2, 0):at + 1]
        if place in ("method", "path"):
            start = 1 if place == "path" else 0
            data = request[place].encode()[start:]
            allowed = plain if place == "path" else set(string.ascii_uppercase.encode())
            flipped = self.flip(data, lambda data, at, new: new in allowed and not escape(data, at) and data[at] in allowed)
            if flipped is None:
                return None
            changed[place] = request[place][:start] + flipped.decode()
        elif place == "query":
            if not request["query"]:
                return None
            flipped = self.flip(request["query"].encode(), lambda data, at, new: new in plain and data[at] in plain
                                and not escape(data, at))
            if flipped is None:
                return None
            changed["query"] = flipped.decode()
        elif place == "header":
            names = [name for name in request["headers"] if name.lower().startswith("x-amz") or name == "Content-Type"]
            if not names:
                return None
            name = self.random.choice(names)
            flipped = self.flip(request["headers"][name].encode(), lambda data, at, new: 0x21 <= new < 0x7f and data[at] > 0x20)
            if flipped is None:
                return None
            changed["headers"][name] = flipped.decode()
        elif place == "body":
            if not request["body"]:
                return None
            changed["body"] = self.flip(request["body"], lambda *_: True)
        else:
            digits = set(string.printable.encode()) - set(b" \t\r\n\x0b\x0c,&%+#")
            authorization = request["headers"].get("Authorization")
            text = authorization or request["query"]
            head, mark, signature = text.partition("Signature=")
            flipped = head + mark + self.flip(signature.encode(), lambda data, at, new: new in digits).decode()
            if authorization:
                changed["headers"]["Authorization"] = flipped
            else:
                changed["query"] = flipped
        return changed


class Sender:
    """One connection to the server, opened again when it was closed."""

    def __init__(self, host):
        self.host, self.connection = host, None

    def send(self, request):
        """Status and error code of the answer."""
        for attempt in range(2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, timeout=30)
            try:
                target = request["path"] + (f"?{request['query']}" if request["query"] else "")
                self.connection.putrequest(request["method"], target, skip_host=True, skip_accept_encoding=True)
                for name, value in request["headers"].items():
                    self.connection.putheader(name, value)
                self.connection.putheader("Content-Length", str(len(request["body"])))
                self.connection.endheaders(request["body"])
                answer = self.connection.getresponse()
                text = answer.read().decode(errors="replace")
                if answer.will_close:
                    self.connection = None
                return answer.status, code_of(answer, text)
            except (ConnectionError, http.client.HTTPException):
                self.connection = None
                if attempt:
                    return 0, "the connection was closed"
        raise AssertionError("unreachable")


def code_of(answer, text):
    if answer.headers.get("x-amzn-errortype"):
        return answer.headers["x-amzn-errortype"]
    return text.partition("<Code>")[2].partition("</Code>")[0]


def run(url, access_key, secret_key, requests, seed=1, token=None, mutants=PLACES):
    """Counts by kind, and the requests that were decided wrongly."""
    signer = Signer(url, access_key, secret_key, seed, token)
    sender = Sender(signer.host)
    # Bodies are compared with their hash while they are stored: that needs somewhere to store them.
    bucket = AWSRequest(method="PUT", url=f"{url}/{BUCKET}", headers={"Host": signer.host})
    S3SigV4Auth(signer.credentials, "s3", "us-east-1").add_auth(bucket)
    created = sender.send({"method": "PUT", "path": f"/{BUCKET}", "query": "", "headers": dict(bucket.headers.items()),
                           "body": b""})
    assert created[0] == 200, created
    counts, wrong = collections.Counter(), []
    for _ in range(requests):
        request = signer.request()
        status, code = sender.send(request)
        # A refusal of the signature is 403; a path or method that S3 does not know is not.
        believed = code not in REFUSALS and not (status == 403 and code in ("AccessDenied", ""))
        counts["signed by botocore: " + ("accepted" if believed else "REFUSED")] += 1
        if not believed:
            wrong.append(("refused", status, code, request))
        for place in mutants:
            mutant = signer.mutant(request, place)
            if mutant is None:
                continue
            status, code = sender.send(mutant)
            # Of another algorithm or service than those there are.
            of_signature = lambda one: one["query"].partition("X-Amz-Algorithm")[1:]
            refused = (status == 403 or (status == 400 and (code in REFUSALS | IMPOSSIBLE or not code))
                       or (status == 501 and of_signature(mutant) != of_signature(request)))
            counts[f"one bit of the {place}: " + ("refused" if refused else "ACCEPTED")] += 1
            if not refused:
                wrong.append((f"mutant of {place}", status, code, mutant))
    return counts, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sys.path.insert(0, __file__.rpartition("/")[0] or ".")
    from conftest import Server
    with tempfile.TemporaryDirectory() as folder:
        server = Server(f"{folder}/data")
        counts, wrong = run(server.url, server.access_key, server.secret_key, arguments.requests, arguments.seed)
        server.stop()
    for kind, count in sorted(counts.items()):
        print(f"{count:8}  {kind}")
    for one in wrong[:20]:
        print(one)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
