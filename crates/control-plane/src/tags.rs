//! Tags of any resource, by ARN.

use sagebrush_types::{Failure, Outcome};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ControlPlane, failure, request};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AddTags {
    resource_arn: String,
    tags: Vec<request::RequestTag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteTags {
    resource_arn: String,
    tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListTags {
    resource_arn: String,
    next_token: Option<String>,
    max_results: Option<usize>,
}

impl ControlPlane {
    /// AddTags.
    ///
    /// # Errors
    /// `Invalid` for an ARN that names nothing here.
    pub async fn add_tags(&self, request: &Value) -> Outcome<Value> {
        let request: AddTags = request::decode("AddTags", request)?;
        self.tagged(&request.resource_arn).await?;
        let tags = request::tags(&request.tags);
        self.store().put_tags(&request.resource_arn, &tags).await.map_err(failure::of_metastore)?;
        Ok(json!({"Tags": self.tag_documents(&request.resource_arn).await?}))
    }

    /// DeleteTags.
    ///
    /// # Errors
    /// `Invalid` for an ARN that names nothing here.
    pub async fn delete_tags(&self, request: &Value) -> Outcome<Value> {
        let request: DeleteTags = request::decode("DeleteTags", request)?;
        self.tagged(&request.resource_arn).await?;
        self.store()
            .delete_tags(&request.resource_arn, &request.tag_keys)
            .await
            .map_err(failure::of_metastore)?;
        Ok(json!({}))
    }

    /// ListTags, in pages of `MaxResults`.
    ///
    /// # Errors
    /// `Invalid` for an ARN that names nothing here or a strange token.
    pub async fn list_tags(&self, request: &Value) -> Outcome<Value> {
        let request: ListTags = request::decode("ListTags", request)?;
        self.tagged(&request.resource_arn).await?;
        let after = request.next_token.unwrap_or_default();
        let mut tags = self.tag_documents(&request.resource_arn).await?;
        tags.retain(|tag| tag["Key"].as_str().unwrap_or_default() > after.as_str());
        let mut answer = json!({});
        if let Some(limit) = request.max_results.filter(|limit| tags.len() > *limit) {
            tags.truncate(limit);
            answer["NextToken"] = tags.last().map(|tag| tag["Key"].clone()).unwrap_or_default();
        }
        answer["Tags"] = tags.into();
        Ok(answer)
    }

    async fn tag_documents(&self, arn: &str) -> Outcome<Vec<Value>> {
        let tags = self.store().tags(arn).await.map_err(failure::of_metastore)?;
        Ok(tags.iter().map(|tag| json!({"Key": tag.key, "Value": tag.value})).collect())
    }

    async fn tagged(&self, arn: &str) -> Outcome<()> {
        if self.store().has_arn(arn).await.map_err(failure::of_metastore)? {
            return Ok(());
        }
        Err(Failure::invalid(format!("ResourceArn: no resource with the ARN {arn} exists.")))
    }
}
