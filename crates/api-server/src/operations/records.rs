//! Experiments, lineage and the model registry: the operations of what surrounds the jobs.

use sagebrush_control_plane::ControlPlane;
use sagebrush_types::Outcome;
use serde_json::Value;

use super::{Call, unwired};

/// Carries out an operation on experiments, lineage or the model registry.
pub async fn call(plane: &ControlPlane, call: &Call<'_>) -> Outcome<Value> {
    let Call { scope, document, .. } = call;
    match call.operation {
        "AddAssociation" => plane.add_association(scope, document).await,
        "AssociateTrialComponent" => plane.associate_trial_component(scope, document).await,
        "BatchDescribeModelPackage" => plane.batch_describe_model_package(scope, document).await,
        "CreateAction" => plane.create_action(scope, document).await,
        "CreateArtifact" => plane.create_artifact(scope, document).await,
        "CreateContext" => plane.create_context(scope, document).await,
        "CreateExperiment" => plane.create_experiment(scope, document).await,
        "CreateModelPackage" => plane.create_model_package(scope, document).await,
        "CreateModelPackageGroup" => plane.create_model_package_group(scope, document).await,
        "CreateTrial" => plane.create_trial(scope, document).await,
        "CreateTrialComponent" => plane.create_trial_component(scope, document).await,
        "DeleteAction" => plane.delete_action(scope, document).await,
        "DeleteArtifact" => plane.delete_artifact(scope, document).await,
        "DeleteAssociation" => plane.delete_association(scope, document).await,
        "DeleteContext" => plane.delete_context(scope, document).await,
        "DeleteExperiment" => plane.delete_experiment(scope, document).await,
        "DeleteModelPackage" => plane.delete_model_package(scope, document).await,
        "DeleteModelPackageGroup" => plane.delete_model_package_group(scope, document).await,
        "DeleteModelPackageGroupPolicy" => plane.delete_model_package_group_policy(scope, document).await,
        "DeleteTrial" => plane.delete_trial(scope, document).await,
        "DeleteTrialComponent" => plane.delete_trial_component(scope, document).await,
        "DescribeAction" => plane.describe_action(scope, document).await,
        "DescribeArtifact" => plane.describe_artifact(scope, document).await,
        "DescribeContext" => plane.describe_context(scope, document).await,
        "DescribeExperiment" => plane.describe_experiment(scope, document).await,
        "DescribeLineageGroup" => plane.describe_lineage_group(scope, document).await,
        "DescribeModelPackage" => plane.describe_model_package(scope, document).await,
        "DescribeModelPackageGroup" => plane.describe_model_package_group(scope, document).await,
        "DescribeTrial" => plane.describe_trial(scope, document).await,
        "DescribeTrialComponent" => plane.describe_trial_component(scope, document).await,
        "DisassociateTrialComponent" => plane.disassociate_trial_component(scope, document).await,
        "GetLineageGroupPolicy" => plane.get_lineage_group_policy(scope, document).await,
        "GetModelPackageGroupPolicy" => plane.get_model_package_group_policy(scope, document).await,
        "ListActions" => plane.list_actions(scope, document).await,
        "ListArtifacts" => plane.list_artifacts(scope, document).await,
        "ListAssociations" => plane.list_associations(scope, document).await,
        "ListContexts" => plane.list_contexts(scope, document).await,
        "ListExperiments" => plane.list_experiments(scope, document).await,
        "ListLineageGroups" => plane.list_lineage_groups(scope, document).await,
        "ListModelPackageGroups" => plane.list_model_package_groups(scope, document).await,
        "ListModelPackages" => plane.list_model_packages(scope, document).await,
        "ListTrialComponents" => plane.list_trial_components(scope, document).await,
        "ListTrials" => plane.list_trials(scope, document).await,
        "PutModelPackageGroupPolicy" => plane.put_model_package_group_policy(scope, document).await,
        "QueryLineage" => plane.query_lineage(scope, document).await,
        "UpdateAction" => plane.update_action(scope, document).await,
        "UpdateArtifact" => plane.update_artifact(scope, document).await,
        "UpdateContext" => plane.update_context(scope, document).await,
        "UpdateExperiment" => plane.update_experiment(scope, document).await,
        "UpdateModelPackage" => plane.update_model_package(scope, document).await,
        "UpdateTrial" => plane.update_trial(scope, document).await,
        "UpdateTrialComponent" => plane.update_trial_component(scope, document).await,
        other => Err(unwired(other)),
    }
}
