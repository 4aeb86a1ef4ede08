"""CloudWatch Logs: groups and streams of clients, reading by page, searching by time and pattern."""

import time

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def logs(endpoint):
    return endpoint.client("logs")


def now():
    return int(time.time() * 1000)


def put(logs, group, stream, *events):
    return logs.put_log_events(logGroupName=group, logStreamName=stream,
                               logEvents=[{"timestamp": at, "message": message} for at, message in events])


@pytest.fixture
def group(logs, name):
    logs.create_log_group(logGroupName=name)
    return name


def test_groups_and_streams_are_made_listed_and_deleted(logs, name):
    group = f"/mine/{name}"
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.create_log_stream(logGroupName=group, logStreamName="a")
    logs.create_log_group(logGroupName=group)
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    for stream in "abc":
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName="a")
    put(logs, group, "b", (now(), "ä"))
    described = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert [(item["logGroupName"], item["storedBytes"]) for item in described] == [(group, 2)]
    assert described[0]["arn"] == f"arn:aws:logs:us-east-1:123456789012:log-group:{group}:*"
    assert [item["logGroupName"] for item in logs.describe_log_groups(logGroupNamePattern=name)["logGroups"]] == [group]
    logs.delete_log_stream(logGroupName=group, logStreamName="b")
    names = [stream["logStreamName"] for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]]
    assert names == ["a", "c"]
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        put(logs, group, "b", (now(), "x"))
    logs.delete_log_group(logGroupName=group)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.describe_log_streams(logGroupName=group)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.delete_log_group(logGroupName=group)


def test_streams_are_ordered_by_name_or_last_event_in_pages(logs, group):
    base = now() - 60_000
    for place, stream in enumerate(["e", "a", "d", "b", "c"]):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        put(logs, group, stream, (base + place, "x"))

    def pages(**asked):
        paginator = logs.get_paginator("describe_log_streams")
        return ["".join(stream["logStreamName"] for stream in page["logStreams"])
                for page in paginator.paginate(logGroupName=group, limit=2, **asked)]

    assert pages() == ["ab", "cd", "e"]
    assert pages(descending=True) == ["ed", "cb", "a"]
    assert pages(orderBy="LastEventTime") == ["ea", "db", "c"]
    assert pages(orderBy="LastEventTime", descending=True) == ["cb", "da", "e"]
    assert "nextToken" not in logs.describe_log_streams(logGroupName=group, limit=5)
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", logStreamNamePrefix="a")


def test_events_are_read_forward_and_backward(logs, group):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    base = now() - 60_000
    put(logs, group, "s", *[(base + place, f"m{place}") for place in range(7)])

    def read(**asked):
        answer = logs.get_log_events(logGroupName=group, logStreamName="s", limit=3, **asked)
        return [event["message"] for event in answer["events"]], answer

    texts, answer = read(startFromHead=True)
    assert texts == ["m0", "m1", "m2"]
    texts, answer = read(nextToken=answer["nextForwardToken"])
    assert texts == ["m3", "m4", "m5"]
    assert read(nextToken=answer["nextBackwardToken"])[0] == ["m0", "m1", "m2"]
    texts, answer = read(nextToken=answer["nextForwardToken"])
    assert texts == ["m6"]
    texts, last = read(nextToken=answer["nextForwardToken"])
    assert texts == [] and last["nextForwardToken"] == answer["nextForwardToken"]
    put(logs, group, "s", (base + 7, "later"))
    assert read(nextToken=last["nextForwardToken"])[0] == ["later"]
    assert read()[0] == ["m5", "m6", "later"]
    assert read(startTime=base + 2, endTime=base + 4, startFromHead=True)[0] == ["m2", "m3"]
    for token in ("f/x", "strange"):
        with pytest.raises(logs.exceptions.InvalidParameterException):
            read(nextToken=token)


def test_a_search_merges_streams_by_time(logs, group):
    base = now() - 60_000
    for stream in ("b", "a", "other"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    put(logs, group, "a", (base, "a0"), (base + 2, "a2"), (base + 4, "a4"))
    put(logs, group, "b", (base + 1, "b1"), (base + 2, "b2"), (base + 3, "b3"))
    put(logs, group, "other", (base + 5, "other"))
    # What comes late has its place by its own time.
    put(logs, group, "b", (base + 1, "late"))

    def search(**asked):
        paginator = logs.get_paginator("filter_log_events")
        return [event["message"] for page in paginator.paginate(logGroupName=group, **asked) for event in page["events"]]

    everything = ["a0", "b1", "late", "a2", "b2", "b3", "a4", "other"]
    for limit in (1, 2, 3, 100):
        assert search(limit=limit) == everything
    assert search(logStreamNames=["b"], limit=2) == ["b1", "late", "b2", "b3"]
    assert search(logStreamNamePrefix="o") == ["other"]
    assert search(startTime=base + 2, endTime=base + 3) == ["a2", "b2", "b3"]
    events = logs.filter_log_events(logGroupName=group, interleaved=True)["events"]
    assert len({event["eventId"] for event in events}) == len(everything)
    arn = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["logGroupArn"]
    assert [event["message"] for event in logs.filter_log_events(logGroupIdentifier=arn)["events"]] == everything


def test_a_group_is_followed_by_searching_again(logs, group):
    """As `aws logs tail --follow` does: from the last time on, leaving out the events it has seen."""
    logs.create_log_stream(logGroupName=group, logStreamName="a")
    logs.create_log_stream(logGroupName=group, logStreamName="b")
    base = now() - 60_000
    start, seen, told = base, set(), []

    def poll():
        nonlocal start
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start, interleaved=True):
            for event in page["events"]:
                if event["eventId"] not in seen:
                    seen.add(event["eventId"])
                    told.append(event["message"])
                    start = max(start, event["timestamp"])

    put(logs, group, "a", (base, "1"), (base, "2"))
    poll()
    # The same time, another stream: it is neither told twice nor missed.
    put(logs, group, "b", (base, "3"))
    put(logs, group, "a", (base + 1, "4"))
    poll()
    poll()
    assert told == ["1", "2", "3", "4"]


@pytest.mark.parametrize(("pattern", "expected"), [
    ("ERROR", [1, 2]),
    ("ERROR -disk", [2]),
    ('"out of"', [1]),
    ("?WARN ?INFO", [0, 3]),
    ("{ $.level = \"ERROR\" && $.code >= 500 }", [2]),
    ("{ $.tags[0] = b* || $.code NOT EXISTS }", [2, 4]),
    ("[time, level = WARN, ...]", [3]),
    ("[time, level, ..., seconds > 2]", [3]),
])
def test_filter_patterns(logs, group, pattern, expected):
    messages = ["10:00 INFO started", "ERROR disk out of space", '{"level": "ERROR", "code": 503, "tags": ["blue"]}',
                '10:01 WARN "slow answer" 3.5', '{"level": "DEBUG"}']
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    base = now() - 1000
    put(logs, group, "s", *[(base + place, message) for place, message in enumerate(messages)])
    found = logs.filter_log_events(logGroupName=group, filterPattern=pattern)["events"]
    assert [event["timestamp"] - base for event in found] == expected


def test_patterns_that_cannot_be_read_are_refused(logs, group):
    for pattern, text in [("%a.*%", "regular expressions"), ("{ $.a }", "expected a comparison"), ("[a", "bracket")]:
        with pytest.raises(logs.exceptions.InvalidParameterException) as error:
            logs.filter_log_events(logGroupName=group, filterPattern=pattern)
        assert text in error.value.response["Error"]["Message"]


def test_batches_follow_the_rules(logs, group):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    at = now()
    day = 86_400_000
    with pytest.raises(logs.exceptions.InvalidParameterException) as error:
        put(logs, group, "s", (at, "b"), (at - 1, "a"))
    assert "chronological" in error.value.response["Error"]["Message"]
    with pytest.raises(logs.exceptions.InvalidParameterException) as error:
        put(logs, group, "s", (at - 2 * day, "a"), (at, "b"))
    assert "24 hours" in error.value.response["Error"]["Message"]
    answer = put(logs, group, "s", (at, "kept"), (at + 3 * 3_600_000, "too new"))
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    answer = put(logs, group, "s", (at - 15 * day, "too old"))
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    # Every sequence token is taken, as AWS does.
    logs.put_log_events(logGroupName=group, logStreamName="s", sequenceToken="anything",
                        logEvents=[{"timestamp": at, "message": "again"}])
    events = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)["events"]
    assert [event["message"] for event in events] == ["kept", "again"]


def test_the_logs_of_jobs_are_not_written_by_clients(logs):
    for call, more in [("create_log_group", {}), ("create_log_stream", {"logStreamName": "s"}),
                       ("put_log_events", {"logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "m"}]})]:
        with pytest.raises(logs.exceptions.InvalidParameterException) as error:
            getattr(logs, call)(logGroupName="/aws/sagemaker/TrainingJobs", **more)
        assert "written by the server alone" in error.value.response["Error"]["Message"]


def test_a_live_tail_is_refused_by_name(endpoint, logs, group):
    arn = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["logGroupArn"]
    with pytest.raises(ClientError) as error:
        endpoint.client("logs", inject_host_prefix=False).start_live_tail(logGroupIdentifiers=[arn])
    assert error.value.response["Error"]["Code"] == "UnknownOperationException"


def test_events_survive_a_kill_and_stay_deleted(fresh_server, name):
    logs = fresh_server.client("logs")
    for group in (name, name + "-gone"):
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        put(logs, group, "s", (now(), "kept"))
    logs.delete_log_group(logGroupName=name + "-gone")
    fresh_server.kill()
    fresh_server.start()
    logs = fresh_server.client("logs")
    events = logs.get_log_events(logGroupName=name, logStreamName="s", startFromHead=True)["events"]
    assert [event["message"] for event in events] == ["kept"]
    assert [group["logGroupName"] for group in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]] == [name]
