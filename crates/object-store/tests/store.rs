//! The store as its callers see it: writes, reads, replacement, crashes, listings and uploads.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use proptest::prelude::*;
use sagebrush_object_store::{
    Algorithm, Attributes, ChecksumKind, ChecksumPlan, ChecksumRequest, CompleteUpload, CompletedPart,
    Condition, CopyObject, CreateUpload, Created, Error, Expectations, ListQuery, ObjectInfo, ObjectStore,
    PutObject, Replacement, Result, Tags, limits,
};

const BUCKET: &str = "bucket";
const PART: usize = 5 << 20;

async fn open(folder: &Path) -> ObjectStore {
    let store = ObjectStore::open(folder).await.expect("the store opens");
    store.create_bucket(BUCKET, "us-east-1", "123456789012").await.expect("a bucket");
    store
}

fn body(bytes: &[u8]) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + Unpin + use<> {
    let chunks: Vec<io::Result<Bytes>> =
        bytes.chunks(70_001).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks)
}

async fn put(store: &ObjectStore, key: &str, bytes: &[u8]) -> Result<ObjectInfo> {
    store.put_object(BUCKET, key, PutObject::default(), body(bytes)).await
}

async fn get(store: &ObjectStore, key: &str) -> Result<Vec<u8>> {
    let (info, reader) = store.get_object(BUCKET, key).await?;
    read(reader.stream_begun(0..info.size).await?).await
}

async fn read(stream: sagebrush_object_store::ObjectStream) -> Result<Vec<u8>> {
    let chunks: Vec<Bytes> = stream.try_collect().await?;
    Ok(chunks.concat())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8 ^ seed).collect()
}

#[tokio::test]
async fn objects_round_trip_at_sizes_around_the_index_and_a_batch() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    let (inline, batch) = (limits::INLINE_BYTES, limits::INGEST_BATCH);
    for size in [0, 1, inline, inline + 1, inline - 1, batch - 1, batch, batch + 1, 3 * batch + 17] {
        let bytes = pattern(size, 0);
        let info = put(&store, "key", &bytes).await?;
        assert_eq!(info.size, size as u64);
        assert!(get(&store, "key").await? == bytes, "{size}");
        let (_, reader) = store.get_object(BUCKET, "key").await?;
        let middle = size / 3..size / 2;
        let range = read(reader.stream(middle.start as u64..middle.end as u64)).await?;
        assert!(range == bytes[middle], "{size}");
        // Every replaced blob is gone, and what is small has no file.
        let held = usize::from(size > inline);
        assert_eq!(files(&folder.path().join("blobs")).len(), held, "{size}");
    }
    let (_, reader) = store.get_object(BUCKET, "key").await?;
    let range = reader.stream(batch as u64 - 3..batch as u64 + 4);
    assert_eq!(range.remaining(), 7);
    assert_eq!(read(range).await?, pattern(3 * batch + 17, 0)[batch - 3..batch + 4]);
    Ok(())
}

#[tokio::test]
async fn what_was_announced_is_checked_and_a_refused_body_leaves_nothing() -> Result<()> {
    for size in [5, limits::INLINE_BYTES + 1] {
        refuses_bodies_of(size).await?;
    }
    Ok(())
}

async fn refuses_bodies_of(size: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    let (before, sent) = (pattern(size, 1), pattern(size, 2));
    put(&store, "key", &before).await?;
    let cases = [
        Expectations { content_md5: Some("AAAAAAAAAAAAAAAAAAAAAA==".into()), ..Default::default() },
        Expectations { content_md5: Some("nonsense".into()), ..Default::default() },
        Expectations { length: Some(3), ..Default::default() },
        Expectations { limit: 4, ..Default::default() },
        Expectations {
            checksum: ChecksumRequest::Expect(Algorithm::Crc32, "AAAAAA==".into()),
            ..Default::default()
        },
        Expectations {
            checksum: ChecksumRequest::AfterBody(
                Algorithm::Sha1,
                Box::new(|| Some("AAAAAAAAAAAAAAAAAAAAAAAAAAA=".into())),
            ),
            ..Default::default()
        },
    ];
    let mut answers = Vec::new();
    for expectations in cases {
        let put = PutObject { expectations, ..PutObject::default() };
        let refused = store.put_object(BUCKET, "key", put, body(&sent)).await;
        answers.push(refused.expect_err("refused"));
    }
    assert!(matches!(answers[0], Error::BadDigest(_)));
    assert!(matches!(answers[1], Error::InvalidDigest(_)));
    assert!(matches!(answers[2], Error::IncompleteBody { received, expected: 3 } if received == size as u64));
    assert!(matches!(answers[3], Error::EntityTooLarge(4)));
    assert!(matches!(answers[4], Error::BadDigest(_)));
    assert!(matches!(answers[5], Error::BadDigest(_)));
    let broken = stream::iter([Ok(Bytes::from_static(b"he")), Err(io::Error::other("gone"))]);
    let refused = store.put_object(BUCKET, "key", PutObject::default(), broken).await;
    assert!(matches!(refused, Err(Error::Body(_))));
    assert!(get(&store, "key").await? == before);
    assert_eq!(files(&folder.path().join("tmp")).len(), 0);
    assert_eq!(files(&folder.path().join("blobs")).len(), usize::from(size > limits::INLINE_BYTES));
    Ok(())
}

#[tokio::test]
async fn conditions_decide_what_replaces_what() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    let conditional = async |condition: Condition, bytes: &[u8]| {
        let put = PutObject { condition, ..PutObject::default() };
        store.put_object(BUCKET, "key", put, body(bytes)).await
    };
    let missing = conditional(Condition::Matches("abc".into()), b"0").await;
    assert!(matches!(missing, Err(Error::NoSuchKey(_))));
    let first = conditional(Condition::Absent, b"1").await?;
    let taken = conditional(Condition::Absent, b"2").await;
    assert!(matches!(taken, Err(Error::PreconditionFailed("If-None-Match"))));
    conditional(Condition::Matches(first.etag.clone()), b"3").await?;
    let stale = conditional(Condition::Matches(first.etag), b"4").await;
    assert!(matches!(stale, Err(Error::PreconditionFailed("If-Match"))));
    assert_eq!(get(&store, "key").await?, b"3");
    // Of many writers that want the key to be absent, one wins.
    let racers = (0..20).map(|number: u8| {
        let put = PutObject { condition: Condition::Absent, ..PutObject::default() };
        let store = store.clone();
        async move { store.put_object(BUCKET, "race", put, body(&[number])).await.is_ok() }
    });
    let won: Vec<bool> = stream::iter(racers).buffer_unordered(20).collect().await;
    assert_eq!(won.into_iter().filter(|won| *won).count(), 1);
    Ok(())
}

#[tokio::test]
async fn concurrent_writers_of_a_key_leave_one_whole_object() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    let bodies: Vec<Vec<u8>> = (0..16).map(|seed| pattern(200_000 + seed, seed as u8)).collect();
    let tasks = bodies.iter().map(|bytes| put(&store, "key", bytes));
    let reads = (0..16).map(|_| async {
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        match get(&store, "key").await {
            Ok(bytes) => Some(bytes),
            Err(Error::NoSuchKey(_)) => None,
            Err(error) => panic!("{error}"),
        }
    });
    let (written, seen) =
        futures::join!(futures::future::try_join_all(tasks), futures::future::join_all(reads));
    written?;
    for bytes in seen.into_iter().flatten().chain([get(&store, "key").await?]) {
        assert!(bodies.contains(&bytes));
    }
    assert_eq!(files(&folder.path().join("blobs")).len(), 1);
    Ok(())
}

#[tokio::test]
async fn opening_removes_what_a_crash_left_and_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    put(&store, "kept", b"kept").await?;
    put(&store, "large", &pattern(100_000, 7)).await?;
    let upload = upload_of(&store, "joined", &[pattern(PART, 1), pattern(9, 2)]).await?;
    let parts = complete(&upload);
    store.complete_upload(BUCKET, "joined", &upload.0, parts).await?;
    let open_upload = upload_of(&store, "open", &[pattern(10, 3)]).await?;
    let before: BTreeSet<PathBuf> = files(&folder.path().join("blobs")).into_iter().collect();
    assert_eq!(before.len(), 4);
    assert!(matches!(ObjectStore::open(folder.path()).await, Err(Error::Locked(_))));
    drop(store);
    std::fs::write(folder.path().join("tmp/half"), b"half an obj")?;
    std::fs::write(folder.path().join("blobs/ab/abcdef0123456789abcdef0123456789"), b"orphan")?;
    std::fs::write(folder.path().join("blobs/00/junk"), b"orphan")?;
    // The lock goes with the last clone, which background work may hold for a moment.
    let store = loop {
        match ObjectStore::open(folder.path()).await {
            Err(Error::Locked(_)) => tokio::task::yield_now().await,
            opened => break opened?,
        }
    };
    let after: BTreeSet<PathBuf> = files(&folder.path().join("blobs")).into_iter().collect();
    assert_eq!(before, after);
    assert_eq!(files(&folder.path().join("tmp")).len(), 0);
    assert_eq!(get(&store, "kept").await?, b"kept");
    assert!(get(&store, "large").await? == pattern(100_000, 7));
    assert_eq!(get(&store, "joined").await?.len(), PART + 9);
    store.complete_upload(BUCKET, "open", &open_upload.0, complete(&open_upload)).await?;
    assert_eq!(get(&store, "open").await?, pattern(10, 3));
    Ok(())
}

#[tokio::test]
async fn a_reader_keeps_what_it_opened() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    let old = pattern(3 << 20, 1);
    put(&store, "one", &old).await?;
    let upload = upload_of(&store, "parts", &[pattern(PART, 1), pattern(9, 2)]).await?;
    store.complete_upload(BUCKET, "parts", &upload.0, complete(&upload)).await?;
    let (one, one_reader) = store.get_object(BUCKET, "one").await?;
    let (parts, parts_reader) = store.get_object(BUCKET, "parts").await?;
    put(&store, "small", b"old").await?;
    let (small, small_reader) = store.get_object(BUCKET, "small").await?;
    put(&store, "one", b"new").await?;
    put(&store, "small", b"newer").await?;
    store.delete_object(BUCKET, "parts", Condition::Always).await?;
    assert_eq!(read(small_reader.stream(0..small.size)).await?, b"old");
    assert!(read(one_reader.stream(0..one.size)).await? == old);
    let tail = read(parts_reader.stream(PART as u64 - 2..parts.size)).await?;
    assert_eq!(tail, [&pattern(PART, 1)[PART - 2..], &pattern(9, 2)].concat());
    assert_eq!(get(&store, "one").await?, b"new");
    // The pinned blobs go once their reader has gone.
    for _ in 0..200 {
        if files(&folder.path().join("blobs")).is_empty() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the blobs of a deleted object stayed");
}

type Upload = (String, Vec<CompletedPart>);

async fn upload_of(store: &ObjectStore, key: &str, parts: &[Vec<u8>]) -> Result<Upload> {
    let id = store.create_upload(BUCKET, key, CreateUpload::default()).await?.id;
    let mut done = Vec::new();
    for (number, bytes) in (1..).zip(parts) {
        let expectations = Expectations::default();
        let part = store.put_part(BUCKET, key, &id, number, expectations, body(bytes)).await?;
        done.push(CompletedPart { number, etag: part.etag, checksum: Some(part.checksum) });
    }
    Ok((id, done))
}

fn complete(upload: &Upload) -> CompleteUpload {
    CompleteUpload { parts: upload.1.clone(), ..CompleteUpload::default() }
}

#[tokio::test]
async fn completing_refuses_what_s3_refuses() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    let upload = upload_of(&store, "key", &[pattern(PART, 1), pattern(7, 2), pattern(3, 3)]).await?;
    let attempt = async |change: &dyn Fn(&mut CompleteUpload)| {
        let mut request = complete(&upload);
        change(&mut request);
        store.complete_upload(BUCKET, "key", &upload.0, request).await
    };
    let refused = attempt(&|_| ()).await;
    assert!(matches!(refused, Err(Error::EntityTooSmall { number: 2, size: 7, .. })));
    let refused = attempt(&|c| c.parts.reverse()).await;
    assert!(matches!(refused, Err(Error::InvalidPartOrder)));
    let refused = attempt(&|c| c.parts[0].etag = "0".repeat(32)).await;
    assert!(matches!(refused, Err(Error::InvalidPart(1))));
    let refused = attempt(&|c| c.parts[2].number = 9).await;
    assert!(matches!(refused, Err(Error::InvalidPart(9))));
    let refused = attempt(&|c| c.parts.clear()).await;
    assert!(matches!(refused, Err(Error::InvalidRequest(_))));
    let refused = attempt(&|c| {
        c.parts.remove(1);
        c.size = Some(1);
    });
    assert!(matches!(refused.await, Err(Error::InvalidRequest(_))));
    let refused = attempt(&|c| {
        c.parts.remove(1);
        c.checksum = Some("AAAAAAAAAAA=".into());
    });
    assert!(matches!(refused.await, Err(Error::BadDigest(_))));
    let other = store.complete_upload(BUCKET, "other", &upload.0, complete(&upload)).await;
    assert!(matches!(other, Err(Error::NoSuchUpload)));
    // Part 2 is left out, its blob goes.
    let made = attempt(&|c| drop(c.parts.remove(1))).await?;
    assert!(made.etag.ends_with("-2"));
    let whole = [pattern(PART, 1), pattern(3, 3)].concat();
    assert!(get(&store, "key").await? == whole);
    assert_eq!(made.checksum, put(&store, "same", &whole).await?.checksum);
    assert_eq!(files(&folder.path().join("blobs")).len(), 3);
    let again = attempt(&|c| drop(c.parts.remove(1))).await?;
    assert_eq!(again.etag, made.etag);
    Ok(())
}

#[tokio::test]
async fn parts_are_replaced_copied_listed_and_aborted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    put(&store, "source", b"0123456789").await?;
    let plan = ChecksumPlan { algorithm: Algorithm::Sha256, kind: None };
    let create = CreateUpload { checksum: Some(plan), ..CreateUpload::default() };
    let upload = store.create_upload(BUCKET, "key", create).await?;
    assert_eq!(upload.kind, ChecksumKind::Composite);
    let id = upload.id.as_str();
    let default = Expectations::default;
    store.put_part(BUCKET, "key", id, 1, default(), body(b"old")).await?;
    store.put_part(BUCKET, "key", id, 1, default(), body(b"new")).await?;
    let source = (BUCKET, "source");
    store.copy_part(source, Some(2..5), None, (BUCKET, "key"), id, 3).await?;
    let outside = store.copy_part(source, Some(2..11), None, (BUCKET, "key"), id, 4).await;
    assert!(matches!(outside, Err(Error::InvalidRange(10))));
    let crc = Expectations { checksum: ChecksumRequest::Compute(Algorithm::Crc32), ..default() };
    let mixed = store.put_part(BUCKET, "key", id, 4, crc, body(b"x")).await;
    assert!(matches!(mixed, Err(Error::InvalidRequest(_))));
    let beyond = store.put_part(BUCKET, "key", id, 10_001, default(), body(b"x")).await;
    assert!(matches!(beyond, Err(Error::InvalidArgument(_))));
    let page = store.list_parts(BUCKET, "key", id, 0, 1).await?;
    assert_eq!((page.parts.len(), page.parts[0].size, page.next), (1, 3, Some(1)));
    let page = store.list_parts(BUCKET, "key", id, 1, 10).await?;
    assert_eq!((page.parts[0].number, page.next), (3, None));
    let second = store.create_upload(BUCKET, "key", CreateUpload::default()).await?;
    let page = store.list_uploads(BUCKET, "k", ("", ""), 1).await?;
    assert_eq!(page.next, Some(("key".to_owned(), id.to_owned())));
    let page = store.list_uploads(BUCKET, "k", ("key", id), 1).await?;
    assert_eq!((page.uploads[0].id.as_str(), page.next), (second.id.as_str(), None));
    assert!(store.list_uploads(BUCKET, "k", ("key", ""), 9).await?.uploads.is_empty());
    store.abort_upload(BUCKET, "key", id).await?;
    assert!(matches!(store.abort_upload(BUCKET, "key", id).await, Err(Error::NoSuchUpload)));
    assert!(files(&folder.path().join("blobs")).is_empty());
    Ok(())
}

#[tokio::test]
async fn copies_take_or_replace_what_goes_with_the_bytes() -> Result<()> {
    for size in [3, limits::INLINE_BYTES + 1] {
        copies_of(&pattern(size, 9)).await?;
    }
    Ok(())
}

async fn copies_of(bytes: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    let typed = |kind: &str| Attributes { content_type: Some(kind.into()), ..Default::default() };
    let tags = Tags(vec![("a".into(), "b".into())]);
    let put_typed = PutObject { attributes: typed("text/csv"), tags: tags.clone(), ..PutObject::default() };
    store.put_object(BUCKET, "source", put_typed, body(bytes)).await?;
    let (source, target) = ((BUCKET, "source"), (BUCKET, "target"));
    let copied = store.copy_object(source, target, CopyObject::default()).await?;
    assert_eq!(copied.attributes, typed("text/csv"));
    assert_eq!(store.object_tags(BUCKET, "target").await?, tags);
    store.delete_object(BUCKET, "source", Condition::Always).await?;
    assert!(get(&store, "target").await? == bytes);
    let onto_itself = store.copy_object(target, target, CopyObject::default()).await;
    assert!(matches!(onto_itself, Err(Error::InvalidRequest(_))));
    let replace = CopyObject {
        attributes: Replacement::Replace(typed("text/plain")),
        tags: Replacement::Replace(Tags::default()),
        checksum: Some(Algorithm::Sha1),
        source_etag: Some(copied.etag.clone()),
    };
    let replaced = store.copy_object(target, target, replace).await?;
    assert_eq!((replaced.tag_count, replaced.checksum.algorithm), (0, Algorithm::Sha1));
    let upload = upload_of(&store, "parts", &[pattern(PART, 1), pattern(9, 2)]).await?;
    store.complete_upload(BUCKET, "parts", &upload.0, complete(&upload)).await?;
    let joined = store.copy_object((BUCKET, "parts"), target, CopyObject::default()).await?;
    assert_eq!((joined.part_count, joined.etag.len()), (None, 32));
    assert_eq!(get(&store, "target").await?.len(), PART + 9);
    Ok(())
}

#[tokio::test]
async fn buckets_have_one_owner_and_go_when_empty() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    let again = store.create_bucket(BUCKET, "eu-west-1", "123456789012").await?;
    assert!(matches!(again, Created::Already(bucket) if bucket.region == "us-east-1"));
    let taken = store.create_bucket(BUCKET, "us-east-1", "210987654321").await;
    assert!(matches!(taken, Err(Error::BucketAlreadyExists(_))));
    put(&store, "key", b"x").await?;
    let upload = upload_of(&store, "other", &[b"y".to_vec()]).await?;
    assert!(matches!(store.delete_bucket(BUCKET).await, Err(Error::BucketNotEmpty(_))));
    store.delete_objects(BUCKET, &["key".into(), "never".into()]).await?;
    store.delete_bucket(BUCKET).await?;
    assert!(matches!(store.head_bucket(BUCKET).await, Err(Error::NoSuchBucket(_))));
    assert!(matches!(put(&store, "key", b"x").await, Err(Error::NoSuchBucket(_))));
    let gone = store.complete_upload(BUCKET, "other", &upload.0, complete(&upload)).await;
    assert!(matches!(gone, Err(Error::NoSuchBucket(_))));
    assert_eq!(files(&folder.path().join("blobs")).len(), 0);
    Ok(())
}

/// The entries of a page by definition: what the keys roll up to, in order, after `start_after`.
fn naive(keys: &BTreeSet<String>, query: &ListQuery) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with(&query.prefix)) {
        let rest = &key[query.prefix.len()..];
        let cut = if query.delimiter.is_empty() { None } else { rest.find(&query.delimiter) };
        let entry = match cut {
            Some(at) => &key[..query.prefix.len() + at + query.delimiter.len()],
            None => key,
        };
        if entry > query.start_after.as_str() && entries.last().is_none_or(|last| last != entry) {
            entries.push(entry.to_owned());
        }
    }
    entries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn listings_match_their_definition(
        keys in prop::collection::btree_set("[ab/ü]{1,5}", 1..60),
        queries in prop::collection::vec(
            ("[ab/]{0,2}", prop::sample::select(vec!["", "/", "a", "b/"]), "[ab/ü]{0,3}", 1usize..9),
            1..12,
        ),
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let store = open(folder.path()).await;
            for key in &keys {
                put(&store, key, b"").await.expect("put");
            }
            for (prefix, delimiter, start_after, max_keys) in queries {
                let delimiter = delimiter.to_owned();
                let mut query = ListQuery { prefix, delimiter, start_after, max_keys };
                let expected = naive(&keys, &query);
                let mut listed = Vec::new();
                loop {
                    let page = store.list(BUCKET, &query).await.expect("list");
                    prop_assert!(page.entries() <= max_keys);
                    let mut entries = page.common_prefixes.clone();
                    entries.extend(page.objects.iter().map(|object| object.key.clone()));
                    entries.sort();
                    listed.extend(entries);
                    match page.next {
                        Some(next) => query.start_after = next,
                        None => break,
                    }
                }
                prop_assert_eq!(listed, expected);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_long_listing_jumps_over_prefixes_and_lists_all() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await;
    for number in 0..150 {
        put(&store, &format!("a/{number:03}"), b"").await?;
    }
    put(&store, "b", b"").await?;
    let query = ListQuery { delimiter: "/".into(), max_keys: 1000, ..ListQuery::default() };
    let page = store.list(BUCKET, &query).await?;
    assert_eq!(page.common_prefixes, ["a/"]);
    assert_eq!(page.objects.len(), 1);
    assert_eq!(store.list_all(BUCKET, "a/1").await?.len(), 50);
    let none = ListQuery { max_keys: 0, ..ListQuery::default() };
    assert_eq!(store.list(BUCKET, &none).await?, Default::default());
    Ok(())
}
