//! Where a resource lives (partition, account, region) and the names derived from it.

use crate::{Failure, Outcome, Resource};

/// The AWS partition of every ARN made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition;

impl Partition {
    /// The partition's name as it stands in an ARN.
    pub const NAME: &'static str = "aws";
}

/// Account and region of a request: the account is configuration, the region comes from the
/// credential scope of the signature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Twelve-digit account id.
    pub account: String,
    /// Region name, such as `us-east-1`.
    pub region: String,
}

impl Scope {
    /// The ARN of a SageMaker resource. AWS lower-cases the name inside the ARN.
    pub fn arn(&self, resource: Resource, name: &str) -> String {
        format!(
            "arn:{}:sagemaker:{}:{}:{}/{}",
            Partition::NAME,
            self.region,
            self.account,
            resource.arn_segment(),
            name.to_lowercase()
        )
    }
}

/// Splits `s3://bucket/key` into bucket and key (the key may be empty).
///
/// # Errors
/// `Invalid` naming `field` when the text is not an S3 URI.
pub fn s3_uri<'a>(field: &str, uri: &'a str) -> Outcome<(&'a str, &'a str)> {
    let rest = uri.strip_prefix("s3://").unwrap_or_default();
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(Failure::invalid(format!(
            "{field}: '{uri}' is not an S3 URI. Write s3://bucket/prefix."
        )));
    }
    Ok((bucket, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_carry_the_lower_cased_name() {
        let scope = Scope { account: "123456789012".into(), region: "eu-west-1".into() };
        assert_eq!(
            scope.arn(Resource::TrainingJob, "BYOC-r"),
            "arn:aws:sagemaker:eu-west-1:123456789012:training-job/byoc-r"
        );
    }

    #[test]
    fn s3_uris_split_at_the_first_slash() {
        assert_eq!(s3_uri("S3Uri", "s3://b/a//c").ok(), Some(("b", "a//c")));
        assert_eq!(s3_uri("S3Uri", "s3://b").ok(), Some(("b", "")));
        assert!(s3_uri("S3Uri", "https://b/a").is_err());
        assert!(s3_uri("S3Uri", "s3:///a").is_err());
    }
}
