//! Reading objects: opened once, then streamed in large pieces without a lock.
//!
//! An object in one piece is held by its open file. One put together from parts may have thousands
//! of blobs, so these are pinned and opened one after the other.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use tokio::task::JoinHandle;

use crate::blob::{BlobFolder, PinGuard};
use crate::index::Segment;
use crate::{Error, ObjectInfo, ObjectStore, PartInfo, Result, blocking, limits};

/// Times an object may be replaced between looking it up and opening it before the reader gives
/// up.
const ATTEMPTS: usize = 16;

impl ObjectStore {
    /// Looks an object up.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::NoSuchKey`].
    pub async fn head_object(&self, bucket: &str, key: &str) -> Result<ObjectInfo> {
        let bucket = self.index().bucket_id(bucket).await?;
        self.index().object(bucket, key).await
    }

    /// Opens an object for reading. The reader keeps to this content, whatever happens to the key.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::NoSuchKey`]; [`Error::Busy`] when the key is being
    /// replaced without pause; [`Error::Damaged`] when the object's file is gone.
    pub async fn get_object(&self, bucket: &str, key: &str) -> Result<(ObjectInfo, ObjectReader)> {
        let bucket = self.index().bucket_id(bucket).await?;
        for _ in 0..ATTEMPTS {
            let info = self.index().object(bucket, key).await?;
            if let Some(reader) = self.open_object(&info).await? {
                return Ok((info, reader));
            }
            if self.index().generation_lives(&info.generation).await? {
                return Err(Error::Damaged(format!("the file of '{key}' is missing")));
            }
        }
        Err(Error::Busy)
    }

    /// `None` when the object has been replaced or deleted.
    async fn open_object(&self, info: &ObjectInfo) -> Result<Option<ObjectReader>> {
        let folder = self.blobs().clone();
        if info.inline {
            let held = self.index().inline_bytes(&info.generation).await?;
            return Ok(held.map(|bytes| ObjectReader {
                folder,
                segments: vec![whole(info)],
                size: info.size,
                source: Source::Held(bytes),
            }));
        }
        if info.part_count.is_none() {
            let path = folder.path(&info.generation);
            let opened = blocking(move || match File::open(path) {
                Ok(file) => Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            });
            return Ok(opened.await?.map(|file| ObjectReader {
                folder,
                segments: vec![whole(info)],
                size: info.size,
                source: Source::File(file),
            }));
        }
        let segments = self.index().segments(&info.generation).await?;
        let pin = folder.pin(segments.iter().map(|segment| segment.blob.clone()).collect());
        // Whoever deletes the object after this look finds the pins; a deletion before it shows.
        if !self.index().generation_lives(&info.generation).await? {
            return Ok(None);
        }
        Ok(Some(ObjectReader { folder, segments, size: info.size, source: Source::Pinned(pin) }))
    }

    /// The parts of an object, in order; none when it was written in one piece or is gone.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn object_parts(&self, info: &ObjectInfo) -> Result<Vec<PartInfo>> {
        let segments = self.index().segments(&info.generation).await?;
        let numbered = segments.into_iter().zip(1u32..);
        let part = |(segment, number): (Segment, u32)| PartInfo {
            number,
            size: segment.size,
            checksum: segment.checksum,
        };
        Ok(numbered.map(part).collect())
    }
}

/// The one segment of an object in one piece.
fn whole(info: &ObjectInfo) -> Segment {
    Segment { blob: info.generation.clone(), size: info.size, checksum: String::new() }
}

/// An object that is open for reading.
#[derive(Debug)]
pub struct ObjectReader {
    folder: BlobFolder,
    segments: Vec<Segment>,
    size: u64,
    source: Source,
}

/// What keeps an object's bytes readable.
#[derive(Debug)]
enum Source {
    /// They are here.
    Held(Bytes),
    /// The one file is open.
    File(File),
    /// The files of the parts stay where they are.
    Pinned(PinGuard),
}

impl ObjectReader {
    /// The bytes of an object that lies in the index.
    pub(crate) fn inline(&self) -> Option<Bytes> {
        if let Source::Held(bytes) = &self.source { Some(bytes.clone()) } else { None }
    }

    /// The bytes of part `number` (from 1) within the object; an object in one piece has one part.
    pub fn part(&self, number: u32) -> Option<Range<u64>> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        let size = self.segments.get(index)?.size;
        let start = self.segments[..index].iter().map(|segment| segment.size).sum::<u64>();
        Some(start..start + size)
    }

    /// Streams the bytes of `range`, cut to the object's size.
    pub fn stream(self, range: Range<u64>) -> ObjectStream {
        let end = range.end.min(self.size);
        let start = range.start.min(end);
        let mut offset = start;
        let mut segment = 0;
        while self.segments.get(segment).is_some_and(|found| offset >= found.size) {
            offset -= self.segments[segment].size;
            segment += 1;
        }
        let (file, pin) = match self.source {
            Source::Held(bytes) => return ObjectStream::held(bytes.slice(start as usize..end as usize)),
            // An open file stands at the start of the first segment, the only one there is.
            Source::File(file) => (Some(file), None),
            Source::Pinned(pin) => (None, Some(pin)),
        };
        let cursor = Cursor {
            folder: self.folder,
            segments: self.segments,
            segment,
            offset,
            seek: true,
            file,
            remaining: end - start,
        };
        let remaining = cursor.remaining;
        ObjectStream { state: State::Ready(Box::new(cursor)), remaining, _pin: pin }
    }
}

impl ObjectReader {
    /// As [`ObjectReader::stream`], with the first piece read already: a failure shows before
    /// anything is sent, and a small object leaves with its head.
    ///
    /// # Errors
    /// [`Error::Io`] when the first piece cannot be read.
    pub async fn stream_begun(self, range: Range<u64>) -> Result<ObjectStream> {
        let mut stream = self.stream(range);
        stream.state = match std::mem::replace(&mut stream.state, State::Ended) {
            State::Ready(mut cursor) if cursor.remaining > 0 => {
                let begun = blocking(move || {
                    let first = cursor.read()?;
                    Ok(State::Begun(first, cursor))
                });
                begun.await?
            }
            other => other,
        };
        Ok(stream)
    }
}

/// Where a stream stands.
#[derive(Debug)]
struct Cursor {
    folder: BlobFolder,
    segments: Vec<Segment>,
    segment: usize,
    offset: u64,
    seek: bool,
    file: Option<File>,
    remaining: u64,
}

impl Cursor {
    /// The next bytes; `remaining` is above zero.
    fn read(&mut self) -> io::Result<Bytes> {
        while let Some(segment) = self.segments.get(self.segment) {
            let left = segment.size.saturating_sub(self.offset).min(self.remaining);
            if left == 0 {
                self.segment += 1;
                self.offset = 0;
                self.seek = true;
                self.file = None;
                continue;
            }
            let file = match &mut self.file {
                Some(file) => file,
                closed => closed.insert(File::open(self.folder.path(&segment.blob))?),
            };
            if self.seek {
                file.seek(SeekFrom::Start(self.offset))?;
                self.seek = false;
            }
            let wanted = left.min(limits::READ_CHUNK as u64);
            let mut bytes = Vec::with_capacity(wanted as usize);
            file.by_ref().take(wanted).read_to_end(&mut bytes)?;
            if (bytes.len() as u64) < wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.offset += wanted;
            self.remaining -= wanted;
            return Ok(bytes.into());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// The bytes of an object, in pieces of up to [`limits::READ_CHUNK`].
#[derive(Debug)]
pub struct ObjectStream {
    state: State,
    remaining: u64,
    _pin: Option<PinGuard>,
}

#[derive(Debug)]
enum State {
    Held(Bytes),
    Begun(Bytes, Box<Cursor>),
    Ready(Box<Cursor>),
    Reading(JoinHandle<(Box<Cursor>, io::Result<Bytes>)>),
    Ended,
}

impl ObjectStream {
    fn held(bytes: Bytes) -> Self {
        Self { remaining: bytes.len() as u64, state: State::Held(bytes), _pin: None }
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }
}

impl Stream for ObjectStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Held(bytes) if bytes.is_empty() => return Poll::Ready(None),
                State::Held(bytes) => {
                    self.remaining = 0;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                State::Begun(bytes, cursor) => {
                    self.remaining -= bytes.len() as u64;
                    self.state = State::Ready(cursor);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                State::Ready(cursor) if cursor.remaining == 0 => return Poll::Ready(None),
                State::Ready(mut cursor) => {
                    self.state = State::Reading(tokio::task::spawn_blocking(move || {
                        let read = cursor.read();
                        (cursor, read)
                    }));
                }
                State::Reading(mut task) => {
                    let Poll::Ready(done) = Pin::new(&mut task).poll(context) else {
                        self.state = State::Reading(task);
                        return Poll::Pending;
                    };
                    let Ok((cursor, read)) = done else {
                        return Poll::Ready(Some(Err(io::ErrorKind::Interrupted.into())));
                    };
                    if let Ok(bytes) = &read {
                        self.remaining -= bytes.len() as u64;
                        self.state = State::Ready(cursor);
                    }
                    return Poll::Ready(Some(read));
                }
            }
        }
    }
}
