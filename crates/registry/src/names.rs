//! Names of repositories, tags, and what names an image within a repository.
//!
//! Sources: the pattern of `RepositoryName` in ECR's service model; the OCI Distribution Specification,
//! "Pulling manifests", for tags.

use crate::limits::{NAME_CHARS, TAG_CHARS};
use crate::{Digest, Error, Result};

/// A repository: names are unique within a region, as in ECR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RepositoryName<'a> {
    /// Region, such as `us-east-1`.
    pub region: &'a str,
    /// Name, such as `team/recommender`.
    pub name: &'a str,
}

/// What names an image within a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A name that can be moved.
    Tag(String),
    /// The image itself.
    Digest(Digest),
}

impl Reference {
    /// Reads a tag or a digest: what has a colon can only be the latter.
    ///
    /// # Errors
    /// [`Error::InvalidTag`] or [`Error::InvalidDigest`].
    pub fn parse(text: &str) -> Result<Self> {
        if text.contains(':') {
            return Digest::parse(text).map(Self::Digest);
        }
        check_tag(text)?;
        Ok(Self::Tag(text.to_owned()))
    }

    /// The tag or digest.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

/// Refuses what is no name of a repository.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if (2..=NAME_CHARS).contains(&name.len()) && name.split('/').all(is_part) {
        return Ok(());
    }
    Err(Error::InvalidName(name.chars().take(NAME_CHARS).collect()))
}

/// Runs of a-z and 0-9 with one separator between them: a dot, one or two underscores, or dashes.
fn is_part(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [part.bytes().next(), part.bytes().last()];
    let separators = part.split(|character: char| character.is_ascii() && alphanumeric(character as u8));
    ends.into_iter().all(|end| end.is_some_and(alphanumeric))
        && separators
            .filter(|run| !run.is_empty())
            .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

/// Refuses what is no tag.
pub(crate) fn check_tag(tag: &str) -> Result<()> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let rest = |byte: u8| word(byte) || byte == b'.' || byte == b'-';
    if tag.len() <= TAG_CHARS && tag.bytes().next().is_some_and(word) && tag.bytes().all(rest) {
        return Ok(());
    }
    Err(Error::InvalidTag(tag.chars().take(TAG_CHARS).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_repositories() {
        for name in ["cosinesimilarity", "a/b/c", "a.b", "a_b", "a__b", "a---b", "01", "team/my-image.v2"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in
            ["", "a", "A/b", "a//b", "/a", "a/", "-ab", "ab-", "a..b", "a___b", "a._b", "a b", "é1", "a/../b"]
        {
            assert!(matches!(check_name(name), Err(Error::InvalidName(_))), "{name}");
        }
        assert!(check_name(&"a".repeat(256)).is_ok());
        assert!(check_name(&"a".repeat(257)).is_err());
    }

    #[test]
    fn references_are_tags_or_digests() {
        assert_eq!(Reference::parse("v1.0_a-b").ok(), Some(Reference::Tag("v1.0_a-b".into())));
        let digest = Digest::of(b"x");
        assert_eq!(Reference::parse(digest.as_str()).ok(), Some(Reference::Digest(digest)));
        for wrong in ["", ".hidden", "-x", "a/b", "a b", &"t".repeat(129)] {
            assert!(matches!(Reference::parse(wrong), Err(Error::InvalidTag(_))), "{wrong}");
        }
        assert!(matches!(Reference::parse("md5:abc"), Err(Error::InvalidDigest(_))));
    }
}
