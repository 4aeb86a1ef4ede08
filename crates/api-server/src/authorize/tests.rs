use std::sync::Arc;

use sagebrush_auth::Principal;
use sagebrush_wire::{Model, model};
use serde_json::json;

use super::*;

fn asked(service: Service, operation: &str, document: Value) -> Vec<(String, String)> {
    let scope = Scope { account: "123456789012".into(), region: "eu-west-1".into() };
    let caller = Caller {
        access_key_id: "AKIA1".into(),
        region: scope.region.clone(),
        service: service.signing_name().into(),
        principal: Arc::new(Principal::user("123456789012", "alice", "AIDA1")),
    };
    needs(service, operation, &document, &scope, &caller)
        .unwrap_or_default()
        .into_iter()
        .map(|need| (need.action, need.resource))
        .collect()
}

#[test]
fn every_operation_of_the_scope_has_a_line() {
    for service in Service::ALL {
        for operation in model(service).into_iter().flat_map(Model::operations) {
            assert!(table::places(service, operation).is_some(), "{service:?} {operation}");
        }
    }
}

#[test]
fn resources_are_named_as_in_aws() {
    let sagemaker = |operation, document| asked(Service::SageMaker, operation, document);
    let need = |action: &str, resource: &str| (action.to_owned(), resource.to_owned());
    let role = "arn:aws:iam::1:role/r";
    assert_eq!(
        sagemaker("CreateTrainingJob", json!({"TrainingJobName": "A-1", "RoleArn": role})),
        [
            need("sagemaker:CreateTrainingJob", "arn:aws:sagemaker:eu-west-1:123456789012:training-job/a-1"),
            need("iam:PassRole", role),
        ]
    );
    assert_eq!(
        sagemaker(
            "CreateHyperParameterTuningJob",
            json!({"HyperParameterTuningJobName": "t", "TrainingJobDefinitions": [{"RoleArn": role}, {"RoleArn": role}]})
        )[1..],
        [need("iam:PassRole", role)]
    );
    let endpoint = json!({"EndpointName": "E", "EndpointConfigName": "C"});
    let resources: Vec<String> =
        sagemaker("CreateEndpoint", endpoint).into_iter().map(|(_, resource)| resource).collect();
    assert_eq!(
        resources,
        [
            "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/e",
            "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/c"
        ]
    );
    assert_eq!(sagemaker("ListModels", json!({})), [need("sagemaker:ListModels", "*")]);
    assert_eq!(
        asked(Service::Logs, "GetLogEvents", json!({"logGroupName": "/aws/x", "logStreamName": "s/1"})),
        [need("logs:GetLogEvents", "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/x:log-stream:s/1")]
    );
    let arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/x:*";
    assert_eq!(
        asked(Service::Logs, "FilterLogEvents", json!({"logGroupIdentifier": arn})),
        [need("logs:FilterLogEvents", arn)]
    );
    assert_eq!(
        asked(Service::Iam, "CreateAccessKey", json!({})),
        [need("iam:CreateAccessKey", "arn:aws:iam::123456789012:user/alice")]
    );
    assert_eq!(asked(Service::Sts, "GetCallerIdentity", json!({})), []);
}

#[test]
fn tags_and_instance_types_are_facts() {
    let document = json!({
        "Tags": [{"Key": "Team", "Value": "red"}],
        "ProductionVariants": [{"InstanceType": "ml.m5.large"}, {"InstanceType": "ml.c5.large"}],
    });
    let found = facts::of(&document);
    let value = |key: &str| found.iter().find(|(name, _)| name == key).map(|(_, values)| values.join(","));
    assert_eq!(value("aws:RequestTag/Team").as_deref(), Some("red"));
    assert_eq!(value("aws:TagKeys").as_deref(), Some("Team"));
    assert_eq!(value("sagemaker:InstanceTypes").as_deref(), Some("ml.c5.large,ml.m5.large"));
}

#[test]
fn repositories_are_named_one_by_one() {
    let ecr = |operation, document| asked(Service::Ecr, operation, document);
    let arn = |name: &str| format!("arn:aws:ecr:eu-west-1:123456789012:repository/{name}");
    let need = |name: &str| ("ecr:DescribeRepositories".to_owned(), arn(name));
    let named = ecr("DescribeRepositories", json!({"repositoryNames": ["a/b", "c"]}));
    assert_eq!(named, [need("a/b"), need("c")]);
    assert_eq!(ecr("DescribeRepositories", json!({})), [need("*")]);
    let made = ecr("CreateRepository", json!({"repositoryName": "a/b"}));
    assert_eq!(made, [("ecr:CreateRepository".to_owned(), arn("a/b"))]);
}
