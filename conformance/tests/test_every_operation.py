"""Every operation that is served, asked for by senders who must be refused: unsigned, with a wrong secret, without
permission, with a session that has ended. Each gets its protocol's code and status, and nothing happens."""

import json
import pathlib
import tomllib

import botocore
import pytest
from botocore.exceptions import ClientError

from conftest import ROLE, Server
from registry import Engine
from test_identity import expired_session

SCOPE = tomllib.loads((pathlib.Path(__file__).parents[2] / "models/scope.toml").read_text())
OPERATIONS = [(service, operation) for service, lists in SCOPE.items() if isinstance(lists, dict)
              for operation in lists["real"]]
# Needs no permission; a session of one's own is one's own.
FREE = {("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")}
CODES = {
    # protocol: unsigned, wrong secret, no permission, session that has ended
    "json": [("MissingAuthenticationTokenException", 403), ("InvalidSignatureException", 403),
             ("AccessDeniedException", 400), ("ExpiredTokenException", 403)],
    "rest-json": [("MissingAuthenticationTokenException", 403), ("InvalidSignatureException", 403),
                  ("AccessDeniedException", 403), ("ExpiredTokenException", 403)],
    "query": [("MissingAuthenticationToken", 403), ("SignatureDoesNotMatch", 403), ("AccessDenied", 403),
              ("ExpiredToken", 403)],
    "s3": [("AccessDenied", 403), ("SignatureDoesNotMatch", 403), ("AccessDenied", 403), ("ExpiredToken", 400)],
}


def protocol(service):
    return {"s3": "s3", "sts": "query", "iam": "query", "sagemaker-runtime": "rest-json",
            "sagemaker-metrics": "rest-json"}.get(service, "json")


def value(shape, name, targets):
    """The least value of a shape that a client sends."""
    if name in targets:
        return targets[name]
    kind = shape.type_name
    if kind == "structure":
        return {member: value(inner, member, targets) for member, inner in shape.members.items()
                if member in shape.required_members}
    if kind == "list":
        return [value(shape.member, name, targets)]
    if kind == "map":
        return {}
    if kind == "string":
        return (shape.enum or ["x" * max(shape.metadata.get("min", 1), 1)])[0]
    if kind in ("integer", "long", "float", "double"):
        return max(shape.metadata.get("min", 1), 1)
    return {"boolean": True, "timestamp": 0, "blob": b"x"}[kind]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Things that a refused operation could change, and how they look now, on a server that nobody else uses."""
    endpoint = Server(tmp_path_factory.mktemp("walked") / "data")
    sagemaker, s3, iam = endpoint.client("sagemaker"), endpoint.client("s3"), endpoint.client("iam")
    arn = sagemaker.create_model(
        ModelName="walked", ExecutionRoleArn=ROLE, Tags=[{"Key": "k", "Value": "v"}],
        PrimaryContainer={"Image": "382416733822.dkr.ecr.us-east-1.amazonaws.com/object2vec:1",
                          "ModelDataUrl": "s3://walked/m.tar.gz"})["ModelArn"]
    sagemaker.create_endpoint_config(EndpointConfigName="walked", ProductionVariants=[
        {"VariantName": "v", "ModelName": "walked", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
    for bucket in ("walked", "walked-empty"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="walked", Key="k", Body=b"kept", Tagging="a=b")
    upload = s3.create_multipart_upload(Bucket="walked", Key="k")["UploadId"]
    s3.upload_part(Bucket="walked", Key="k", UploadId=upload, PartNumber=1, Body=b"part")
    ecr = endpoint.client("ecr")
    repository = ecr.create_repository(repositoryName="walked", tags=[{"Key": "k", "Value": "v"}])["repository"]
    digest = Engine(endpoint).push("walked", "kept")
    endpoint.user("walked", "AmazonS3ReadOnlyAccess")
    endpoint.user("powerless")
    iam.create_role(RoleName="walked", AssumeRolePolicyDocument=(
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}]}'))

    def look():
        plain = lambda answer: {key: answer[key] for key in answer if key != "ResponseMetadata"}
        listings = [getattr(sagemaker, call) for call in dir(sagemaker) if call in {
            botocore.xform_name(operation) for operation in SCOPE["sagemaker"]["real"]
            if operation.startswith("List") and operation not in ("ListTags", "ListTrainingJobsForHyperParameterTuningJob")}]
        body = s3.get_object(Bucket="walked", Key="k")
        return repr([
            [plain(call()) for call in listings], sagemaker.list_tags(ResourceArn=arn)["Tags"],
            plain(s3.list_buckets()), [plain(s3.list_objects_v2(Bucket=name)) for name in ("walked", "walked-empty")],
            body["Body"].read(), body["LastModified"], s3.get_object_tagging(Bucket="walked", Key="k")["TagSet"],
            [part["ETag"] for part in s3.list_parts(Bucket="walked", Key="k", UploadId=upload)["Parts"]],
            plain(endpoint.client("logs").describe_log_groups()), plain(endpoint.client("cloudwatch").list_metrics()),
            (endpoint.data_dir / "access/identities.json").read_text(),
            ecr.describe_repositories()["repositories"], ecr.describe_images(repositoryName="walked")["imageDetails"],
            ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"],
        ])

    targets = {"Bucket": "walked", "Key": "k", "CopySource": "walked/k", "UploadId": upload, "ResourceArn": arn,
               "RoleArn": ROLE, "ExecutionRoleArn": ROLE, "EndpointName": "walked", "EndpointConfigName": "walked",
               "ModelName": "walked", "UserName": "walked", "RoleName": "walked", "TagKeys": ["k"],
               "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess", "PartNumber": 1,
               "repositoryName": "walked", "imageIds": [{"imageTag": "kept"}], "imageTagMutability": "IMMUTABLE",
               "resourceArn": repository["repositoryArn"], "tagKeys": ["k"], "imageManifest": "{}",
               "layerDigests": [digest], "PolicySourceArn": ROLE, "TrainingJobName": "walked", "ProcessingJobName": "walked"}
    yield endpoint, targets, look
    s3.abort_multipart_upload(Bucket="walked", Key="k", UploadId=upload)
    sagemaker.delete_endpoint_config(EndpointConfigName="walked")
    sagemaker.delete_model(ModelName="walked")
    assert endpoint.stop() == 0


def parameters(client, operation, targets):
    service = client.meta.service_model.service_name
    shape = client.meta.service_model.operation_model(operation).input_shape
    wanted = {} if shape is None else value(shape, "", {})
    targets = dict(targets)
    if operation.startswith("Create"):
        # What is not there yet, so that a refusal is not due to a name that is taken.
        targets |= {name: "walked-new" for name in targets if name.endswith("Name")} | {"Bucket": "walked-new"}
    if operation == "CreateMultipartUpload":
        targets["Bucket"] = "walked"
    if operation == "DeleteBucket":
        targets["Bucket"] = "walked-empty"
    if shape is not None:
        members = [name for name in shape.members if name in wanted or (name in ("UserName",) and service == "iam")]
        wanted = {name: value(shape.members[name], name, targets) for name in members}
    if operation == "CompleteMultipartUpload":
        wanted["MultipartUpload"] = {"Parts": []}
    return wanted


def test_nobody_who_must_be_refused_is_let_in(world):
    endpoint, targets, look = world
    powerless = endpoint.run("access-key", "list", "powerless").splitlines()[1].split()[0]
    identities = json.loads((endpoint.data_dir / "access/identities.json").read_text())
    powerless = {"access_key": powerless, "secret_key": identities["access_keys"][powerless]["secret"]}
    unsigned = dict(signature_version=botocore.UNSIGNED)
    senders = [dict(unsigned), {"secret_key": "wrong" * 8}, powerless, expired_session(endpoint)]
    before, wrong, asked = look(), [], 0
    for service in dict.fromkeys(service for service, _ in OPERATIONS):
        clients = [endpoint.client(service, parameter_validation=False, **sender) for sender in senders]
        for operation in SCOPE[service]["real"]:
            for index, client in enumerate(clients):
                if index == 2 and (service, operation) in FREE:
                    continue
                asked += 1
                expected = CODES[protocol(service)][index]
                try:
                    answer = getattr(client, botocore.xform_name(operation))(**parameters(client, operation, targets))
                except ClientError as error:
                    code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
                else:
                    # Of DeleteObjects, each key is refused alone.
                    code, status = (answer.get("Errors") or [{}])[0].get("Code"), 403
                if service == "cloudwatch":
                    # Clients of CloudWatch read the code that the query protocol has for it.
                    code = {"AccessDenied": "AccessDeniedException", "ExpiredToken": "ExpiredTokenException",
                            "InvalidSignature": "InvalidSignatureException",
                            "SignatureDoesNotMatch": "InvalidSignatureException",
                            "MissingAuthenticationToken": "MissingAuthenticationTokenException"}.get(code, code)
                head = service == "s3" and operation.startswith("Head")
                if status != expected[1] or (code != expected[0] and not (head and code == str(status))):
                    wrong.append((service, operation, index, code, status))
    assert not wrong, "\n".join(map(str, wrong))
    assert asked == 4 * len(OPERATIONS) - len(FREE)
    assert look() == before
