"""Train, follow, attach, deploy, predict, update, transform, clean up: SageMaker Python SDK, version 2."""

import json
import pathlib
import sys

import boto3
import sagemaker
from sagemaker.analytics import TrainingJobAnalytics
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.predictor import Predictor
from sagemaker.serializers import JSONSerializer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
import ratings

BUCKET = "sdk-v2"
INSTANCE = "ml.m5.xlarge"
METRIC = "validation:mean_squared_error"
JSON = {"serializer": JSONSerializer(), "deserializer": JSONDeserializer()}

s3 = boto3.client("s3")
s3.create_bucket(Bucket=BUCKET)
parts = ratings.upload(s3, BUCKET)
session = sagemaker.Session(default_bucket=BUCKET)
account = boto3.client("sts").get_caller_identity()["Account"]
role = f"arn:aws:iam::{account}:role/sdk-v2"

estimator = Estimator(
    sagemaker.image_uris.retrieve("object2vec", session.boto_region_name), role, instance_count=1,
    instance_type=INSTANCE, output_path=f"s3://{BUCKET}/models", sagemaker_session=session, max_run=3600,
    tags=[{"Key": "project", "Value": "sdk"}], hyperparameters=ratings.hyperparameters())
inputs = {
    name: TrainingInput(f"s3://{BUCKET}/data/{name}/{name}.jsonl", distribution="ShardedByS3Key",
                        content_type="application/jsonlines")
    for name in ("train", "validation")
}
estimator.fit(inputs, logs="All", wait=True)
job = estimator.latest_training_job.name
assert session.describe_training_job(job)["TrainingJobStatus"] == "Completed"
frame = TrainingJobAnalytics(job, [METRIC], sagemaker_session=session).dataframe()
assert len(frame) >= 1 and set(frame.metric_name) == {METRIC}, frame

attached = Estimator.attach(job, sagemaker_session=session)
assert attached.model_data == estimator.model_data
predictor = attached.deploy(1, INSTANCE, **JSON)
test = parts["test"]
answer = predictor.predict({"instances": [{"in0": one["in0"], "in1": one["in1"]} for one in test]})
online = [one["scores"][0] for one in answer["predictions"]]
assert len(online) == len(test)

model = attached.create_model(name="sdk-v2-again")
model.create(instance_type=INSTANCE)
predictor.update_endpoint(initial_instance_count=1, instance_type=INSTANCE, model_name=model.name)
again = Predictor(predictor.endpoint_name, sagemaker_session=session, **JSON)
answer = again.predict({"instances": [{"in0": [0], "in1": [0]}]}, target_variant="AllTraffic", inference_id="i-1")
assert len(answer["predictions"]) == 1

body = "".join(json.dumps({"in0": one["in0"], "in1": one["in1"]}) + "\n" for one in test)
s3.put_object(Bucket=BUCKET, Key="batch/in/test.jsonl", Body=body.encode())
transformer = attached.transformer(
    1, INSTANCE, output_path=f"s3://{BUCKET}/batch/out", accept="application/jsonlines", assemble_with="Line",
    strategy="MultiRecord")
transformer.transform(
    f"s3://{BUCKET}/batch/in", content_type="application/jsonlines", split_type="Line", wait=True, logs=True)
lines = s3.get_object(Bucket=BUCKET, Key="batch/out/test.jsonl.out")["Body"].read().splitlines()
batch = [json.loads(line)["scores"][0] for line in lines if line.strip()]
assert len(batch) == len(online)
assert all(abs(one - other) < 1e-5 for one, other in zip(batch, online)), "batch and endpoint differ"

predictor.delete_model()
predictor.delete_endpoint(delete_endpoint_config=True)
session.sagemaker_client.get_waiter("endpoint_deleted").wait(
    EndpointName=predictor.endpoint_name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
print("done")
