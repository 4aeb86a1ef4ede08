//! Where one run keeps its things: bucket, prefix, names of jobs, role and images.

use time::OffsetDateTime;

/// The bucket of every quickstart run on one data folder.
const BUCKET: &str = "sagebrush-quickstart";

/// The place of one run; two runs on one data folder do not meet.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The bucket.
    pub bucket: String,
    region: String,
    account: String,
    /// The start of the run, to the second, as part of every name.
    stamp: String,
}

impl Place {
    /// The place of a run that begins at `at`.
    pub(super) fn new(region: &str, account: &str, at: OffsetDateTime) -> Self {
        let stamp = format!(
            "{:04}{:02}{:02}-{:02}{:02}{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        );
        Self { bucket: BUCKET.to_owned(), region: region.to_owned(), account: account.to_owned(), stamp }
    }

    /// The name of a job, model or endpoint of this run.
    pub(super) fn name(&self, what: &str) -> String {
        format!("goodbooks-{what}-{}", self.stamp)
    }

    /// The key of an object of this run.
    pub(super) fn key(&self, rest: &str) -> String {
        format!("goodbooks/{}/{rest}", self.stamp)
    }

    /// The same as an S3 address.
    pub(super) fn uri(&self, rest: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(rest))
    }

    /// The role jobs run as.
    pub(super) fn role(&self) -> String {
        format!("arn:aws:iam::{}:role/sagebrush-quickstart", self.account)
    }

    /// A built-in image, such as `object2vec:1`, as AWS addresses images.
    pub(super) fn image(&self, name_and_tag: &str) -> String {
        format!("{}.dkr.ecr.{}.amazonaws.com/{name_and_tag}", self.account, self.region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn names_carry_the_start_of_the_run() {
        let place = Place::new("eu-west-1", "123456789012", datetime!(2026-03-04 05:06:07 UTC));
        assert_eq!(place.name("train"), "goodbooks-train-20260304-050607");
        assert_eq!(place.uri("x/"), "s3://sagebrush-quickstart/goodbooks/20260304-050607/x/");
        assert_eq!(place.image("object2vec:1"), "123456789012.dkr.ecr.eu-west-1.amazonaws.com/object2vec:1");
    }
}
