//! The operations served, per service. Adding one is a line here, its name in `models/scope.toml`
//! and its function in the control plane.

mod records;

use sagebrush_control_plane::ControlPlane;
use sagebrush_types::{Failure, Outcome, Scope};
use sagebrush_wire::Service;
use serde_json::Value;

/// For which account and region, and what.
pub struct Call<'a> {
    /// Account and region.
    pub scope: &'a Scope,
    /// Name of the operation.
    pub operation: &'a str,
    /// The validated request.
    pub document: &'a Value,
}

/// Carries out an operation that `models/scope.toml` names.
pub async fn call(plane: &ControlPlane, service: Service, call: &Call<'_>) -> Outcome<Value> {
    match service {
        Service::SageMaker => sagemaker(plane, call).await,
        Service::AutoScaling => autoscaling(plane, call).await,
        Service::Logs => logs(plane, call).await,
        Service::CloudWatch => cloudwatch(plane, call).await,
        // Identities are the directory's: `identity`. The others have front doors of their own.
        Service::Sts | Service::Iam | Service::SageMakerRuntime | Service::S3 | Service::Ecr => {
            Err(unwired(call.operation))
        }
        Service::SageMakerMetrics => metrics(plane, call).await,
    }
}

async fn sagemaker(plane: &ControlPlane, call: &Call<'_>) -> Outcome<Value> {
    let Call { scope, document, .. } = call;
    match call.operation {
        "AddTags" => plane.add_tags(document).await,
        "CreateEndpoint" => plane.create_endpoint(scope, document).await,
        "CreateEndpointConfig" => plane.create_endpoint_config(scope, document).await,
        "CreateHyperParameterTuningJob" => plane.create_hyper_parameter_tuning_job(scope, document).await,
        "CreateModel" => plane.create_model(scope, document).await,
        "CreateProcessingJob" => plane.create_processing_job(scope, document).await,
        "CreateTrainingJob" => plane.create_training_job(scope, document).await,
        "CreateTransformJob" => plane.create_transform_job(scope, document).await,
        "DeleteEndpoint" => plane.delete_endpoint(scope, document).await,
        "DeleteEndpointConfig" => plane.delete_endpoint_config(scope, document).await,
        "DeleteHyperParameterTuningJob" => plane.delete_hyper_parameter_tuning_job(scope, document).await,
        "DeleteModel" => plane.delete_model(scope, document).await,
        "DeleteProcessingJob" => plane.delete_processing_job(scope, document).await,
        "DeleteTags" => plane.delete_tags(document).await,
        "DeleteTrainingJob" => plane.delete_training_job(scope, document).await,
        "DescribeEndpoint" => plane.describe_endpoint(scope, document).await,
        "DescribeEndpointConfig" => plane.describe_endpoint_config(scope, document).await,
        "DescribeHyperParameterTuningJob" => plane.describe_hyper_parameter_tuning_job(scope, document).await,
        "DescribeModel" => plane.describe_model(scope, document).await,
        "DescribeProcessingJob" => plane.describe_processing_job(scope, document).await,
        "DescribeTrainingJob" => plane.describe_training_job(scope, document).await,
        "DescribeTransformJob" => plane.describe_transform_job(scope, document).await,
        "GetSearchSuggestions" => plane.get_search_suggestions(scope, document).await,
        "ListEndpointConfigs" => plane.list_endpoint_configs(scope, document).await,
        "ListEndpoints" => plane.list_endpoints(scope, document).await,
        "ListHyperParameterTuningJobs" => plane.list_hyper_parameter_tuning_jobs(scope, document).await,
        "ListModels" => plane.list_models(scope, document).await,
        "ListProcessingJobs" => plane.list_processing_jobs(scope, document).await,
        "ListTags" => plane.list_tags(document).await,
        "ListTrainingJobs" => plane.list_training_jobs(scope, document).await,
        "ListTransformJobs" => plane.list_transform_jobs(scope, document).await,
        "ListTrainingJobsForHyperParameterTuningJob" => {
            plane.list_training_jobs_for_hyper_parameter_tuning_job(scope, document).await
        }
        "StopHyperParameterTuningJob" => plane.stop_hyper_parameter_tuning_job(scope, document).await,
        "Search" => plane.search(scope, document).await,
        "StopProcessingJob" => plane.stop_processing_job(scope, document).await,
        "StopTrainingJob" => plane.stop_training_job(scope, document).await,
        "StopTransformJob" => plane.stop_transform_job(scope, document).await,
        "UpdateEndpoint" => plane.update_endpoint(scope, document).await,
        "UpdateEndpointWeightsAndCapacities" => {
            plane.update_endpoint_weights_and_capacities(scope, document).await
        }
        "UpdateTrainingJob" => plane.update_training_job(scope, document).await,
        _ => records::call(plane, call).await,
    }
}

async fn metrics(plane: &ControlPlane, call: &Call<'_>) -> Outcome<Value> {
    let Call { scope, document, .. } = call;
    match call.operation {
        "BatchGetMetrics" => plane.batch_get_metrics(scope, document).await,
        "BatchPutMetrics" => plane.batch_put_metrics(scope, document).await,
        other => Err(unwired(other)),
    }
}

async fn autoscaling(plane: &ControlPlane, call: &Call<'_>) -> Outcome<Value> {
    let Call { scope, document, .. } = call;
    match call.operation {
        "DeleteScalingPolicy" => plane.delete_scaling_policy(scope, document).await,
        "DeregisterScalableTarget" => plane.deregister_scalable_target(scope, document).await,
        "DescribeScalableTargets" => plane.describe_scalable_targets(scope, document).await,
        "DescribeScalingActivities" => plane.describe_scaling_activities(scope, document).await,
        "DescribeScalingPolicies" => plane.describe_scaling_policies(scope, document).await,
        "PutScalingPolicy" => plane.put_scaling_policy(scope, document).await,
        "RegisterScalableTarget" => plane.register_scalable_target(scope, document).await,
        other => Err(unwired(other)),
    }
}

async fn logs(plane: &ControlPlane, call: &Call<'_>) -> Outcome<Value> {
    let Call { scope, document, .. } = call;
    match call.operation {
        "CreateLogGroup" => plane.create_log_group(scope, document).await,
        "CreateLogStream" => plane.create_log_stream(scope, document).await,
        "DeleteLogGroup" => plane.delete_log_group(scope, document).await,
        "DeleteLogStream" => plane.delete_log_stream(scope, document).await,
        "DescribeLogGroups" => plane.describe_log_groups(scope, document).await,
        "DescribeLogStreams" => plane.describe_log_streams(scope, document).await,
        "FilterLogEvents" => plane.filter_log_events(scope, document).await,
        "GetLogEvents" => plane.get_log_events(scope, document).await,
        "PutLogEvents" => plane.put_log_events(scope, document).await,
        other => Err(unwired(other)),
    }
}

async fn cloudwatch(plane: &ControlPlane, call: &Call<'_>) -> Outcome<Value> {
    let Call { scope, document, .. } = call;
    match call.operation {
        "GetMetricData" => plane.get_metric_data(scope, document).await,
        "GetMetricStatistics" => plane.get_metric_statistics(scope, document).await,
        "ListMetrics" => plane.list_metrics(scope, document).await,
        "PutMetricData" => plane.put_metric_data(scope, document).await,
        other => Err(unwired(other)),
    }
}

/// An operation that the scope names and this table does not: a defect that a test looks for.
fn unwired(operation: &str) -> Failure {
    Failure::internal(format!("{operation} is in models/scope.toml and not wired"))
}

#[cfg(test)]
mod tests {
    use sagebrush_wire::model;

    use super::*;

    #[test]
    fn every_operation_of_the_scope_is_wired() {
        let source = [include_str!("operations.rs"), include_str!("operations/records.rs")].concat();
        let services = [
            Service::SageMaker,
            Service::SageMakerMetrics,
            Service::AutoScaling,
            Service::Logs,
            Service::CloudWatch,
        ];
        for service in services {
            for operation in model(service).into_iter().flat_map(sagebrush_wire::Model::operations) {
                assert!(source.contains(&format!("\"{operation}\" =>")), "{operation}");
            }
        }
    }
}
