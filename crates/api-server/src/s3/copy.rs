//! CopyObject.

use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, ETag, MetadataDirective, TaggingDirective, Timestamp,
};
use s3s::{S3Result, s3_error};
use sagebrush_object_store::{CopyObject, Replacement};

use super::Operations;
use super::checksum::{self, set_checksum};
use super::condition::ReadConditions;
use super::error::from_store;
use super::put::{attributes, tags_of_header};
use super::refusal::{check_write, refuse, source_of};

impl Operations {
    pub(super) async fn copy(&self, mut input: CopyObjectInput) -> S3Result<CopyObjectOutput> {
        check_write!(input);
        refuse(&input.copy_source_sse_customer_key, "Encryption with a key that you provide")?;
        let source = source_of(&input.copy_source)?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        self.check_owner(source.0, input.expected_source_bucket_owner.as_deref()).await?;
        let found = self.store.head_object(source.0, source.1).await.map_err(from_store)?;
        let conditions = ReadConditions {
            if_match: input.copy_source_if_match.take(),
            if_none_match: input.copy_source_if_none_match.take(),
            if_modified_since: input.copy_source_if_modified_since.take(),
            if_unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        conditions.check_source(&found)?;
        let attributes = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
            None | Some(MetadataDirective::COPY) => Replacement::Copy,
            Some(MetadataDirective::REPLACE) => Replacement::Replace(attributes!(input)),
            Some(_) => return Err(s3_error!(InvalidArgument, "Unknown metadata directive.")),
        };
        let tags = match input.tagging_directive.as_ref().map(TaggingDirective::as_str) {
            None | Some(TaggingDirective::COPY) => Replacement::Copy,
            Some(TaggingDirective::REPLACE) => {
                Replacement::Replace(tags_of_header(input.tagging.as_deref())?)
            }
            Some(_) => return Err(s3_error!(InvalidArgument, "Unknown tagging directive.")),
        };
        let copy = CopyObject {
            attributes,
            tags,
            checksum: input.checksum_algorithm.as_ref().map(checksum::algorithm).transpose()?,
            // The conditions were checked against this object and no later one.
            source_etag: Some(found.etag),
        };
        let copied = self.store.copy_object(source, (&input.bucket, &input.key), copy).await;
        let info = copied.map_err(from_store)?;
        let mut result = CopyObjectResult {
            e_tag: Some(ETag::Strong(info.etag)),
            last_modified: Some(Timestamp::from(info.modified)),
            checksum_type: Some(checksum::type_of(info.checksum.kind)),
            ..CopyObjectResult::default()
        };
        set_checksum!(result, info.checksum.algorithm, info.checksum.value);
        Ok(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
    }
}
