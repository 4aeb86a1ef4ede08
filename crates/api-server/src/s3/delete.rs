//! DeleteObject and DeleteObjects.

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error,
};
use s3s::{S3Request, S3Result, s3_error};
use sagebrush_auth::policy::Facts;
use sagebrush_object_store::limits;

use super::access::asker;
use super::error::from_store;
use super::permission::object_arn;
use super::refusal::{check_version, refuse};
use super::{Operations, condition};

impl Operations {
    pub(super) async fn delete(&self, input: DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
        check_version(input.version_id.as_deref())?;
        refuse(&input.mfa, "Deletion with multi-factor authentication")?;
        refuse(&input.if_match_size, "x-amz-if-match-size")?;
        refuse(&input.if_match_last_modified_time, "x-amz-if-match-last-modified-time")?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let condition = condition::of_write(input.if_match.as_ref(), None)?;
        let deleted = self.store.delete_object(&input.bucket, &input.key, condition).await;
        deleted.map_err(from_store)?;
        Ok(DeleteObjectOutput::default())
    }

    /// Every key needs its own permission; those that may not be deleted are errors in the answer.
    pub(super) async fn delete_many(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<DeleteObjectsOutput> {
        let asker = asker(&request)?;
        let input = request.input;
        refuse(&input.mfa, "Deletion with multi-factor authentication")?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let objects = input.delete.objects;
        if objects.is_empty() || objects.len() > limits::DELETE_KEYS {
            return Err(s3_error!(
                MalformedXML,
                "The XML you provided was not well-formed or did not validate against our \
                 published schema: between 1 and {} objects are deleted at once.",
                limits::DELETE_KEYS
            ));
        }
        let mut keys = Vec::with_capacity(objects.len());
        for object in objects {
            check_version(object.version_id.as_deref())?;
            refuse(&object.e_tag, "A condition on an object of DeleteObjects")?;
            refuse(&object.size, "A condition on an object of DeleteObjects")?;
            refuse(&object.last_modified_time, "A condition on an object of DeleteObjects")?;
            keys.push(object.key);
        }
        let mut errors = Vec::new();
        keys.retain(|key| {
            let resource = object_arn(&input.bucket, key);
            let Err(denied) = asker.may("s3:DeleteObject", &resource, &Facts::new()) else { return true };
            errors.push(Error {
                code: Some("AccessDenied".to_owned()),
                key: Some(key.clone()),
                message: denied.message().map(str::to_owned),
                ..Error::default()
            });
            false
        });
        self.store.delete_objects(&input.bucket, &keys).await.map_err(from_store)?;
        let quiet = input.delete.quiet == Some(true);
        let told = if quiet { Vec::new() } else { keys };
        let deleted = told
            .into_iter()
            .map(|key| DeletedObject { key: Some(key), ..DeletedObject::default() })
            .collect();
        let errors = (!errors.is_empty()).then_some(errors);
        Ok(DeleteObjectsOutput { deleted: Some(deleted), errors, ..DeleteObjectsOutput::default() })
    }
}
