//! The table: operation by operation, what it needs a permission for.
//!
//! Source: "Actions, resources, and condition keys", Service Authorization Reference. Lines for operations
//! that are not served yet do no harm.

use sagebrush_wire::Service;
use serde_json::Value;

/// What a permission is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing: everybody who is proven may.
    Nothing,
    /// The operation decides by itself: AssumeRole asks the role's trust policy too.
    OwnRule,
    /// `*`: the operation has no resource.
    Everything,
    /// A SageMaker resource: segment of its ARN, and the field that names it.
    Named(&'static str, &'static str),
    /// The resource whose ARN stands in a field.
    Arn(&'static str),
    /// The container repository of the request.
    Repository,
    /// The container repositories of the request, or all.
    Repositories,
    /// All log groups.
    LogGroups,
    /// The log group of the request.
    LogGroup,
    /// The log stream of the request.
    LogStream,
    /// The role of the request.
    Role,
    /// The role that shall be made, with its path.
    NewRole,
    /// The user of the request, or the caller.
    User,
}

use Place::{
    Arn, Everything, LogGroup, LogGroups, LogStream, Named, NewRole, Nothing, OwnRule, Repositories,
    Repository, Role, User,
};

type Lines = &'static [(&'static str, &'static [Place])];

const ENDPOINT: Place = Named("endpoint", "EndpointName");
const ENDPOINT_CONFIG: Place = Named("endpoint-config", "EndpointConfigName");
const MODEL: Place = Named("model", "ModelName");
const TRAINING: Place = Named("training-job", "TrainingJobName");
const PROCESSING: Place = Named("processing-job", "ProcessingJobName");
const TRANSFORM: Place = Named("transform-job", "TransformJobName");
const TUNING: Place = Named("hyper-parameter-tuning-job", "HyperParameterTuningJobName");
const PACKAGE: Place = Named("model-package", "ModelPackageName");
const PACKAGE_GROUP: Place = Named("model-package-group", "ModelPackageGroupName");
const EXPERIMENT: Place = Named("experiment", "ExperimentName");
const TRIAL: Place = Named("experiment-trial", "TrialName");
const COMPONENT: Place = Named("experiment-trial-component", "TrialComponentName");
const ACTION: Place = Named("action", "ActionName");
const CONTEXT: Place = Named("context", "ContextName");
const LINEAGE_GROUP: Place = Named("lineage-group", "LineageGroupName");

const SAGEMAKER: Lines = &[
    ("AddAssociation", &[Arn("SourceArn"), Arn("DestinationArn")]),
    ("AddTags", &[Arn("ResourceArn")]),
    ("AssociateTrialComponent", &[TRIAL, COMPONENT]),
    ("BatchDescribeModelPackage", &[Everything]),
    ("CreateAction", &[ACTION]),
    ("CreateArtifact", &[Everything]),
    ("CreateContext", &[CONTEXT]),
    ("CreateEndpoint", &[ENDPOINT, ENDPOINT_CONFIG]),
    ("CreateEndpointConfig", &[ENDPOINT_CONFIG]),
    ("CreateExperiment", &[EXPERIMENT]),
    ("CreateHyperParameterTuningJob", &[TUNING]),
    ("CreateModel", &[MODEL]),
    ("CreateModelPackage", &[PACKAGE_GROUP]),
    ("CreateModelPackageGroup", &[PACKAGE_GROUP]),
    ("CreateProcessingJob", &[PROCESSING]),
    ("CreateTrainingJob", &[TRAINING]),
    ("CreateTransformJob", &[TRANSFORM]),
    ("CreateTrial", &[TRIAL]),
    ("CreateTrialComponent", &[COMPONENT]),
    ("DeleteAction", &[ACTION]),
    ("DeleteArtifact", &[Everything]),
    ("DeleteAssociation", &[Arn("SourceArn"), Arn("DestinationArn")]),
    ("DeleteContext", &[CONTEXT]),
    ("DeleteEndpoint", &[ENDPOINT]),
    ("DeleteEndpointConfig", &[ENDPOINT_CONFIG]),
    ("DeleteExperiment", &[EXPERIMENT]),
    ("DeleteHyperParameterTuningJob", &[TUNING]),
    ("DeleteModel", &[MODEL]),
    ("DeleteModelPackage", &[PACKAGE]),
    ("DeleteModelPackageGroup", &[PACKAGE_GROUP]),
    ("DeleteModelPackageGroupPolicy", &[PACKAGE_GROUP]),
    ("DeleteProcessingJob", &[PROCESSING]),
    ("DeleteTags", &[Arn("ResourceArn")]),
    ("DeleteTrainingJob", &[TRAINING]),
    ("DeleteTrial", &[TRIAL]),
    ("DeleteTrialComponent", &[COMPONENT]),
    ("DescribeAction", &[ACTION]),
    ("DescribeArtifact", &[Arn("ArtifactArn")]),
    ("DescribeContext", &[CONTEXT]),
    ("DescribeEndpoint", &[ENDPOINT]),
    ("DescribeEndpointConfig", &[ENDPOINT_CONFIG]),
    ("DescribeExperiment", &[EXPERIMENT]),
    ("DescribeHyperParameterTuningJob", &[TUNING]),
    ("DescribeLineageGroup", &[LINEAGE_GROUP]),
    ("DescribeModel", &[MODEL]),
    ("DescribeModelPackage", &[PACKAGE]),
    ("DescribeModelPackageGroup", &[PACKAGE_GROUP]),
    ("DescribeProcessingJob", &[PROCESSING]),
    ("DescribeTrainingJob", &[TRAINING]),
    ("DescribeTransformJob", &[TRANSFORM]),
    ("DescribeTrial", &[TRIAL]),
    ("DescribeTrialComponent", &[COMPONENT]),
    ("DisassociateTrialComponent", &[TRIAL, COMPONENT]),
    ("GetLineageGroupPolicy", &[LINEAGE_GROUP]),
    ("GetModelPackageGroupPolicy", &[PACKAGE_GROUP]),
    ("GetSearchSuggestions", &[Everything]),
    ("ListActions", &[Everything]),
    ("ListArtifacts", &[Everything]),
    ("ListAssociations", &[Everything]),
    ("ListContexts", &[Everything]),
    ("ListEndpointConfigs", &[Everything]),
    ("ListEndpoints", &[Everything]),
    ("ListExperiments", &[Everything]),
    ("ListHyperParameterTuningJobs", &[Everything]),
    ("ListLineageGroups", &[Everything]),
    ("ListModelPackageGroups", &[Everything]),
    ("ListModelPackages", &[Everything]),
    ("ListModels", &[Everything]),
    ("ListProcessingJobs", &[Everything]),
    ("ListTags", &[Arn("ResourceArn")]),
    ("ListTrainingJobs", &[Everything]),
    ("ListTrainingJobsForHyperParameterTuningJob", &[TUNING]),
    ("ListTransformJobs", &[Everything]),
    ("ListTrialComponents", &[Everything]),
    ("ListTrials", &[Everything]),
    ("PutModelPackageGroupPolicy", &[PACKAGE_GROUP]),
    ("QueryLineage", &[Everything]),
    ("Search", &[Everything]),
    ("StopHyperParameterTuningJob", &[TUNING]),
    ("StopProcessingJob", &[PROCESSING]),
    ("StopTrainingJob", &[TRAINING]),
    ("StopTransformJob", &[TRANSFORM]),
    ("UpdateAction", &[ACTION]),
    ("UpdateArtifact", &[Arn("ArtifactArn")]),
    ("UpdateContext", &[CONTEXT]),
    ("UpdateEndpoint", &[ENDPOINT, ENDPOINT_CONFIG]),
    ("UpdateEndpointWeightsAndCapacities", &[ENDPOINT]),
    ("UpdateExperiment", &[EXPERIMENT]),
    ("UpdateModelPackage", &[Arn("ModelPackageArn")]),
    ("UpdateTrainingJob", &[TRAINING]),
    ("UpdateTrial", &[TRIAL]),
    ("UpdateTrialComponent", &[COMPONENT]),
];

const METRICS: Lines = &[("BatchGetMetrics", &[Everything]), ("BatchPutMetrics", &[COMPONENT])];

const RUNTIME: Lines = &[
    ("InvokeEndpoint", &[ENDPOINT]),
    ("InvokeEndpointAsync", &[ENDPOINT]),
    ("InvokeEndpointWithResponseStream", &[ENDPOINT]),
];

const AUTO_SCALING: Lines = &[
    ("DeleteScalingPolicy", &[Everything]),
    ("DeregisterScalableTarget", &[Everything]),
    ("DescribeScalableTargets", &[Everything]),
    ("DescribeScalingActivities", &[Everything]),
    ("DescribeScalingPolicies", &[Everything]),
    ("PutScalingPolicy", &[Everything]),
    ("RegisterScalableTarget", &[Everything]),
];

const LOGS: Lines = &[
    ("CreateLogGroup", &[LogGroup]),
    ("CreateLogStream", &[LogGroup]),
    ("DeleteLogGroup", &[LogGroup]),
    ("DeleteLogStream", &[LogStream]),
    ("DescribeLogGroups", &[LogGroups]),
    ("DescribeLogStreams", &[LogGroup]),
    ("FilterLogEvents", &[LogGroup]),
    ("GetLogEvents", &[LogStream]),
    ("PutLogEvents", &[LogStream]),
    ("PutRetentionPolicy", &[LogGroup]),
];

const CLOUDWATCH: Lines = &[
    ("GetMetricData", &[Everything]),
    ("GetMetricStatistics", &[Everything]),
    ("ListMetrics", &[Everything]),
    ("PutMetricData", &[Everything]),
];

// What engines do has the names of ECR's operations, too: `registry/route`.
const ECR: Lines = &[
    ("BatchCheckLayerAvailability", &[Repository]),
    ("BatchDeleteImage", &[Repository]),
    ("BatchGetImage", &[Repository]),
    ("CreateRepository", &[Repository]),
    ("DeleteRepository", &[Repository]),
    ("DescribeImages", &[Repository]),
    ("DescribeRepositories", &[Repositories]),
    ("GetAuthorizationToken", &[Everything]),
    ("ListImages", &[Repository]),
    ("ListTagsForResource", &[Arn("resourceArn")]),
    ("PutImage", &[Repository]),
    ("PutImageTagMutability", &[Repository]),
    ("TagResource", &[Arn("resourceArn")]),
    ("UntagResource", &[Arn("resourceArn")]),
];

const STS: Lines = &[
    ("AssumeRole", &[OwnRule]),
    ("GetAccessKeyInfo", &[Everything]),
    ("GetCallerIdentity", &[Nothing]),
    ("GetSessionToken", &[Nothing]),
];

const IAM: Lines = &[
    ("AttachRolePolicy", &[Role]),
    ("AttachUserPolicy", &[User]),
    ("CreateAccessKey", &[User]),
    ("CreateRole", &[NewRole]),
    ("CreateUser", &[User]),
    ("DeleteAccessKey", &[User]),
    ("DeleteRole", &[Role]),
    ("DeleteRolePolicy", &[Role]),
    ("DeleteUser", &[User]),
    ("DeleteUserPolicy", &[User]),
    ("DetachRolePolicy", &[Role]),
    ("DetachUserPolicy", &[User]),
    ("GetRole", &[Role]),
    ("GetRolePolicy", &[Role]),
    ("GetUser", &[User]),
    ("GetUserPolicy", &[User]),
    ("ListAccessKeys", &[User]),
    ("ListAttachedRolePolicies", &[Role]),
    ("ListAttachedUserPolicies", &[User]),
    ("ListRolePolicies", &[Role]),
    ("ListRoles", &[Everything]),
    ("ListUserPolicies", &[User]),
    ("ListUsers", &[Everything]),
    ("PutRolePolicy", &[Role]),
    ("PutUserPolicy", &[User]),
    ("SimulatePrincipalPolicy", &[Arn("PolicySourceArn")]),
    ("UpdateAccessKey", &[User]),
    ("UpdateAssumeRolePolicy", &[Role]),
];

/// What an operation needs a permission for.
pub fn places(service: Service, operation: &str) -> Option<&'static [Place]> {
    let lines = match service {
        Service::SageMaker => SAGEMAKER,
        Service::SageMakerRuntime => RUNTIME,
        Service::SageMakerMetrics => METRICS,
        Service::AutoScaling => AUTO_SCALING,
        Service::Logs => LOGS,
        Service::CloudWatch => CLOUDWATCH,
        Service::Ecr => ECR,
        Service::Sts => STS,
        Service::Iam => IAM,
        // S3's permissions follow from the path and the headers: `s3/permission`.
        Service::S3 => return None,
    };
    lines.iter().find(|(name, _)| *name == operation).map(|(_, places)| *places)
}

/// The roles that a request hands to SageMaker.
pub fn passed_roles(document: &Value) -> Vec<&str> {
    const FIELDS: [&str; 2] = ["RoleArn", "ExecutionRoleArn"];
    let single = document.get("TrainingJobDefinition").into_iter();
    let many = document.get("TrainingJobDefinitions").and_then(Value::as_array).into_iter().flatten();
    let mut roles: Vec<&str> = std::iter::once(document)
        .chain(single)
        .chain(many)
        .flat_map(|place| FIELDS.iter().filter_map(|field| place.get(field).and_then(Value::as_str)))
        .collect();
    roles.sort_unstable();
    roles.dedup();
    roles
}
