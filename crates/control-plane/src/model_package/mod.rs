//! Model packages: a model's image and artifact with what is known of it, as numbered versions of a
//! group or under a name of their own. A model can be made from one.

mod group;

use sagebrush_metastore::{Condition, MetastoreError, Record, Test, WorkflowChange, Write};
use sagebrush_types::{Failure, Outcome, Resource, Scope, s3_uri};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::document::{default_member, pick};
use crate::entity::{Entity, Paging, Summaries, equals, merge_map, paged, set_members};
use crate::request::{RequestTag, refuse_if};
use crate::search::shown;
use crate::{ControlPlane, failure, not_found, request};
use group::{GROUP, LAST_VERSION, versioned};

/// Packages as records; a version's name is `group/number`.
pub const PACKAGE: Entity =
    Entity { kind: Resource::ModelPackage, name: "ModelPackageName", arn: "ModelPackageArn" };

/// The member that tells a repeated request; it is not shown.
const CLIENT_TOKEN: &str = "ClientToken";

const MEMBERS: &[&str] = &[
    "ModelPackageDescription",
    "ModelPackageRegistrationType",
    "InferenceSpecification",
    "CertifyForMarketplace",
    "ModelApprovalStatus",
    "MetadataProperties",
    "ModelMetrics",
    "Domain",
    "Task",
    "SamplePayloadUrl",
    "CustomerMetadataProperties",
    "DriftCheckBaselines",
    "AdditionalInferenceSpecifications",
    "SkipModelValidation",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
    CLIENT_TOKEN,
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreatePackage {
    model_package_name: Option<String>,
    model_package_group_name: Option<String>,
    inference_specification: Option<InferenceSpecification>,
    #[serde(default)]
    certify_for_marketplace: bool,
    client_token: Option<String>,
    #[serde(default)]
    tags: Vec<RequestTag>,
    #[serde(rename = "ModelPackageDescription")]
    _description: Option<String>,
    #[serde(rename = "ModelPackageRegistrationType")]
    _registration_type: Option<String>,
    #[serde(rename = "ModelApprovalStatus")]
    _approval: Option<String>,
    #[serde(rename = "MetadataProperties")]
    _metadata: Option<Value>,
    #[serde(rename = "ModelMetrics")]
    _metrics: Option<Value>,
    #[serde(rename = "Domain")]
    _domain: Option<String>,
    #[serde(rename = "Task")]
    _task: Option<String>,
    #[serde(rename = "SamplePayloadUrl")]
    _sample: Option<String>,
    #[serde(rename = "CustomerMetadataProperties")]
    _customer_metadata: Option<Value>,
    #[serde(rename = "DriftCheckBaselines")]
    _baselines: Option<Value>,
    #[serde(rename = "AdditionalInferenceSpecifications")]
    _additional: Option<Value>,
    /// Nothing is validated by running it, with either value.
    #[serde(rename = "SkipModelValidation")]
    _skip_validation: Option<String>,
    #[serde(rename = "SourceUri")]
    _source_uri: Option<String>,
    #[serde(rename = "ModelLifeCycle")]
    _life_cycle: Option<Value>,
    #[serde(rename = "ModelCard")]
    _card: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InferenceSpecification {
    containers: Vec<PackageContainer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PackageContainer {
    model_data_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdatePackage {
    model_package_arn: String,
    #[serde(rename = "ModelApprovalStatus")]
    _approval: Option<String>,
    #[serde(rename = "ApprovalDescription")]
    _approval_description: Option<String>,
    #[serde(rename = "ModelPackageRegistrationType")]
    _registration_type: Option<String>,
    customer_metadata_properties: Option<Value>,
    #[serde(default)]
    customer_metadata_properties_to_remove: Vec<String>,
    #[serde(default)]
    additional_inference_specifications_to_add: Vec<Value>,
    #[serde(rename = "InferenceSpecification")]
    _inference: Option<Value>,
    #[serde(rename = "SourceUri")]
    _source_uri: Option<String>,
    #[serde(rename = "ModelLifeCycle")]
    _life_cycle: Option<Value>,
    #[serde(rename = "ModelCard")]
    _card: Option<Value>,
    /// An update says the same when it is repeated.
    #[serde(rename = "ClientToken")]
    _client_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PackageName {
    model_package_name: String,
    /// Everything is included.
    #[serde(rename = "IncludedData")]
    _included_data: Option<String>,
}

impl ControlPlane {
    /// CreateModelPackage: the next version of a group, or a package under its own name.
    ///
    /// # Errors
    /// `NotFound` for the group; `Invalid` for a place that is no S3 URI; `AlreadyExists`.
    pub async fn create_model_package(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreatePackage = request::decode("CreateModelPackage", document)?;
        refuse_if(request.certify_for_marketplace, "CertifyForMarketplace", "there is no marketplace here.")?;
        let containers = request.inference_specification.iter().flat_map(|inference| &inference.containers);
        for (index, container) in containers.enumerate() {
            if let Some(uri) = &container.model_data_url {
                s3_uri(&format!("InferenceSpecification.Containers[{index}].ModelDataUrl"), uri)?;
            }
        }
        if let Some(token) = &request.client_token
            && let Some(name) = self.any(scope, PACKAGE.kind, equals(CLIENT_TOKEN, token)).await?
        {
            return Ok(json!({"ModelPackageArn": scope.arn(PACKAGE.kind, &name)}));
        }
        let mut kept = pick(document, MEMBERS);
        kept["ModelPackageStatus"] = json!("Completed");
        kept["ModelPackageStatusDetails"] = json!({"ValidationStatuses": [], "ImageScanStatuses": []});
        kept["CreatedBy"] = json!({});
        let tags = request::tags(&request.tags);
        let arn = match (&request.model_package_group_name, &request.model_package_name) {
            (Some(group), None) => self.next_version(scope, group, kept, tags).await?,
            (None, Some(name)) => self.create_entity(scope, PACKAGE, name, kept, tags, &[]).await?,
            _ => {
                return Err(Failure::invalid(
                    "Give either ModelPackageGroupName, for the next version of a group, or ModelPackageName.",
                ));
            }
        };
        Ok(json!({"ModelPackageArn": arn}))
    }

    /// Stores the next version of a group; the number and the record are written at once.
    async fn next_version(
        &self,
        scope: &Scope,
        group: &str,
        mut kept: Value,
        tags: Vec<sagebrush_metastore::Tag>,
    ) -> Outcome<String> {
        let group = self.entity(scope, GROUP.kind, group).await?.key;
        default_member(&mut kept, "ModelApprovalStatus", json!("PendingManualApproval"));
        let made = self
            .store()
            .update_with(&group, &WorkflowChange::Keep, |record| {
                let version = record.document[LAST_VERSION].as_u64().unwrap_or_default() + 1;
                record.document[LAST_VERSION] = json!(version);
                kept["ModelPackageVersion"] = json!(version);
                kept[GROUP.name] = json!(group.name);
                let name = format!("{}/{version}", group.name);
                let mut new = self.new_entity(scope, PACKAGE, &name, kept, tags);
                // Shown under the group's name: a name holds no slash.
                new.document[PACKAGE.name] = json!(group.name);
                let arn = new.arn.clone();
                Outcome::Ok((arn, vec![Write::Create(new)]))
            })
            .await;
        match made {
            Ok(outcome) => outcome,
            Err(MetastoreError::NotFound(_)) => Err(not_found(scope, GROUP.kind, &group.name)),
            Err(error) => Err(failure::of_creation(error, scope, PACKAGE.kind, &group.name)),
        }
    }

    /// DescribeModelPackage, by name, ARN or `group/version`.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_model_package(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: PackageName = request::decode("DescribeModelPackage", document)?;
        Ok(package(&self.entity(scope, PACKAGE.kind, &name.model_package_name).await?))
    }

    /// BatchDescribeModelPackage: what is there, and an error for each that is not.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn batch_describe_model_package(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct BatchDescribe {
            model_package_arn_list: Vec<String>,
        }
        let request: BatchDescribe = request::decode("BatchDescribeModelPackage", document)?;
        let (mut summaries, mut errors) = (Map::new(), Map::new());
        for arn in request.model_package_arn_list {
            match self.entity(scope, PACKAGE.kind, &arn).await {
                Ok(record) => {
                    let members = [
                        "ModelPackageGroupName",
                        "ModelPackageVersion",
                        "ModelPackageArn",
                        "ModelPackageDescription",
                        "CreationTime",
                        "InferenceSpecification",
                        "ModelPackageStatus",
                        "ModelApprovalStatus",
                        "ModelPackageRegistrationType",
                    ];
                    let mut summary = pick(&record.document, &members);
                    default_member(&mut summary, GROUP.name, json!(record.key.name));
                    default_member(&mut summary, "InferenceSpecification", json!({"Containers": []}));
                    summaries.insert(arn, summary);
                }
                Err(failure) => {
                    let error = json!({"ErrorCode": "ValidationException", "ErrorResponse": failure.message});
                    errors.insert(arn, error);
                }
            }
        }
        Ok(json!({"ModelPackageSummaries": summaries, "BatchDescribeModelPackageErrorMap": errors}))
    }

    /// ListModelPackages: the versions of a group, or packages with names of their own.
    ///
    /// # Errors
    /// `NotFound` for the group; `Invalid` for a strange token.
    pub async fn list_model_packages(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct ListPackages {
            name_contains: Option<String>,
            model_approval_status: Option<String>,
            model_package_group_name: Option<String>,
            model_package_type: Option<String>,
        }
        let (paging, rest) = entity_paging(document)?;
        let request: ListPackages = request::decode("ListModelPackages", &rest)?;
        let mut tests = name_tests(PACKAGE, request.name_contains);
        if let Some(status) = &request.model_approval_status {
            tests.push(equals("ModelApprovalStatus", status));
        }
        if let Some(group) = &request.model_package_group_name {
            let group = self.entity(scope, GROUP.kind, group).await?;
            tests.push(equals(GROUP.name, &group.key.name));
        } else {
            match request.model_package_type.as_deref() {
                Some("Versioned") => tests.push(versioned(Condition::Exists)),
                Some("Both") => {}
                _ => tests.push(versioned(Condition::NotExists)),
            }
        }
        let summaries = Summaries {
            member: "ModelPackageSummaryList",
            shows: &[
                "ModelPackageName",
                "ModelPackageGroupName",
                "ModelPackageVersion",
                "ModelPackageArn",
                "ModelPackageDescription",
                "CreationTime",
                "ModelPackageStatus",
                "ModelApprovalStatus",
                "ModelLifeCycle",
                "ModelPackageRegistrationType",
            ],
        };
        self.list_entities(scope, PACKAGE, &paging, tests, summaries).await
    }

    /// UpdateModelPackage: its approval and what is said of it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn update_model_package(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: UpdatePackage = request::decode("UpdateModelPackage", document)?;
        let set = [
            "ModelApprovalStatus",
            "ApprovalDescription",
            "ModelPackageRegistrationType",
            "InferenceSpecification",
            "SourceUri",
            "ModelCard",
            "ModelLifeCycle",
        ];
        let arn = self
            .update_entity(scope, PACKAGE.kind, &request.model_package_arn, |kept| {
                set_members(kept, document, &set);
                merge_map(
                    kept,
                    "CustomerMetadataProperties",
                    request.customer_metadata_properties.as_ref(),
                    &request.customer_metadata_properties_to_remove,
                );
                if !request.additional_inference_specifications_to_add.is_empty() {
                    let member = "AdditionalInferenceSpecifications";
                    let mut all = kept[member].as_array().cloned().unwrap_or_default();
                    all.extend(request.additional_inference_specifications_to_add);
                    kept[member] = all.into();
                }
                Ok(())
            })
            .await?;
        Ok(json!({"ModelPackageArn": arn}))
    }

    /// DeleteModelPackage. Its number is not given out again.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_model_package(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: PackageName = request::decode("DeleteModelPackage", document)?;
        self.delete_entity(scope, PACKAGE.kind, &name.model_package_name).await?;
        Ok(json!({}))
    }

    /// The container of a model package, as a model has it: image, artifact and environment.
    pub(crate) async fn packaged_container(&self, scope: &Scope, name: &str) -> Outcome<Value> {
        let record = self.entity(scope, PACKAGE.kind, name).await?;
        let containers = record.document["InferenceSpecification"]["Containers"].as_array();
        match containers.map(Vec::as_slice) {
            Some([container]) => Ok(pick(container, &["Image", "ModelDataUrl", "Environment"])),
            Some([]) | None => {
                Err(Failure::invalid(format!("ModelPackageName: {} has no container.", record.arn)))
            }
            Some(_) => Err(Failure::unsupported(format!(
                "ModelPackageName: {} is a pipeline of several containers, which is not supported.",
                record.arn
            ))),
        }
    }
}

fn package(record: &Record) -> Value {
    let mut document = shown(&record.document);
    if let Some(members) = document.as_object_mut() {
        members.remove(CLIENT_TOKEN);
    }
    document
}

/// A package as Search shows it.
pub fn searched(document: &mut Value) {
    if let Some(members) = document.as_object_mut() {
        members.remove(CLIENT_TOKEN);
    }
}

/// Paging of the registry's listings, whose times have other names.
fn entity_paging(document: &Value) -> Outcome<(Paging, Value)> {
    let mut renamed = document.clone();
    if let Some(members) = renamed.as_object_mut() {
        for (theirs, ours) in [("CreationTimeAfter", "CreatedAfter"), ("CreationTimeBefore", "CreatedBefore")]
        {
            if let Some(value) = members.remove(theirs) {
                members.insert(ours.into(), value);
            }
        }
    }
    paged(&renamed)
}

fn name_tests(entity: Entity, part: Option<String>) -> Vec<Test> {
    let contains = |part| Test { path: entity.name.into(), condition: Condition::Contains(part) };
    part.map(contains).into_iter().collect()
}
