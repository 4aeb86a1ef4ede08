//! Which objects a transform job works on, and what their outputs are called.

use std::collections::HashSet;

use futures::TryStreamExt;
use sagebrush_object_store::{Error, ObjectStore};
use sagebrush_runner::relative_name;
use sagebrush_types::limits::MANIFEST_BYTES;
use sagebrush_types::{Failure, Outcome, s3_uri};
use serde_json::Value;

/// An object to transform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// What it is called below the prefix or manifest's prefix; its output is called `<name>.out`.
    pub name: String,
}

/// The objects under a prefix. Keys that end in `/` are folder markers and passed over.
///
/// # Errors
/// `Invalid`, in AWS's words, when there is none.
pub async fn under_prefix(objects: &ObjectStore, uri: &str) -> Outcome<Vec<Source>> {
    let (bucket, prefix) = s3_uri("S3Uri", uri)?;
    let found = objects.list_all(bucket, prefix).await.map_err(|error| unreadable(uri, &error))?;
    let sources: Vec<Source> = found
        .into_iter()
        .filter(|object| !object.key.ends_with('/'))
        .map(|object| Source {
            bucket: bucket.to_owned(),
            name: relative_name(&object.key, prefix).to_owned(),
            key: object.key,
        })
        .collect();
    if sources.is_empty() {
        return Err(Failure::invalid(format!(
            "No S3 objects found under S3 URL \"{uri}\" given in input data source. Please ensure that the bucket \
             exists, and that objects exist under this prefix."
        )));
    }
    Ok(sources)
}

/// The objects that a manifest lists: `[{"prefix": "s3://bucket/folder/"}, "name", …]`.
///
/// # Errors
/// `Invalid` for a manifest that cannot be read or is none.
pub async fn of_manifest(objects: &ObjectStore, uri: &str) -> Outcome<Vec<Source>> {
    let (bucket, key) = s3_uri("S3Uri", uri)?;
    let (info, reader) = objects.get_object(bucket, key).await.map_err(|error| unreadable(uri, &error))?;
    if info.size > MANIFEST_BYTES {
        return Err(Failure::invalid(format!("The manifest {uri} is larger than {MANIFEST_BYTES} bytes.")));
    }
    let chunks: Vec<_> = reader.stream(0..info.size).try_collect().await.map_err(Failure::internal)?;
    let text = chunks.concat();
    let document: Value = serde_json::from_slice(&text)
        .map_err(|error| Failure::invalid(format!("The manifest {uri} is not valid JSON: {error}.")))?;
    listed(&document).map_err(|why| Failure::invalid(format!("The manifest {uri}: {why}")))
}

fn listed(document: &Value) -> Result<Vec<Source>, String> {
    const FORM: &str =
        "it must be a list of {\"prefix\": \"s3://bucket/folder/\"} and the names of objects below it.";
    let entries = document.as_array().ok_or(FORM)?;
    let (head, names) = entries.split_first().ok_or(FORM)?;
    let prefix = head["prefix"].as_str().ok_or(FORM)?;
    let (bucket, prefix) = s3_uri("prefix", prefix).map_err(|failure| failure.message)?;
    if names.is_empty() {
        return Err("it lists no object.".into());
    }
    let mut seen = HashSet::new();
    names
        .iter()
        .map(|name| {
            let name = name.as_str().filter(|name| !name.is_empty()).ok_or(FORM)?;
            if !seen.insert(name) {
                return Err(format!("'{name}' is listed twice."));
            }
            Ok(Source { bucket: bucket.into(), key: format!("{prefix}{name}"), name: name.into() })
        })
        .collect()
}

fn unreadable(uri: &str, error: &Error) -> Failure {
    match error {
        Error::Io(_) | Error::Index(_) => Failure::internal(error),
        _ => Failure::invalid(format!("The input {uri} cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_manifest_names_objects_below_its_prefix() {
        let sources = listed(&json!([{"prefix": "s3://b/in/"}, "a.csv", "deep/b.csv"]));
        let keys: Vec<_> = sources.iter().flatten().map(|source| (&*source.key, &*source.name)).collect();
        assert_eq!(keys, [("in/a.csv", "a.csv"), ("in/deep/b.csv", "deep/b.csv")]);
    }

    #[test]
    fn other_documents_say_what_is_wrong() {
        for (document, expected) in [
            (json!({}), "must be a list"),
            (json!(["a"]), "must be a list"),
            (json!([{"prefix": "s3://b/"}]), "lists no object"),
            (json!([{"prefix": "s3://b/"}, "a", "a"]), "listed twice"),
            (json!([{"prefix": "b/"}, "a"]), "not an S3 URI"),
            (json!([{"prefix": "s3://b/"}, 7]), "must be a list"),
        ] {
            let why = listed(&document).err().unwrap_or_default();
            assert!(why.contains(expected), "{document}: {why}");
        }
    }
}
