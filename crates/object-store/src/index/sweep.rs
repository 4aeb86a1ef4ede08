//! Finds blobs that no index entry names.

use std::collections::HashSet;

use super::{Index, successor};
use crate::blob::BlobFolder;
use crate::{Result, blocking};

/// Removes every blob file without an index entry and says how many there were. Nothing else may
/// be using the store. Works on one 256th of the blobs at a time, so its memory is bounded by
/// about 100 bytes for each 256th of the objects.
pub(crate) async fn sweep(index: &Index, blobs: &BlobFolder) -> Result<usize> {
    let mut removed = 0;
    for prefix in BlobFolder::prefixes() {
        let (folder, listed) = (blobs.clone(), prefix.clone());
        let names = blocking(move || Ok(folder.names(&listed)?)).await?;
        if names.is_empty() {
            continue;
        }
        let known = index.blobs_with_prefix(&prefix).await?;
        let orphans: Vec<String> = names.into_iter().filter(|name| !known.contains(name)).collect();
        if orphans.is_empty() {
            continue;
        }
        removed += orphans.len();
        let folder = blobs.clone();
        blocking(move || {
            orphans.iter().for_each(|name| folder.remove_found(&prefix, name));
            Ok(())
        })
        .await?;
    }
    Ok(removed)
}

impl Index {
    async fn blobs_with_prefix(&self, prefix: &str) -> Result<HashSet<String>> {
        let end = successor(prefix.as_bytes()).map(|end| String::from_utf8_lossy(&end).into_owned());
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT generation FROM objects WHERE generation >= ?1 AND generation < ?2
             UNION ALL SELECT blob FROM segments WHERE blob >= ?1 AND blob < ?2
             UNION ALL SELECT blob FROM parts WHERE blob >= ?1 AND blob < ?2",
        )
        .bind(prefix)
        .bind(end)
        .fetch_all(&self.readers)
        .await?;
        Ok(names.into_iter().collect())
    }
}
