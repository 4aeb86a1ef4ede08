//! Which kind of data a file holds.
//!
//! Promises: an extension that names a kind decides; without one the first bytes do.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// How many first bytes are looked at.
const LOOKED_AT: u64 = 512;

/// The kinds of data that become tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Comma-separated values with a header line, as RFC 4180 has them.
    Csv,
    /// The same with tabs.
    Tsv,
    /// One JSON object per line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::JsonLines => "JSON lines",
            Self::Parquet => "Parquet",
        })
    }
}

impl Format {
    /// The kind an extension names.
    pub(crate) fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "json" | "jsonl" | "ndjson" => Some(Self::JsonLines),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// The kind of a file.
    pub(crate) fn recognise(path: &Path) -> io::Result<Self> {
        let name =
            path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        if let Some((_, extension)) = plain.rsplit_once('.')
            && let Some(format) = Self::from_extension(extension)
        {
            return Ok(format);
        }
        let mut first = Vec::new();
        open(path)?.take(LOOKED_AT).read_to_end(&mut first)?;
        Ok(Self::from_content(&first))
    }

    fn from_content(first: &[u8]) -> Self {
        let text = first.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(first);
        if first.starts_with(b"PAR1") {
            Self::Parquet
        } else if matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
            Self::JsonLines
        } else if text
            .split(|byte| *byte == b'\n')
            .next()
            .is_some_and(|line| line.contains(&b'\t') && !line.contains(&b','))
        {
            Self::Tsv
        } else {
            Self::Csv
        }
    }
}

/// Opens a file for reading text; a gzip file is unpacked on the way.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = [0; 2];
    let mut file = File::open(path)?;
    let packed = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    let file = File::open(path)?;
    Ok(if packed {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 17, file)))
    } else {
        Box::new(file)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn extension_first_then_content() {
        let folder = tempfile::tempdir().unwrap();
        let is = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            Format::recognise(&path).unwrap()
        };
        assert_eq!(is("a.CSV", b"{"), Format::Csv);
        assert_eq!(is("a.jsonl", b"x"), Format::JsonLines);
        assert_eq!(is("a.csv.gz", b""), Format::Csv);
        assert_eq!(is("part-0000", b"PAR1xx"), Format::Parquet);
        assert_eq!(is("part-0001", b" \n{\"a\":1}"), Format::JsonLines);
        assert_eq!(is("part-0002", b"a,b\n"), Format::Csv);
        assert_eq!(is("data.dat", b"a\tb\n1,5\t2"), Format::Tsv);
    }

    #[test]
    fn gzip_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("packed");
        let mut packer =
            flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        packer.write_all(b"{\"a\": 1}\n").unwrap();
        packer.finish().unwrap();
        let mut text = String::new();
        open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "{\"a\": 1}\n");
        assert_eq!(Format::recognise(&path).unwrap(), Format::JsonLines);
    }
}
