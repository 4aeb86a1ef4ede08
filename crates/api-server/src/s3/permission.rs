//! Which permissions an S3 operation needs, from its name, bucket, key and headers.
//!
//! Source: "Required permissions for Amazon S3 API operations", S3 User Guide. An operation without a line
//! is refused for everybody.

/// What a permission is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    /// `*`.
    Everything,
    /// The bucket.
    Bucket,
    /// The object.
    Object,
    /// What stands in the parsed request: the keys of a body, the prefix of a listing. Asked there.
    Parsed,
}

/// Operation, action, what for. The source of a copy is asked on top of it, where it is parsed.
const LINES: &[(&str, &str, On)] = &[
    ("AbortMultipartUpload", "s3:AbortMultipartUpload", On::Object),
    ("CompleteMultipartUpload", "s3:PutObject", On::Object),
    ("CopyObject", "s3:PutObject", On::Object),
    ("CreateBucket", "s3:CreateBucket", On::Bucket),
    ("CreateMultipartUpload", "s3:PutObject", On::Object),
    ("DeleteBucket", "s3:DeleteBucket", On::Bucket),
    ("DeleteObject", "s3:DeleteObject", On::Object),
    ("DeleteObjectTagging", "s3:DeleteObjectTagging", On::Object),
    ("DeleteObjects", "s3:DeleteObject", On::Parsed),
    ("GetBucketLocation", "s3:GetBucketLocation", On::Bucket),
    ("GetBucketVersioning", "s3:GetBucketVersioning", On::Bucket),
    ("GetObject", "s3:GetObject", On::Object),
    ("GetObjectAttributes", "s3:GetObject", On::Object),
    ("GetObjectTagging", "s3:GetObjectTagging", On::Object),
    ("HeadBucket", "s3:ListBucket", On::Bucket),
    ("HeadObject", "s3:GetObject", On::Object),
    ("ListBuckets", "s3:ListAllMyBuckets", On::Everything),
    ("ListMultipartUploads", "s3:ListBucketMultipartUploads", On::Parsed),
    ("ListObjects", "s3:ListBucket", On::Parsed),
    ("ListObjectsV2", "s3:ListBucket", On::Parsed),
    ("ListParts", "s3:ListMultipartUploadParts", On::Object),
    ("PostObject", "s3:PutObject", On::Parsed),
    ("PutObject", "s3:PutObject", On::Object),
    ("PutObjectTagging", "s3:PutObjectTagging", On::Object),
    ("UploadPart", "s3:PutObject", On::Object),
    ("UploadPartCopy", "s3:PutObject", On::Object),
];

/// A permission and the resource it is needed for.
pub(super) type Need = (&'static str, String);

/// The permissions that follow from the path, or `None` for an operation without a line.
pub(super) fn needs(
    operation: &str,
    bucket: Option<&str>,
    key: Option<&str>,
    has_tags: bool,
) -> Option<Vec<Need>> {
    let (_, action, on) = LINES.iter().find(|(name, ..)| *name == operation)?;
    let mut needs = match (on, bucket, key) {
        (On::Parsed, ..) => Vec::new(),
        (On::Bucket, Some(bucket), _) => vec![(*action, bucket_arn(bucket))],
        (On::Object, Some(bucket), Some(key)) => vec![(*action, object_arn(bucket, key))],
        _ => vec![(*action, "*".to_owned())],
    };
    // Tags that come with an object need what PutObjectTagging needs.
    if let (true, "s3:PutObject", Some((_, resource))) = (has_tags, *action, needs.first()) {
        needs.push(("s3:PutObjectTagging", resource.clone()));
    }
    Some(needs)
}

/// `arn:aws:s3:::<bucket>`.
pub(super) fn bucket_arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

/// `arn:aws:s3:::<bucket>/<key>`.
pub(super) fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_the_scope_has_a_line() {
        let scope = include_str!("../../../../models/scope.toml");
        let section = scope.split_once("[s3]").map(|(_, rest)| rest).unwrap_or_default();
        let names: Vec<&str> = section.split('"').skip(1).step_by(2).collect();
        assert!(names.len() > 20, "{names:?}");
        for name in names {
            assert!(LINES.iter().any(|(line, ..)| *line == name), "{name}");
        }
    }

    #[test]
    fn resources_are_the_bucket_or_the_object() {
        let need = |operation, tags| needs(operation, Some("b"), Some("k/ü"), tags);
        assert_eq!(need("HeadObject", false), Some(vec![("s3:GetObject", "arn:aws:s3:::b/k/ü".to_owned())]));
        assert_eq!(
            needs("HeadBucket", Some("b"), None, false),
            Some(vec![("s3:ListBucket", "arn:aws:s3:::b".into())])
        );
        assert_eq!(needs("ListBuckets", None, None, false), Some(vec![("s3:ListAllMyBuckets", "*".into())]));
        assert_eq!(need("PutObject", true).map(|needs| needs.len()), Some(2));
        assert_eq!(need("GetObjectTorrent", false), None);
    }
}
