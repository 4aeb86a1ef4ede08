//! The rules for bucket names, keys, metadata and tags.
//!
//! Source: Amazon S3 User Guide, "Bucket naming rules", "Creating object key names", "Working with
//! object metadata" and "Categorizing your storage using tags".

use std::net::Ipv4Addr;

use crate::limits;
use crate::model::{Attributes, Tags};
use crate::{Error, Result};

/// Checks a bucket's name.
pub(crate) fn check_bucket(name: &str) -> Result<()> {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let ends =
        bytes.first().is_some_and(|&b| alphanumeric(b)) && bytes.last().is_some_and(|&b| alphanumeric(b));
    let valid = (3..=63).contains(&bytes.len())
        && ends
        && bytes.iter().all(|&b| alphanumeric(b) || b == b'.' || b == b'-')
        && !name.contains("..")
        && !name.starts_with("xn--")
        && name.parse::<Ipv4Addr>().is_err();
    if valid { Ok(()) } else { Err(Error::InvalidBucketName(name.to_owned())) }
}

/// Checks a key: 1 to 1,024 bytes; every character is allowed.
pub(crate) fn check_key(key: &str) -> Result<()> {
    match key.len() {
        0 => Err(Error::InvalidArgument("a key has at least one character".to_owned())),
        length if length > limits::KEY_BYTES => Err(Error::KeyTooLong(length)),
        _ => Ok(()),
    }
}

/// Checks the size of the user metadata.
pub(crate) fn check_attributes(attributes: &Attributes) -> Result<()> {
    let size = attributes.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > limits::METADATA_BYTES { Err(Error::MetadataTooLarge(size)) } else { Ok(()) }
}

/// Checks the tags of one object.
pub(crate) fn check_tags(tags: &Tags) -> Result<()> {
    let refuse = |reason: String| Err(Error::InvalidTag(reason));
    if tags.0.len() > limits::TAGS {
        return refuse(format!("{} tags; at most {} are accepted", tags.0.len(), limits::TAGS));
    }
    for (position, (key, value)) in tags.0.iter().enumerate() {
        if key.is_empty() || key.chars().count() > limits::TAG_KEY_CHARS {
            return refuse(format!("the key '{key}' must have 1 to 128 characters"));
        }
        if value.chars().count() > limits::TAG_VALUE_CHARS {
            return refuse(format!("the value of '{key}' has more than 256 characters"));
        }
        if tags.0[..position].iter().any(|(earlier, _)| earlier == key) {
            return refuse(format!("the key '{key}' occurs twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names() {
        for name in ["abc", "my-bucket.1", "a1b", &"a".repeat(63)] {
            assert!(check_bucket(name).is_ok(), "{name}");
        }
        for name in ["ab", "Abc", "a_b", "-abc", "abc-", "a..b", "192.168.1.1", "xn--abc", "a/b"] {
            assert!(check_bucket(name).is_err(), "{name}");
        }
        assert!(check_bucket(&"a".repeat(64)).is_err());
    }

    #[test]
    fn keys_and_tags() {
        assert!(check_key("a//../b").is_ok());
        assert!(check_key("").is_err());
        assert!(check_key(&"ü".repeat(512)).is_ok());
        assert!(matches!(check_key(&"ü".repeat(513)), Err(Error::KeyTooLong(1026))));
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert!(check_tags(&Tags(vec![tag("a", ""), tag("b", "1")])).is_ok());
        assert!(check_tags(&Tags(vec![tag("a", "1"), tag("a", "2")])).is_err());
        assert!(check_tags(&Tags(vec![tag("", "1")])).is_err());
        let eleven = (0..11).map(|i| tag(&i.to_string(), "v")).collect();
        assert!(check_tags(&Tags(eleven)).is_err());
    }
}
