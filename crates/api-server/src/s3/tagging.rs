//! The tags of objects.

use s3s::S3Result;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
};
use sagebrush_object_store::Tags;

use super::Operations;
use super::error::from_store;
use super::refusal::check_version;

impl Operations {
    pub(super) async fn tags(&self, input: GetObjectTaggingInput) -> S3Result<GetObjectTaggingOutput> {
        check_version(input.version_id.as_deref())?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let tags = self.store.object_tags(&input.bucket, &input.key).await.map_err(from_store)?;
        let tag = |(key, value)| Tag { key: Some(key), value: Some(value) };
        Ok(GetObjectTaggingOutput { tag_set: tags.0.into_iter().map(tag).collect(), version_id: None })
    }

    pub(super) async fn put_tags(&self, input: PutObjectTaggingInput) -> S3Result<PutObjectTaggingOutput> {
        check_version(input.version_id.as_deref())?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let pair = |tag: Tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        let tags = Tags(input.tagging.tag_set.into_iter().map(pair).collect());
        let set = self.store.set_object_tags(&input.bucket, &input.key, tags).await;
        set.map_err(from_store)?;
        Ok(PutObjectTaggingOutput::default())
    }

    pub(super) async fn delete_tags(
        &self,
        input: DeleteObjectTaggingInput,
    ) -> S3Result<DeleteObjectTaggingOutput> {
        check_version(input.version_id.as_deref())?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let set = self.store.set_object_tags(&input.bucket, &input.key, Tags::default()).await;
        set.map_err(from_store)?;
        Ok(DeleteObjectTaggingOutput::default())
    }
}
