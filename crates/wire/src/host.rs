//! AWS's host names: which of them are of services that are spoken here, and the bucket in a name.

/// Services of `<service>.<region>.amazonaws.com` and `<service>.amazonaws.com` that are spoken here.
const SERVICES: &[&str] = &["application-autoscaling", "iam", "logs", "monitoring", "sts"];

/// Is this the name of an AWS service that is spoken here, in whatever region?
pub fn is_spoken_here(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let Some(labels) = labels(&host) else { return false };
    match labels.as_slice() {
        [service] | [service, _] if SERVICES.contains(service) => true,
        // api, runtime, metrics and their like.
        [_, "sagemaker", _] => true,
        // The API, and the registries of accounts, which engines speak to.
        ["api", "ecr", _] | [_, "dkr", "ecr", _] => true,
        _ => place_of_s3(&labels).is_some(),
    }
}

/// The bucket of an S3 host name such as `my.bucket.s3.eu-west-1.amazonaws.com`, and the rest of the name;
/// `None` for every other name.
pub fn bucket_of_aws_host(host: &str) -> Option<(&str, &str)> {
    let lower = host.to_ascii_lowercase();
    let at = place_of_s3(&labels(&lower)?)?;
    let (end, _) = host.match_indices('.').nth(at.checked_sub(1)?)?;
    Some((&host[..end], &host[end + 1..]))
}

fn labels(host: &str) -> Option<Vec<&str>> {
    let labels: Vec<&str> = host.strip_suffix(".amazonaws.com")?.split('.').collect();
    labels.iter().all(|label| !label.is_empty()).then_some(labels)
}

/// Where the service's own part of an S3 name begins: `s3`, `s3.<region>`, `s3.dualstack.<region>` or the
/// old `s3-<region>`.
fn place_of_s3(labels: &[&str]) -> Option<usize> {
    match labels {
        [.., "s3", "dualstack", _] => Some(labels.len() - 3),
        [.., "s3", region] if *region != "s3" => Some(labels.len() - 2),
        [.., last] if *last == "s3" || last.starts_with("s3-") => Some(labels.len() - 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_known_by_name() {
        for host in [
            "sts.amazonaws.com",
            "STS.us-east-1.amazonaws.com",
            "api.sagemaker.eu-west-1.amazonaws.com",
            "runtime.sagemaker.us-east-1.amazonaws.com",
            "monitoring.us-east-1.amazonaws.com",
            "api.ecr.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "s3.amazonaws.com",
            "s3.us-east-1.amazonaws.com",
            "bucket.s3.us-east-1.amazonaws.com",
            "a.b.s3.dualstack.us-east-1.amazonaws.com",
            "s3-us-west-2.amazonaws.com",
            "sm-pysdk-t-us-east-1.s3.us-east-1.amazonaws.com",
        ] {
            assert!(is_spoken_here(host), "{host}");
        }
        for host in [
            "ec2.us-east-1.amazonaws.com",
            "amazonaws.com",
            ".amazonaws.com",
            "sts.amazonaws.com.example.org",
            "evil-sts.amazonaws.com",
            "sts.us-east-1.evilamazonaws.com",
            "pypi.org",
            "s3.us-east-1..amazonaws.com",
        ] {
            assert!(!is_spoken_here(host), "{host}");
        }
    }

    #[test]
    fn buckets_stand_before_the_service() {
        for (host, expected) in [
            ("bucket.s3.us-east-1.amazonaws.com", Some("bucket")),
            ("a.b.s3.amazonaws.com", Some("a.b")),
            ("a.s3.s3.eu-west-1.amazonaws.com", Some("a.s3")),
            ("bucket.s3-eu-west-1.amazonaws.com", Some("bucket")),
            ("bucket.s3.dualstack.eu-west-1.amazonaws.com", Some("bucket")),
            ("s3.us-east-1.amazonaws.com", None),
            ("s3.amazonaws.com", None),
            ("sts.us-east-1.amazonaws.com", None),
            ("bucket.s3.example.org", None),
        ] {
            assert_eq!(bucket_of_aws_host(host).map(|(bucket, _)| bucket), expected, "{host}");
        }
        assert_eq!(bucket_of_aws_host("b.s3.amazonaws.com").map(|(_, rest)| rest), Some("s3.amazonaws.com"));
    }
}
