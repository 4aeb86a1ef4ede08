//! Digests of content: `sha256:` and 64 hexadecimal digits, which is what every client sends.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

const PREFIX: &str = "sha256:";

/// The SHA-256 of some content. Its text never holds anything but the prefix and lower-case hexadecimal
/// digits, so that it may stand in a file's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// Reads a digest.
    ///
    /// # Errors
    /// [`Error::InvalidDigest`] for anything but a whole SHA-256 in lower case.
    pub fn parse(text: &str) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.strip_prefix(PREFIX) {
            Some(hex) if hex.len() == 64 && hex.bytes().all(plain) => Ok(Self(text.to_owned())),
            _ => Err(Error::InvalidDigest(text.chars().take(200).collect())),
        }
    }

    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self::finished(Sha256::new_with_prefix(content))
    }

    pub(crate) fn finished(hasher: Sha256) -> Self {
        Self(format!("{PREFIX}{}", hex::encode(hasher.finalize())))
    }

    /// `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal digits alone.
    pub(crate) fn hex(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_digests_are_digests() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::parse(empty).ok(), Some(Digest::of(b"")));
        for wrong in
            ["", "sha256:", &empty[7..], &empty[..70], &empty.to_uppercase(), "sha256:../../../etc/passwd"]
        {
            assert!(matches!(Digest::parse(wrong), Err(Error::InvalidDigest(_))), "{wrong}");
        }
        let sha512 = format!("sha512:{}", "0".repeat(128));
        assert!(Digest::parse(&sha512).is_err());
    }
}
