//! The file store that queries see: the local file system, cut off at the root.
//!
//! Promises: every read, write, listing and deletion is checked where it happens, after symbolic links are followed,
//! so that no statement can reach a file outside the root whichever way it names it.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use crate::root::Root;

/// A local file store that answers only for paths below its root.
#[derive(Debug)]
pub(crate) struct RootedStore {
    root: Root,
    files: LocalFileSystem,
}

impl RootedStore {
    pub(crate) fn new(root: &Root) -> Self {
        Self { root: root.clone(), files: LocalFileSystem::new() }
    }

    fn check(&self, location: &Path) -> Result<()> {
        let path = self.files.path_to_filesystem(location)?;
        match self.root.contains(&path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::PermissionDenied {
                path: format!("/{location}"),
                source: "only files below /opt/ml can be used".into(),
            }),
            Err(error) => Err(Error::Generic { store: "rooted", source: Box::new(error) }),
        }
    }
}

impl fmt::Display for RootedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "files below {}", self.root.folder().display())
    }
}

#[async_trait]
impl ObjectStore for RootedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.check(location)?;
        self.files.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check(location)?;
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(location)?;
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check(location)?;
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let guard = Self::new(&self.root);
        let checked = locations
            .and_then(move |location| futures::future::ready(guard.check(&location).map(|()| location)));
        self.files.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        if let Err(error) = self.check(&prefix) {
            return futures::stream::once(futures::future::ready(Err(error))).boxed();
        }
        let guard = Self::new(&self.root);
        let listed = self.files.list(Some(&prefix));
        // A link below the root that leads outside is not listed: it cannot be read either.
        listed.try_filter(move |found| futures::future::ready(guard.check(&found.location).is_ok())).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check(&prefix.cloned().unwrap_or_default())?;
        let mut listed = self.files.list_with_delimiter(prefix).await?;
        listed.objects.retain(|found| self.check(&found.location).is_ok());
        listed.common_prefixes.retain(|found| self.check(found).is_ok());
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(from)?;
        self.check(to)?;
        self.files.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use datafusion::object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn nothing_outside_the_root_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("in"), "inside").unwrap();
        fs::write(outside.path().join("out"), "outside").unwrap();
        std::os::unix::fs::symlink(outside.path().join("out"), folder.path().join("link")).unwrap();
        let store = RootedStore::new(&Root::open(folder.path()).unwrap());
        let at = |path: &std::path::Path| Path::from_absolute_path(path).unwrap();
        let below = folder.path().canonicalize().unwrap();

        let inside = store.get(&at(&below.join("in"))).await.unwrap().bytes().await.unwrap();
        assert_eq!(inside.as_ref(), b"inside");
        let out = Path::from_filesystem_path(outside.path().join("out")).unwrap();
        assert!(store.get(&out).await.is_err());
        assert!(store.head(&out).await.is_err());
        assert!(store.delete(&out).await.is_err());
        assert!(store.put(&out, "x".into()).await.is_err());
        assert!(store.copy(&out, &at(&below.join("copy"))).await.is_err());
        assert!(store.get(&at(&below.join("link"))).await.is_err());
        assert!(store.list(Some(&Path::from("etc"))).next().await.unwrap().is_err());
        let listed: Vec<_> = store.list(Some(&at(&below))).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(fs::read_to_string(outside.path().join("out")).unwrap(), "outside");
    }
}
