"""ECR's API: repositories, images, tags and passwords."""

import base64
import datetime
import json

import pytest
from botocore.exceptions import ClientError

from registry import MANIFEST, Engine, digest_of

ACCOUNT = "123456789012"


@pytest.fixture
def ecr(endpoint):
    return endpoint.client("ecr")


@pytest.fixture
def repository(ecr, name):
    ecr.create_repository(repositoryName=name)
    return name


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code
    return error.value.response["Error"]["Message"]


def test_a_repository_from_its_beginning_to_its_end(endpoint, ecr, name):
    message = refused("RepositoryNotFoundException", ecr.describe_repositories, repositoryNames=[name])
    assert message == f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
    made = ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE",
                                 tags=[{"Key": "team", "Value": "books"}])["repository"]
    assert made["repositoryUri"] == endpoint.url.removeprefix("http://") + "/" + name
    assert made["repositoryArn"] == f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{name}"
    assert (made["registryId"], made["imageTagMutability"]) == (ACCOUNT, "IMMUTABLE")
    age = datetime.datetime.now(datetime.timezone.utc) - made["createdAt"]
    assert abs(age.total_seconds()) < 60
    assert ecr.describe_repositories(repositoryNames=[name])["repositories"] == [made]
    message = refused("RepositoryAlreadyExistsException", ecr.create_repository, repositoryName=name)
    assert message == f"The repository with name '{name}' already exists in the registry with id '{ACCOUNT}'"
    Engine(endpoint).push(name, "v1")
    message = refused("RepositoryNotEmptyException", ecr.delete_repository, repositoryName=name)
    assert "cannot be deleted because it still contains images" in message
    assert ecr.delete_repository(repositoryName=name, force=True)["repository"] == made
    refused("RepositoryNotFoundException", ecr.list_images, repositoryName=name)


def test_repositories_are_those_of_a_region(endpoint, ecr, repository):
    abroad = endpoint.client("ecr", region="eu-west-1")
    refused("RepositoryNotFoundException", abroad.describe_repositories, repositoryNames=[repository])
    made = abroad.create_repository(repositoryName=repository)["repository"]
    assert ":eu-west-1:" in made["repositoryArn"]
    engine = Engine(endpoint, region="eu-west-1")
    engine.push(repository, "v1")
    assert len(abroad.list_images(repositoryName=repository)["imageIds"]) == 1
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []
    refused("RepositoryNotFoundException", ecr.list_images, repositoryName=repository, registryId="000000000000")


def test_what_is_not_done_is_refused_by_name(ecr, name):
    for field, value in (("imageScanningConfiguration", {"scanOnPush": True}),
                         ("encryptionConfiguration", {"encryptionType": "KMS"}),
                         ("imageTagMutability", "MUTABLE_WITH_EXCLUSION")):
        message = refused("InvalidParameterException", ecr.create_repository, repositoryName=name, **{field: value})
        assert field in message
    for call, parameters in ((ecr.get_lifecycle_policy, {}), (ecr.get_repository_policy, {}),
                             (ecr.start_image_scan, {"imageId": {"imageTag": "x"}})):
        message = refused("UnknownOperationException", call, repositoryName=name, **parameters)
        assert "is not performed by this server" in message


def test_names_are_checked(ecr):
    for wrong in ("Upper", "a--", "a/../b", "a//b"):
        message = refused("InvalidParameterException", ecr.create_repository, repositoryName=wrong)
        assert "repositoryName" in message or wrong in message


def test_repositories_come_in_pages(endpoint, fresh_server):
    ecr = fresh_server.client("ecr")
    names = [f"team/{letter}" for letter in "abcde"]
    for name in reversed(names):
        ecr.create_repository(repositoryName=name)
    pages = list(ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["repositories"]) for page in pages] == [2, 2, 1]
    assert [entry["repositoryName"] for page in pages for entry in page["repositories"]] == names
    refused("InvalidParameterException", ecr.describe_repositories, nextToken="*")
    refused("InvalidParameterException", ecr.describe_repositories, repositoryNames=names, maxResults=1)


def test_images_are_listed_and_described(endpoint, ecr, repository):
    engine = Engine(endpoint)
    first = engine.push(repository, "v1", [b"one" * 100, b"two" * 100])
    for tag in ("v2", "latest"):
        engine.push(repository, tag, [b"three"])
    second = engine.push(repository, "latest", [b"three"])
    old = engine.push(repository, "moved", [b"four"])
    engine.push(repository, "moved", [b"three"])
    listed = {(entry["imageDigest"], entry.get("imageTag")) for entry in ecr.list_images(repositoryName=repository)["imageIds"]}
    assert listed == {(first, "v1"), (second, "v2"), (second, "latest"), (second, "moved"), (old, None)}
    pages = ecr.get_paginator("list_images").paginate(repositoryName=repository, PaginationConfig={"PageSize": 2})
    assert {(entry["imageDigest"], entry.get("imageTag")) for page in pages for entry in page["imageIds"]} == listed
    untagged = ecr.list_images(repositoryName=repository, filter={"tagStatus": "UNTAGGED"})["imageIds"]
    assert untagged == [{"imageDigest": old}]
    details = {entry["imageDigest"]: entry for entry in ecr.describe_images(repositoryName=repository)["imageDetails"]}
    assert set(details) == {first, second, old}
    assert details[second]["imageTags"] == ["latest", "moved", "v2"] and "imageTags" not in details[old]
    assert details[first]["imageSizeInBytes"] > 600 and details[first]["imageManifestMediaType"] == MANIFEST
    one = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "v1"}])["imageDetails"]
    assert one == [details[first]]
    message = refused("ImageNotFoundException", ecr.describe_images, repositoryName=repository,
                      imageIds=[{"imageTag": "absent"}])
    assert message == (f"The image with imageId {{imageDigest:'null', imageTag:'absent'}} does not exist within the "
                       f"repository with name '{repository}' in the registry with id '{ACCOUNT}'")


def test_images_are_fetched_retagged_and_deleted(endpoint, ecr, repository):
    engine = Engine(endpoint)
    digest = engine.push(repository, "v1")
    answer = ecr.batch_get_image(repositoryName=repository, imageIds=[
        {"imageTag": "v1"}, {"imageTag": "absent"}, {"imageDigest": "x"}, {},
        {"imageTag": "v1", "imageDigest": digest_of(b"")}])
    manifest = answer["images"][0]["imageManifest"]
    assert digest_of(manifest.encode()) == digest and answer["images"][0]["imageManifestMediaType"] == MANIFEST
    assert [entry["failureCode"] for entry in answer["failures"]] == [
        "ImageNotFound", "InvalidImageDigest", "MissingDigestAndTag", "ImageTagDoesNotMatchDigest"]
    put = ecr.put_image(repositoryName=repository, imageManifest=manifest, imageTag="v2")["image"]
    assert put["imageId"] == {"imageDigest": digest, "imageTag": "v2"}
    refused("ImageAlreadyExistsException", ecr.put_image, repositoryName=repository, imageManifest=manifest, imageTag="v2")
    refused("ImageDigestDoesNotMatchException", ecr.put_image, repositoryName=repository, imageManifest=manifest,
            imageTag="v3", imageDigest=digest_of(b""))
    absent = json.loads(manifest) | {"layers": [{"digest": digest_of(b"absent"), "size": 6}]}
    refused("LayersNotFoundException", ecr.put_image, repositoryName=repository, imageManifest=json.dumps(absent))
    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}, {"imageTag": "v1"}])
    assert gone["imageIds"] == [{"imageDigest": digest, "imageTag": "v1"}]
    assert [entry["failureCode"] for entry in gone["failures"]] == ["ImageNotFound"]
    assert engine.pull(repository, "v2")
    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])
    assert gone["imageIds"] == [{"imageDigest": digest, "imageTag": "v2"}]
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []


def test_layers_are_looked_for(endpoint, ecr, repository):
    Engine(endpoint).push(repository, "v1", [b"12345"])
    answer = ecr.batch_check_layer_availability(
        repositoryName=repository, layerDigests=[digest_of(b"12345"), digest_of(b"absent"), "x"])
    there, absent = answer["layers"]
    assert (there["layerAvailability"], there["layerSize"]) == ("AVAILABLE", 5)
    assert absent["layerAvailability"] == "UNAVAILABLE"
    assert answer["failures"][0]["failureCode"] == "InvalidLayerDigest"


def test_immutable_tags_are_not_moved(endpoint, ecr, repository):
    ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")
    engine = Engine(endpoint)
    engine.push(repository, "v1")
    engine.push(repository, "v1")
    layer = engine.push_blob(repository, b"other")
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": layer, "layers": [layer]})
    message = refused("ImageTagAlreadyExistsException", ecr.put_image, repositoryName=repository,
                      imageManifest=manifest, imageTag="v1")
    assert "cannot be overwritten because the tag is immutable" in message
    answer = engine.ask("PUT", f"/v2/{repository}/manifests/v1", manifest.encode(), Content_Type=MANIFEST)
    assert (answer.status, answer.code, answer.message) == (400, "TAG_INVALID", message)


def test_repositories_have_tags(ecr, repository):
    arn = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{repository}"
    tag = lambda key, value="": {"Key": key, "Value": value}
    ecr.tag_resource(resourceArn=arn, tags=[tag("b", "1"), tag("a")])
    ecr.tag_resource(resourceArn=arn, tags=[tag("b", "2")])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [tag("a"), tag("b", "2")]
    ecr.untag_resource(resourceArn=arn, tagKeys=["a", "absent"])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [tag("b", "2")]
    many = [tag(str(number)) for number in range(50)]
    refused("TooManyTagsException", ecr.tag_resource, resourceArn=arn, tags=many)
    refused("InvalidTagParameterException", ecr.tag_resource, resourceArn=arn, tags=[tag("aws:x")])
    refused("InvalidParameterException", ecr.tag_resource, resourceArn="arn:aws:s3:::b", tags=[tag("x")])
    refused("RepositoryNotFoundException", ecr.list_tags_for_resource, resourceArn=arn + "-absent")


def test_passwords_last_twelve_hours_or_as_long_as_their_session(endpoint, ecr):
    now = datetime.datetime.now(datetime.timezone.utc)
    data = ecr.get_authorization_token()["authorizationData"][0]
    assert data["proxyEndpoint"] == endpoint.url
    assert abs((data["expiresAt"] - now).total_seconds() - 43200) < 60
    user, password = base64.b64decode(data["authorizationToken"]).decode().split(":", 1)
    assert user == "AWS" and endpoint.secret_key not in password
    session = endpoint.client("sts").get_session_token(DurationSeconds=900)["Credentials"]
    temporary = endpoint.client("ecr", access_key=session["AccessKeyId"], secret_key=session["SecretAccessKey"],
                                token=session["SessionToken"])
    data = temporary.get_authorization_token()["authorizationData"][0]
    assert data["expiresAt"] == session["Expiration"]
    refused("InvalidParameterException", ecr.get_authorization_token, registryIds=["000000000000"])
    assert ecr.get_authorization_token(registryIds=[ACCOUNT])["authorizationData"]


def test_permissions_name_the_repository(endpoint, ecr, repository, name):
    own = {"Effect": "Allow", "Action": "ecr:*", "Resource": f"arn:aws:ecr:*:*:repository/{repository}"}
    limited = endpoint.client("ecr", **endpoint.user(name, [own]))
    assert limited.describe_repositories(repositoryNames=[repository])["repositories"]
    refused("AccessDeniedException", limited.describe_repositories)
    refused("AccessDeniedException", limited.create_repository, repositoryName=name + "-other")
    refused("AccessDeniedException", limited.get_authorization_token)
