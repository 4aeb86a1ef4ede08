"""The distribution protocol: pushes in every form, pulls, lists, deletions, and what a kill leaves."""

import http.client
import json
import os
import socket
import time
import urllib.parse

import pytest

from conftest import Server
from registry import INDEX, MANIFEST, Engine, digest_of, random_layer


@pytest.fixture
def repository(endpoint, name):
    endpoint.client("ecr").create_repository(repositoryName=name)
    return name


@pytest.fixture
def engine(endpoint):
    return Engine(endpoint)


def files(server):
    return sum(len(names) for _, _, names in os.walk(server.data_dir / "registry/blobs"))


def uploads(server):
    return os.listdir(server.data_dir / "registry/uploads")


def test_what_is_pushed_is_pulled(engine, repository):
    layers = [b"one", random_layer(3 << 20), b""]
    digest = engine.push(repository, "v1", layers)
    assert engine.pull(repository, "v1") == layers
    assert engine.pull(repository, digest) == layers
    head = engine.ask("HEAD", f"/v2/{repository}/manifests/v1")
    assert (head.status, head.body, head.headers["Content-Type"]) == (200, b"", MANIFEST)
    assert head.headers["Docker-Content-Digest"] == digest and int(head.headers["Content-Length"]) > 100


def test_a_request_without_a_password_is_challenged(endpoint, engine):
    connection = http.client.HTTPConnection(engine.host)
    connection.request("GET", "/v2/")
    answer = connection.getresponse()
    assert answer.status == 401 and answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.headers["WWW-Authenticate"] == f'Basic realm="{endpoint.url}/",service="ecr.amazonaws.com"'
    assert engine.ask("GET", "/v2/").status == 200
    for password in ("", "wrong", endpoint.secret_key):
        assert Engine(endpoint, password).ask("GET", "/v2/").status == 401


def test_layers_can_be_sent_in_one_request(engine, repository):
    content = random_layer(100_000)
    digest = digest_of(content)
    answer = engine.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content)
    assert (answer.status, answer.headers["Location"]) == (201, f"/v2/{repository}/blobs/{digest}")
    other = random_layer(10)
    answer = engine.ask("PUT", engine.begin(repository) + "?digest=" + digest_of(other).replace(":", "%3A"), other)
    assert answer.status == 201
    assert engine.ask("GET", f"/v2/{repository}/blobs/{digest_of(other)}").body == other


def test_layers_can_be_sent_in_pieces(engine, repository):
    content, location = random_layer(3000), engine.begin(repository)
    assert engine.ask("PATCH", location, content[:1000], Content_Range="0-999").status == 202
    status = engine.ask("GET", location)
    assert (status.status, status.headers["Range"]) == (204, "0-999")
    gap = engine.ask("PATCH", location, content[2000:], Content_Range="2000-2999")
    assert (gap.status, gap.headers["Range"], gap.code) == (416, "0-999", "BLOB_UPLOAD_INVALID")
    assert engine.ask("PATCH", location, content[1000:2000], Content_Range="1000-1999").headers["Range"] == "0-1999"
    done = engine.ask("PUT", f"{location}?digest={digest_of(content)}", content[2000:], Content_Range="2000-2999")
    assert done.status == 201, done.body
    assert engine.ask("GET", f"/v2/{repository}/blobs/{digest_of(content)}").body == content
    assert engine.ask("GET", location).code == "BLOB_UPLOAD_UNKNOWN"


def test_an_upload_can_be_given_up(engine, repository):
    location = engine.begin(repository)
    engine.ask("PATCH", location, b"some")
    assert engine.ask("DELETE", location).status == 204
    assert engine.ask("PATCH", location, b"more").code == "BLOB_UPLOAD_UNKNOWN"


def test_bytes_that_are_not_what_was_announced_are_refused(endpoint, engine, repository):
    before = files(endpoint)
    answer = engine.ask("PUT", engine.begin(repository) + "?digest=" + digest_of(b"good"), b"evil")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert engine.ask("HEAD", f"/v2/{repository}/blobs/{digest_of(b'evil')}").status == 404
    assert engine.ask("PUT", engine.begin(repository) + "?digest=md5:abc", b"x").code == "DIGEST_INVALID"
    assert files(endpoint) == before


def test_layers_are_mounted_from_where_the_sender_may_read(endpoint, engine, repository, name):
    endpoint.client("ecr").create_repository(repositoryName=name + "/second")
    layer = random_layer(1000)
    digest = digest_of(layer)
    engine.push(repository, "v1", [layer])
    assert engine.ask("HEAD", f"/v2/{name}/second/blobs/{digest}").status == 404
    mount = f"/v2/{name}/second/blobs/uploads/?mount={digest}&from="
    one = {"Effect": "Allow", "Action": "ecr:*", "Resource": f"arn:aws:ecr:*:*:repository/{name}/second"}
    token = {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}
    half = Engine(endpoint, **endpoint.user(name, [one, token]))
    # Who may not read there sends the layer.
    assert half.ask("POST", mount + repository).status == 202
    assert engine.ask("POST", mount + "nowhere").status == 202
    assert engine.ask("POST", mount + repository).status == 201
    assert half.ask("GET", f"/v2/{name}/second/blobs/{digest}").body == layer


def test_parts_of_a_layer(engine, repository):
    layer = random_layer(2000)
    engine.push(repository, "v1", [layer])
    path = f"/v2/{repository}/blobs/{digest_of(layer)}"
    for header, part in (("bytes=0-0", layer[:1]), ("bytes=500-", layer[500:]), ("bytes=-7", layer[-7:])):
        answer = engine.ask("GET", path, Range=header)
        assert (answer.status, answer.body) == (206, part)
    assert engine.ask("GET", path, Range="bytes=0-0").headers["Content-Range"] == "bytes 0-0/2000"
    past = engine.ask("GET", path, Range="bytes=2000-")
    assert (past.status, past.headers["Content-Range"]) == (416, "bytes */2000")
    head = engine.ask("HEAD", path)
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "2000", b"")


def test_an_image_needs_what_it_names(engine, repository):
    config = engine.push_blob(repository, b"{}")
    def put(document, kind=MANIFEST, tag="v1"):
        return engine.ask("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(document).encode(), Content_Type=kind)
    absent = {"digest": digest_of(b"absent"), "size": 6, "mediaType": "x"}
    image = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [absent]}
    answer = put(image)
    assert (answer.status, answer.code) == (400, "MANIFEST_BLOB_UNKNOWN") and absent["digest"] in answer.message
    assert put({"schemaVersion": 2, "manifests": [absent]}, INDEX).code == "MANIFEST_BLOB_UNKNOWN"
    assert put({"schemaVersion": 1}).code == "MANIFEST_INVALID"
    assert put([]).code == "MANIFEST_INVALID"
    assert put({**image, "layers": [{**config, "size": 3}]}).code == "MANIFEST_INVALID"
    assert put({**image, "layers": []}, tag=digest_of(b"other")).code == "DIGEST_INVALID"
    large = engine.ask("PUT", f"/v2/{repository}/manifests/v1", b" " * (4 << 20) + b"{}", Content_Type=MANIFEST)
    assert (large.status, large.code) == (413, "SIZE_INVALID")
    assert engine.ask("GET", f"/v2/{repository}/tags/list").json == {"name": repository, "tags": []}


def test_an_index_of_images(engine, repository):
    digest = engine.push(repository, "v1")
    size = int(engine.ask("HEAD", f"/v2/{repository}/manifests/{digest}").headers["Content-Length"])
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": digest, "size": size,
         "platform": {"architecture": "amd64", "os": "linux"}}]}).encode()
    answer = engine.ask("PUT", f"/v2/{repository}/manifests/all", index, Content_Type=INDEX)
    assert answer.status == 201, answer.body
    assert engine.ask("GET", f"/v2/{repository}/manifests/all").headers["Content-Type"] == INDEX
    held = engine.ask("DELETE", f"/v2/{repository}/manifests/{digest}")
    assert held.status == 409
    assert engine.ask("DELETE", f"/v2/{repository}/manifests/all").status == 202
    assert engine.ask("DELETE", f"/v2/{repository}/manifests/{digest}").status == 202
    assert engine.ask("GET", f"/v2/{repository}/manifests/v1").code == "MANIFEST_UNKNOWN"


def test_lists_come_in_pages(endpoint, engine, repository):
    for tag in ("c", "a", "b"):
        engine.push(repository, tag)
    first = engine.ask("GET", f"/v2/{repository}/tags/list?n=2")
    assert first.json["tags"] == ["a", "b"]
    following = first.headers["Link"].partition(">")[0].strip("<")
    second = engine.ask("GET", following)
    assert second.json["tags"] == ["c"] and "Link" not in second.headers
    found, path = [], "/v2/_catalog?n=1"
    while path:
        page = engine.ask("GET", path)
        found += page.json["repositories"]
        path = page.headers.get("Link", "").partition(">")[0].strip("<")
    assert found == sorted(found) and repository in found


def test_layers_are_deleted_when_no_image_needs_them(engine, repository):
    engine.push(repository, "v1", [b"needed"])
    engine.push_blob(repository, b"unneeded")
    assert engine.ask("DELETE", f"/v2/{repository}/blobs/{digest_of(b'needed')}").status == 409
    assert engine.ask("DELETE", f"/v2/{repository}/blobs/{digest_of(b'unneeded')}").status == 202
    assert engine.ask("GET", f"/v2/{repository}/blobs/{digest_of(b'unneeded')}").code == "BLOB_UNKNOWN"


def test_nothing_is_pushed_to_a_repository_that_is_not_there(engine):
    for method, path in (("POST", "blobs/uploads/"), ("GET", "tags/list"), ("HEAD", "blobs/" + digest_of(b""))):
        answer = engine.ask(method, f"/v2/never/made/{path}")
        assert answer.status == 404
    assert engine.ask("POST", "/v2/never/made/blobs/uploads/").code == "NAME_UNKNOWN"
    assert engine.ask("POST", "/v2/Never/blobs/uploads/").code == "NAME_UNKNOWN"


def test_permissions_are_those_of_ecr(endpoint, engine, repository, name):
    engine.push(repository, "v1")
    reader = Engine(endpoint, **endpoint.user(name + "-reader", "AmazonEC2ContainerRegistryReadOnly"))
    assert reader.pull(repository, "v1") == [b"layer"]
    for method, path, action in (
            ("POST", "blobs/uploads/", "InitiateLayerUpload"), ("PUT", "manifests/v1", "PutImage"),
            ("DELETE", "manifests/v1", "BatchDeleteImage")):
        answer = reader.ask(method, f"/v2/{repository}/{path}", b"{}")
        assert (answer.status, answer.code) == (403, "DENIED")
        resource = f"arn:aws:ecr:us-east-1:123456789012:repository/{repository}"
        assert f"is not authorized to perform: ecr:{action} on resource: {resource}" in answer.message
    lines = [json.loads(line) for line in endpoint.run("audit", "--format", "json").splitlines()]
    denied = [line for line in lines if line["operation"] == "PutImage" and line["status"] == 403]
    assert any(line["service"] == "ecr" and line["principal"].endswith(name + "-reader") for line in denied)


def test_a_password_ends_with_its_key_and_its_session(fresh_server):
    fresh_server.client("ecr").create_repository(repositoryName="kept")
    key = fresh_server.user("leaver", "AmazonEC2ContainerRegistryPowerUser")
    engine = Engine(fresh_server, **key)
    session = fresh_server.client("sts", **key).get_session_token()["Credentials"]
    temporary = Engine(fresh_server, access_key=session["AccessKeyId"], secret_key=session["SecretAccessKey"],
                       token=session["SessionToken"])
    other = Engine(fresh_server)
    fresh_server.stop()
    fresh_server.start()
    for client in (engine, temporary, other):
        client.host = urllib.parse.urlsplit(fresh_server.url).netloc
        assert client.ask("GET", "/v2/kept/tags/list").status == 200
    fresh_server.run("access-key", "disable", key["access_key"])
    for client in (engine, temporary):
        assert client.ask("GET", "/v2/kept/tags/list").status == 401
    assert other.ask("GET", "/v2/kept/tags/list").status == 200


def half_an_upload(engine, location, size, sent):
    """A PATCH whose client dies when it has sent `sent` of `size` bytes."""
    stream = socket.create_connection(engine.host.split(":"))
    stream.sendall((f"PATCH {location} HTTP/1.1\r\nHost: {engine.host}\r\nAuthorization: {engine.authorization}\r\n"
                    f"Content-Length: {size}\r\n\r\n").encode() + sent)
    return stream


def eventually(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_push_whose_client_is_killed_goes_on_or_begins_anew(endpoint, engine, repository):
    layer = random_layer(5 << 20)
    location = engine.begin(repository)
    half_an_upload(engine, location, len(layer), layer[:2 << 20]).close()
    assert engine.ask("HEAD", f"/v2/{repository}/blobs/{digest_of(layer)}").status == 404
    eventually(lambda: engine.ask("GET", location).headers["Range"] == f"0-{(2 << 20) - 1}")
    # Docker begins anew, other clients go on.
    engine.push(repository, "anew", [layer])
    assert engine.pull(repository, "anew") == [layer]
    done = engine.ask("PUT", f"{location}?digest={digest_of(layer)}", layer[2 << 20:])
    assert done.status == 201, done.body


def test_a_push_whose_server_is_killed_goes_on_or_begins_anew(fresh_server):
    fresh_server.client("ecr").create_repository(repositoryName="app")
    engine = Engine(fresh_server)
    kept, layer = random_layer(1000), random_layer(20 << 20)
    engine.push("app", "kept", [kept])
    location = engine.begin("app")
    stream = half_an_upload(engine, location, len(layer), layer[:10 << 20])
    path = fresh_server.data_dir / "registry/uploads" / location.rpartition("/")[2]
    eventually(lambda: path.exists() and path.stat().st_size >= 5 << 20)
    fresh_server.kill()
    stream.close()
    fresh_server.start()
    engine.host = urllib.parse.urlsplit(fresh_server.url).netloc
    assert engine.pull("app", "kept") == [kept]
    assert engine.ask("HEAD", f"/v2/app/blobs/{digest_of(layer)}").status == 404
    reached = int(engine.ask("GET", location).headers["Range"].split("-")[1]) + 1
    assert 5 << 20 <= reached <= 10 << 20
    done = engine.ask("PUT", f"{location}?digest={digest_of(layer)}", layer[reached:])
    assert done.status == 201, done.body
    engine.push("app", "anew", [layer])
    assert engine.pull("app", "anew") == [layer]
    assert files(fresh_server) == 3 and not uploads(fresh_server)


def test_space_comes_back(fresh_server):
    ecr = fresh_server.client("ecr")
    for repository in ("one", "two"):
        ecr.create_repository(repositoryName=repository)
    engine, shared = Engine(fresh_server), random_layer(100)
    engine.push("one", "v1", [shared, random_layer(1000)])
    engine.push("two", "v1", [shared])
    assert files(fresh_server) == 3
    engine.begin("one")
    ecr.delete_repository(repositoryName="one", force=True)
    assert files(fresh_server) == 2
    assert engine.pull("two", "v1") == [shared]


def test_the_address_can_be_chosen(tmp_path):
    server = Server(tmp_path / "data", SAGEBRUSH_REGISTRY_URL="https://registry.example.org")
    ecr = server.client("ecr")
    made = ecr.create_repository(repositoryName="team/app")["repository"]
    assert made["repositoryUri"] == "registry.example.org/team/app"
    token = ecr.get_authorization_token()["authorizationData"][0]
    assert token["proxyEndpoint"] == "https://registry.example.org"
    assert server.stop() == 0
