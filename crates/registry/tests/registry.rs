//! The registry as its callers see it: pushes, pulls, continuations, crashes, garbage.

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use sagebrush_env::SimulatedClock;
use sagebrush_registry::{
    Digest, Error, ImagePage, Mutability, NewRepository, Reference, Registry, RepositoryName, Result,
    TagStatus, Tags,
};

const HOME: RepositoryName<'static> = RepositoryName { region: "us-east-1", name: "team/app" };
const OTHER: RepositoryName<'static> = RepositoryName { region: "us-east-1", name: "other" };
const MINUTE: i64 = 60_000;
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

struct World {
    folder: tempfile::TempDir,
    hand: SimulatedClock,
    registry: Registry,
}

impl World {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let hand = SimulatedClock::at(1_000_000_000_000);
        let registry = Registry::open(folder.path(), hand.clock()).await?;
        for name in [HOME, OTHER] {
            registry.create_repository(name, mutable()).await?;
        }
        Ok(Self { folder, hand, registry })
    }

    /// What a crash leaves: everything that is on disk and nothing else.
    async fn reopened(self) -> Result<Self> {
        let Self { folder, hand, registry } = self;
        drop(registry);
        let registry = Registry::open(folder.path(), hand.clock()).await?;
        Ok(Self { folder, hand, registry })
    }

    fn files(&self) -> usize {
        count(&self.folder.path().join("blobs"))
    }

    async fn push(&self, name: RepositoryName<'_>, content: &'static [u8]) -> Result<Digest> {
        let digest = Digest::of(content);
        let id = self.registry.begin_upload(name).await?;
        self.registry.finish_upload(name, &id, None, body(&[content]), &digest).await?;
        Ok(digest)
    }

    /// An image of one layer; what is put under which tag.
    async fn image(&self, name: RepositoryName<'_>, layer: &'static [u8], tag: &str) -> Result<Digest> {
        let config = self.push(name, b"{}").await?;
        self.push(name, layer).await?;
        let manifest = manifest(&config, 2, layer);
        let tag = Reference::Tag(tag.to_owned());
        Ok(self.registry.put_image(name, &tag, Some(OCI), manifest).await?.0.digest)
    }
}

fn mutable() -> NewRepository {
    NewRepository { mutability: Mutability::Mutable, tags: Tags::default() }
}

fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

fn body(chunks: &[&'static [u8]]) -> stream::Iter<std::vec::IntoIter<io::Result<Bytes>>> {
    let chunks: Vec<io::Result<Bytes>> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
    stream::iter(chunks)
}

fn broken(chunk: &'static [u8]) -> stream::Iter<std::vec::IntoIter<io::Result<Bytes>>> {
    stream::iter(vec![Ok(Bytes::from_static(chunk)), Err(io::ErrorKind::ConnectionReset.into())])
}

fn manifest(config: &Digest, size: usize, layer: &[u8]) -> Bytes {
    let layer_digest = Digest::of(layer);
    let layer_size = layer.len();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}",
            "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{size}}},
            "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer_digest}","size":{layer_size}}}]}}"#
    )
    .into()
}

async fn read(registry: &Registry, name: RepositoryName<'_>, digest: &Digest) -> Result<Vec<u8>> {
    let blob = registry.open_blob(name, digest).await?;
    let range = 0..blob.size();
    let chunks: Vec<Bytes> = blob.stream(range).await?.try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn what_was_pushed_can_be_pulled_also_after_a_restart() -> Result<()> {
    let world = World::new().await?;
    let digest = world.image(HOME, b"layer", "v1").await?;
    let world = world.reopened().await?;
    let registry = &world.registry;
    let found = registry.resolve(HOME, &Reference::Tag("v1".into())).await?;
    assert_eq!((&found.digest, found.size, found.media_type.as_str()), (&digest, 7, OCI));
    assert_eq!(found.config, Some(Digest::of(b"{}")));
    assert_eq!(read(registry, HOME, &Digest::of(b"layer")).await?, b"layer");
    let part = registry.open_blob(HOME, &Digest::of(b"layer")).await?.stream(1..3);
    assert_eq!(part.await?.try_collect::<Vec<Bytes>>().await?.concat(), b"ay");
    let stored = registry.manifest(HOME, &Reference::Digest(digest.clone())).await?;
    assert_eq!(Digest::of(&stored.bytes), digest);
    // Another repository has nothing of it, though the files are the same.
    let elsewhere = registry.open_blob(OTHER, &Digest::of(b"layer")).await;
    assert!(matches!(elsewhere, Err(Error::NoSuchBlob(_))));
    Ok(())
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_also_after_a_restart() -> Result<()> {
    let world = World::new().await?;
    let registry = &world.registry;
    let id = registry.begin_upload(HOME).await?;
    assert_eq!(registry.append(HOME, &id, Some(0), body(&[b"one-", b"two-"])).await?, 8);
    assert!(matches!(registry.append(HOME, &id, Some(8), broken(b"three-")).await, Err(Error::Body(_))));
    assert_eq!(registry.upload_status(HOME, &id).await?, 14);
    let gap = registry.append(HOME, &id, Some(8), body(&[b"x"])).await;
    assert!(matches!(gap, Err(Error::OutOfOrder { received: 14 })));
    assert!(matches!(registry.upload_status(OTHER, &id).await, Err(Error::NoSuchUpload)));
    let world = world.reopened().await?;
    let registry = &world.registry;
    assert_eq!(registry.upload_status(HOME, &id).await?, 14);
    let digest = Digest::of(b"one-two-three-four");
    assert_eq!(registry.finish_upload(HOME, &id, Some(14), body(&[b"four"]), &digest).await?, 18);
    assert_eq!(read(registry, HOME, &digest).await?, b"one-two-three-four");
    assert!(matches!(registry.upload_status(HOME, &id).await, Err(Error::NoSuchUpload)));
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_not_what_was_announced_leave_nothing() -> Result<()> {
    let world = World::new().await?;
    let id = world.registry.begin_upload(HOME).await?;
    let wrong = world.registry.finish_upload(HOME, &id, None, body(&[b"evil"]), &Digest::of(b"good")).await;
    assert!(matches!(wrong, Err(Error::DigestMismatch { .. })));
    assert!(matches!(world.registry.upload_status(HOME, &id).await, Err(Error::NoSuchUpload)));
    assert_eq!((world.files(), count(&world.folder.path().join("uploads"))), (0, 0));
    let id = world.registry.begin_upload(HOME).await?;
    world.registry.append(HOME, &id, None, body(&[b"some"])).await?;
    world.registry.cancel_upload(HOME, &id).await?;
    assert_eq!(count(&world.folder.path().join("uploads")), 0);
    Ok(())
}

#[tokio::test]
async fn files_that_nobody_names_are_gone_after_a_crash() -> Result<()> {
    let world = World::new().await?;
    world.image(HOME, b"layer", "v1").await?;
    let stray = "ab".repeat(32);
    let root = world.folder.path();
    std::fs::write(root.join("blobs/sha256/ab").join(&stray), b"half")?;
    std::fs::write(root.join("uploads/stray"), b"half")?;
    let world = world.reopened().await?;
    assert_eq!((world.files(), count(&world.folder.path().join("uploads"))), (2, 0));
    assert_eq!(read(&world.registry, HOME, &Digest::of(b"layer")).await?, b"layer");
    Ok(())
}

#[tokio::test]
async fn an_image_without_its_layers_is_refused() -> Result<()> {
    let world = World::new().await?;
    let config = world.push(HOME, b"{}").await?;
    let tag = Reference::Tag("v1".into());
    let put = |bytes| world.registry.put_image(HOME, &tag, Some(OCI), bytes);
    let missing = put(manifest(&config, 2, b"absent")).await;
    assert!(matches!(missing, Err(Error::BlobsMissing(list)) if list == [Digest::of(b"absent").to_string()]));
    world.push(HOME, b"layer").await?;
    assert!(matches!(put(manifest(&config, 3, b"layer")).await, Err(Error::ManifestInvalid(_))));
    let other = Reference::Digest(Digest::of(b"other"));
    let named = world.registry.put_image(HOME, &other, None, manifest(&config, 2, b"layer")).await;
    assert!(matches!(named, Err(Error::DigestMismatch { .. })));
    assert!(put(manifest(&config, 2, b"layer")).await?.1);
    assert!(!put(manifest(&config, 2, b"layer")).await?.1);
    Ok(())
}

#[tokio::test]
async fn an_index_keeps_its_images() -> Result<()> {
    let world = World::new().await?;
    let image = world.image(HOME, b"layer", "v1").await?;
    let index: Bytes =
        format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI}","digest":"{image}","size":1}}]}}"#)
            .into();
    let all = Reference::Tag("all".into());
    let elsewhere = world.registry.put_image(OTHER, &all, None, index.clone()).await;
    assert!(matches!(elsewhere, Err(Error::ImagesMissing(_))));
    world.registry.put_image(HOME, &all, None, index).await?;
    let held = world.registry.delete_image(HOME, &Reference::Digest(image.clone())).await;
    assert!(matches!(held, Err(Error::ImageReferenced(_))));
    // Its tag can go; the image stays.
    world.registry.delete_image(HOME, &Reference::Tag("v1".into())).await?;
    world.registry.resolve(HOME, &Reference::Digest(image.clone())).await?;
    world.registry.delete_image(HOME, &all).await?;
    world.registry.delete_image(HOME, &Reference::Digest(image)).await?;
    Ok(())
}

#[tokio::test]
async fn immutable_tags_stay_where_they_are() -> Result<()> {
    let world = World::new().await?;
    world.registry.set_mutability(HOME, Mutability::Immutable).await?;
    let first = world.image(HOME, b"one", "v1").await?;
    assert!(matches!(world.image(HOME, b"two", "v1").await, Err(Error::TagImmutable { .. })));
    assert_eq!(world.image(HOME, b"one", "v1").await?, first);
    world.registry.set_mutability(HOME, Mutability::Mutable).await?;
    assert_ne!(world.image(HOME, b"two", "v1").await?, first);
    Ok(())
}

#[tokio::test]
async fn the_last_tag_takes_its_image_along() -> Result<()> {
    let world = World::new().await?;
    let digest = world.image(HOME, b"one", "v1").await?;
    world.image(HOME, b"one", "v2").await?;
    let gone = world.registry.delete_image(HOME, &Reference::Tag("v1".into())).await?;
    assert_eq!(gone, (digest.clone(), vec!["v1".to_owned()]));
    assert_eq!(world.registry.tags(HOME, "", 10).await?, ["v2"]);
    world.registry.delete_image(HOME, &Reference::Tag("v2".into())).await?;
    let by_digest = world.registry.resolve(HOME, &Reference::Digest(digest)).await;
    assert!(matches!(by_digest, Err(Error::NoSuchImage { .. })));
    Ok(())
}

#[tokio::test]
async fn lists_come_in_pages() -> Result<()> {
    let world = World::new().await?;
    for tag in ["a", "b", "c"] {
        world.image(HOME, b"one", tag).await?;
    }
    let moved = world.image(HOME, b"two", "a").await?;
    assert_eq!(world.registry.tags(HOME, "a", 1).await?, ["b"]);
    let page = |status, limit| ImagePage { status, after: ("", ""), limit };
    let all = world.registry.identifiers(HOME, page(TagStatus::Any, 10)).await?;
    assert_eq!(all.len(), 3);
    let first = world.registry.identifiers(HOME, page(TagStatus::Any, 2)).await?;
    let (digest, tag) = &first[1];
    let rest = ImagePage { after: (digest, tag.as_deref().unwrap_or_default()), ..page(TagStatus::Any, 10) };
    assert_eq!([first.clone(), world.registry.identifiers(HOME, rest).await?].concat(), all);
    world.registry.delete_image(HOME, &Reference::Digest(moved.clone())).await?;
    world.image(HOME, b"two", "a").await?;
    world.image(HOME, b"one", "a").await?;
    let untagged = world.registry.images(HOME, page(TagStatus::Untagged, 10)).await?;
    assert_eq!(untagged.iter().map(|image| &image.digest).collect::<Vec<_>>(), [&moved]);
    let tagged = world.registry.images(HOME, page(TagStatus::Tagged, 10)).await?;
    assert_eq!(tagged[0].tags, ["a", "b", "c"]);
    Ok(())
}

#[tokio::test]
async fn garbage_waits_for_the_end_of_pushes() -> Result<()> {
    let world = World::new().await?;
    let registry = &world.registry;
    let digest = world.image(HOME, b"layer", "v1").await?;
    registry.delete_image(HOME, &Reference::Digest(digest)).await?;
    // Another push may have been told that the layer is there.
    assert_eq!(registry.collect().await?.files, 0);
    world.hand.advance(14 * MINUTE);
    assert_eq!(registry.blob_size(HOME, &Digest::of(b"layer")).await?, 5);
    world.hand.advance(14 * MINUTE);
    assert_eq!(registry.collect().await?.files, 0);
    world.hand.advance(MINUTE);
    let collected = registry.collect().await?;
    assert_eq!((collected.unneeded, collected.files, world.files()), (2, 2, 0));
    assert!(matches!(registry.blob_size(HOME, &Digest::of(b"layer")).await, Err(Error::NoSuchBlob(_))));
    Ok(())
}

#[tokio::test]
async fn garbage_of_a_busy_repository_goes_by_its_age() -> Result<()> {
    let world = World::new().await?;
    world.push(HOME, b"unused").await?;
    for _ in 0..24 * 6 {
        world.hand.advance(10 * MINUTE - 1);
        world.push(HOME, b"busy").await?;
        assert_eq!(world.registry.collect().await?.files, 0);
    }
    world.hand.advance(10 * MINUTE);
    world.push(HOME, b"busy").await?;
    assert_eq!(world.registry.collect().await?.files, 1);
    Ok(())
}

#[tokio::test]
async fn what_another_repository_has_stays() -> Result<()> {
    let world = World::new().await?;
    let registry = &world.registry;
    world.image(HOME, b"layer", "v1").await?;
    let layer = Digest::of(b"layer");
    assert_eq!(registry.mount(OTHER, HOME, &layer).await?, Some(5));
    assert_eq!(registry.mount(OTHER, HOME, &Digest::of(b"absent")).await?, None);
    let nowhere = RepositoryName { name: "nowhere", ..HOME };
    assert_eq!(registry.mount(OTHER, nowhere, &layer).await?, None);
    assert!(matches!(registry.delete_repository(HOME, false).await, Err(Error::RepositoryNotEmpty(_))));
    registry.delete_repository(HOME, true).await?;
    assert_eq!(world.files(), 1);
    assert_eq!(read(registry, OTHER, &layer).await?, b"layer");
    assert!(matches!(registry.repository(HOME).await, Err(Error::NoSuchRepository(_))));
    // One of the same name is another one.
    registry.create_repository(HOME, mutable()).await?;
    assert!(registry.tags(HOME, "", 10).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn uploads_that_nobody_continues_are_removed() -> Result<()> {
    let world = World::new().await?;
    let old = world.registry.begin_upload(HOME).await?;
    world.registry.append(HOME, &old, None, body(&[b"old"])).await?;
    world.hand.advance(5 * 60 * MINUTE);
    let fresh = world.registry.begin_upload(HOME).await?;
    world.hand.advance(2 * 60 * MINUTE);
    assert_eq!(world.registry.collect().await?.uploads, 1);
    assert!(matches!(world.registry.upload_status(HOME, &old).await, Err(Error::NoSuchUpload)));
    assert_eq!(world.registry.upload_status(HOME, &fresh).await?, 0);
    assert_eq!(count(&world.folder.path().join("uploads")), 0);
    Ok(())
}

#[tokio::test]
async fn many_pushes_of_one_layer_and_the_collector_do_not_harm_each_other() -> Result<()> {
    let world = World::new().await?;
    let registry = &world.registry;
    let pushes = async {
        for round in 0..20 {
            let name = if round % 2 == 0 { HOME } else { OTHER };
            let (one, two) = tokio::join!(world.push(name, b"same"), world.push(name, b"same"));
            one?;
            assert_eq!(read(registry, name, &two?).await?, b"same");
            registry.delete_blob(name, &Digest::of(b"same")).await?;
        }
        Ok::<_, Error>(())
    };
    let collect = async {
        for _ in 0..40 {
            registry.collect().await?;
        }
        Ok(())
    };
    let (pushed, collected) = tokio::join!(pushes, collect);
    pushed.and(collected)
}

#[tokio::test]
async fn one_process_has_the_folder() -> Result<()> {
    let world = World::new().await?;
    let second = Registry::open(world.folder.path(), world.hand.clock()).await;
    assert!(matches!(second, Err(Error::Locked(_))));
    let taken = world.registry.create_repository(HOME, mutable()).await;
    assert!(matches!(taken, Err(Error::RepositoryExists(_))));
    // Names are unique within a region only.
    let abroad = RepositoryName { region: "eu-west-1", ..HOME };
    world.registry.create_repository(abroad, mutable()).await?;
    assert_eq!(world.registry.repositories("us-east-1", "", 10).await?.len(), 2);
    Ok(())
}
