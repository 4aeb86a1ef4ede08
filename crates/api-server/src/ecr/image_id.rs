//! Images as requests name them: by tag, by digest, or by both, which must then mean the same.

use sagebrush_registry::{Digest, Error, Reference};
use serde_json::{Value, json};

use super::{Asked, EcrFailure};

/// Why an identifier means no image: ECR's code and reason, which stand in the answer's failures.
pub(super) type NotFound = (&'static str, &'static str);

const MISSING: NotFound = ("ImageNotFound", "Requested image not found");
const NO_DIGEST: NotFound = ("InvalidImageDigest", "Invalid image digest");
const NO_TAG: NotFound = ("InvalidImageTag", "Invalid image tag");
const NEITHER: NotFound = ("MissingDigestAndTag", "The image has neither tag nor digest");
const DIFFERENT: NotFound = ("ImageTagDoesNotMatchDigest", "The image tag does not match the image digest");

/// An image, and how it was named.
pub(super) struct Found {
    pub digest: Digest,
    pub tag: Option<String>,
}

impl Found {
    /// The tag, when there was one.
    pub fn reference(&self) -> Reference {
        match &self.tag {
            Some(tag) => Reference::Tag(tag.clone()),
            None => Reference::Digest(self.digest.clone()),
        }
    }

    /// The identifier in an answer.
    pub fn identifier(&self) -> Value {
        identifier(self.digest.as_str(), self.tag.as_deref())
    }
}

/// An identifier.
pub(super) fn identifier(digest: &str, tag: Option<&str>) -> Value {
    let mut id = json!({"imageDigest": digest});
    if let Some(tag) = tag {
        id["imageTag"] = tag.into();
    }
    id
}

/// An entry of the answer's failures.
pub(super) fn failure(id: &Value, (code, reason): NotFound) -> Value {
    json!({"imageId": id, "failureCode": code, "failureReason": reason})
}

/// The image that an identifier means.
pub(super) async fn find(asked: &Asked<'_>, id: &Value) -> Result<Result<Found, NotFound>, EcrFailure> {
    let text = |field: &str| id.get(field).and_then(Value::as_str);
    let digest = match text("imageDigest").map(Digest::parse) {
        Some(Err(_)) => return Ok(Err(NO_DIGEST)),
        Some(Ok(digest)) => Some(digest),
        None => None,
    };
    let tag = text("imageTag").map(str::to_owned);
    let reference = match (&tag, &digest) {
        (Some(tag), _) => match Reference::parse(tag) {
            Ok(Reference::Tag(tag)) => Reference::Tag(tag),
            _ => return Ok(Err(NO_TAG)),
        },
        (None, Some(digest)) => Reference::Digest(digest.clone()),
        (None, None) => return Ok(Err(NEITHER)),
    };
    match asked.registry().resolve(asked.repository(), &reference).await {
        Ok(found) if digest.as_ref().is_some_and(|digest| *digest != found.digest) => Ok(Err(DIFFERENT)),
        Ok(found) => Ok(Ok(Found { digest: found.digest, tag })),
        Err(Error::NoSuchImage { .. }) => Ok(Err(MISSING)),
        Err(error) => Err(error.into()),
    }
}
