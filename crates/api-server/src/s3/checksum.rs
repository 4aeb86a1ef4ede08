//! The five checksum headers, in and out.

use s3s::dto::{ChecksumAlgorithm, ChecksumType};
use s3s::{S3Error, S3Result, TrailingHeaders, s3_error};
use sagebrush_object_store::{Algorithm, ChecksumKind, ChecksumRequest};

/// Checksum values of a request, by algorithm; at most one may be there.
pub(super) type Values = [(Algorithm, Option<String>); 5];

/// The values of a request or of a named part.
macro_rules! checksum_values {
    ($input:expr) => {
        [
            (sagebrush_object_store::Algorithm::Crc32, $input.checksum_crc32.take()),
            (sagebrush_object_store::Algorithm::Crc32c, $input.checksum_crc32c.take()),
            (sagebrush_object_store::Algorithm::Crc64Nvme, $input.checksum_crc64nvme.take()),
            (sagebrush_object_store::Algorithm::Sha1, $input.checksum_sha1.take()),
            (sagebrush_object_store::Algorithm::Sha256, $input.checksum_sha256.take()),
        ]
    };
}

/// Sets the field of `algorithm` in an answer.
macro_rules! set_checksum {
    ($output:expr, $algorithm:expr, $value:expr) => {{
        let field = match $algorithm {
            sagebrush_object_store::Algorithm::Crc32 => &mut $output.checksum_crc32,
            sagebrush_object_store::Algorithm::Crc32c => &mut $output.checksum_crc32c,
            sagebrush_object_store::Algorithm::Crc64Nvme => &mut $output.checksum_crc64nvme,
            sagebrush_object_store::Algorithm::Sha1 => &mut $output.checksum_sha1,
            sagebrush_object_store::Algorithm::Sha256 => &mut $output.checksum_sha256,
        };
        *field = Some($value);
    }};
}

pub(super) use {checksum_values, set_checksum};

/// The single value among `values`.
pub(super) fn single(values: Values) -> S3Result<Option<(Algorithm, String)>> {
    let mut given = values.into_iter().filter_map(|(algorithm, value)| Some((algorithm, value?)));
    let first = given.next();
    if given.next().is_some() {
        return Err(s3_error!(
            InvalidRequest,
            "Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed."
        ));
    }
    Ok(first)
}

/// The algorithm of that name.
pub(super) fn algorithm(name: &ChecksumAlgorithm) -> S3Result<Algorithm> {
    Algorithm::from_name(name.as_str()).ok_or_else(|| {
        let message = "Checksum algorithm provided is unsupported. Please try again with any of \
             the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]";
        s3_error!(InvalidRequest, "{message}")
    })
}

/// What an upload must be checked against: a header, a trailer after the body, or nothing.
pub(super) fn request(
    values: Values,
    named: Option<&ChecksumAlgorithm>,
    trailers: Option<TrailingHeaders>,
) -> S3Result<ChecksumRequest> {
    if let Some((algorithm, value)) = single(values)? {
        return Ok(ChecksumRequest::Expect(algorithm, value));
    }
    let Some(named) = named else { return Ok(ChecksumRequest::Default) };
    let algorithm = algorithm(named)?;
    let Some(trailers) = trailers else { return Ok(ChecksumRequest::Compute(algorithm)) };
    let header = format!("x-amz-checksum-{}", algorithm.name().to_ascii_lowercase());
    let read = move || {
        let value = trailers
            .read(|headers| headers.get(&header).and_then(|value| value.to_str().ok()).map(str::to_owned));
        value.flatten()
    };
    Ok(ChecksumRequest::AfterBody(algorithm, Box::new(read)))
}

/// S3's name of what a checksum covers.
pub(super) fn type_of(kind: ChecksumKind) -> ChecksumType {
    ChecksumType::from_static(match kind {
        ChecksumKind::FullObject => ChecksumType::FULL_OBJECT,
        ChecksumKind::Composite => ChecksumType::COMPOSITE,
    })
}

/// What a checksum covers, from S3's name.
pub(super) fn kind(name: &ChecksumType) -> Result<ChecksumKind, S3Error> {
    match name.as_str() {
        ChecksumType::FULL_OBJECT => Ok(ChecksumKind::FullObject),
        ChecksumType::COMPOSITE => Ok(ChecksumKind::Composite),
        other => Err(s3_error!(InvalidRequest, "'{other}' is not a checksum type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(crc32: Option<&str>, sha1: Option<&str>) -> Values {
        let text = |value: Option<&str>| value.map(str::to_owned);
        [
            (Algorithm::Crc32, text(crc32)),
            (Algorithm::Crc32c, None),
            (Algorithm::Crc64Nvme, None),
            (Algorithm::Sha1, text(sha1)),
            (Algorithm::Sha256, None),
        ]
    }

    #[test]
    fn one_value_two_values_none() {
        let one = request(values(Some("AAAAAA=="), None), None, None).expect("one");
        assert!(matches!(one, ChecksumRequest::Expect(Algorithm::Crc32, _)));
        assert!(request(values(Some("a"), Some("b")), None, None).is_err());
        let named = ChecksumAlgorithm::from_static("sha256");
        let computed = request(values(None, None), Some(&named), None).expect("named");
        assert!(matches!(computed, ChecksumRequest::Compute(Algorithm::Sha256)));
        let unknown = ChecksumAlgorithm::from_static("MD4");
        assert!(request(values(None, None), Some(&unknown), None).is_err());
    }
}
