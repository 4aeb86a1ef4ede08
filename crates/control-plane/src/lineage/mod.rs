//! Lineage: artifacts, actions and contexts, and how they hang together. `tracking` makes most of
//! them by itself; clients may make more.

mod association;
mod query;

use sagebrush_auth::sha256_hex;
use sagebrush_metastore::{Condition, Scalar, Test};
use sagebrush_types::{Failure, FailureKind, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{pick, seconds};
use crate::entity::{Entity, Summaries, equals, merge_map, paged, set_members};
use crate::request::RequestTag;
use crate::{ControlPlane, not_found, request};

pub use association::{EDGES, edge};

/// Artifacts as records. Their name in the store is their identifier.
pub const ARTIFACT: Entity = Entity { kind: Resource::Artifact, name: "_Id", arn: "ArtifactArn" };
/// Actions as records.
pub const ACTION: Entity = Entity { kind: Resource::Action, name: "ActionName", arn: "ActionArn" };
/// Contexts as records.
pub const CONTEXT: Entity = Entity { kind: Resource::Context, name: "ContextName", arn: "ContextArn" };

/// Hexadecimal digits of an artifact's identifier.
const ID_DIGITS: usize = 32;
/// The one lineage group of a region.
const GROUP: &str = "sagemaker-default-lineage-group";

/// A request that makes an artifact, action or context.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Create {
    #[serde(alias = "ActionName", alias = "ContextName", alias = "ArtifactName")]
    name: Option<String>,
    source: Value,
    #[serde(alias = "ArtifactType", alias = "ActionType", alias = "ContextType", rename = "Type")]
    _kind: String,
    #[serde(rename = "Description")]
    _description: Option<String>,
    #[serde(rename = "Status")]
    _status: Option<String>,
    #[serde(rename = "Properties")]
    _properties: Option<Value>,
    #[serde(rename = "MetadataProperties")]
    _metadata_properties: Option<Value>,
    #[serde(default)]
    tags: Vec<RequestTag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Update {
    #[serde(alias = "ActionName", alias = "ContextName", alias = "ArtifactArn")]
    name: String,
    #[serde(rename = "ArtifactName")]
    _artifact_name: Option<String>,
    #[serde(rename = "Description")]
    _description: Option<String>,
    #[serde(rename = "Status")]
    _status: Option<String>,
    properties: Option<Value>,
    #[serde(default)]
    properties_to_remove: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct List {
    source_uri: Option<String>,
    #[serde(alias = "ArtifactType", alias = "ActionType", alias = "ContextType", rename = "Type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Named {
    #[serde(alias = "ActionName", alias = "ContextName", alias = "ArtifactArn")]
    name: String,
}

/// The identifier of an artifact: the same source, by what identifies it, is the same artifact.
pub fn artifact_id(source: &Value) -> String {
    let mut identity = source["SourceUri"].as_str().unwrap_or_default().to_owned();
    for kind in source["SourceTypes"].as_array().into_iter().flatten() {
        for member in ["SourceIdType", "Value"] {
            identity.push('\n');
            identity.push_str(kind[member].as_str().unwrap_or_default());
        }
    }
    sha256_hex(identity.as_bytes()).chars().take(ID_DIGITS).collect()
}

const MEMBERS: &[&str] = &[
    "ArtifactName",
    "Source",
    "ArtifactType",
    "ActionType",
    "ContextType",
    "Description",
    "Status",
    "Properties",
    "MetadataProperties",
];

impl ControlPlane {
    async fn create_lineage(
        &self,
        operation: &str,
        scope: &Scope,
        entity: Entity,
        document: &Value,
    ) -> Outcome<Value> {
        let request: Create = request::decode(operation, document)?;
        let name = match (entity.kind, &request.name) {
            (Resource::Artifact, _) => artifact_id(&request.source),
            (_, name) => name.clone().unwrap_or_default(),
        };
        let kept = pick(document, MEMBERS);
        let tags = request::tags(&request.tags);
        let arn = self.create_entity(scope, entity, &name, kept, tags, &[]).await?;
        Ok(json!({entity.arn: arn}))
    }

    async fn describe_lineage(
        &self,
        operation: &str,
        scope: &Scope,
        entity: Entity,
        document: &Value,
    ) -> Outcome<Value> {
        let request: Named = request::decode(operation, document)?;
        let mut shown = self.describe_entity(scope, entity.kind, &request.name).await?;
        shown["LineageGroupArn"] = json!(group_arn(scope));
        Ok(shown)
    }

    async fn update_lineage(
        &self,
        operation: &str,
        scope: &Scope,
        entity: Entity,
        document: &Value,
    ) -> Outcome<Value> {
        let request: Update = request::decode(operation, document)?;
        let arn = self
            .update_entity(scope, entity.kind, &request.name, |kept| {
                set_members(kept, document, &["ArtifactName", "Description", "Status"]);
                merge_map(kept, "Properties", request.properties.as_ref(), &request.properties_to_remove);
                Ok(())
            })
            .await?;
        Ok(json!({entity.arn: arn}))
    }

    async fn delete_lineage(&self, scope: &Scope, entity: Entity, name: &str) -> Outcome<Value> {
        let record = self.entity(scope, entity.kind, name).await?;
        self.check_unassociated(&record).await?;
        Ok(json!({entity.arn: self.delete_entity(scope, entity.kind, name).await?}))
    }

    async fn list_lineage(
        &self,
        operation: &str,
        scope: &Scope,
        entity: Entity,
        kind: &str,
        summaries: Summaries,
        document: &Value,
    ) -> Outcome<Value> {
        let (paging, rest) = paged(document)?;
        let request: List = request::decode(operation, &rest)?;
        let mut tests: Vec<Test> = request.kind.iter().map(|asked| equals(kind, asked)).collect();
        if let Some(uri) = &request.source_uri {
            // The server itself names folders without the slash at their end.
            let either = [uri.as_str(), uri.trim_end_matches('/')].map(Scalar::of).to_vec();
            tests.push(Test { path: "Source.SourceUri".into(), condition: Condition::In(either) });
        }
        self.list_entities(scope, entity, &paging, tests, summaries).await
    }

    /// CreateArtifact. The same source makes the same artifact, which exists once.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub async fn create_artifact(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        self.create_lineage("CreateArtifact", scope, ARTIFACT, document).await
    }

    /// DescribeArtifact.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_artifact(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        self.describe_lineage("DescribeArtifact", scope, ARTIFACT, document).await
    }

    /// UpdateArtifact.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn update_artifact(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        self.update_lineage("UpdateArtifact", scope, ARTIFACT, document).await
    }

    /// DeleteArtifact, by ARN or source.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` while it has associations.
    pub async fn delete_artifact(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct DeleteArtifact {
            artifact_arn: Option<String>,
            source: Option<Value>,
        }
        let request: DeleteArtifact = request::decode("DeleteArtifact", document)?;
        let name = match (request.artifact_arn, &request.source) {
            (Some(arn), None) => arn,
            (None, Some(source)) => artifact_id(source),
            _ => return Err(Failure::invalid("Give either ArtifactArn or Source.")),
        };
        self.delete_lineage(scope, ARTIFACT, &name).await
    }

    /// ListArtifacts.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_artifacts(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let shows =
            &["ArtifactArn", "ArtifactName", "Source", "ArtifactType", "CreationTime", "LastModifiedTime"];
        let summaries = Summaries { member: "ArtifactSummaries", shows };
        self.list_lineage("ListArtifacts", scope, ARTIFACT, "ArtifactType", summaries, document).await
    }

    /// CreateAction.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub async fn create_action(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        self.create_lineage("CreateAction", scope, ACTION, document).await
    }

    /// DescribeAction.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_action(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        self.describe_lineage("DescribeAction", scope, ACTION, document).await
    }

    /// UpdateAction.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn update_action(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        self.update_lineage("UpdateAction", scope, ACTION, document).await
    }

    /// DeleteAction.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` while it has associations.
    pub async fn delete_action(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: Named = request::decode("DeleteAction", document)?;
        self.delete_lineage(scope, ACTION, &request.name).await
    }

    /// ListActions.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_actions(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let shows = &[
            "ActionArn",
            "ActionName",
            "Source",
            "ActionType",
            "Status",
            "CreationTime",
            "LastModifiedTime",
        ];
        let summaries = Summaries { member: "ActionSummaries", shows };
        self.list_lineage("ListActions", scope, ACTION, "ActionType", summaries, document).await
    }

    /// CreateContext.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub async fn create_context(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        self.create_lineage("CreateContext", scope, CONTEXT, document).await
    }

    /// DescribeContext.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_context(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        self.describe_lineage("DescribeContext", scope, CONTEXT, document).await
    }

    /// UpdateContext.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn update_context(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        self.update_lineage("UpdateContext", scope, CONTEXT, document).await
    }

    /// DeleteContext.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` while it has associations.
    pub async fn delete_context(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: Named = request::decode("DeleteContext", document)?;
        self.delete_lineage(scope, CONTEXT, &request.name).await
    }

    /// ListContexts.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_contexts(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let shows =
            &["ContextArn", "ContextName", "Source", "ContextType", "CreationTime", "LastModifiedTime"];
        let summaries = Summaries { member: "ContextSummaries", shows };
        self.list_lineage("ListContexts", scope, CONTEXT, "ContextType", summaries, document).await
    }

    /// DescribeLineageGroup: the one group of the region.
    ///
    /// # Errors
    /// `NotFound` for any other.
    pub async fn describe_lineage_group(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name = lineage_group(scope, document)?;
        Ok(json!({"LineageGroupName": name, "LineageGroupArn": group_arn(scope), "DisplayName": name}))
    }

    /// ListLineageGroups.
    ///
    /// # Errors
    /// None.
    pub async fn list_lineage_groups(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let (_, rest) = paged(document)?;
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        let Nothing {} = request::decode("ListLineageGroups", &rest)?;
        let group = json!({
            "LineageGroupName": GROUP,
            "LineageGroupArn": group_arn(scope),
            "DisplayName": GROUP,
            "CreationTime": seconds(0),
        });
        Ok(json!({"LineageGroupSummaries": [group]}))
    }

    /// GetLineageGroupPolicy. The group is shared with nobody, so it has none.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn get_lineage_group_policy(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        lineage_group(scope, document)?;
        Err(Failure::new(
            FailureKind::NotFound(Resource::Context),
            format!("Lineage group {} has no resource policy.", group_arn(scope)),
        ))
    }
}

fn group_arn(scope: &Scope) -> String {
    format!("arn:aws:sagemaker:{}:{}:lineage-group/{GROUP}", scope.region, scope.account)
}

fn lineage_group(scope: &Scope, document: &Value) -> Outcome<&'static str> {
    let name = document["LineageGroupName"].as_str().unwrap_or_default();
    if name == GROUP || name == group_arn(scope) {
        return Ok(GROUP);
    }
    Err(not_found(scope, Resource::Context, name))
}
