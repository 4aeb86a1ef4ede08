//! Takes single files out of a ZIP archive: what `--download` needs and no more.
//!
//! Promises: an entry longer than its header says, over the limit, or with a wrong CRC is an error. Never writes where
//! an entry's name points: the caller names the file to write. Does not read ZIP64, encryption or several volumes.
//! Source of the layout: PKWARE's APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16.

use anyhow::{Context, bail};
use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

const END: [u8; 4] = *b"PK\x05\x06";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const END_LENGTH: usize = 22;
/// The end record may be followed by a comment of at most 65,535 bytes.
const END_SEARCH: u64 = END_LENGTH as u64 + 65_535;
/// The longest directory read; one with a thousand files has about 100 kB.
const DIRECTORY_LIMIT: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
struct Entry {
    name: String,
    method: u16,
    crc: u32,
    packed: u64,
    unpacked: u64,
    local_header: u64,
}

/// Unpacks the entry whose last path segment is `name` into `target`, at most `limit` bytes.
pub(super) fn unpack(archive: &Path, name: &str, target: &Path, limit: u64) -> anyhow::Result<()> {
    let context = || format!("{name} cannot be taken out of {}", archive.display());
    let mut file = File::open(archive).with_context(context)?;
    let entry = directory(&mut file)
        .with_context(context)?
        .into_iter()
        .find(|entry| entry.name.rsplit('/').next() == Some(name))
        .with_context(|| format!("{} holds no {name}", archive.display()))?;
    let out = File::create(target).with_context(|| format!("{} cannot be written", target.display()))?;
    extract(&mut file, &entry, out, limit).with_context(context)
}

fn extract(file: &mut File, entry: &Entry, mut out: impl Write, limit: u64) -> anyhow::Result<()> {
    if entry.unpacked > limit {
        bail!("it has {} bytes, more than the {limit} expected at most", entry.unpacked);
    }
    file.seek(SeekFrom::Start(entry.local_header))?;
    let mut header = [0; 30];
    file.read_exact(&mut header)?;
    if header[..4] != LOCAL {
        bail!("the archive is damaged: no entry at byte {}", entry.local_header);
    }
    // Name and extra field may differ in length from those in the directory.
    let skip = i64::from(short(&header, 26)) + i64::from(short(&header, 28));
    file.seek(SeekFrom::Current(skip))?;
    let packed = std::io::BufReader::new(file.take(entry.packed));
    let unpacked: Box<dyn Read + '_> = match entry.method {
        0 => Box::new(packed),
        8 => Box::new(DeflateDecoder::new(packed)),
        other => bail!("it is packed by method {other}; stored (0) and deflate (8) are known"),
    };
    let mut checked = CrcReader::new(unpacked.take(entry.unpacked + 1));
    let written = std::io::copy(&mut checked, &mut out)?;
    out.flush()?;
    if written != entry.unpacked || checked.crc().sum() != entry.crc {
        bail!("the archive is damaged: the unpacked bytes do not match their checksum");
    }
    Ok(())
}

fn directory(file: &mut File) -> anyhow::Result<Vec<Entry>> {
    let size = file.seek(SeekFrom::End(0))?;
    let searched = size.min(END_SEARCH);
    file.seek(SeekFrom::Start(size - searched))?;
    let mut tail = Vec::new();
    file.take(searched).read_to_end(&mut tail)?;
    let at = tail
        .windows(END_LENGTH)
        .rposition(|window| window[..4] == END)
        .context("this is not a ZIP archive")?;
    let end = &tail[at..at + END_LENGTH];
    let count = short(end, 10);
    let (length, offset) = (u64::from(long(end, 12)), u64::from(long(end, 16)));
    if length > DIRECTORY_LIMIT {
        bail!("its directory has {length} bytes, more than {DIRECTORY_LIMIT}");
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    let mut rest = bytes.as_slice();
    (0..count).map(|_| next_entry(&mut rest).context("the archive's directory is damaged")).collect()
}

fn next_entry(rest: &mut &[u8]) -> Option<Entry> {
    let header = rest.get(..46).filter(|header| header[..4] == ENTRY)?;
    let name_length = usize::from(short(header, 28));
    let length = 46 + name_length + usize::from(short(header, 30)) + usize::from(short(header, 32));
    let entry = Entry {
        name: String::from_utf8_lossy(rest.get(46..46 + name_length)?).into_owned(),
        method: short(header, 10),
        crc: long(header, 16),
        packed: u64::from(long(header, 20)),
        unpacked: u64::from(long(header, 24)),
        local_header: u64::from(long(header, 42)),
    };
    *rest = rest.get(length..)?;
    Some(entry)
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::DeflateEncoder;
    use flate2::{Compression, Crc};

    /// An archive of one entry, written by hand.
    fn archive(name: &str, text: &[u8], deflate: bool) -> Vec<u8> {
        let packed = if deflate {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).expect("in memory");
            encoder.finish().expect("in memory")
        } else {
            text.to_vec()
        };
        let mut crc = Crc::new();
        crc.update(text);
        let mut shared = Vec::new();
        shared.extend([20, 0, 0, 0]);
        shared.extend(if deflate { 8u16 } else { 0 }.to_le_bytes());
        shared.extend([0; 4]);
        shared.extend(crc.sum().to_le_bytes());
        shared.extend((packed.len() as u32).to_le_bytes());
        shared.extend((text.len() as u32).to_le_bytes());
        shared.extend((name.len() as u16).to_le_bytes());
        let mut bytes = [&LOCAL[..], &shared, &3u16.to_le_bytes(), name.as_bytes(), b"xyz", &packed].concat();
        let offset = bytes.len() as u32;
        let entry = [&ENTRY[..], &[20, 0], &shared, &[0; 16], name.as_bytes()].concat();
        bytes.extend(&entry);
        bytes.extend([&END[..], &[0; 4], &1u16.to_le_bytes(), &1u16.to_le_bytes()].concat());
        bytes.extend((entry.len() as u32).to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes.extend([2, 0, b'h', b'i']);
        bytes
    }

    fn unpacked(bytes: &[u8], limit: u64) -> anyhow::Result<Vec<u8>> {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("a.zip"), folder.path().join("ratings.csv"));
        std::fs::write(&from, bytes).expect("written");
        unpack(&from, "ratings.csv", &to, limit)?;
        Ok(std::fs::read(&to).expect("unpacked"))
    }

    #[test]
    fn both_methods_give_the_text_back() {
        let text = b"user_id,book_id,rating\n".repeat(100);
        for deflate in [false, true] {
            let bytes = archive("goodbooks/ratings.csv", &text, deflate);
            assert_eq!(unpacked(&bytes, 10_000).expect("intact"), text);
        }
    }

    #[test]
    fn damage_and_excess_are_errors() {
        let bytes = archive("ratings.csv", b"some text that is stored", false);
        let mut flipped = bytes.clone();
        flipped[50] ^= 1;
        for (bytes, limit, says) in [
            (&flipped, 10_000, "checksum"),
            (&bytes, 3, "more than the 3"),
            (&bytes[..40].to_vec(), 10_000, "not a ZIP"),
            (&archive("books.csv", b"x", false), 10_000, "holds no ratings.csv"),
        ] {
            let error = format!("{:#}", unpacked(bytes, limit).expect_err("refused"));
            assert!(error.contains(says), "{error}");
        }
    }
}
