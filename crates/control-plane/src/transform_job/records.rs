//! An input object on disk as the payloads that are sent to the model: split into records, as many
//! in a payload as the batch strategy and the payload's bound allow.
//!
//! Promises: one payload is in memory at a time, whatever the object's size; a payload is never
//! larger than its bound. Never: the meaning of a record.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// How an object is taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Decompress it first.
    pub gzip: bool,
    /// Lines are records; the whole object is one otherwise.
    pub lines: bool,
    /// Only one record a payload.
    pub single: bool,
    /// The most bytes of a payload.
    pub limit: usize,
}

/// One payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The records, with a line feed between two.
    pub body: Vec<u8>,
    /// Where each record ends in the body.
    ends: Vec<usize>,
    /// Number of the first record's line, from 1.
    pub first_line: u64,
}

impl Batch {
    /// How many records it has.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The records.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|end| end + 1));
        starts.zip(&self.ends).map(|(start, end)| &self.body[start..*end])
    }

    fn push(&mut self, record: &[u8]) {
        if !self.ends.is_empty() {
            self.body.push(b'\n');
        }
        self.body.extend_from_slice(record);
        self.ends.push(self.body.len());
    }
}

/// Why an object cannot be taken apart.
#[derive(Debug)]
pub enum ReadError {
    /// The file system.
    Io(io::Error),
    /// The object itself; what is wrong with it.
    Data(String),
}

/// The payloads of one object.
pub struct Payloads {
    source: Box<dyn BufRead + Send>,
    plan: Plan,
    line: u64,
    /// A record that did not fit the payload before.
    held: Option<(u64, Vec<u8>)>,
    ended: bool,
}

impl Payloads {
    /// Opens an object's file.
    pub fn open(path: &Path, plan: Plan) -> io::Result<Self> {
        let file = BufReader::with_capacity(256 << 10, File::open(path)?);
        let source: Box<dyn BufRead + Send> = if plan.gzip {
            Box::new(BufReader::with_capacity(256 << 10, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        };
        Ok(Self { source, plan, line: 0, held: None, ended: false })
    }

    /// The next payload; `None` after the last. An object without a byte has none.
    pub fn next(&mut self) -> Result<Option<Batch>, ReadError> {
        if self.plan.lines { self.next_lines() } else { self.whole() }
    }

    fn whole(&mut self) -> Result<Option<Batch>, ReadError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(None);
        }
        let mut body = Vec::new();
        let most = self.plan.limit as u64 + 1;
        let read = (&mut self.source).take(most).read_to_end(&mut body);
        read.map_err(|error| self.failed(error))?;
        if body.len() > self.plan.limit {
            return Err(ReadError::Data(format!(
                "The object is larger than the payload of a request, {} bytes. Raise MaxPayloadInMB or set SplitType.",
                self.plan.limit
            )));
        }
        let ends = vec![body.len()];
        Ok((!body.is_empty()).then_some(Batch { body, ends, first_line: 1 }))
    }

    fn next_lines(&mut self) -> Result<Option<Batch>, ReadError> {
        let mut batch = Batch::default();
        while let Some((line, record)) = self.record()? {
            if batch.count() > 0 && batch.body.len() + 1 + record.len() > self.plan.limit {
                self.held = Some((line, record));
                break;
            }
            if batch.count() == 0 {
                batch.first_line = line;
            }
            batch.push(&record);
            if self.plan.single {
                break;
            }
        }
        Ok((batch.count() > 0).then_some(batch))
    }

    /// The next line that is not empty, with its number and without its line feed.
    fn record(&mut self) -> Result<Option<(u64, Vec<u8>)>, ReadError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let most = self.plan.limit as u64 + 2;
        let mut record = Vec::new();
        loop {
            record.clear();
            let read = (&mut self.source).take(most).read_until(b'\n', &mut record);
            if read.map_err(|error| self.failed(error))? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if record.last() == Some(&b'\n') {
                record.pop();
            }
            if record.len() > self.plan.limit {
                return Err(ReadError::Data(format!(
                    "The record in line {} is larger than the payload of a request, {} bytes. Raise MaxPayloadInMB.",
                    self.line, self.plan.limit
                )));
            }
            if !record.is_empty() && record != b"\r" {
                return Ok(Some((self.line, record)));
            }
        }
    }

    fn failed(&self, error: io::Error) -> ReadError {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        if self.plan.gzip && matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof) {
            return ReadError::Data(format!("The object is not whole gzip data: {error}."));
        }
        ReadError::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LINES: Plan = Plan { gzip: false, lines: true, single: false, limit: 7 };

    fn bodies(content: &[u8], plan: Plan) -> Result<Vec<String>, ReadError> {
        let folder = tempfile::tempdir().map_err(ReadError::Io)?;
        let path = folder.path().join("object");
        std::fs::write(&path, content).map_err(ReadError::Io)?;
        let mut payloads = Payloads::open(&path, plan).map_err(ReadError::Io)?;
        let mut bodies = Vec::new();
        while let Some(batch) = payloads.next()? {
            assert!(batch.body.len() <= plan.limit);
            let joined: Vec<_> = batch.records().collect();
            assert_eq!(joined.join(&b'\n'), batch.body);
            bodies.push(String::from_utf8_lossy(&batch.body).into_owned());
        }
        Ok(bodies)
    }

    #[test]
    fn payloads_take_as_many_records_as_fit() {
        let found = bodies(b"aaa\nbbb\n\nc\r\n\r\ndddddd\ne", LINES);
        assert_eq!(found.ok(), Some(vec!["aaa\nbbb".into(), "c\r".into(), "dddddd".into(), "e".into()]));
        let single = Plan { single: true, ..LINES };
        assert_eq!(bodies(b"a\nb\n", single).ok(), Some(vec!["a".into(), "b".into()]));
        assert_eq!(bodies(b"", LINES).ok(), Some(vec![]));
    }

    #[test]
    fn a_whole_object_is_one_payload() {
        let whole = Plan { lines: false, ..LINES };
        assert_eq!(bodies(b"a\nb\n", whole).ok(), Some(vec!["a\nb\n".into()]));
        assert_eq!(bodies(b"", whole).ok(), Some(vec![]));
        assert!(matches!(bodies(b"12345678", whole), Err(ReadError::Data(_))));
    }

    #[test]
    fn a_record_over_the_bound_is_named_by_its_line() {
        let Err(ReadError::Data(why)) = bodies(b"a\n12345678\n", LINES) else { panic!("accepted") };
        assert!(why.contains("line 2"), "{why}");
        assert_eq!(bodies(b"a\n1234567\n", LINES).ok(), Some(vec!["a".into(), "1234567".into()]));
    }

    #[test]
    fn gzip_of_several_members_is_read_and_broken_gzip_is_the_objects_fault() -> io::Result<()> {
        let pack = |text: &str| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes())?;
            encoder.finish()
        };
        let gzip = Plan { gzip: true, ..LINES };
        let content = [pack("a\n")?, pack("b\n")?].concat();
        assert_eq!(bodies(&content, gzip).ok(), Some(vec!["a\nb".into()]));
        assert!(matches!(bodies(&content[..content.len() - 4], gzip), Err(ReadError::Data(_))));
        assert!(matches!(bodies(b"plain", gzip), Err(ReadError::Data(_))));
        Ok(())
    }
}
