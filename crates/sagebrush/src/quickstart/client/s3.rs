//! The S3 calls of the workflow: make a bucket, upload files, list a prefix, read an object line by line.

use super::{ANSWER_LIMIT, ApiError, Call, Client, connection, read_whole, with_causes};
use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Files up to this size travel in one PutObject, larger ones in parts of this size (S3's least part is 5 MiB).
const PART_BYTES: u64 = 16 * 1024 * 1024;
/// Parts on their way at once; with [`PART_BYTES`] this bounds the memory of an upload to 64 MiB.
const PARTS_IN_FLIGHT: usize = 4;
/// S3's most parts of one upload.
const PARTS_LIMIT: u64 = 10_000;
/// The longest line read from an object: a record of the workflow is about 40 bytes.
const LINE_LIMIT: usize = 1024 * 1024;

/// S3's unreserved characters; everything else in a key is percent-encoded once, with `/` kept.
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Client {
    /// Makes the bucket, or accepts that it is ours already.
    pub(in crate::quickstart) async fn make_bucket(&self, bucket: &str) -> Result<(), ApiError> {
        let (headers, body) = if self.region == "us-east-1" {
            (Vec::new(), Bytes::new())
        } else {
            let body = format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                self.region
            );
            (vec![("content-type", "application/xml".to_owned())], Bytes::from(body))
        };
        let made = self.s3("CreateBucket", Method::PUT, object_path(bucket, ""), headers, body).await;
        match made {
            Err(error) if error.code == "BucketAlreadyOwnedByYou" => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Stores `body` under `key`.
    pub(in crate::quickstart) async fn put_object(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<(), ApiError> {
        let headers = vec![("content-type", content_type.to_owned())];
        self.s3("PutObject", Method::PUT, object_path(bucket, key), headers, body).await.map(|_| ())
    }

    /// Uploads a file, in parts where it is large, and tells `progress` the bytes that arrived. Returns the size.
    pub(in crate::quickstart) async fn upload_file(
        &self,
        bucket: &str,
        key: &str,
        file: &Path,
        progress: &(dyn Fn(u64) + Sync),
    ) -> anyhow::Result<u64> {
        let size = tokio::fs::metadata(file)
            .await
            .with_context(|| format!("{} cannot be read", file.display()))?
            .len();
        if size <= PART_BYTES {
            let body =
                tokio::fs::read(file).await.with_context(|| format!("{} cannot be read", file.display()))?;
            self.put_object(bucket, key, "text/csv", Bytes::from(body)).await?;
            progress(size);
            return Ok(size);
        }
        if size.div_ceil(PART_BYTES) > PARTS_LIMIT {
            bail!("{} has {size} bytes; at most {} fit one object", file.display(), PARTS_LIMIT * PART_BYTES);
        }
        let path = object_path(bucket, key);
        let headers = vec![("content-type", "text/csv".to_owned())];
        let begun = self
            .s3("CreateMultipartUpload", Method::POST, format!("{path}?uploads="), headers, Bytes::new())
            .await?;
        let upload = element(&begun, "UploadId").context("CreateMultipartUpload answered no UploadId")?;
        let sent = self.send_parts(&path, &upload, file, size, progress).await;
        let upload_query = format!("uploadId={}", utf8_percent_encode(&upload, QUERY));
        let etags = match sent {
            Ok(etags) => etags,
            Err(error) => {
                let abort = format!("{path}?{upload_query}");
                // The upload's own error is the news; parts left behind by a second failure stay with the server.
                let _ =
                    self.s3("AbortMultipartUpload", Method::DELETE, abort, Vec::new(), Bytes::new()).await;
                return Err(error);
            }
        };
        let done = complete_document(&etags);
        self.s3(
            "CompleteMultipartUpload",
            Method::POST,
            format!("{path}?{upload_query}"),
            vec![("content-type", "application/xml".to_owned())],
            Bytes::from(done),
        )
        .await?;
        Ok(size)
    }

    /// Sends every part of `file`, a few at a time, and returns the ETags in order.
    async fn send_parts(
        &self,
        path: &str,
        upload: &str,
        file: &Path,
        size: u64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> anyhow::Result<Vec<String>> {
        let parts = size.div_ceil(PART_BYTES);
        let upload = utf8_percent_encode(upload, QUERY).to_string();
        futures::stream::iter(0..parts)
            .map(|part| {
                let target = format!("{path}?partNumber={}&uploadId={upload}", part + 1);
                let file = file.to_path_buf();
                async move {
                    let body =
                        read_part(file, part * PART_BYTES, PART_BYTES.min(size - part * PART_BYTES)).await?;
                    let length = body.len() as u64;
                    let reply = self
                        .send(Call {
                            operation: "UploadPart",
                            service: "s3",
                            method: Method::PUT,
                            path_and_query: target,
                            headers: Vec::new(),
                            body,
                        })
                        .await?;
                    let etag = reply
                        .headers()
                        .get(http::header::ETAG)
                        .and_then(|value| value.to_str().ok())
                        .context("UploadPart answered no ETag")?
                        .to_owned();
                    progress(length);
                    anyhow::Ok(etag)
                }
            })
            .buffered(PARTS_IN_FLIGHT)
            .try_collect()
            .await
    }

    /// All keys under `prefix`, in S3's order.
    pub(in crate::quickstart) async fn list_keys(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> anyhow::Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut continuation: Option<String> = None;
        loop {
            let mut target = object_path(bucket, "");
            target.push_str("?encoding-type=url&list-type=2&prefix=");
            target.extend(utf8_percent_encode(prefix, QUERY));
            if let Some(token) = &continuation {
                target.push_str("&continuation-token=");
                target.extend(utf8_percent_encode(token, QUERY));
            }
            let page = self.s3("ListObjectsV2", Method::GET, target, Vec::new(), Bytes::new()).await?;
            for key in elements(&page, "Key") {
                let key = key.replace('+', " ");
                keys.push(percent_decode_str(&key).decode_utf8()?.into_owned());
            }
            let more = element(&page, "IsTruncated").as_deref() == Some("true");
            continuation = element(&page, "NextContinuationToken").filter(|_| more);
            if continuation.is_none() {
                return Ok(keys);
            }
        }
    }

    /// Reads an object line by line without keeping it; empty lines are skipped.
    pub(in crate::quickstart) async fn read_lines(
        &self,
        bucket: &str,
        key: &str,
        line: &mut (dyn FnMut(&[u8]) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<()> {
        let operation = "GetObject";
        let mut reply = self
            .send(Call {
                operation,
                service: "s3",
                method: Method::GET,
                path_and_query: object_path(bucket, key),
                headers: Vec::new(),
                body: Bytes::new(),
            })
            .await?;
        let mut splitter = LineSplitter::default();
        while let Some(chunk) =
            reply.chunk().await.map_err(|error| connection(operation, with_causes(&error)))?
        {
            splitter.push(&chunk, line).with_context(|| format!("in s3://{bucket}/{key}"))?;
        }
        splitter.finish(line).with_context(|| format!("in s3://{bucket}/{key}"))
    }

    /// One S3 call whose answer is a short document.
    async fn s3(
        &self,
        operation: &str,
        method: Method,
        path_and_query: String,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    ) -> Result<String, ApiError> {
        let reply =
            self.send(Call { operation, service: "s3", method, path_and_query, headers, body }).await?;
        let body = read_whole(operation, reply, ANSWER_LIMIT).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// Cuts a stream of chunks into lines and numbers them for errors.
#[derive(Default)]
struct LineSplitter {
    rest: BytesMut,
    number: u64,
}

impl LineSplitter {
    fn push(
        &mut self,
        chunk: &[u8],
        line: &mut (dyn FnMut(&[u8]) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<()> {
        self.rest.extend_from_slice(chunk);
        let buffer = self.rest.split();
        let mut from = 0;
        while let Some(length) = buffer[from..].iter().position(|byte| *byte == b'\n') {
            self.one(&buffer[from..from + length], line)?;
            from += length + 1;
        }
        self.rest.extend_from_slice(&buffer[from..]);
        if self.rest.len() > LINE_LIMIT {
            bail!("line {} is longer than {LINE_LIMIT} bytes", self.number + 1);
        }
        Ok(())
    }

    fn finish(mut self, line: &mut (dyn FnMut(&[u8]) -> anyhow::Result<()> + Send)) -> anyhow::Result<()> {
        let rest = self.rest.split();
        self.one(&rest, line)
    }

    fn one(
        &mut self,
        text: &[u8],
        line: &mut (dyn FnMut(&[u8]) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<()> {
        let text = text.trim_ascii();
        self.number += 1;
        if text.is_empty() {
            return Ok(());
        }
        line(text).with_context(|| format!("line {}", self.number))
    }
}

async fn read_part(file: PathBuf, offset: u64, length: u64) -> anyhow::Result<Bytes> {
    let name = file.display().to_string();
    let read = async {
        let mut opened = tokio::fs::File::open(&file).await?;
        opened.seek(std::io::SeekFrom::Start(offset)).await?;
        let mut part = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        opened.read_exact(&mut part).await?;
        std::io::Result::Ok(Bytes::from(part))
    };
    read.await.with_context(|| format!("{name} cannot be read at byte {offset}"))
}

/// `/bucket/key` with the key encoded as S3 signs it: every byte but the unreserved and `/`, once.
fn object_path(bucket: &str, key: &str) -> String {
    let mut path = format!("/{bucket}");
    if !key.is_empty() {
        path.push('/');
        path.extend(utf8_percent_encode(key, KEY));
    }
    path
}

fn complete_document(etags: &[String]) -> String {
    let mut document =
        String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (index, etag) in etags.iter().enumerate() {
        let number = index + 1;
        let etag = etag.replace('"', "&quot;");
        document.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    document.push_str("</CompleteMultipartUpload>");
    document
}

/// The text of the first element called `name`, with XML's five entities resolved.
pub(super) fn element(document: &str, name: &str) -> Option<String> {
    elements(document, name).next()
}

/// The text of every element called `name` that has no attributes, in document order.
fn elements<'a>(document: &'a str, name: &str) -> impl Iterator<Item = String> + 'a {
    let open = format!("<{name}>");
    let close = format!("</{name}>");
    let mut rest = document;
    std::iter::from_fn(move || {
        let from = rest.find(&open)? + open.len();
        let length = rest[from..].find(&close)?;
        let text = &rest[from..from + length];
        rest = &rest[from + length + close.len()..];
        Some(unescape(text))
    })
}

fn unescape(text: &str) -> String {
    // `&amp;` last, or `&amp;lt;` would become `<`.
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_encoded_once_and_slashes_stay() {
        assert_eq!(object_path("b", ""), "/b");
        assert_eq!(object_path("b", "a/b.csv"), "/b/a/b.csv");
        assert_eq!(object_path("b", "a b+ü%/~x"), "/b/a%20b%2B%C3%BC%25/~x");
        assert_eq!(object_path("b", "x//y?z"), "/b/x//y%3Fz");
    }

    #[test]
    fn elements_are_read_in_order_and_unescaped() {
        let page = "<L><Key>a</Key><Key>b&amp;lt;c</Key><IsTruncated>false</IsTruncated></L>";
        let keys: Vec<_> = elements(page, "Key").collect();
        assert_eq!(keys, ["a", "b&lt;c"]);
        assert_eq!(element(page, "IsTruncated").as_deref(), Some("false"));
        assert_eq!(element(page, "Missing"), None);
    }

    #[test]
    fn parts_are_listed_with_their_numbers() {
        let document = complete_document(&["\"e1\"".to_owned(), "\"e2\"".to_owned()]);
        assert!(document.contains("<PartNumber>2</PartNumber><ETag>&quot;e2&quot;</ETag>"), "{document}");
    }

    #[test]
    fn a_bad_line_is_named() {
        let mut splitter = LineSplitter::default();
        let mut refuse = |line: &[u8]| {
            if line == b"bad" {
                bail!("no")
            }
            Ok(())
        };
        splitter.push(b"ok\n\nb", &mut refuse).expect("two good lines");
        let error = splitter.push(b"ad\nok", &mut refuse).expect_err("the third is bad");
        assert_eq!(format!("{error:#}"), "line 3: no");
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_chunks(text in "[a-c\n]{0,60}", cuts in prop::collection::vec(0usize..60, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let mut seen: Vec<String> = Vec::new();
            let mut keep = |line: &[u8]| { seen.push(String::from_utf8_lossy(line).into_owned()); Ok(()) };
            let mut splitter = LineSplitter::default();
            let mut from = 0;
            for cut in cuts {
                splitter.push(&text.as_bytes()[from..cut], &mut keep).expect("short lines");
                from = cut;
            }
            splitter.finish(&mut keep).expect("short lines");
            let expected: Vec<String> = text.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
