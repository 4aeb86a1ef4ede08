//! Buckets.

use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, GetBucketLocationOutput,
    HeadBucketOutput, ListBucketsInput, ListBucketsOutput, Owner,
};
use s3s::region::Region;
use s3s::{S3Result, s3_error};
use sagebrush_object_store::Created;

use super::Operations;
use super::error::from_store;
use super::refusal::{refuse, unsupported};

/// The region that does not need to be named and answers creating a bucket twice with success.
const FIRST_REGION: &str = "us-east-1";

impl Operations {
    /// Refuses when the bucket belongs to another account than the caller expects.
    pub(super) async fn check_owner(&self, bucket: &str, expected: Option<&str>) -> S3Result<()> {
        let Some(expected) = expected else { return Ok(()) };
        let found = self.store.head_bucket(bucket).await.map_err(from_store)?;
        if found.owner == expected {
            return Ok(());
        }
        Err(s3_error!(AccessDenied, "The bucket does not belong to the account {expected}."))
    }

    pub(super) fn owner(&self) -> Owner {
        Owner { display_name: None, id: Some(self.account.clone()) }
    }

    pub(super) async fn create(
        &self,
        input: CreateBucketInput,
        region: Option<&Region>,
    ) -> S3Result<CreateBucketOutput> {
        let acl = input.acl.as_ref().map(|acl| acl.as_str());
        if acl.is_some_and(|acl| acl != "private") {
            return Err(unsupported("A bucket ACL other than 'private'"));
        }
        refuse(&input.grant_full_control, "x-amz-grant-full-control")?;
        refuse(&input.grant_read, "x-amz-grant-read")?;
        refuse(&input.grant_read_acp, "x-amz-grant-read-acp")?;
        refuse(&input.grant_write, "x-amz-grant-write")?;
        refuse(&input.grant_write_acp, "x-amz-grant-write-acp")?;
        if input.object_lock_enabled_for_bucket == Some(true) {
            return Err(unsupported("Object lock"));
        }
        let ownership = input.object_ownership.as_ref().map(|ownership| ownership.as_str());
        if ownership.is_some_and(|ownership| ownership != "BucketOwnerEnforced") {
            return Err(unsupported("An object ownership other than 'BucketOwnerEnforced'"));
        }
        let asked = input.create_bucket_configuration;
        if let Some(configuration) = &asked {
            refuse(&configuration.bucket, "A directory bucket")?;
            refuse(&configuration.location, "A directory bucket")?;
        }
        let named = asked.and_then(|configuration| configuration.location_constraint);
        let named = named.as_ref().map(|constraint| constraint.as_str()).filter(|s| !s.is_empty());
        let asked_in = region.map_or(self.region.as_str(), Region::as_str);
        let location = location(asked_in, named)?;
        let created = self.store.create_bucket(&input.bucket, location, &self.account).await;
        match created.map_err(from_store)? {
            Created::Already(_) if asked_in != FIRST_REGION => Err(s3_error!(
                BucketAlreadyOwnedByYou,
                "Your previous request to create the named bucket succeeded and you already own it."
            )),
            _ => Ok(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }),
        }
    }

    pub(super) async fn head(
        &self,
        bucket: &str,
        expected_owner: Option<&str>,
    ) -> S3Result<HeadBucketOutput> {
        let found = self.store.head_bucket(bucket).await.map_err(from_store)?;
        self.check_owner(bucket, expected_owner).await?;
        Ok(HeadBucketOutput { bucket_region: Some(found.region), ..HeadBucketOutput::default() })
    }

    pub(super) async fn location(
        &self,
        bucket: &str,
        expected_owner: Option<&str>,
    ) -> S3Result<GetBucketLocationOutput> {
        let found = self.store.head_bucket(bucket).await.map_err(from_store)?;
        self.check_owner(bucket, expected_owner).await?;
        // Buckets of the first region have no constraint.
        let constraint = Some(found.region).filter(|region| region != FIRST_REGION);
        Ok(GetBucketLocationOutput { location_constraint: constraint.map(BucketLocationConstraint::from) })
    }

    pub(super) async fn buckets(&self, input: ListBucketsInput) -> S3Result<ListBucketsOutput> {
        let all = self.store.list_buckets().await.map_err(from_store)?;
        let region = input.bucket_region.as_deref();
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let after = input.continuation_token.as_deref().unwrap_or_default();
        let most = input.max_buckets.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(0));
        let mut buckets: Vec<Bucket> = all
            .into_iter()
            .filter(|found| region.is_none_or(|region| region == found.region))
            .filter(|found| found.name.starts_with(prefix) && found.name.as_str() > after)
            .map(|found| Bucket {
                bucket_region: Some(found.region),
                creation_date: Some(found.created.into()),
                name: Some(found.name),
            })
            .collect();
        let more = buckets.len() > most;
        buckets.truncate(most);
        let last = buckets.last().and_then(|bucket| bucket.name.clone());
        Ok(ListBucketsOutput {
            buckets: Some(buckets),
            continuation_token: last.filter(|_| more),
            owner: Some(self.owner()),
            prefix: input.prefix,
        })
    }
}

/// Where a bucket comes to lie. Source: Amazon S3 API Reference, CreateBucket: from `us-east-1` a
/// bucket may be put anywhere; elsewhere the constraint must be there and name that region.
fn location<'a>(asked_in: &str, named: Option<&'a str>) -> S3Result<&'a str> {
    match named {
        Some(FIRST_REGION) => Err(s3_error!(
            InvalidLocationConstraint,
            "The specified location-constraint is not valid: leave it out for us-east-1."
        )),
        Some(named) if asked_in == FIRST_REGION || named == asked_in => Ok(named),
        Some(named) => Err(s3_error!(
            IllegalLocationConstraintException,
            "The {named} location constraint is incompatible for the region specific endpoint this \
             request was sent to: it was signed for {asked_in}."
        )),
        None if asked_in == FIRST_REGION => Ok(FIRST_REGION),
        None => Err(s3_error!(
            IllegalLocationConstraintException,
            "The unspecified location constraint is incompatible for the region specific endpoint \
             this request was sent to: name {asked_in}."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let code =
            |asked_in, named| location(asked_in, named).map_err(|error| error.code().as_str().to_owned());
        assert_eq!(code("us-east-1", None), Ok("us-east-1"));
        assert_eq!(code("us-east-1", Some("eu-west-1")), Ok("eu-west-1"));
        assert_eq!(code("eu-west-1", Some("eu-west-1")), Ok("eu-west-1"));
        assert_eq!(code("us-east-1", Some("us-east-1")), Err("InvalidLocationConstraint".into()));
        for (asked_in, named) in [("eu-west-1", None), ("eu-west-1", Some("us-west-2"))] {
            assert_eq!(code(asked_in, named), Err("IllegalLocationConstraintException".into()));
        }
    }
}
