//! Data in S3 as artifacts, known by place and content.

use sagebrush_auth::sha256_hex;
use sagebrush_metastore::{Condition, Expression, NewRecord, Order, Query, Scalar, SortKey, Test, Write};
use sagebrush_types::limits::{LIST_PAGE_MAX, RELATED_ARTIFACTS};
use sagebrush_types::{Outcome, Resource, Scope, s3_uri};
use serde_json::{Value, json};

use crate::lineage::{ARTIFACT, artifact_id, edge};
use crate::{ControlPlane, failure};

/// The internal member of a job's record with the artifacts that were laid out for it.
pub const INPUTS: &str = "_Inputs";

/// An artifact noted while a job is carried out, written when it ends.
#[derive(Debug, Clone)]
pub struct Noted {
    /// Its document.
    pub document: Value,
}

impl Noted {
    /// Its record.
    pub fn record(&self, plane: &ControlPlane, scope: &Scope) -> NewRecord {
        let id = artifact_id(&self.document["Source"]);
        plane.new_entity(scope, ARTIFACT, &id, self.document.clone(), Vec::new())
    }

    /// Its ARN.
    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn(Resource::Artifact, &artifact_id(&self.document["Source"]))
    }
}

/// An artifact that is known by a name and needs no content, such as an image.
pub fn named(uri: &str, kind: &str, properties: Value) -> Noted {
    let document = json!({
        "Source": {"SourceUri": uri, "SourceTypes": []},
        "ArtifactType": kind,
        "Properties": properties,
    });
    Noted { document }
}

impl ControlPlane {
    /// What lies at `uri` now, as an artifact of that type; `None` when nothing does. Its place is named
    /// without a slash at the end, so that who writes and who reads name the same.
    pub(crate) async fn noted(&self, uri: &str, kind: &str) -> Option<Noted> {
        let (bucket, prefix) = s3_uri("S3Uri", uri).ok()?;
        // A job whose data went away has failed for that reason; lineage has nothing to add.
        let objects = self.objects().list_all(bucket, prefix).await.ok()?;
        let bytes: u64 = objects.iter().map(|object| object.size).sum();
        let (id_type, identity) = match objects.as_slice() {
            [] => return None,
            [object] if object.key == prefix => ("S3ETag", object.etag.clone()),
            objects => {
                let mut listing = String::new();
                for object in objects {
                    let rest = object.key.strip_prefix(prefix).unwrap_or(&object.key);
                    // A folder named with its slash and without holds the same.
                    let rest = rest.trim_start_matches('/');
                    listing.push_str(&format!("{rest}\n{}\n{}\n", object.size, object.etag));
                }
                ("Custom", sha256_hex(listing.as_bytes()))
            }
        };
        let document = json!({
            "Source": {
                "SourceUri": uri.trim_end_matches('/'),
                "SourceTypes": [{"SourceIdType": id_type, "Value": identity}],
            },
            "ArtifactType": kind,
            "Properties": {
                "ContentHash": identity,
                "Objects": objects.len().to_string(),
                "Bytes": bytes.to_string(),
            },
        });
        Some(Noted { document })
    }

    /// Edges to an artifact from those that lie above or below its place: a job often reads a part
    /// of what another wrote, or the whole of what several wrote.
    pub(crate) async fn derived(&self, scope: &Scope, noted: &Noted) -> Outcome<Vec<Write>> {
        let uri = noted.document["Source"]["SourceUri"].as_str().unwrap_or_default();
        let arn = noted.arn(scope);
        let path = "Source.SourceUri".to_owned();
        let scalar = |text: &str| Scalar { text: text.to_owned(), number: None };
        let below = |condition| Expression::Test(Test { path: path.clone(), condition });
        let query = Query {
            kind: Resource::Artifact,
            region: scope.region.clone(),
            expression: Expression::Any(vec![
                below(Condition::In(above(uri).iter().map(|place| scalar(place)).collect())),
                Expression::All(vec![
                    below(Condition::Above(scalar(&format!("{}/", uri.trim_end_matches('/'))))),
                    below(Condition::Below(scalar(&format!("{}0", uri.trim_end_matches('/'))))),
                ]),
            ]),
            sort: SortKey::Created,
            order: Order::Descending,
            limit: LIST_PAGE_MAX.min(RELATED_ARTIFACTS),
            after: None,
        };
        let found = self.store().search(&query).await.map_err(failure::of_metastore)?;
        let mut places = Vec::new();
        let mut edges = Vec::new();
        for (record, _) in found.records {
            let place = record.document["Source"]["SourceUri"].as_str().unwrap_or_default().to_owned();
            let other = place.trim_end_matches('/') != uri.trim_end_matches('/');
            // Of one place the newest content; of this place there is the artifact itself.
            if record.arn != arn && other && !places.contains(&place) {
                edges.push(edge(&scope.region, &record.arn, &arn, "DerivedFrom", self.now()));
                places.push(place);
            }
        }
        Ok(edges)
    }
}

/// The places above a URI, with and without their slash: what a listing by prefix would begin from.
fn above(uri: &str) -> Vec<String> {
    let start = "s3://".len();
    let cuts = uri.char_indices().filter(|(at, letter)| *letter == '/' && *at > start).map(|(at, _)| at);
    cuts.flat_map(|at| [uri[..at].to_owned(), uri[..=at].to_owned()]).filter(|place| place != uri).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_above_are_those_of_its_folders() {
        assert_eq!(
            above("s3://b/out/train/part.jsonl"),
            ["s3://b", "s3://b/", "s3://b/out", "s3://b/out/", "s3://b/out/train", "s3://b/out/train/"]
        );
    }
}
