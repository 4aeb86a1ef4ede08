//! The control API: creating and describing training jobs.
//!
//! The channel names a prefix that holds nothing, so a server that carries jobs out takes each one
//! up, looks for its data and ends it as Failed: that work is part of what is measured.

use serde_json::{Value, json};

use crate::measure;
use crate::sender::Sender;

/// Requests under way at once: what two clients with boto3's default pool of 10 keep busy.
const AT_ONCE: usize = 16;

pub async fn run(server: Sender, jobs: usize, describes: usize) -> anyhow::Result<Value> {
    let name = |number: usize| format!("load-{number}");
    let creator = server.clone();
    let create = measure::repeat(jobs, AT_ONCE, move |number| {
        let (server, document) = (creator.clone(), training_job(&name(number)));
        async move { server.sagemaker("CreateTrainingJob", document).await }
    })
    .await;
    let describe = measure::repeat(describes, AT_ONCE, move |number| {
        let server = server.clone();
        let document = json!({ "TrainingJobName": name(number % jobs) }).to_string();
        async move { server.sagemaker("DescribeTrainingJob", document).await }
    })
    .await;
    Ok(json!({ "create": create, "describe": describe }))
}

fn training_job(name: &str) -> String {
    json!({
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": "382416733822.dkr.ecr.us-east-1.amazonaws.com/object2vec:1",
            "TrainingInputMode": "File",
        },
        "RoleArn": "arn:aws:iam::123456789012:role/load",
        "HyperParameters": {
            "enc0_vocab_size": "12347", "enc1_vocab_size": "985", "enc0_max_seq_len": "1",
            "enc1_max_seq_len": "1", "epochs": "20", "mini_batch_size": "64", "optimizer": "adam",
        },
        "InputDataConfig": [{
            "ChannelName": "train",
            "ContentType": "application/jsonlines",
            "DataSource": { "S3DataSource": { "S3DataType": "S3Prefix", "S3Uri": "s3://load-nowhere/train/" } },
        }],
        "OutputDataConfig": { "S3OutputPath": "s3://load-nowhere/models" },
        "ResourceConfig": { "InstanceType": "ml.m5.4xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30 },
        "StoppingCondition": { "MaxRuntimeInSeconds": 86400 },
        "Tags": [{ "Key": "project", "Value": "load" }],
    })
    .to_string()
}
