"""What container engines send below /v2/, request by request, with nothing but http.client."""

import base64
import hashlib
import http.client
import json
import os
import urllib.parse

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def code(self):
        """The error's code in the protocol's form."""
        return json.loads(self.body)["errors"][0]["code"]

    @property
    def message(self):
        return json.loads(self.body)["errors"][0]["message"]

    @property
    def json(self):
        return json.loads(self.body)


class Engine:
    """A client of one server with one password."""

    def __init__(self, server, password=None, **key):
        self.host = urllib.parse.urlsplit(server.url).netloc
        if password is None:
            data = server.client("ecr", **key).get_authorization_token()["authorizationData"][0]
            password = base64.b64decode(data["authorizationToken"]).decode().partition(":")[2]
        self.password = password
        self.authorization = "Basic " + base64.b64encode(f"AWS:{password}".encode()).decode()

    def ask(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path, body, {"Authorization": self.authorization, **headers})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def begin(self, name):
        """The address of a new upload."""
        answer = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert answer.status == 202, answer.body
        assert answer.headers["Range"] == "0-0"
        assert answer.headers["Location"].endswith(answer.headers["Docker-Upload-UUID"])
        return answer.headers["Location"]

    def push_blob(self, name, content):
        """As docker push does: a look, one piece, and the digest."""
        digest = digest_of(content)
        if self.ask("HEAD", f"/v2/{name}/blobs/{digest}").status == 404:
            sent = self.ask("PATCH", self.begin(name), content)
            assert (sent.status, sent.headers["Range"]) == (202, f"0-{max(len(content) - 1, 0)}"), sent.body
            done = self.ask("PUT", sent.headers["Location"] + "?digest=" + digest)
            assert (done.status, done.headers["Docker-Content-Digest"]) == (201, digest), done.body
        return {"digest": digest, "size": len(content)}

    def push(self, name, tag, layers=(b"layer",)):
        """An image; its manifest's digest."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
        document = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **self.push_blob(name, config.encode())},
            "layers": [{"mediaType": LAYER, **self.push_blob(name, layer)} for layer in layers]}).encode()
        answer = self.ask("PUT", f"/v2/{name}/manifests/{tag}", document, Content_Type=MANIFEST)
        assert answer.status == 201, answer.body
        assert answer.headers["Docker-Content-Digest"] == digest_of(document)
        return digest_of(document)

    def pull(self, name, reference):
        """Every byte of an image, each compared with its digest; its layers."""
        answer = self.ask("GET", f"/v2/{name}/manifests/{reference}", Accept=MANIFEST)
        assert answer.status == 200, answer.body
        assert answer.headers["Docker-Content-Digest"] == digest_of(answer.body)
        document, layers = answer.json, []
        for part in [document["config"], *document["layers"]]:
            blob = self.ask("GET", f"/v2/{name}/blobs/{part['digest']}")
            assert blob.status == 200, blob.body
            assert (digest_of(blob.body), len(blob.body)) == (part["digest"], part["size"])
            layers.append(blob.body)
        return layers[1:]


def random_layer(size):
    return os.urandom(size)
