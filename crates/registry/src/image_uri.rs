//! Names of images as jobs and engines write them: `[HOST/]REPOSITORY[:TAG][@DIGEST]`.
//!
//! Source: the reference grammar of the distribution project; AWS's registry names,
//! `<account>.dkr.ecr.<region>.amazonaws.com`.

use crate::names::check_name;
use crate::{Digest, Error, Reference, Result};

/// The tag of an image that is named without one.
const DEFAULT_TAG: &str = "latest";

/// The name of an image, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUri {
    /// Registry, such as `127.0.0.1:9400`; none for an image of the engine's default registry.
    pub host: Option<String>,
    /// Repository.
    pub repository: String,
    /// Tag or digest; of both the digest, and `latest` for neither.
    pub reference: Reference,
}

impl ImageUri {
    /// Takes a name apart.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::InvalidTag`] or [`Error::InvalidDigest`].
    pub fn parse(text: &str) -> Result<Self> {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let (host, rest) = match named.split_once('/') {
            // A first part that cannot be one of a repository's name is a host.
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), rest),
            _ => (None, named),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, tag),
            None => (rest, DEFAULT_TAG),
        };
        check_name(repository)?;
        let tag = Reference::parse(tag)?;
        if matches!(tag, Reference::Digest(_)) {
            return Err(Error::InvalidTag(text.to_owned()));
        }
        Ok(Self {
            host: host.map(str::to_owned),
            repository: repository.to_owned(),
            reference: digest.map_or(tag, Reference::Digest),
        })
    }

    /// Account and region of a name in AWS's form, in whatever of its domains.
    pub fn aws(&self) -> Option<(&str, &str)> {
        let host = self.host.as_deref()?;
        let (account, rest) = host.split_once(".dkr.ecr.")?;
        let region =
            rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        (is_account && !region.is_empty() && region.bytes().all(plain)).then_some((account, region))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_taken_apart() {
        let digest = Digest::of(b"x");
        let tag = |tag: &str| Reference::Tag(tag.into());
        for (text, host, repository, reference) in [
            ("cosine", None, "cosine", tag("latest")),
            ("team/cosine:v1", None, "team/cosine", tag("v1")),
            ("127.0.0.1:9400/a/b", Some("127.0.0.1:9400"), "a/b", tag("latest")),
            ("localhost/ab:1", Some("localhost"), "ab", tag("1")),
            (
                &format!("r.example.org/ab:1@{digest}"),
                Some("r.example.org"),
                "ab",
                Reference::Digest(digest.clone()),
            ),
        ] {
            let uri = ImageUri::parse(text).expect(text);
            assert_eq!(
                (uri.host.as_deref(), uri.repository.as_str(), &uri.reference),
                (host, repository, &reference)
            );
        }
        for wrong in
            ["", "a", "UPPER/x", "ab:", "ab:.x", "ab@sha256:00", "127.0.0.1:9400/", "ab:1/..", "ab cd"]
        {
            assert!(ImageUri::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_in_the_form_of_aws_say_account_and_region() {
        let uri = |host: &str| ImageUri::parse(&format!("{host}/ab")).expect("a name");
        let named = uri("123456789012.dkr.ecr.eu-west-1.amazonaws.com");
        assert_eq!(named.aws(), Some(("123456789012", "eu-west-1")));
        for other in [
            "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.example.com",
            "123456789012.dkr.ecr..amazonaws.com",
            "123456789012.dkr.ecr.a.b.amazonaws.com",
            "127.0.0.1:9400",
        ] {
            assert_eq!(uri(other).aws(), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_can_be_stored(text in "[a-zA-Z0-9:/@._-]{0,60}") {
            if let Ok(uri) = ImageUri::parse(&text) {
                prop_assert!(check_name(&uri.repository).is_ok());
            }
        }
    }
}
