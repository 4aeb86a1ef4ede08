//! Model package groups: names under which versions of a model are counted.

use sagebrush_metastore::{Condition, Test};
use sagebrush_types::{Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{entity_paging, name_tests};
use crate::document::pick;
use crate::entity::{Entity, Summaries, equals};
use crate::request::RequestTag;
use crate::{ControlPlane, request};

/// Groups as records.
pub const GROUP: Entity =
    Entity { kind: Resource::ModelPackageGroup, name: "ModelPackageGroupName", arn: "ModelPackageGroupArn" };

/// Internal member with the last version given out.
pub const LAST_VERSION: &str = "_LastVersion";
/// Internal member with the resource policy.
const POLICY: &str = "_ResourcePolicy";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateGroup {
    model_package_group_name: String,
    #[serde(rename = "ModelPackageGroupDescription")]
    _description: Option<String>,
    #[serde(default)]
    tags: Vec<RequestTag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GroupName {
    model_package_group_name: String,
}

impl ControlPlane {
    /// CreateModelPackageGroup.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub async fn create_model_package_group(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreateGroup = request::decode("CreateModelPackageGroup", document)?;
        let mut kept = pick(document, &["ModelPackageGroupDescription"]);
        kept["ModelPackageGroupStatus"] = json!("Completed");
        kept["CreatedBy"] = json!({});
        kept[LAST_VERSION] = json!(0);
        let tags = request::tags(&request.tags);
        let name = &request.model_package_group_name;
        let arn = self.create_entity(scope, GROUP, name, kept, tags, &[]).await?;
        Ok(json!({"ModelPackageGroupArn": arn}))
    }

    /// DescribeModelPackageGroup, by name or ARN.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_model_package_group(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: GroupName = request::decode("DescribeModelPackageGroup", document)?;
        self.describe_entity(scope, GROUP.kind, &name.model_package_group_name).await
    }

    /// ListModelPackageGroups.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_model_package_groups(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct ListGroups {
            name_contains: Option<String>,
            cross_account_filter_option: Option<String>,
        }
        let (paging, rest) = entity_paging(document)?;
        let request: ListGroups = request::decode("ListModelPackageGroups", &rest)?;
        if request.cross_account_filter_option.as_deref() == Some("CrossAccount") {
            // There is one account, so no other has shared anything with it.
            return Ok(json!({"ModelPackageGroupSummaryList": []}));
        }
        let tests = name_tests(GROUP, request.name_contains);
        let summaries = Summaries {
            member: "ModelPackageGroupSummaryList",
            shows: &[
                "ModelPackageGroupName",
                "ModelPackageGroupArn",
                "ModelPackageGroupDescription",
                "CreationTime",
                "ModelPackageGroupStatus",
            ],
        };
        self.list_entities(scope, GROUP, &paging, tests, summaries).await
    }

    /// DeleteModelPackageGroup.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while it has versions.
    pub async fn delete_model_package_group(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: GroupName = request::decode("DeleteModelPackageGroup", document)?;
        let record = self.entity(scope, GROUP.kind, &name.model_package_group_name).await?;
        let member = equals(GROUP.name, &record.key.name);
        if let Some(version) = self.any(scope, Resource::ModelPackage, member).await? {
            return Err(Failure::new(
                FailureKind::Conflict(GROUP.kind),
                format!(
                    "Model Package Group {} still has the version {version}. Delete its versions first.",
                    record.arn
                ),
            ));
        }
        self.delete_entity(scope, GROUP.kind, &record.key.name).await?;
        Ok(json!({}))
    }

    /// PutModelPackageGroupPolicy. The policy is kept and shown; there is no other account that it
    /// could let in.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a text that is no JSON object.
    pub async fn put_model_package_group_policy(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct PutPolicy {
            model_package_group_name: String,
            resource_policy: String,
        }
        let request: PutPolicy = request::decode("PutModelPackageGroupPolicy", document)?;
        let policy: Value = serde_json::from_str(&request.resource_policy)
            .map_err(|error| Failure::invalid(format!("ResourcePolicy: not a JSON document: {error}")))?;
        if !policy["Statement"].is_array() && !policy["Statement"].is_object() {
            return Err(Failure::invalid("ResourcePolicy: a policy has a Statement."));
        }
        let arn = self
            .update_entity(scope, GROUP.kind, &request.model_package_group_name, |kept| {
                kept[POLICY] = json!(request.resource_policy);
                Ok(())
            })
            .await?;
        Ok(json!({"ModelPackageGroupArn": arn}))
    }

    /// GetModelPackageGroupPolicy.
    ///
    /// # Errors
    /// `NotFound` for the group; `Invalid` when it has none.
    pub async fn get_model_package_group_policy(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: GroupName = request::decode("GetModelPackageGroupPolicy", document)?;
        let record = self.entity(scope, GROUP.kind, &name.model_package_group_name).await?;
        match record.document[POLICY].as_str() {
            Some(policy) => Ok(json!({"ResourcePolicy": policy})),
            None => Err(Failure::invalid(format!("Cannot find resource policy for: {}.", record.arn))),
        }
    }

    /// DeleteModelPackageGroupPolicy.
    ///
    /// # Errors
    /// `NotFound` for the group; `Invalid` when it has none.
    pub async fn delete_model_package_group_policy(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: GroupName = request::decode("DeleteModelPackageGroupPolicy", document)?;
        self.update_entity(scope, GROUP.kind, &name.model_package_group_name, |kept| {
            let removed = kept.as_object_mut().and_then(|members| members.remove(POLICY));
            match removed {
                Some(_) => Ok(()),
                None => Err(Failure::invalid(format!(
                    "Cannot find resource policy for: {}.",
                    name.model_package_group_name
                ))),
            }
        })
        .await?;
        Ok(json!({}))
    }
}

/// The test that a record is or is not a version in a group.
pub fn versioned(condition: Condition) -> Test {
    Test { path: GROUP.name.into(), condition }
}
