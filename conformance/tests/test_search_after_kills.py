"""kill -9 at random moments while jobs are created, run and end: search, list and describe agree with each other.

As a program, for as many rounds as wanted: SAGEBRUSH_KILL_ROUNDS=200 pytest conformance/tests/test_search_after_kills.py
"""

import collections
import concurrent.futures
import itertools
import os
import random
import time

import ratings

ROUNDS = int(os.environ.get("SAGEBRUSH_KILL_ROUNDS", "5"))
SEED = int(os.environ.get("SAGEBRUSH_KILL_SEED", "5"))
CLIENTS = 3
ENDED = ("Completed", "Failed", "Stopped")


def requests(draw):
    """Jobs of every fate, without end: three that end at once for want of data, one whose program refuses its
    hyperparameters, one that is trained."""
    for number in itertools.count():
        name = f"job-{number}"
        tags = [{"Key": "fate", "Value": "unknown"}]
        fate = draw.choice(["no data", "no data", "no data", "refused", "trained"])
        changes = {"no data": {}, "refused": {"mlp_activation": "nothing"}, "trained": {"epochs": 1}}[fate]
        bucket = "empty" if fate == "no data" else "full"
        yield {**ratings.training_job(name, bucket, **changes), "Tags": tags}


class Load:
    """Clients that create, tag, stop and delete jobs until their server is gone; knows what they were told."""

    def __init__(self, server, source, draw):
        self.server, self.source, self.draw = server, source, draw
        self.accepted, self.deleted, self.tagged = set(), set(), set()

    def run(self, kill_after):
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            work = [[next(self.source) for _ in range(40)] for _ in range(CLIENTS)]
            choices = [random.Random(self.draw.random()) for _ in range(CLIENTS)]
            futures = [pool.submit(self.client, *both) for both in zip(work, choices)]
            time.sleep(kill_after)
            self.server.kill()
            concurrent.futures.wait(futures)
        assert not [error for error in (future.exception() for future in futures) if error]

    def client(self, work, draw):
        sagemaker = self.server.client("sagemaker")
        for request in work:
            name = request["TrainingJobName"]
            try:
                arn = sagemaker.create_training_job(**request)["TrainingJobArn"]
                self.accepted.add(name)
                also = draw.random()
                if also < 0.3:
                    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "fate", "Value": "tagged"}])
                    self.tagged.add(name)
                elif also < 0.4:
                    sagemaker.stop_training_job(TrainingJobName=name)
                elif also < 0.5:
                    # Gone or not when the server is killed before it answers.
                    self.accepted.discard(name)
                    sagemaker.delete_training_job(TrainingJobName=name)
                    self.deleted.add(name)
            except sagemaker.exceptions.ClientError:
                pass  # it ended before it was stopped, or has not ended yet
            except Exception:
                return  # the server is gone


def listed(sagemaker):
    pages = sagemaker.get_paginator("list_training_jobs").paginate()
    return {job["TrainingJobName"]: job["TrainingJobStatus"] for page in pages for job in page["TrainingJobSummaries"]}


def found(sagemaker, *filters):
    expression = {"Filters": [dict(zip(("Name", "Operator", "Value"), one)) for one in filters]}
    pages = sagemaker.get_paginator("search").paginate(Resource="TrainingJob", SearchExpression=expression)
    return {one["TrainingJob"]["TrainingJobName"]: one["TrainingJob"] for page in pages for one in page["Results"]}


def agree(sagemaker, load, seen):
    """What the three say now; `seen` are the ends that were seen before, which no kill may undo."""
    before, everything, after = listed(sagemaker), found(sagemaker, ("TrainingJobName", "Exists")), listed(sagemaker)
    assert set(before) == set(everything) == set(after)
    assert load.accepted <= set(after) and not load.deleted & set(after)
    # Of jobs that go on running meanwhile only what lies between two looks can be said.
    still = {name: status for name, status in before.items() if status in ENDED}
    assert {name: everything[name]["TrainingJobStatus"] for name in still} == still
    assert {name: status for name, status in seen.items() if name in before} == {
        name: before[name] for name in seen if name in before}
    for status in ENDED:
        of_status = {name for name, job in everything.items() if job["TrainingJobStatus"] == status}
        assert of_status <= set(found(sagemaker, ("TrainingJobStatus", "Equals", status)))
    assert load.tagged & set(after) == set(found(sagemaker, ("Tags.fate", "Equals", "tagged"))) & load.tagged
    for name in random.Random(len(after)).sample(sorted(still), min(20, len(still))):
        assert sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == still[name]
    return still


def test_search_list_and_describe_agree_after_kills(fresh_server):
    draw = random.Random(SEED)
    s3 = fresh_server.client("s3")
    for bucket in ("empty", "full"):
        s3.create_bucket(Bucket=bucket)
    ratings.upload(s3, "full")
    load, seen = Load(fresh_server, requests(draw), draw), {}
    for _ in range(ROUNDS):
        load.run(kill_after=draw.uniform(0.1, 1.2))
        fresh_server.start()
        sagemaker = fresh_server.client("sagemaker")
        seen = agree(sagemaker, load, seen)
    deadline = time.monotonic() + 60 + ROUNDS
    while set(listed(sagemaker).values()) - set(ENDED):
        assert time.monotonic() < deadline, listed(sagemaker)
        time.sleep(0.2)
    ended = agree(sagemaker, load, seen)
    assert set(ended) == set(listed(sagemaker))
    fates = collections.Counter(ended.values())
    assert fates["Failed"] > 10 and fates["Completed"] > 0, fates
    # With everything at rest, all three tell the same of every job, and every status has its search.
    everything = found(sagemaker, ("TrainingJobName", "Exists"))
    for status, count in fates.items():
        assert len(found(sagemaker, ("TrainingJobStatus", "Equals", status))) == count
        transition = ("SecondaryStatusTransitions.Status", "Equals", status)
        assert set(found(sagemaker, transition)) == {name for name in ended if ended[name] == status}
    for name, job in everything.items():
        described = sagemaker.describe_training_job(TrainingJobName=name)
        assert {key: job[key] for key in described if key in job} == {key: described[key] for key in described if key in job}
