//! Cuts a stream of text into chunks that end where a record ends.
//!
//! Promises: the chunks, put together, are the stream; a chunk is cut only between records, so that chunks can be
//! parsed independently and in parallel; a record longer than [`MAX_RECORD`] is an error, not a growing buffer.

use std::io::{self, Read};

use memchr::{memchr, memrchr};

/// The size chunks are aimed at.
const CHUNK: usize = 4 << 20;

/// The longest record that is accepted.
const MAX_RECORD: usize = 64 << 20;

/// What ends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    /// Every line end.
    Lines,
    /// A line end outside quotes; the byte separates fields.
    Quoted(u8),
}

/// Reads chunks from a stream.
pub(crate) struct Chunks<R> {
    source: R,
    records: Records,
    target: usize,
    carried: Vec<u8>,
    ended: bool,
}

impl<R: Read> Chunks<R> {
    pub(crate) fn new(source: R, records: Records) -> Self {
        Self::with_target(source, records, CHUNK)
    }

    fn with_target(source: R, records: Records, target: usize) -> Self {
        Self { source, records, target, carried: Vec::new(), ended: false }
    }

    /// The next chunk; `None` after the last.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut chunk = Vec::with_capacity(self.target + self.carried.len());
        chunk.append(&mut self.carried);
        let mut wanted = self.target.max(chunk.len());
        loop {
            while !self.ended && chunk.len() < wanted {
                let missing = (wanted - chunk.len()) as u64;
                self.ended = self.source.by_ref().take(missing).read_to_end(&mut chunk)? == 0;
            }
            if self.ended {
                return Ok(Some(chunk).filter(|chunk| !chunk.is_empty()));
            }
            if let Some(end) = last_record_end(&chunk, self.records) {
                self.carried = chunk.split_off(end);
                return Ok(Some(chunk));
            }
            if chunk.len() >= MAX_RECORD {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a record is longer than {MAX_RECORD} bytes (is a quote not closed?)"),
                ));
            }
            wanted = (chunk.len() * 2).min(MAX_RECORD);
        }
    }
}

/// The end of the last whole record in a chunk that begins where a record begins.
fn last_record_end(chunk: &[u8], records: Records) -> Option<usize> {
    let Records::Quoted(separator) = records else {
        return memrchr(b'\n', chunk).map(|at| at + 1);
    };
    let Some(first_quote) = memchr(b'"', chunk) else {
        return memrchr(b'\n', chunk).map(|at| at + 1);
    };
    // Everything before the line of the first quote needs no closer look.
    let mut end = memrchr(b'\n', &chunk[..first_quote]).map(|at| at + 1);
    let mut at = end.unwrap_or(0);
    let mut starts_field = true;
    while at < chunk.len() {
        match chunk[at] {
            b'"' if starts_field => {
                at = closing_quote(chunk, at + 1)?;
                starts_field = false;
            }
            b'\n' => {
                end = Some(at + 1);
                starts_field = true;
            }
            byte => starts_field = byte == separator,
        }
        at += 1;
    }
    end
}

/// The position of the quote that closes the field which opened just before `at`.
pub(crate) fn closing_quote(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr(b'"', bytes.get(at..)?)?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &[u8], records: Records, target: usize) -> Vec<Vec<u8>> {
        let mut chunks = Chunks::with_target(text, records, target);
        std::iter::from_fn(|| chunks.next().unwrap()).collect()
    }

    #[test]
    fn a_quoted_line_end_cuts_nothing() {
        let chunks = cut(b"a,\"x\ny\"\nb,1\n\"c\"\"\n\",2\nd,5\" disk\n", Records::Quoted(b','), 10);
        assert_eq!(chunks[0], b"a,\"x\ny\"\n");
        assert!(chunks.iter().any(|chunk| chunk.ends_with(b"\"c\"\"\n\",2\n")));
        assert_eq!(chunks.concat(), b"a,\"x\ny\"\nb,1\n\"c\"\"\n\",2\nd,5\" disk\n");
    }

    proptest! {
        #[test]
        fn chunks_are_the_stream_cut_between_records(text in "[a,\"\n]{0,200}", target in 1_usize..40) {
            let whole = text.as_bytes();
            let chunks = cut(whole, Records::Quoted(b','), target);
            prop_assert_eq!(chunks.concat(), whole);
            let mut before = 0;
            for chunk in chunks.iter().take(chunks.len().saturating_sub(1)) {
                before += chunk.len();
                prop_assert_eq!(last_record_end(&whole[..before], Records::Quoted(b',')), Some(before));
            }
        }
    }
}
