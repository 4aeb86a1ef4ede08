#!/usr/bin/env python3
"""Train and serve the scikit-learn script with the SageMaker Python SDK, version 2.

Nothing here knows that the server is not AWS:

    eval "$(sagebrush env --data-dir DIR)"
    python -m pip install 'sagemaker<3'
    python run_sdk_v2.py --train train.jsonl --validation validation.jsonl --test test.jsonl
"""

import pathlib

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.serializers import JSONSerializer
from sagemaker.sklearn.estimator import SKLearn

from common import arguments, instances, mse, upload

HERE = pathlib.Path(__file__).resolve().parent
INSTANCE = "ml.m5.xlarge"

options = arguments(__doc__)
session = sagemaker.Session(default_bucket=options.bucket)
channels = upload(session.boto_session.client("s3"), options)
estimator = SKLearn(
    entry_point="train.py", source_dir=str(HERE / "source"), framework_version=options.version, py_version="py3",
    role=options.role, instance_count=1, instance_type=INSTANCE, sagemaker_session=session,
    hyperparameters={"alpha": options.alpha},
    metric_definitions=[{"Name": "validation:mse", "Regex": "validation mse=(.*?);"}])
estimator.fit(channels, logs="All")
job = session.describe_training_job(estimator.latest_training_job.name)
print("metrics of the job:", {metric["MetricName"]: metric["Value"] for metric in job.get("FinalMetricDataList", [])})

predictor = estimator.deploy(1, INSTANCE, serializer=JSONSerializer(), deserializer=JSONDeserializer())
try:
    answer = predictor.predict({"instances": instances(options.test)})
    scores = [one["scores"][0] for one in answer["predictions"]]
    print(f"mean squared error over {len(scores)} ratings of the test split: {mse(options.test, scores):.4f}")
finally:
    predictor.delete_model()
    predictor.delete_endpoint(delete_endpoint_config=True)
