"""Scripts of a user's own in managed Python environments: training, processing, hosting, without a container engine.

The environment of these tests has no packages, so that nothing is downloaded; test_clients.py has scikit-learn.
"""

import io
import json
import pathlib
import subprocess
import tarfile
import time

import pytest
from botocore.exceptions import ClientError

from conftest import BINARY, ROLE, Server, until

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagebrush-python:1"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"


def archive(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server whose environment is there before the tests, so that their limits of time are their own."""
    server = Server(tmp_path_factory.mktemp("scripts") / "data", SAGEBRUSH_CONTAINER_ENGINE="none")
    subprocess.run([BINARY, "python", "prepare", "--data-dir", str(server.data_dir), IMAGE], check=True, capture_output=True)
    yield server
    assert server.stop() == 0
    errors = [line for line in server.log.read_text().splitlines() if " ERROR " in line]
    assert not errors, "\n".join(errors)


@pytest.fixture
def bucket(server, name):
    server.client("s3").create_bucket(Bucket=name)
    return name


def put(server, bucket, key, body):
    server.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return f"s3://{bucket}/{key}"


def request(server, name, files, hyperparameters=(), entry="train.py", **changes):
    """A training job as the SDKs' framework estimators send it: every hyperparameter is JSON."""
    source = put(server, name, "code/sourcedir.tar.gz", archive(files))
    put(server, name, "in/a.csv", b"1,2\n")
    encoded = {key: json.dumps(value) for key, value in {
        "sagemaker_program": entry, "sagemaker_submit_directory": source, "sagemaker_container_log_level": 20,
        "sagemaker_job_name": name, "sagemaker_region": "us-east-1", **dict(hyperparameters)}.items()}
    job = dict(
        TrainingJobName=name, RoleArn=ROLE, AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        HyperParameters=encoded, OutputDataConfig={"S3OutputPath": f"s3://{name}/out"},
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": f"s3://{name}/in/", "S3DataDistributionType": "FullyReplicated"}}}],
        ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600})
    return {**job, **changes}


def ended(server, name):
    sagemaker = server.client("sagemaker")
    return until(lambda: sagemaker.describe_training_job(TrainingJobName=name), ("Completed", "Failed", "Stopped"))


def train(server, *arguments, **changes):
    job = request(server, *arguments, **changes)
    server.client("sagemaker").create_training_job(**job)
    return ended(server, job["TrainingJobName"])


def lines(server, name, group=LOG_GROUP):
    events = server.client("logs").filter_log_events(logGroupName=group, logStreamNamePrefix=name)["events"]
    return [event["message"] for event in events]


def logged(server, name, line, group=LOG_GROUP):
    """Waits for a line of a program that still runs."""
    deadline = time.monotonic() + 60
    while True:
        try:
            found = lines(server, name, group)
        except ClientError:
            found = []
        if line in found:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def members(server, uri):
    bucket, key = uri[5:].split("/", 1)
    body = server.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}


REPORT = """
import json, os, sys
about = {"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd(), "path": sys.path,
         "channel": open("/opt/ml/input/data/train/a.csv").read()}
json.dump(about, open(os.path.join(os.environ["SM_MODEL_DIR"], "about.json"), "w"))
open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "more.txt"), "w").write("more")
print("validation mse=0.25;")
"""


def test_a_script_gets_what_the_toolkit_gives(server, bucket):
    job = train(server, bucket, {"train.py": REPORT, "helper/__init__.py": ""},
                {"n": 5, "lr": 0.1, "name": "x y", "flag": True, "tiny": 1e-5},
                AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File",
                                        "MetricDefinitions": [{"Name": "validation:mse", "Regex": "validation mse=(.*?);"}]},
                Environment={"EXTRA": "1"})
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [("validation:mse", 0.25)]
    about = json.loads(members(server, job["ModelArtifacts"]["S3ModelArtifacts"])["about.json"])
    assert about["arguments"] == ["--flag", "True", "--lr", "0.1", "-n", "5", "--name", "x y", "--tiny", "1e-05"]
    env = about["environment"]
    assert json.loads(env["SM_HPS"]) == {"n": 5, "lr": 0.1, "name": "x y", "flag": True, "tiny": 1e-5}
    assert env["SM_HP_NAME"] == "x y" and env["SM_HP_N"] == "5" and env["EXTRA"] == "1"
    assert env["SM_CHANNEL_TRAIN"] == "/opt/ml/input/data/train" and json.loads(env["SM_CHANNELS"]) == ["train"]
    assert json.loads(env["SM_HOSTS"]) == ["algo-1"] and env["SM_CURRENT_HOST"] == "algo-1"
    assert env["SM_MODULE_NAME"] == "train" and env["SM_USER_ENTRY_POINT"] == "train.py" and int(env["SM_NUM_CPUS"]) >= 1
    assert json.loads(env["SM_TRAINING_ENV"])["job_name"] == bucket and env["TRAINING_JOB_NAME"] == bucket
    assert about["folder"] == "/opt/ml/code" and about["channel"] == "1,2\n"
    # Nothing of the server's, and no credentials.
    assert not [name for name in env if name.startswith("SAGEBRUSH") or "SECRET" in name or name == "AWS_ACCESS_KEY_ID"]
    output = job["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", "output.tar.gz")
    assert members(server, output)["more.txt"] == b"more"


def test_a_failure_says_the_exception_and_the_command(server, bucket):
    script = "def f():\n    raise ValueError('the data is bad')\nf()\n"
    job = train(server, bucket, {"train.py": script}, {"n": 5})
    assert job["TrainingJobStatus"] == "Failed"
    reason = job["FailureReason"]
    assert reason.startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage \"ValueError: the data is bad\"")
    assert "train.py -n 5" in reason and reason.endswith("exit code: 1")
    assert "Traceback (most recent call last):" in lines(server, bucket)


@pytest.mark.parametrize(("files", "entry", "expected"), [
    ({"other.py": ""}, "train.py", "'train.py' is not in the source directory, which holds: other.py"),
    ({"train.py": ""}, "../train.py", "must be a path inside the source directory"),
    ({"train.py": "import no_such_module"}, "train.py", "ModuleNotFoundError: No module named 'no_such_module'"),
    ({"train.py": "import sys; sys.exit('gone')"}, "train.py", "gone"),
    ({"train.py": "open('/opt/ml/output/failure', 'w').write('my own words'); raise SystemExit(3)"}, "train.py", "my own words"),
])
def test_what_cannot_run_says_why(server, bucket, files, entry, expected):
    job = train(server, bucket, files, entry=entry)
    assert job["TrainingJobStatus"] == "Failed" and expected in job["FailureReason"], job["FailureReason"]


def test_code_that_is_not_there_or_no_archive(server, bucket):
    job = request(server, bucket, {"train.py": ""})
    job["HyperParameters"]["sagemaker_submit_directory"] = json.dumps(f"s3://{bucket}/in/a.csv")
    server.client("sagemaker").create_training_job(**job)
    assert "the source code" in ended(server, bucket)["FailureReason"]
    with pytest.raises(ClientError) as error:
        server.client("sagemaker").create_training_job(**{**job, "TrainingJobName": bucket + "-2", "HyperParameters": {"n": "5"}})
    assert "sagemaker_program" in error.value.response["Error"]["Message"]


def test_shell_scripts_and_packages_are_entry_points(server, bucket):
    shell = "#!/bin/bash\nset -e\necho \"$0 $@\" > /opt/ml/model/said\npython3 -c 'import sys; print(sys.prefix)' >> /opt/ml/model/said\n"
    job = train(server, bucket, {"run/train.sh": shell}, {"n": 5}, entry="run/train.sh")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    said = members(server, job["ModelArtifacts"]["S3ModelArtifacts"])["said"].decode().splitlines()
    assert said == ["./run/train.sh -n 5", "/root/python"]
    package = {"setup.py": "", "pack/__init__.py": "", "pack/__main__.py": "import sys; print('as a module', sys.argv[1:])"}
    name = bucket + "-package"
    assert train(server, bucket, package, entry="pack", TrainingJobName=name)["TrainingJobStatus"] == "Completed"
    assert "as a module []" in lines(server, name)


def test_a_script_sees_its_job_and_the_system_alone(server, bucket):
    script = """
import os, pathlib
data = pathlib.Path(os.environ["SM_HP_DATA"])
print("data folder", sorted(str(path.relative_to(data)) for path in data.rglob("*") if path.is_file() and "python" not in path.parts) if data.exists() else [])
print("home", [str(path) for path in pathlib.Path("/home").iterdir()], "ssh", os.path.exists("/root/.ssh"), "aws", os.path.exists("/root/.aws"))
print("processes", len([name for name in os.listdir("/proc") if name.isdigit()]))
for place in ("/usr/x", "/etc/x", "/x", "/opt/x"):
    try:
        open(place, "w"); print("written", place)
    except OSError as error:
        pass
try:
    print("shadow", open("/etc/shadow").read()[:1])
except OSError:
    print("no shadow")
for place in ("/tmp/x", "/root/x", "/dev/shm/x", "/opt/ml/x"):
    open(place, "w").write("mine")
print("capabilities", [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")])
import socket
print("resolves", socket.gethostbyname("algo-1"), socket.gethostname())
"""
    job = train(server, bucket, {"train.py": script}, {"data": str(server.data_dir)})
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    log = lines(server, bucket)
    assert "data folder []" in log and "no shadow" in log
    assert "home [] ssh False aws False" in log
    assert "processes 2" in log
    assert not [line for line in log if line.startswith("written")]
    assert "capabilities ['0000000000000000']" in log
    assert "resolves 127.0.0.1 algo-1" in log


def test_isolation_leaves_the_loopback_alone(server, bucket):
    script = """
import socket
listening = socket.socket(); listening.bind(("127.0.0.1", 0)); listening.listen()
try:
    socket.create_connection(listening.getsockname(), 5); print("loopback")
except OSError as error:
    print("no loopback", error)
try:
    socket.create_connection(("%s", %d), 5); print("the server is reached")
except OSError as error:
    print("isolated")
""" % (server.url[7:].split(":")[0], int(server.url.rsplit(":", 1)[1]))
    job = train(server, bucket, {"train.py": script}, EnableNetworkIsolation=True)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert "isolated" in lines(server, bucket)


def test_two_hosts_find_each_other(server, bucket):
    script = """
import json, os, socket, time
me, hosts = os.environ["SM_CURRENT_HOST"], json.loads(os.environ["SM_HOSTS"])
if me == hosts[0]:
    listening = socket.socket(); listening.bind((me, 7777)); listening.listen()
    listening.settimeout(60)
    print("heard", listening.accept()[0].recv(100).decode())
else:
    for _ in range(600):
        try:
            socket.create_connection((hosts[0], 7777)).sendall(me.encode()); break
        except OSError:
            time.sleep(.1)
open("/opt/ml/model/" + me, "w").write(me)
"""
    job = train(server, bucket, {"train.py": script},
                ResourceConfig={"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1})
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert "heard algo-2" in lines(server, bucket)
    assert set(members(server, job["ModelArtifacts"]["S3ModelArtifacts"])) == {"algo-1", "algo-2"}


def test_a_stopped_job_keeps_its_model_and_leaves_no_process(server, bucket):
    script = """
import os, signal, subprocess, sys, time
subprocess.Popen(["setsid", "sleep", "4242"])
open("/opt/ml/model/part", "w").write("kept")
print("running"); sys.stdout.flush()
time.sleep(600)
"""
    server.client("sagemaker").create_training_job(**request(server, bucket, {"train.py": script}))
    logged(server, bucket, "running")
    server.client("sagemaker").stop_training_job(TrainingJobName=bucket)
    job = ended(server, bucket)
    assert job["TrainingJobStatus"] == "Stopped"
    assert members(server, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"part": b"kept"}
    assert not running("sleep\x004242")


def running(command):
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if command in (folder / "cmdline").read_text():
                    found.append(folder.name)
            except OSError:
                pass
    return found


@pytest.mark.parametrize(("script", "expected"), [
    ("import os, time\nwhile True:\n    if os.fork() == 0:\n        time.sleep(600)\n", "Resource temporarily unavailable"),
    ("x = bytearray(1 << 50)\n", "MemoryError"),
])
def test_what_asks_for_too_much_fails_alone(server, bucket, script, expected):
    job = train(server, bucket, {"train.py": script}, StoppingCondition={"MaxRuntimeInSeconds": 60})
    assert job["TrainingJobStatus"] == "Failed"
    assert expected in job["FailureReason"] or any(expected in line for line in lines(server, bucket)), job["FailureReason"]
    assert server.client("sagemaker").list_training_jobs()


def test_a_killed_server_takes_its_scripts_with_it(tmp_path, name):
    server = Server(tmp_path / "data", SAGEBRUSH_CONTAINER_ENGINE="none")
    server.client("s3").create_bucket(Bucket=name)
    script = "import subprocess, time\nsubprocess.Popen(['setsid', 'sleep', '4343'])\nprint('running', flush=True)\ntime.sleep(600)\n"
    server.client("sagemaker").create_training_job(**request(server, name, {"train.py": script}))
    deadline = time.monotonic() + 120
    while not running("sleep\x004343"):
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.2)
    server.kill()
    deadline = time.monotonic() + 20
    while running("sleep\x004343"):
        assert time.monotonic() < deadline, "the script outlived its server"
        time.sleep(0.1)
    server.start()
    assert ended(server, name)["FailureReason"].startswith("InternalServerError")
    server.stop()


def test_requirements_that_cannot_be_had_fail_the_job(server, bucket):
    files = {"train.py": "print('never')", "requirements.txt": "/opt/ml/no-such-package.whl\n"}
    job = train(server, bucket, files)
    assert job["TrainingJobStatus"] == "Failed" and "no-such-package" in job["FailureReason"], job["FailureReason"]
    assert "never" not in lines(server, bucket)


# ---- processing ----

def processing_job(name, entrypoint, bucket, arguments=()):
    local = "/opt/ml/processing"
    return dict(
        ProcessingJobName=name, RoleArn=ROLE,
        AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": entrypoint, "ContainerArguments": list(arguments) or ["-"]},
        ProcessingInputs=[
            {"InputName": "code", "S3Input": {"S3Uri": f"s3://{bucket}/code/p.py", "LocalPath": f"{local}/input/code",
                                              "S3DataType": "S3Prefix", "S3InputMode": "File"}},
            {"InputName": "in", "S3Input": {"S3Uri": f"s3://{bucket}/in/", "LocalPath": f"{local}/in",
                                            "S3DataType": "S3Prefix", "S3InputMode": "File"}}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": {
            "S3Uri": f"s3://{bucket}/out", "LocalPath": f"{local}/out", "S3UploadMode": "EndOfJob"}}]},
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        Environment={"A": "1"}, StoppingCondition={"MaxRuntimeInSeconds": 600})


def process(server, request):
    sagemaker = server.client("sagemaker")
    sagemaker.create_processing_job(**request)
    return until(lambda: sagemaker.describe_processing_job(ProcessingJobName=request["ProcessingJobName"]), ("Completed", "Failed"))


def test_a_processing_script(server, bucket, name):
    script = "import os, shutil, sys\nprint(sys.argv[1:], os.environ['A'])\nshutil.copy('/opt/ml/processing/in/a.csv', '/opt/ml/processing/out/b.csv')\n"
    put(server, bucket, "code/p.py", script.encode())
    put(server, bucket, "in/a.csv", b"1,2\n")
    entrypoint = ["python3", "/opt/ml/processing/input/code/p.py"]
    job = process(server, processing_job(name, entrypoint, bucket, ["--n", "5"]))
    assert job["ProcessingJobStatus"] == "Completed", job
    assert server.client("s3").get_object(Bucket=bucket, Key="out/b.csv")["Body"].read() == b"1,2\n"
    assert "['--n', '5'] 1" in lines(server, name, "/aws/sagemaker/ProcessingJobs")
    put(server, bucket, "code/p.py", b"raise KeyError('column')")
    job = process(server, processing_job(name + "-2", entrypoint, bucket))
    assert job["ProcessingJobStatus"] == "Failed" and "KeyError: 'column'" in job["FailureReason"] + job.get("ExitMessage", "")
    broken = processing_job(name + "-3", entrypoint, bucket)
    del broken["AppSpecification"]["ContainerEntrypoint"]
    with pytest.raises(ClientError) as error:
        server.client("sagemaker").create_processing_job(**broken)
    assert "ContainerEntrypoint" in error.value.response["Error"]["Message"]


# ---- hosting ----

INFERENCE = """
import json, os
def model_fn(model_dir):
    return json.load(open(os.path.join(model_dir, "weights.json")))
def input_fn(body, content_type):
    if content_type != "application/json":
        raise ValueError("cannot read " + content_type)
    return json.loads(body)
def predict_fn(data, model):
    return [model["slope"] * value for value in data]
def output_fn(prediction, accept):
    return json.dumps({"scores": prediction, "pid": os.getpid()}), accept
"""


@pytest.fixture
def serve(server):
    made = []

    def up(name, bucket, files, environment=(), instances=1, **model_settings):
        sagemaker = server.client("sagemaker")
        model = put(server, bucket, "model.tar.gz", archive(files))
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={
            "Image": IMAGE, "ModelDataUrl": model, "Environment": dict(environment)}, **model_settings)
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[{
            "VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": instances, "InstanceType": "ml.m5.large"}])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        made.append(name)
        return until(lambda: sagemaker.describe_endpoint(EndpointName=name), ("InService", "Failed"))

    yield up
    for name in made:
        server.client("sagemaker").delete_endpoint(EndpointName=name)


def invoke(server, name, body, content_type="application/json", **more):
    runtime = server.client("sagemaker-runtime")
    return runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType=content_type, **more)["Body"].read()


def test_an_inference_script_within_the_model(server, bucket, name, serve):
    files = {"weights.json": '{"slope": 3}', "code/inference.py": INFERENCE}
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    endpoint = serve(name, bucket, files, environment, instances=2)
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    assert json.loads(invoke(server, name, b"[1, 2]"))["scores"] == [3, 6]
    with pytest.raises(ClientError) as error:
        invoke(server, name, b"x", "text/csv")
    assert error.value.response["Error"]["Code"] == "ModelError"
    assert error.value.response["OriginalStatusCode"] == 500
    assert error.value.response["OriginalMessage"] == "ValueError: cannot read text/csv"
    with pytest.raises(ClientError) as error:
        invoke(server, name, b"{")
    assert "JSONDecodeError" in error.value.response["OriginalMessage"]
    logged(server, "AllTraffic/", "ValueError: cannot read text/csv", f"/aws/sagemaker/Endpoints/{name}")
    assert len({json.loads(invoke(server, name, b"[1]"))["pid"] for _ in range(20)}) >= 1


def test_defaults_and_a_script_of_its_own_archive(server, bucket, name, serve):
    source = put(server, bucket, "code/sourcedir.tar.gz", archive({"serve.py": """
def model_fn(model_dir):
    return sum
def transform_fn(model, body, content_type, accept):
    if body == "teapot":
        error = RuntimeError("short and stout"); error.status_code = 418; raise error
    return str(model(float(cell) for cell in body.split(","))), "text/csv"
"""}))
    environment = {"SAGEMAKER_PROGRAM": "serve.py", "SAGEMAKER_SUBMIT_DIRECTORY": source}
    endpoint = serve(name, bucket, {"empty": ""}, environment)
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    assert invoke(server, name, b"1,2,3", "text/csv") == b"6.0"
    with pytest.raises(ClientError) as error:
        invoke(server, name, b"teapot", "text/csv")
    assert error.value.response["OriginalStatusCode"] == 418


def test_an_isolated_model_is_reached_and_reaches_nothing(server, bucket, name, serve):
    host, port = server.url[7:].split(":")
    script = f"""
import socket
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept):
    try:
        socket.create_connection(("{host}", {port}), 5)
    except OSError:
        return "isolated", "text/plain"
    return "not isolated", "text/plain"
"""
    endpoint = serve(name, bucket, {"code/inference.py": script}, EnableNetworkIsolation=True)
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    assert invoke(server, name, b"1", "text/csv") == b"isolated"


def test_a_model_that_cannot_be_loaded_fails_its_endpoint_with_the_reason(server, bucket, name, serve):
    files = {"code/inference.py": "def model_fn(model_dir):\n    raise FileNotFoundError('weights are missing')\n"}
    endpoint = serve(name, bucket, files, {"SAGEMAKER_PROGRAM": "inference.py"})
    assert endpoint["EndpointStatus"] == "Failed" and "weights are missing" in endpoint["FailureReason"], endpoint


# ---- what images stand for, and the environments ----

def test_the_operators_file_says_what_images_stand_for(tmp_path, name):
    images = tmp_path / "images.toml"
    images.write_text('[[image]]\nmatches = "*/our-image:*"\npython = { requirements = [] }\n')
    server = Server(tmp_path / "data", SAGEBRUSH_CONTAINER_ENGINE="none", SAGEBRUSH_IMAGES=str(images))
    try:
        server.client("s3").create_bucket(Bucket=name)
        job = request(server, name, {"train.py": "print('hello')"})
        job["AlgorithmSpecification"]["TrainingImage"] = "host/our-image:3"
        server.client("sagemaker").create_training_job(**job)
        assert ended(server, name)["TrainingJobStatus"] == "Completed"
        log = lines(server, name)
        # Made at its first use, and the job's log says so.
        assert any("Making the Python environment 'our-image'" in line for line in log) and log[-1] == "hello"
        listed = server.run("python", "list")
        assert "our-image" in listed
        server.run("python", "remove", listed.split()[0])
        assert server.run("python", "list") == ""
    finally:
        server.stop()
    images.write_text('[[image]]\nmatches = "x"\n')
    command = [BINARY, "serve", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--images", str(images)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "give either container or python" in done.stderr
