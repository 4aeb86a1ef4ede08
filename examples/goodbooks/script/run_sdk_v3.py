#!/usr/bin/env python3
"""Train and serve the scikit-learn script with the SageMaker Python SDK, version 3.

Nothing here knows that the server is not AWS:

    eval "$(sagebrush env --data-dir DIR)"
    python -m pip install 'sagemaker>=3'
    python run_sdk_v3.py --train train.jsonl --validation validation.jsonl --test test.jsonl
"""

import json
import pathlib
import uuid

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, SourceCode

from common import arguments, instances, mse, pack, upload

HERE = pathlib.Path(__file__).resolve().parent
INSTANCE = "ml.m5.xlarge"

options = arguments(__doc__)
boto_session = boto3.Session()
s3 = boto_session.client("s3")
channels = upload(s3, options)
session = Session(boto_session=boto_session, default_bucket=options.bucket)
image = image_uris.retrieve(
    "sklearn", boto_session.region_name, version=options.version, instance_type=INSTANCE)
trainer = ModelTrainer(
    training_image=image, sagemaker_session=session, role=options.role, base_job_name="goodbooks-script",
    source_code=SourceCode(source_dir=str(HERE / "source"), entry_script="train.py"),
    compute=Compute(instance_type=INSTANCE, instance_count=1), hyperparameters={"alpha": options.alpha},
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{options.bucket}/goodbooks-script"))
trainer.train(
    input_data_config=[InputData(channel_name=name, data_source=uri) for name, uri in channels.items()], wait=True)
job = trainer._latest_training_job
job.refresh()

# The model server finds the script where its environment says: in an archive of its own.
source = f"goodbooks-script/{job.training_job_name}/sourcedir.tar.gz"
s3.put_object(Bucket=options.bucket, Key=source, Body=pack(HERE / "source"))
name = "goodbooks-script-" + uuid.uuid4().hex[:8]
model = Model.create(model_name=name, execution_role_arn=options.role, primary_container=ContainerDefinition(
    image=image, model_data_url=job.model_artifacts.s3_model_artifacts,
    environment={"SAGEMAKER_PROGRAM": "train.py", "SAGEMAKER_SUBMIT_DIRECTORY": f"s3://{options.bucket}/{source}"}))
config = EndpointConfig.create(endpoint_config_name=name, production_variants=[ProductionVariant(
    variant_name="AllTraffic", model_name=name, instance_type=INSTANCE, initial_instance_count=1)])
endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=name)
try:
    endpoint.wait_for_status("InService")
    answer = endpoint.invoke(
        body=json.dumps({"instances": instances(options.test)}), content_type="application/json",
        accept="application/json")
    scores = [one["scores"][0] for one in json.loads(answer.body.read())["predictions"]]
    print(f"mean squared error over {len(scores)} ratings of the test split: {mse(options.test, scores):.4f}")
finally:
    endpoint.delete()
    config.delete()
    model.delete()
