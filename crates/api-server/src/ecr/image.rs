//! Images: lists, descriptions, manifests in and out, and which layers are there.

use bytes::Bytes;
use sagebrush_registry::limits::MANIFESTS_BYTES;
use sagebrush_registry::{Digest, Error, Image, ImagePage, Reference, StoredManifest, TagStatus};
use serde_json::{Value, json};

use super::image_id::{Found, failure, find, identifier};
use super::page::Page;
use super::{Answer, Asked, EcrFailure, invalid, refused, seconds};

/// The filter of a listing.
fn status(asked: &Asked<'_>) -> Result<TagStatus, EcrFailure> {
    let filter = asked.document.get("filter").and_then(Value::as_object);
    for (name, value) in filter.into_iter().flatten() {
        let is_known =
            name == "tagStatus" || (name == "imageStatus" && (value == "ACTIVE" || value == "ANY"));
        if !is_known {
            return Err(invalid(format!("filter.{name}: {value} is not supported by this server.")));
        }
    }
    Ok(match filter.and_then(|filter| filter.get("tagStatus")).and_then(Value::as_str) {
        Some("TAGGED") => TagStatus::Tagged,
        Some("UNTAGGED") => TagStatus::Untagged,
        _ => TagStatus::Any,
    })
}

pub(super) async fn list(asked: &Asked<'_>) -> Answer {
    asked.fields(&["repositoryName", "nextToken", "maxResults", "filter"])?;
    let (status, page) = (status(asked)?, Page::of(asked)?);
    let after = page.after.split_once(' ').unwrap_or((&page.after, ""));
    let wanted = ImagePage { status, after, limit: page.limit + 1 };
    let mut found = asked.registry().identifiers(asked.repository(), wanted).await?;
    let mut answer = json!({});
    page.finish(&mut answer, &mut found, |(digest, tag)| {
        format!("{digest} {}", tag.as_deref().unwrap_or_default())
    });
    answer["imageIds"] = found.iter().map(|(digest, tag)| identifier(digest, tag.as_deref())).collect();
    Ok(answer)
}

pub(super) async fn describe(asked: &Asked<'_>) -> Answer {
    asked.fields(&["repositoryName", "imageIds", "nextToken", "maxResults", "filter"])?;
    if asked.document.get("imageIds").is_some() {
        let mut details = Vec::new();
        for id in asked.list("imageIds") {
            let found = find(asked, id).await?.map_err(|_| missing(asked, id))?;
            let image = asked.registry().image(asked.repository(), &Reference::Digest(found.digest)).await?;
            details.push(detail(asked, &image));
        }
        return Ok(json!({"imageDetails": details}));
    }
    let (status, page) = (status(asked)?, Page::of(asked)?);
    let wanted = ImagePage { status, after: (&page.after, ""), limit: page.limit + 1 };
    let mut found = asked.registry().images(asked.repository(), wanted).await?;
    let mut answer = json!({});
    page.finish(&mut answer, &mut found, |image| image.digest.to_string());
    answer["imageDetails"] = found.iter().map(|image| detail(asked, image)).collect();
    Ok(answer)
}

/// ECR's words for an identifier that means no image.
fn missing(asked: &Asked<'_>, id: &Value) -> EcrFailure {
    let text = |field: &str| id.get(field).and_then(Value::as_str).unwrap_or("null");
    refused(
        "ImageNotFoundException",
        format!(
            "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository with name '{}' in the registry with id '{}'",
            text("imageDigest"),
            text("imageTag"),
            asked.text("repositoryName"),
            asked.scope.account
        ),
    )
}

fn detail(asked: &Asked<'_>, image: &Image) -> Value {
    let mut detail = json!({
        "registryId": asked.scope.account,
        "repositoryName": asked.text("repositoryName"),
        "imageDigest": image.digest.as_str(),
        "imageSizeInBytes": image.size,
        "imagePushedAt": seconds(image.pushed),
        "imageManifestMediaType": image.media_type,
    });
    if !image.tags.is_empty() {
        detail["imageTags"] = image.tags.clone().into();
    }
    if let Some(kind) = &image.artifact_type {
        detail["artifactMediaType"] = kind.clone().into();
    }
    detail
}

pub(super) async fn get(asked: &Asked<'_>) -> Answer {
    asked.fields(&["repositoryName", "imageIds", "acceptedMediaTypes"])?;
    let accepted = asked.texts("acceptedMediaTypes");
    let (mut images, mut failures, mut bytes) = (Vec::new(), Vec::new(), 0);
    for id in asked.list("imageIds") {
        let found = match find(asked, id).await? {
            Ok(found) => found,
            Err(why) => {
                failures.push(failure(id, why));
                continue;
            }
        };
        let stored = asked.registry().manifest(asked.repository(), &found.reference()).await?;
        if !accepted.is_empty() && !accepted.contains(&stored.media_type.as_str()) {
            return Err(invalid(format!(
                "acceptedMediaTypes: the image {} has the type '{}' and is not converted by this server.",
                stored.digest, stored.media_type
            )));
        }
        bytes += stored.bytes.len();
        if bytes > MANIFESTS_BYTES {
            return Err(invalid(format!(
                "imageIds: their manifests have more than {MANIFESTS_BYTES} bytes together. Ask for fewer at a time."
            )));
        }
        images.push(with_manifest(asked, &found, &stored));
    }
    Ok(json!({"images": images, "failures": failures}))
}

fn with_manifest(asked: &Asked<'_>, found: &Found, stored: &StoredManifest) -> Value {
    json!({
        "registryId": asked.scope.account,
        "repositoryName": asked.text("repositoryName"),
        "imageId": found.identifier(),
        "imageManifest": String::from_utf8_lossy(&stored.bytes),
        "imageManifestMediaType": stored.media_type,
    })
}

pub(super) async fn put(asked: &Asked<'_>) -> Answer {
    asked.fields(&[
        "repositoryName",
        "imageManifest",
        "imageManifestMediaType",
        "imageTag",
        "imageDigest",
    ])?;
    let bytes = Bytes::from(asked.text("imageManifest").to_owned());
    let digest = Digest::of(&bytes);
    let announced = asked.text("imageDigest");
    if !announced.is_empty() && announced != digest.as_str() {
        let text = format!("The image digest {announced} is not that of the manifest, {digest}.");
        return Err(refused("ImageDigestDoesNotMatchException", text));
    }
    let tag = asked.document.get("imageTag").and_then(Value::as_str).map(str::to_owned);
    let found = Found { digest, tag };
    let reference = match &found.tag {
        Some(tag) => Reference::parse(tag)?,
        None => found.reference(),
    };
    if let (Some(tag), Reference::Digest(_)) = (&found.tag, &reference) {
        return Err(Error::InvalidTag(tag.clone()).into());
    }
    let kind = asked.document.get("imageManifestMediaType").and_then(Value::as_str);
    let (stored, changed) = asked.registry().put_image(asked.repository(), &reference, kind, bytes).await?;
    if !changed {
        let text = format!(
            "Image with digest '{}' and tag '{}' already exists in the repository with name '{}' in registry with id '{}'",
            stored.digest,
            found.tag.as_deref().unwrap_or("null"),
            asked.text("repositoryName"),
            asked.scope.account
        );
        return Err(refused("ImageAlreadyExistsException", text));
    }
    Ok(json!({"image": with_manifest(asked, &found, &stored)}))
}

pub(super) async fn delete(asked: &Asked<'_>) -> Answer {
    asked.fields(&["repositoryName", "imageIds"])?;
    let (mut gone, mut failures) = (Vec::new(), Vec::new());
    for id in asked.list("imageIds") {
        let found = match find(asked, id).await? {
            Ok(found) => found,
            Err(why) => {
                failures.push(failure(id, why));
                continue;
            }
        };
        match asked.registry().delete_image(asked.repository(), &found.reference()).await {
            Ok((digest, tags)) if tags.is_empty() => gone.push(identifier(digest.as_str(), None)),
            Ok((digest, tags)) => {
                gone.extend(tags.iter().map(|tag| identifier(digest.as_str(), Some(tag))));
            }
            Err(Error::ImageReferenced(_)) => failures.push(failure(
                id,
                ("ImageReferencedByManifestList", "Requested image referenced by manifest list"),
            )),
            Err(error) => return Err(error.into()),
        }
    }
    asked.registry().collect().await?;
    Ok(json!({"imageIds": gone, "failures": failures}))
}

pub(super) async fn check_layers(asked: &Asked<'_>) -> Answer {
    asked.fields(&["repositoryName", "layerDigests"])?;
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for text in asked.texts("layerDigests") {
        let Ok(digest) = Digest::parse(text) else {
            failures.push(json!({
                "layerDigest": text, "failureCode": "InvalidLayerDigest", "failureReason": "Invalid layer digest"
            }));
            continue;
        };
        layers.push(match asked.registry().blob_size(asked.repository(), &digest).await {
            Ok(size) => json!({"layerDigest": text, "layerAvailability": "AVAILABLE", "layerSize": size}),
            Err(Error::NoSuchBlob(_)) => json!({"layerDigest": text, "layerAvailability": "UNAVAILABLE"}),
            Err(error) => return Err(error.into()),
        });
    }
    Ok(json!({"layers": layers, "failures": failures}))
}
