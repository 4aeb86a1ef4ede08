//! Digests and checksums: computed while bytes pass, compared, and put together from parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use md5::Digest as _;

use crate::{Error, Result};

/// A checksum algorithm of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// S3's name: `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1`, `SHA256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The algorithm of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of a value.
    pub fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Whether the checksum of a whole follows from those of its parts.
    pub fn combines(self) -> bool {
        self.crc().is_some()
    }

    fn crc_bytes(self, value: u64) -> Vec<u8> {
        value.to_be_bytes()[8 - self.length()..].to_vec()
    }

    pub(crate) fn decode(self, value: &str) -> Result<Vec<u8>> {
        decode(value, self.length()).ok_or_else(|| Error::InvalidDigest(self.name().to_owned()))
    }
}

fn decode(value: &str, length: usize) -> Option<Vec<u8>> {
    BASE64.decode(value).ok().filter(|bytes| bytes.len() == length)
}

/// What a checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumKind {
    /// The object's bytes.
    FullObject,
    /// The checksums of the object's parts, one after the other.
    Composite,
}

/// A checksum of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Base64; a composite one ends in `-<parts>`.
    pub value: String,
    /// What it covers.
    pub kind: ChecksumKind,
}

enum Hasher {
    Crc(Algorithm, Box<crc_fast::Digest>),
    Sha1(Box<sha1::Sha1>),
    Sha256(Box<sha2::Sha256>),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match (algorithm.crc(), algorithm) {
            (Some(crc), _) => Self::Crc(algorithm, Box::new(crc_fast::Digest::new(crc))),
            (None, Algorithm::Sha1) => Self::Sha1(Box::default()),
            (None, _) => Self::Sha256(Box::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(_, digest) => digest.update(bytes),
            Self::Sha1(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(algorithm, digest) => algorithm.crc_bytes(digest.finalize()),
            Self::Sha1(digest) => digest.finalize().to_vec(),
            Self::Sha256(digest) => digest.finalize().to_vec(),
        }
    }
}

/// The MD5 and one or two checksums of the bytes that pass.
pub(crate) struct Digests {
    md5: md5::Md5,
    checksums: Vec<(Algorithm, Hasher)>,
}

/// Finished digests.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    /// The MD5, 16 bytes.
    pub md5: Vec<u8>,
    checksums: Vec<(Algorithm, Vec<u8>)>,
}

impl Digests {
    /// Digests that compute each of `algorithms` (repetitions are dropped).
    pub fn new(algorithms: &[Algorithm]) -> Self {
        let mut checksums: Vec<(Algorithm, Hasher)> = Vec::new();
        for &algorithm in algorithms {
            if checksums.iter().all(|(known, _)| *known != algorithm) {
                checksums.push((algorithm, Hasher::new(algorithm)));
            }
        }
        Self { md5: md5::Md5::new(), checksums }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        for (_, hasher) in &mut self.checksums {
            hasher.update(bytes);
        }
    }

    pub fn finish(self) -> Finished {
        let checksums = self.checksums.into_iter();
        Finished {
            md5: self.md5.finalize().to_vec(),
            checksums: checksums.map(|(algorithm, hasher)| (algorithm, hasher.finish())).collect(),
        }
    }
}

impl Finished {
    /// The entity tag of one piece: the MD5 in hexadecimal.
    pub fn etag(&self) -> String {
        hex::encode(&self.md5)
    }

    /// The value of `algorithm` in base64, empty when it was not computed.
    pub fn value(&self, algorithm: Algorithm) -> String {
        let found = self.checksums.iter().find(|(known, _)| *known == algorithm);
        found.map(|(_, value)| BASE64.encode(value)).unwrap_or_default()
    }

    /// Compares the MD5 with the one announced.
    pub fn check_md5(&self, announced: &str) -> Result<()> {
        let name = || "Content-MD5".to_owned();
        let bytes = decode(announced, 16).ok_or_else(|| Error::InvalidDigest(name()))?;
        if bytes == self.md5 { Ok(()) } else { Err(Error::BadDigest(name())) }
    }

    /// Compares a checksum with the one announced.
    pub fn check(&self, algorithm: Algorithm, announced: &str) -> Result<()> {
        let bytes = algorithm.decode(announced)?;
        let found = self.checksums.iter().find(|(known, _)| *known == algorithm);
        match found {
            Some((_, value)) if *value == bytes => Ok(()),
            _ => Err(Error::BadDigest(algorithm.name().to_owned())),
        }
    }
}

/// The checksum of a whole from its parts, each a base64 value and a size in bytes.
///
/// Source: Amazon S3 User Guide, "Checking object integrity": a composite checksum is that of the
/// parts' raw checksums one after the other; a full-object one is computed from the parts' by
/// linearisation, which only the CRCs allow.
pub(crate) fn of_parts(algorithm: Algorithm, kind: ChecksumKind, parts: &[(&str, u64)]) -> Result<Checksum> {
    let value = match (kind, algorithm.crc()) {
        (ChecksumKind::FullObject, Some(crc)) => {
            let mut whole = 0u64;
            for (index, (value, size)) in parts.iter().enumerate() {
                let mut wide = [0u8; 8];
                wide[8 - algorithm.length()..].copy_from_slice(&algorithm.decode(value)?);
                let part = u64::from_be_bytes(wide);
                whole = if index == 0 { part } else { crc_fast::checksum_combine(crc, whole, part, *size) };
            }
            BASE64.encode(algorithm.crc_bytes(whole))
        }
        (ChecksumKind::FullObject, None) => {
            let reason = format!("{} has no full-object form", algorithm.name());
            return Err(Error::InvalidRequest(reason));
        }
        (ChecksumKind::Composite, _) => {
            let mut hasher = Hasher::new(algorithm);
            for (value, _) in parts {
                hasher.update(&algorithm.decode(value)?);
            }
            format!("{}-{}", BASE64.encode(hasher.finish()), parts.len())
        }
    };
    Ok(Checksum { algorithm, value, kind })
}

/// The entity tag of a whole: the MD5 of its parts' MD5s, and their number.
pub(crate) fn etag_of_parts<'a>(etags: impl Iterator<Item = &'a str>) -> Result<String> {
    let mut digest = md5::Md5::new();
    let mut count = 0usize;
    for etag in etags {
        let bytes = hex::decode(etag).map_err(|_| Error::Damaged("a part's ETag".to_owned()))?;
        digest.update(bytes);
        count += 1;
    }
    Ok(format!("{}-{count}", hex::encode(digest.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(bytes: &[u8]) -> Finished {
        let mut digests = Digests::new(&Algorithm::ALL);
        digests.update(bytes);
        digests.finish()
    }

    #[test]
    fn known_values_of_123456789() {
        let finished = digest(b"123456789");
        assert_eq!(finished.etag(), "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(finished.value(Algorithm::Crc32), BASE64.encode([0xcb, 0xf4, 0x39, 0x26]));
        assert_eq!(finished.value(Algorithm::Crc32c), BASE64.encode([0xe3, 0x06, 0x92, 0x83]));
        assert_eq!(
            finished.value(Algorithm::Crc64Nvme),
            BASE64.encode(0xae8b_1486_0a79_9888u64.to_be_bytes())
        );
        let sha1 = hex::decode("f7c3bc1d808e04732adf679965ccc34ca7ae3441").expect("hex");
        assert_eq!(finished.value(Algorithm::Sha1), BASE64.encode(sha1));
        assert!(finished.check(Algorithm::Sha256, "AAAA").is_err());
    }

    #[test]
    fn a_wrong_digest_and_no_digest_are_told_apart() {
        let finished = digest(b"abc");
        assert!(matches!(finished.check(Algorithm::Crc32, "AAAAAA=="), Err(Error::BadDigest(_))));
        assert!(matches!(finished.check(Algorithm::Crc32, "zzz"), Err(Error::InvalidDigest(_))));
        assert!(matches!(finished.check_md5("AAAA"), Err(Error::InvalidDigest(_))));
        assert!(finished.check_md5("kAFQmDzST7DWlj99KOF/cg==").is_ok());
    }

    proptest! {
        #[test]
        fn a_full_object_crc_follows_from_the_parts(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..5),
        ) {
            let whole = digest(&parts.concat());
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let values: Vec<String> =
                    parts.iter().map(|part| digest(part).value(algorithm)).collect();
                let pairs: Vec<(&str, u64)> = values
                    .iter()
                    .zip(&parts)
                    .map(|(value, part)| (value.as_str(), part.len() as u64))
                    .collect();
                let combined = of_parts(algorithm, ChecksumKind::FullObject, &pairs).expect("crc");
                prop_assert_eq!(combined.value, whole.value(algorithm));
            }
        }
    }
}
