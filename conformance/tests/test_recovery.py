"""kill -9 and SIGTERM: nothing acknowledged is lost, jobs end with a reason, nothing is left running."""

import json
import pathlib
import time

import ratings
from conftest import ROLE, until
from test_endpoint import deploy, descendants


def alive(pid):
    try:
        return ") Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def all_gone(pids, seconds=10):
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "processes are left behind"
        time.sleep(0.05)


def test_a_killed_server_fails_its_running_job_and_keeps_everything_else(fresh_server):
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    ratings.upload(s3, "bucket")
    sagemaker.create_training_job(**ratings.training_job("done", "bucket", epochs=1))
    done = until(lambda: sagemaker.describe_training_job(TrainingJobName="done"), ("Completed",))
    artifact = done["ModelArtifacts"]["S3ModelArtifacts"]
    deploy(sagemaker, "live", artifact)
    sagemaker.create_training_job(**ratings.long_training_job("running", "bucket"))
    deadline = time.monotonic() + 30
    while sagemaker.describe_training_job(TrainingJobName="running")["SecondaryStatus"] != "Training":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for number in range(20):
        s3.put_object(Bucket="bucket", Key=f"ledger/{number}", Body=b"%d" % number)
    processes = descendants(fresh_server.process.pid)
    assert len(processes) == 2, "a model server and a training program"

    fresh_server.kill()
    all_gone(processes)
    fresh_server.start()

    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    job = sagemaker.describe_training_job(TrainingJobName="running")
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith("InternalServerError: The server stopped")
    assert job["SecondaryStatusTransitions"][-1]["Status"] == "Failed"
    kept = sagemaker.describe_training_job(TrainingJobName="done")
    assert {**kept, "ResponseMetadata": None} == {**done, "ResponseMetadata": None}
    assert [s3.get_object(Bucket="bucket", Key=f"ledger/{number}")["Body"].read() for number in range(20)] == \
        [b"%d" % number for number in range(20)]
    runtime = fresh_server.client("sagemaker-runtime")
    deadline = time.monotonic() + 30
    while True:
        try:
            answer = runtime.invoke_endpoint(EndpointName="live", ContentType="application/json",
                                             Body='{"instances":[{"in0":[1],"in1":[1]}]}')
            break
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert "predictions" in json.loads(answer["Body"].read())
    assert sagemaker.describe_endpoint(EndpointName="live")["EndpointStatus"] == "InService"


def test_a_stopped_server_leaves_no_process_and_says_what_became_of_its_job(fresh_server):
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    ratings.upload(s3, "bucket")
    sagemaker.create_training_job(**ratings.long_training_job("running", "bucket"))
    deadline = time.monotonic() + 30
    while sagemaker.describe_training_job(TrainingJobName="running")["SecondaryStatus"] != "Training":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    processes = descendants(fresh_server.process.pid)
    assert fresh_server.stop() == 0
    all_gone(processes)
    assert not (fresh_server.data_dir / "server.json").exists()
    fresh_server.start()
    job = fresh_server.client("sagemaker").describe_training_job(TrainingJobName="running")
    assert job["TrainingJobStatus"] == "Failed" and "server stopped" in job["FailureReason"]


def test_jobs_that_wait_at_a_kill_are_done_after_the_restart(fresh_server):
    s3, sagemaker = fresh_server.client("s3"), fresh_server.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    ratings.upload(s3, "bucket")
    names = [f"job-{number}" for number in range(8)]
    for name in names:
        sagemaker.create_training_job(**ratings.training_job(name, "bucket", epochs=1))
    fresh_server.kill()
    fresh_server.start()
    sagemaker = fresh_server.client("sagemaker")
    ended = [until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Completed", "Failed")) for name in names]
    assert all(job["TrainingJobStatus"] == "Completed" or "server stopped" in job["FailureReason"] for job in ended)
    # At most four were running when the server was killed; the others were only accepted.
    assert sum(job["TrainingJobStatus"] == "Completed" for job in ended) >= 4
