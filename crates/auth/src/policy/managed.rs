//! Managed policies that every server has, under AWS's names and ARNs. Each is what AWS's own grants of
//! the services that are served here.

use std::sync::{Arc, LazyLock};

use super::{Policy, PolicyKind};

/// A managed policy.
#[derive(Debug)]
pub struct ManagedPolicy {
    /// Its name, such as `AdministratorAccess`.
    pub name: &'static str,
    /// Its document.
    pub document: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// The document, read.
    pub policy: Arc<Policy>,
}

impl ManagedPolicy {
    /// `arn:aws:iam::aws:policy/<name>`.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy/{}", self.name)
    }
}

/// Name, what it is for, document.
const DOCUMENTS: &[(&str, &str, &str)] = &[
    (
        "AdministratorAccess",
        "everything",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
    ),
    (
        "ReadOnlyAccess",
        "reading everything: descriptions, lists, objects, logs and metrics; no invocations",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sagemaker:Describe*","sagemaker:List*","sagemaker:Search","sagemaker:GetSearchSuggestions","sagemaker:QueryLineage","s3:Get*","s3:List*","logs:Describe*","logs:Get*","logs:FilterLogEvents","cloudwatch:Describe*","cloudwatch:Get*","cloudwatch:List*","ecr:Describe*","ecr:Get*","ecr:List*","ecr:BatchGetImage","ecr:BatchCheckLayerAvailability","iam:Get*","iam:List*","iam:Simulate*"],"Resource":"*"}]}"#,
    ),
    (
        "AmazonSageMakerFullAccess",
        "everything of SageMaker with the storage, logs and metrics it uses, and passing roles to it",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sagemaker:*","s3:*","logs:*","cloudwatch:*","ecr:*","iam:GetRole","iam:ListRoles","iam:SimulatePrincipalPolicy"],"Resource":"*"},{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::*:role/*","Condition":{"StringEquals":{"iam:PassedToService":"sagemaker.amazonaws.com"}}}]}"#,
    ),
    (
        "AmazonSageMakerReadOnly",
        "descriptions and lists of SageMaker, logs and metrics",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sagemaker:Describe*","sagemaker:List*","sagemaker:Search","sagemaker:GetSearchSuggestions","logs:Describe*","logs:Get*","logs:FilterLogEvents","cloudwatch:Describe*","cloudwatch:Get*","cloudwatch:List*"],"Resource":"*"}]}"#,
    ),
    (
        "AmazonEC2ContainerRegistryFullAccess",
        "everything of the container registry",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}"#,
    ),
    (
        "AmazonEC2ContainerRegistryPowerUser",
        "pushing and pulling images",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr:BatchCheckLayerAvailability","ecr:GetDownloadUrlForLayer","ecr:DescribeRepositories","ecr:ListImages","ecr:DescribeImages","ecr:BatchGetImage","ecr:InitiateLayerUpload","ecr:UploadLayerPart","ecr:CompleteLayerUpload","ecr:PutImage","ecr:ListTagsForResource"],"Resource":"*"}]}"#,
    ),
    (
        "AmazonEC2ContainerRegistryReadOnly",
        "pulling images",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr:BatchCheckLayerAvailability","ecr:GetDownloadUrlForLayer","ecr:DescribeRepositories","ecr:ListImages","ecr:DescribeImages","ecr:BatchGetImage","ecr:ListTagsForResource"],"Resource":"*"}]}"#,
    ),
    (
        "AmazonS3FullAccess",
        "everything of S3",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#,
    ),
    (
        "AmazonS3ReadOnlyAccess",
        "reading and listing of S3",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":"*"}]}"#,
    ),
];

static MANAGED: LazyLock<Vec<ManagedPolicy>> = LazyLock::new(|| {
    DOCUMENTS
        .iter()
        .filter_map(|(name, description, document)| {
            // A test reads every one of them; one that could not be read would not exist.
            let policy = Arc::new(Policy::read(document, PolicyKind::Identity).ok()?);
            Some(ManagedPolicy { name, document, description, policy })
        })
        .collect()
});

/// Every managed policy.
pub fn managed_policies() -> &'static [ManagedPolicy] {
    &MANAGED
}

/// The managed policy of a name or ARN.
pub fn managed_policy(name: &str) -> Option<&'static ManagedPolicy> {
    let name = name.strip_prefix("arn:aws:iam::aws:policy/").unwrap_or(name);
    MANAGED.iter().find(|policy| policy.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_managed_policy_can_be_read() {
        assert_eq!(managed_policies().len(), DOCUMENTS.len());
        assert!(managed_policy("arn:aws:iam::aws:policy/AdministratorAccess").is_some());
        assert!(managed_policy("Nothing").is_none());
    }
}
