//! Manifests as they are pushed: which of the four kinds, what they need, and whether they are well formed.
//!
//! Sources: OCI Image Format Specification 1.1 (manifest, index, descriptors); Docker's "Image Manifest
//! Version 2, Schema 2".

use serde::Deserialize;

use crate::limits::{DESCRIPTORS, MANIFEST_BYTES};
use crate::{Digest, Error, Result};

/// Media types of manifests, and whether they list other manifests.
const KINDS: [(&str, bool); 4] = [
    ("application/vnd.docker.distribution.manifest.v2+json", false),
    ("application/vnd.docker.distribution.manifest.list.v2+json", true),
    (OCI_MANIFEST, false),
    (OCI_INDEX, true),
];
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A manifest that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Its media type.
    pub media_type: String,
    /// The media type of what it describes: that of its configuration, or the one it names itself.
    pub artifact_type: Option<String>,
    /// Configuration and layers that must be in the repository.
    pub blobs: Vec<Part>,
    /// Manifests that must be in the repository.
    pub images: Vec<Part>,
    /// The configuration, which one image manifest has.
    pub config: Option<Digest>,
}

/// Something that a manifest needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    urls: Vec<String>,
}

impl Descriptor {
    fn part(&self) -> Result<Part> {
        let digest = Digest::parse(&self.digest).map_err(|error| invalid(error.to_string()))?;
        Ok(Part { digest, size: self.size })
    }

    /// Layers that lie elsewhere and must not be pushed.
    fn is_elsewhere(&self) -> bool {
        !self.urls.is_empty()
            && (self.media_type.contains(".foreign.") || self.media_type.contains(".nondistributable."))
    }
}

fn invalid(text: impl Into<String>) -> Error {
    Error::ManifestInvalid(text.into())
}

impl Manifest {
    /// Reads a manifest that was sent as `content_type`, or without one.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::ManifestInvalid`] for what is no manifest of the four kinds.
    pub fn read(bytes: &[u8], content_type: Option<&str>) -> Result<Self> {
        if bytes.len() > MANIFEST_BYTES {
            return Err(Error::TooLarge(MANIFEST_BYTES as u64));
        }
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| invalid(format!("it cannot be read: {error}")))?;
        if document.schema_version != 2 {
            return Err(invalid(format!(
                "schemaVersion is {}; push with a client that writes version 2",
                document.schema_version
            )));
        }
        let (media_type, lists) = kind(&document, content_type)?;
        let parts = |list: Option<&Vec<Descriptor>>, name: &str| {
            let list = list.ok_or_else(|| invalid(format!("'{name}' is missing")))?;
            if list.len() > DESCRIPTORS {
                return Err(invalid(format!("'{name}' has {} entries; at most {DESCRIPTORS}", list.len())));
            }
            list.iter().filter(|part| !part.is_elsewhere()).map(Descriptor::part).collect::<Result<Vec<_>>>()
        };
        if lists {
            return Ok(Self {
                media_type,
                artifact_type: document.artifact_type,
                blobs: Vec::new(),
                images: parts(document.manifests.as_ref(), "manifests")?,
                config: None,
            });
        }
        let config = document.config.as_ref().ok_or_else(|| invalid("'config' is missing"))?;
        let part = config.part()?;
        let mut blobs = parts(document.layers.as_ref(), "layers")?;
        let digest = part.digest.clone();
        blobs.push(part);
        let artifact_type = document.artifact_type.or_else(|| Some(config.media_type.clone()));
        Ok(Self { media_type, artifact_type, blobs, images: Vec::new(), config: Some(digest) })
    }

    /// Bytes of configuration and layers together, each counted once.
    pub fn size(&self) -> u64 {
        let mut parts: Vec<&Part> = self.blobs.iter().collect();
        parts.sort_by(|a, b| a.digest.cmp(&b.digest));
        parts.dedup_by(|a, b| a.digest == b.digest);
        parts.iter().fold(0, |sum, part| sum.saturating_add(part.size))
    }
}

/// The media type, and whether it lists manifests. What the request says and what the document says must
/// be the same: a client that believes the one must not be told the other.
fn kind(document: &Document, content_type: Option<&str>) -> Result<(String, bool)> {
    let sent = content_type.map(|text| text.split(';').next().unwrap_or(text).trim());
    // Without a type of its own, generic JSON says nothing.
    let sent = sent.filter(|text| !text.is_empty() && *text != "application/json");
    let media_type = match (sent, document.media_type.as_deref()) {
        (Some(sent), Some(said)) if sent != said => {
            return Err(invalid(format!("it was sent as '{sent}' and says that it is '{said}'")));
        }
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) if document.manifests.is_some() => OCI_INDEX,
        (None, None) => OCI_MANIFEST,
    };
    let found = KINDS.iter().find(|(name, _)| *name == media_type);
    let (_, lists) = found.ok_or_else(|| {
        invalid(format!("its media type '{media_type}' is not one of an image or an index of images"))
    })?;
    Ok((media_type.to_owned(), *lists))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const DOCKER: &str = KINDS[0].0;

    fn descriptor(content: &[u8]) -> serde_json::Value {
        json!({"mediaType": "x/y", "digest": Digest::of(content).as_str(), "size": content.len()})
    }

    fn image() -> serde_json::Value {
        json!({"schemaVersion": 2, "mediaType": DOCKER, "config": descriptor(b"config"),
               "layers": [descriptor(b"layer"), descriptor(b"layer")]})
    }

    fn read(document: &serde_json::Value, content_type: Option<&str>) -> Result<Manifest> {
        Manifest::read(document.to_string().as_bytes(), content_type)
    }

    #[test]
    fn an_image_needs_its_layers_and_its_configuration() {
        let manifest = read(&image(), Some(DOCKER)).expect("a manifest");
        assert_eq!(manifest.config, Some(Digest::of(b"config")));
        assert_eq!(manifest.blobs.len(), 3);
        assert_eq!(manifest.size(), 11);
        assert_eq!(manifest.artifact_type.as_deref(), Some("x/y"));
        let mut foreign = image();
        foreign["layers"][0] = json!({
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 7,
            "digest": Digest::of(b"elsewhere").as_str(), "urls": ["https://example.org/layer"]});
        assert_eq!(read(&foreign, None).expect("a manifest").blobs.len(), 2);
    }

    #[test]
    fn an_index_needs_its_images() {
        let index = json!({"schemaVersion": 2, "manifests": [descriptor(b"one")]});
        let manifest = read(&index, None).expect("an index");
        assert_eq!((manifest.media_type.as_str(), manifest.images.len()), (OCI_INDEX, 1));
        assert!(manifest.blobs.is_empty());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (change, value) in [
            ("schemaVersion", json!(1)),
            ("mediaType", json!(OCI_MANIFEST)),
            ("config", json!(null)),
            ("layers", json!(null)),
            ("layers", json!([{"digest": "sha256:00", "size": 1}])),
            ("layers", json!([{"digest": Digest::of(b"").as_str(), "size": -1}])),
        ] {
            let mut document = image();
            document[change] = value.clone();
            assert!(
                matches!(read(&document, Some(DOCKER)), Err(Error::ManifestInvalid(_))),
                "{change} {value}"
            );
        }
        assert!(read(&image(), Some("text/plain")).is_err());
        assert!(matches!(Manifest::read(&vec![b' '; MANIFEST_BYTES + 1], None), Err(Error::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200),
                                               cut in 0usize..400) {
            let _ = Manifest::read(&bytes, None);
            let text = image().to_string();
            let _ = Manifest::read(&text.as_bytes()[..cut.min(text.len())], Some(DOCKER));
        }
    }
}
