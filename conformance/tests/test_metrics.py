"""CloudWatch metrics in the three protocols that clients speak."""

import datetime
import gzip
import json
import time
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

PROTOCOLS = ["json", "smithy-rpc-v2-cbor", "query"]
TARGET = "GraniteServiceVersion20100801"


def cloudwatch(server, protocol):
    """A client that is made to speak one protocol: botocore takes the first it knows of the model's list."""
    session = boto3.Session(aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
                            region_name=server.region)
    loader = session._session.get_component("data_loader")
    load = loader.load_service_model

    def patched(service, kind, *arguments, **named):
        model = load(service, kind, *arguments, **named)
        if service == "cloudwatch" and kind == "service-2":
            model = {**model, "metadata": {**model["metadata"], "protocol": protocol, "protocols": [protocol]}}
            if protocol == "query":
                # botocore of the time of that protocol had no header of it.
                model["metadata"].pop("awsQueryCompatible", None)
        return model

    loader.load_service_model = patched
    client = session.client("cloudwatch", endpoint_url=server.url, config=Config(retries={"max_attempts": 1}))
    assert client.meta.service_model.protocol == protocol or client.meta.service_model.resolved_protocol == protocol
    return client


@pytest.fixture(params=PROTOCOLS)
def metrics(request, endpoint):
    return cloudwatch(endpoint, request.param)


def minute():
    """The start of the minute before this one."""
    return datetime.datetime.fromtimestamp((time.time() // 60 - 1) * 60, datetime.timezone.utc)


def statistics(client, namespace, metric, dimensions=(), **more):
    start = minute()
    asked = {"Statistics": ["SampleCount", "Sum", "Average", "Minimum", "Maximum"], "Period": 60,
             "StartTime": start - datetime.timedelta(minutes=1), "EndTime": start + datetime.timedelta(minutes=5), **more}
    return client.get_metric_statistics(Namespace=namespace, MetricName=metric, Dimensions=list(dimensions), **asked)


def test_what_is_put_is_summarised(metrics, name):
    at = minute()
    dimensions = [{"Name": "b", "Value": "ü&<>"}, {"Name": "a", "Value": "1"}]
    metrics.put_metric_data(Namespace=name, MetricData=[
        {"MetricName": "one", "Dimensions": dimensions, "Value": 1.5, "Timestamp": at, "Unit": "Seconds"},
        {"MetricName": "one", "Dimensions": dimensions[::-1], "Value": 2.5, "Timestamp": at + datetime.timedelta(seconds=59),
         "Unit": "Seconds"},
        {"MetricName": "many", "Values": [1.0, 5.0], "Counts": [3.0, 1.0], "Timestamp": at},
        {"MetricName": "set", "Timestamp": at,
         "StatisticValues": {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 4}},
    ])
    one = statistics(metrics, name, "one", dimensions)
    assert one["Label"] == "one"
    assert one["Datapoints"] == [{"Timestamp": at, "SampleCount": 2.0, "Sum": 4.0, "Average": 2.0, "Minimum": 1.5,
                                  "Maximum": 2.5, "Unit": "Seconds"}]
    many = statistics(metrics, name, "many", ExtendedStatistics=["p50", "p90"])["Datapoints"]
    assert (many[0]["Average"], many[0]["ExtendedStatistics"]) == (2.0, {"p50": 1.0, "p90": 5.0})
    only_set = statistics(metrics, name, "set", ExtendedStatistics=["p50"])["Datapoints"]
    assert only_set[0]["Sum"] == 10 and "ExtendedStatistics" not in only_set[0]
    assert statistics(metrics, name, "one", dimensions, Unit="Bytes")["Datapoints"] == []
    assert statistics(metrics, name, "one", dimensions[:1])["Datapoints"] == []
    listed = metrics.list_metrics(Namespace=name, Dimensions=[{"Name": "a"}])["Metrics"]
    assert [metric["MetricName"] for metric in listed] == ["one"]
    assert sorted(listed[0]["Dimensions"], key=lambda item: item["Name"]) == dimensions[::-1]
    assert len(metrics.list_metrics(Namespace=name, RecentlyActive="PT3H")["Metrics"]) == 3


def test_metric_data_comes_in_pages(metrics, name):
    at = minute() - datetime.timedelta(minutes=10)
    points = [at + datetime.timedelta(minutes=index) for index in range(5)]
    metrics.put_metric_data(Namespace=name, MetricData=[
        {"MetricName": metric, "Value": index, "Timestamp": point} for metric in "ab" for index, point in enumerate(points)])
    queries = [{"Id": metric, "Label": f"label {metric}", "MetricStat": {
        "Metric": {"Namespace": name, "MetricName": metric}, "Period": 60, "Stat": stat}} for metric, stat in [("a", "Sum"), ("b", "p50")]]
    found, token, pages = {}, {}, 0
    while True:
        page = metrics.get_metric_data(MetricDataQueries=queries, StartTime=at, EndTime=at + datetime.timedelta(minutes=6),
                                       ScanBy="TimestampAscending", MaxDatapoints=3, **token)
        pages += 1
        for result in page["MetricDataResults"]:
            found.setdefault(result["Id"], []).extend(zip(result["Timestamps"], result["Values"]))
            assert result["Label"] == f"label {result['Id']}"
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert pages == 4
    expected = [(point, float(index)) for index, point in enumerate(points)]
    assert found == {"a": expected, "b": expected}


@pytest.mark.parametrize(("datum", "code", "text"), [
    ({"Value": 1.0, "StatisticValues": {"SampleCount": 1, "Sum": 1, "Minimum": 1, "Maximum": 1}},
     "InvalidParameterCombination", "mutually exclusive"),
    ({"Value": 1e200}, "InvalidParameterValue", "MetricData.member.1.Value"),
    ({"Value": 1.0, "Timestamp": datetime.datetime(2020, 1, 1)}, "InvalidParameterValue", "two weeks"),
    ({"Value": 1.0, "StorageResolution": 7}, "InvalidParameterValue", "StorageResolution"),
    ({"Value": 1.0, "Unit": "Furlongs"}, "InvalidParameterValue", "enum value set"),
    ({}, "InvalidParameterValue", "At least one of"),
])
def test_errors_have_their_query_codes_in_every_protocol(metrics, name, datum, code, text):
    with pytest.raises(ClientError) as error:
        metrics.put_metric_data(Namespace=name, MetricData=[{"MetricName": "m", **datum}])
    assert error.value.response["Error"]["Code"].removesuffix("Exception") == code
    assert text in error.value.response["Error"]["Message"]
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert metrics.list_metrics(Namespace=name)["Metrics"] == []


def test_what_is_not_performed_is_refused_by_name(metrics, name):
    times = {"StartTime": minute(), "EndTime": minute() + datetime.timedelta(minutes=1)}
    with pytest.raises(ClientError) as error:
        metrics.get_metric_data(MetricDataQueries=[{"Id": "e", "Expression": "SEARCH('x', 'Sum')"}], **times)
    assert "SEARCH('x', 'Sum')' is not supported" in error.value.response["Error"]["Message"]
    with pytest.raises(ClientError) as error:
        statistics(metrics, name, "m", ExtendedStatistics=["tm90"])
    assert "'tm90' is not supported" in error.value.response["Error"]["Message"]
    with pytest.raises(ClientError) as error:
        metrics.put_metric_data(Namespace="AWS/Mine", MetricData=[{"MetricName": "m", "Value": 1}])
    assert "reserved" in error.value.response["Error"]["Message"]
    with pytest.raises(ClientError) as error:
        metrics.describe_alarms()
    assert error.value.response["Error"]["Code"] in ("UnknownOperationException", "InvalidAction")
    assert "DescribeAlarms is not performed by this server" in error.value.response["Error"]["Message"]


def test_metrics_survive_a_kill(fresh_server, name):
    fresh_server.client("cloudwatch").put_metric_data(Namespace=name, MetricData=[{"MetricName": "m", "Value": 7}])
    fresh_server.kill()
    fresh_server.start()
    points = statistics(fresh_server.client("cloudwatch"), name, "m", StartTime=time.time() - 300, EndTime=time.time() + 60)
    assert [point["Sum"] for point in points["Datapoints"]] == [7.0]


def test_large_requests_are_compressed_and_understood(endpoint, name):
    sent = []
    client = endpoint.client("cloudwatch", request_min_compression_size_bytes=1024)
    client.meta.events.register("before-send.*.*", lambda request, **_: sent.append(request.headers.get("Content-Encoding")))
    data = [{"MetricName": f"metric-{index}", "Value": index} for index in range(600)]
    client.put_metric_data(Namespace=name, MetricData=data)
    assert sent == [b"gzip"] or sent == ["gzip"]
    listed = [metric["MetricName"] for page in client.get_paginator("list_metrics").paginate(Namespace=name)
              for metric in page["Metrics"]]
    assert sorted(listed) == sorted(datum["MetricName"] for datum in data)


def signed(server, path, body, headers):
    request = AWSRequest("POST", server.url + path, data=body, headers=headers)
    SigV4Auth(Credentials(server.access_key, server.secret_key), "monitoring", server.region).add_auth(request)
    try:
        with urllib.request.urlopen(urllib.request.Request(server.url + path, body, dict(request.headers))) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def json_call(server, operation, body, **headers):
    return signed(server, "/", body, {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"{TARGET}.{operation}",
                                      "x-amzn-query-mode": "true", **headers})


def test_a_compressed_bomb_is_refused(endpoint):
    bomb = gzip.compress(b" " * (64 << 20))
    assert len(bomb) < 100_000
    status, _, body = json_call(endpoint, "ListMetrics", bomb, **{"Content-Encoding": "gzip"})
    assert status == 413 and b"4194304 bytes" in body
    status, _, body = json_call(endpoint, "ListMetrics", b"no gzip", **{"Content-Encoding": "gzip"})
    assert status == 400 and b"not gzip" in body
    status, _, body = json_call(endpoint, "ListMetrics", gzip.compress(b"{}"), **{"Content-Encoding": "gzip"})
    assert status == 200 and json.loads(body) == {"Metrics": []} or b"Metrics" in body


def test_query_mode_names_the_code_of_the_query_protocol(endpoint):
    body = json.dumps({"Namespace": "AWS/X", "MetricData": [{"MetricName": "m", "Value": 1}]}).encode()
    status, headers, body = json_call(endpoint, "PutMetricData", body)
    assert status == 400
    assert headers["x-amzn-query-error"] == "InvalidParameterValue;Sender"
    assert json.loads(body)["__type"] == "InvalidParameterValueException"


def cbor(value):
    """The least of RFC 8949 that a request needs."""
    def head(major, number):
        for bits, extra in ((1, 24), (2, 25), (4, 26), (8, 27)):
            if number < 24:
                return bytes([major << 5 | number])
            if number < 1 << (8 * bits):
                return bytes([major << 5 | extra]) + number.to_bytes(bits, "big")
    import struct
    if isinstance(value, bool) or value is None:
        return bytes([{False: 0xf4, True: 0xf5, None: 0xf6}[value]])
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, datetime.datetime):
        return b"\xc1" + cbor(value.timestamp())
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return b"\x9f" + b"".join(map(cbor, value)) + b"\xff"
    return b"\xbf" + b"".join(cbor(key) + cbor(item) for key, item in value.items()) + b"\xff"


def cbor_call(server, operation, body):
    return signed(server, f"/service/{TARGET}/operation/{operation}", body,
                  {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor", "Accept": "application/cbor"})


def test_cbor_as_the_rust_sdk_writes_it(endpoint, name):
    at = minute()
    put = {"Namespace": name, "MetricData": [{"MetricName": "m", "Timestamp": at, "Value": 2.0, "Unit": "Count"}]}
    status, headers, _ = cbor_call(endpoint, "PutMetricData", cbor(put))
    assert status == 200 and headers["smithy-protocol"] == "rpc-v2-cbor"
    assert headers["content-type"] == "application/cbor"
    asked = {"Namespace": name, "MetricName": "m", "Period": 60, "Statistics": ["Sum"], "StartTime": at,
             "EndTime": at + datetime.timedelta(minutes=1)}
    status, _, body = cbor_call(endpoint, "GetMetricStatistics", cbor(asked))
    # A time has tag 1, and so has its double; a text its length before it.
    assert status == 200 and b"\x69Timestamp\xc1\xfb" in body and b"\x63Sum\xfb" in body
    status, headers, body = cbor_call(endpoint, "GetMetricStatistics", cbor({**asked, "Period": 7}))
    assert status == 400 and b"\x66__type\x78\x1eInvalidParameterValueException" in body
    assert headers["x-amzn-query-error"] == "InvalidParameterValue;Sender"
    for strange in (b"\xa1\x01\x02", b"\xff", b"\x9b" + b"\xff" * 8, b"\x81" * 1000):
        status, _, body = cbor_call(endpoint, "ListMetrics", strange)
        assert status == 400 and b"SerializationException" in body
    status, headers, body = cbor_call(endpoint, "Nothing", cbor({}))
    assert status == 400 and headers["x-amzn-query-error"] == "InvalidAction;Sender"


def test_the_namespaces_of_jobs_are_not_written_by_clients(endpoint):
    with pytest.raises(ClientError) as error:
        endpoint.client("cloudwatch").put_metric_data(
            Namespace="/aws/sagemaker/TrainingJobs", MetricData=[{"MetricName": "loss", "Value": 0}])
    assert "reserved" in error.value.response["Error"]["Message"]
