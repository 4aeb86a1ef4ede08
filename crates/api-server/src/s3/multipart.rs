//! Multipart uploads.

use std::ops::Range as Span;

use s3s::dto::{
    AbortMultipartUploadInput, ChecksumAlgorithm, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyPartResult, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    ETag, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput,
    MultipartUpload, Part, Range, StorageClass, Timestamp, UploadPartCopyInput, UploadPartCopyOutput,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Result, s3_error};
use sagebrush_object_store::{
    ChecksumPlan, CompleteUpload, CompletedPart, CreateUpload, Expectations, PartSummary, UploadSummary,
    limits,
};

use super::Operations;
use super::checksum::{self, checksum_values, set_checksum};
use super::condition::{self, ReadConditions};
use super::error::from_store;
use super::get::as_i64;
use super::list::{Encoding, page_size};
use super::put::{attributes, body, body_length, tags_of_header};
use super::refusal::{check_write, refuse, source_of, unsupported};

impl Operations {
    pub(super) async fn create_upload(
        &self,
        mut input: CreateMultipartUploadInput,
    ) -> S3Result<CreateMultipartUploadOutput> {
        check_write!(input);
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let kind = input.checksum_type.as_ref().map(checksum::kind).transpose()?;
        let algorithm = input.checksum_algorithm.as_ref().map(checksum::algorithm).transpose()?;
        if algorithm.is_none() && kind.is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header."
            ));
        }
        let create = CreateUpload {
            attributes: attributes!(input),
            tags: tags_of_header(input.tagging.as_deref())?,
            checksum: algorithm.map(|algorithm| ChecksumPlan { algorithm, kind }),
        };
        let created = self.store.create_upload(&input.bucket, &input.key, create).await;
        let upload = created.map_err(from_store)?;
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            checksum_algorithm: upload.chosen.then(|| name_of(&upload)),
            checksum_type: upload.chosen.then(|| checksum::type_of(upload.kind)),
            upload_id: Some(upload.id),
            ..CreateMultipartUploadOutput::default()
        })
    }

    pub(super) async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<UploadPartOutput> {
        let S3Request { mut input, headers, trailing_headers, .. } = request;
        refuse(&input.sse_customer_key, "Encryption with a key that you provide")?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let expectations = Expectations {
            checksum: checksum::request(
                checksum_values!(input),
                input.checksum_algorithm.as_ref(),
                trailing_headers,
            )?,
            content_md5: input.content_md5,
            length: body_length(&headers, input.content_length),
            limit: limits::PUT_BYTES,
        };
        let number = part_number(input.part_number)?;
        let body = body(input.body);
        let stored = self
            .store
            .put_part(&input.bucket, &input.key, &input.upload_id, number, expectations, body)
            .await;
        let part = stored.map_err(from_store)?;
        let mut output =
            UploadPartOutput { e_tag: Some(ETag::Strong(part.etag)), ..UploadPartOutput::default() };
        set_checksum!(output, part.algorithm, part.checksum);
        Ok(output)
    }

    pub(super) async fn upload_part_copy(
        &self,
        mut input: UploadPartCopyInput,
    ) -> S3Result<UploadPartCopyOutput> {
        refuse(&input.sse_customer_key, "Encryption with a key that you provide")?;
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
        let span = input.copy_source_range.as_deref().map(copy_span).transpose()?;
        let number = part_number(input.part_number)?;
        let target = (input.bucket.as_str(), input.key.as_str());
        let stored =
            self.store.copy_part(source, span, Some(&found.etag), target, &input.upload_id, number).await;
        let part = stored.map_err(from_store)?;
        let mut result = CopyPartResult {
            e_tag: Some(ETag::Strong(part.etag)),
            last_modified: Some(Timestamp::from(part.modified)),
            ..CopyPartResult::default()
        };
        set_checksum!(result, part.algorithm, part.checksum);
        Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() })
    }

    pub(super) async fn complete(
        &self,
        mut input: CompleteMultipartUploadInput,
    ) -> S3Result<CompleteMultipartUploadOutput> {
        refuse(&input.sse_customer_key, "Encryption with a key that you provide")?;
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let named = input.multipart_upload.take().and_then(|upload| upload.parts);
        let named = named.filter(|parts| !parts.is_empty());
        let malformed = || s3_error!(MalformedXML, "You must specify at least one part");
        let mut parts = Vec::new();
        for mut part in named.ok_or_else(malformed)? {
            let (Some(number), Some(etag)) = (part.part_number, part.e_tag.take()) else {
                return Err(s3_error!(MalformedXML, "A part has a PartNumber and an ETag"));
            };
            parts.push(CompletedPart {
                number: part_number(number)?,
                etag: etag.into_value(),
                checksum: checksum::single(checksum_values!(part))?.map(|(_, value)| value),
            });
        }
        let size = input.mpu_object_size.map(u64::try_from).transpose();
        let complete = CompleteUpload {
            parts,
            checksum: checksum::single(checksum_values!(input))?.map(|(_, value)| value),
            kind: input.checksum_type.as_ref().map(checksum::kind).transpose()?,
            size: size.map_err(|_| s3_error!(InvalidArgument, "The size of an object is positive"))?,
            condition: condition::of_write(input.if_match.as_ref(), input.if_none_match.as_ref())?,
        };
        let (bucket, key) = (input.bucket, input.key);
        let made = self.store.complete_upload(&bucket, &key, &input.upload_id, complete).await;
        let info = made.map_err(from_store)?;
        let mut output = CompleteMultipartUploadOutput {
            location: Some(format!("/{bucket}/{key}")),
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(ETag::Strong(info.etag)),
            checksum_type: Some(checksum::type_of(info.checksum.kind)),
            ..CompleteMultipartUploadOutput::default()
        };
        set_checksum!(output, info.checksum.algorithm, info.checksum.value);
        Ok(output)
    }

    pub(super) async fn abort(&self, input: AbortMultipartUploadInput) -> S3Result<()> {
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let aborted = self.store.abort_upload(&input.bucket, &input.key, &input.upload_id).await;
        aborted.map_err(from_store)
    }

    pub(super) async fn list_parts_of(&self, input: ListPartsInput) -> S3Result<ListPartsOutput> {
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let marker = input.part_number_marker.unwrap_or(0);
        let after = u32::try_from(marker)
            .map_err(|_| s3_error!(InvalidArgument, "part-number-marker is not negative"))?;
        let max = page_size(input.max_parts)?;
        let id = input.upload_id;
        let listed = self.store.list_parts(&input.bucket, &input.key, &id, after, max).await;
        let page = listed.map_err(from_store)?;
        let (initiator, owner) = (self.initiator(), self.owner());
        Ok(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: page.upload.chosen.then(|| name_of(&page.upload)),
            checksum_type: page.upload.chosen.then(|| checksum::type_of(page.upload.kind)),
            initiator: Some(initiator),
            owner: Some(owner),
            is_truncated: Some(page.next.is_some()),
            max_parts: i32::try_from(max).ok(),
            next_part_number_marker: page.next.and_then(|next| i32::try_from(next).ok()),
            part_number_marker: Some(marker),
            parts: Some(page.parts.into_iter().map(part_of).collect()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..ListPartsOutput::default()
        })
    }

    pub(super) async fn uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> S3Result<ListMultipartUploadsOutput> {
        if input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()) {
            return Err(unsupported("A delimiter in ListMultipartUploads"));
        }
        self.check_owner(&input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let key_marker = input.key_marker.clone().unwrap_or_default();
        let id_marker = input.upload_id_marker.clone().unwrap_or_default();
        let max = page_size(input.max_uploads)?;
        let after = (key_marker.as_str(), id_marker.as_str());
        let listed = self.store.list_uploads(&input.bucket, &prefix, after, max).await;
        let page = listed.map_err(from_store)?;
        let uploads = page.uploads.into_iter().map(|upload| MultipartUpload {
            checksum_algorithm: upload.chosen.then(|| name_of(&upload)),
            checksum_type: upload.chosen.then(|| checksum::type_of(upload.kind)),
            initiated: Some(Timestamp::from(upload.initiated)),
            initiator: Some(self.initiator()),
            key: Some(encoding.name(upload.key)),
            owner: Some(self.owner()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            upload_id: Some(upload.id),
        });
        let uploads: Vec<MultipartUpload> = uploads.collect();
        let more = page.next.is_some();
        let (next_key, next_id) = page.next.unzip();
        Ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            encoding_type: input.encoding_type,
            is_truncated: Some(more),
            key_marker: Some(encoding.name(key_marker)),
            max_uploads: i32::try_from(max).ok(),
            next_key_marker: next_key.map(|key| encoding.name(key)),
            next_upload_id_marker: next_id,
            prefix: Some(encoding.name(prefix)),
            upload_id_marker: Some(id_marker),
            uploads: Some(uploads),
            ..ListMultipartUploadsOutput::default()
        })
    }

    fn initiator(&self) -> Initiator {
        Initiator { display_name: None, id: Some(self.account.clone()) }
    }
}

fn name_of(upload: &UploadSummary) -> ChecksumAlgorithm {
    ChecksumAlgorithm::from_static(upload.algorithm.name())
}

fn part_of(found: PartSummary) -> Part {
    let mut part = Part {
        e_tag: Some(ETag::Strong(found.etag)),
        last_modified: Some(Timestamp::from(found.modified)),
        part_number: i32::try_from(found.number).ok(),
        size: Some(as_i64(found.size)),
        ..Part::default()
    };
    set_checksum!(part, found.algorithm, found.checksum);
    part
}

fn part_number(number: i32) -> S3Result<u32> {
    u32::try_from(number).ok().filter(|number| (1..=limits::PARTS).contains(number)).ok_or_else(|| {
        s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive")
    })
}

/// `bytes=first-last`, both of them there.
fn copy_span(text: &str) -> S3Result<Span<u64>> {
    match Range::parse(text) {
        Ok(Range::Int { first, last: Some(last) }) => Ok(first..last + 1),
        _ => Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_numbers() {
        assert_eq!(copy_span("bytes=2-4").ok(), Some(2..5));
        for text in ["bytes=2-", "bytes=-3", "2-4", "bytes=4-2"] {
            assert!(copy_span(text).is_err(), "{text}");
        }
        assert_eq!(part_number(10_000).ok(), Some(10_000));
        assert!(part_number(0).is_err());
        assert!(part_number(10_001).is_err());
    }
}
