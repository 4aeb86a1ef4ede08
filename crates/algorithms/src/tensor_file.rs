//! Files of named float tensors with a JSON header: what models and checkpoints are written as.
//!
//! Layout, all numbers little-endian:
//!
//! ```text
//! 8 bytes   kind of file
//! 4 bytes   version
//! 4 bytes   length of the header
//! header    JSON
//! tensors   f32 values, row by row
//! 8 bytes   CRC-64/NVME of everything before
//! ```
//!
//! Promises: a file appears under its name complete and on disk, or not at all; one that was cut or changed is refused
//! with a message. Never: executes or trusts anything in it.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use crc_fast::{CrcAlgorithm, Digest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernels::Matrix;

/// Longest header: the titles and words of the largest title model.
const MAX_HEADER: u32 = 1 << 30;
/// Bytes converted at a time.
const PIECE: usize = 1 << 16;
/// Bytes of a file beside its header and tensors.
const FRAME: u64 = 24;

/// What a file is: eight bytes, a version, and the words for it in messages.
pub(crate) struct Format {
    pub magic: &'static [u8; 8],
    pub version: u32,
    /// The algorithm whose file it is.
    pub algorithm: &'static str,
    pub name: &'static str,
}

/// Writes a file to `path`: to a temporary name beside it first, flushed to disk, then renamed.
///
/// # Errors
/// What the file system says.
pub(crate) fn save(
    path: &Path,
    format: &Format,
    header: &impl Serialize,
    tensors: impl FnOnce(&mut Writer) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension("partial");
    let written = write(&temporary, format, header, tensors).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The failure that is reported is the first one; a left-over is overwritten by the next run.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write(
    path: &Path,
    format: &Format,
    header: &impl Serialize,
    tensors: impl FnOnce(&mut Writer) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let mut out = Writer {
        file: BufWriter::with_capacity(PIECE, File::create(path)?),
        sum: Digest::new(CrcAlgorithm::Crc64Nvme),
        bytes: Vec::with_capacity(PIECE),
    };
    out.put(format.magic)?;
    out.put(&format.version.to_le_bytes())?;
    out.put(&(header.len() as u32).to_le_bytes())?;
    out.put(&header)?;
    tensors(&mut out)?;
    let sum = out.sum.finalize();
    out.file.write_all(&sum.to_le_bytes())?;
    out.file.flush()?;
    out.file.get_ref().sync_all()
}

/// Takes tensors and keeps the checksum of what it writes.
pub(crate) struct Writer {
    file: BufWriter<File>,
    sum: Digest,
    bytes: Vec<u8>,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum.update(bytes);
        self.file.write_all(bytes)
    }

    /// One row of numbers.
    pub(crate) fn floats(&mut self, values: &[f32]) -> std::io::Result<()> {
        for piece in values.chunks(PIECE / 4) {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            bytes.extend(piece.iter().flat_map(|value| value.to_le_bytes()));
            let done = self.put(&bytes);
            self.bytes = bytes;
            done?;
        }
        Ok(())
    }

    /// All rows of a matrix.
    pub(crate) fn matrix(&mut self, matrix: &Matrix) -> std::io::Result<()> {
        (0..matrix.rows()).try_for_each(|row| self.floats(matrix.row(row)))
    }
}

/// Opens a file and reads its header; `None` when there is no such file.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub(crate) fn open<H: DeserializeOwned>(
    path: &Path,
    format: &Format,
) -> Result<Option<(H, Reader<'static>)>, String> {
    let shown = path.display();
    let file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|e| format!("cannot open the {} {shown}: {e}", format.name))?,
    };
    let size = file.metadata().map_err(|e| format!("cannot read the {} {shown}: {e}", format.name))?.len();
    read(Box::new(file), size, &shown.to_string(), format).map(Some)
}

/// Reads the header of a file of `size` bytes from wherever it is; messages call it `shown`.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub(crate) fn read<'a, H: DeserializeOwned>(
    source: Box<dyn Read + 'a>,
    size: u64,
    shown: &str,
    format: &Format,
) -> Result<(H, Reader<'a>), String> {
    let unusable = |what: String| format!("the {} {shown} cannot be used: {what}", format.name);
    let mut reader = Reader {
        file: source,
        sum: Digest::new(CrcAlgorithm::Crc64Nvme),
        bytes: vec![0; PIECE],
        size,
        header: 0,
        shown: format!("the {} {shown} cannot be used: ", format.name),
    };
    let header = reader.header(format).map_err(unusable)?;
    Ok((header, reader))
}

/// Gives tensors and keeps the checksum of what it reads.
pub(crate) struct Reader<'a> {
    file: Box<dyn Read + 'a>,
    sum: Digest,
    bytes: Vec<u8>,
    size: u64,
    header: u64,
    shown: String,
}

impl Reader<'_> {
    fn take(&mut self, into: &mut [u8]) -> Result<(), String> {
        self.file.read_exact(into).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            _ => e.to_string(),
        })?;
        self.sum.update(into);
        Ok(())
    }

    fn number(&mut self) -> Result<u32, String> {
        let mut bytes = [0; 4];
        self.take(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn header<H: DeserializeOwned>(&mut self, format: &Format) -> Result<H, String> {
        let mut magic = [0; 8];
        self.take(&mut magic)?;
        if magic != *format.magic {
            return Err(format!("it is not a {} of sagebrush's {}", format.name, format.algorithm));
        }
        let (version, own) = (self.number()?, format.version);
        if version != own {
            return Err(format!("it has version {version}; this version of sagebrush reads version {own}"));
        }
        let length = self.number()?;
        if length > MAX_HEADER || u64::from(length) > self.size {
            return Err("its header is damaged".to_owned());
        }
        let mut header = vec![0; length as usize];
        self.take(&mut header)?;
        self.header = u64::from(length);
        serde_json::from_slice(&header).map_err(|e| format!("its header is damaged: {e}"))
    }

    /// Reads the tensors, of so many numbers together, and checks size and checksum.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the file, as also when `read` says so.
    pub(crate) fn tensors<T>(
        mut self,
        numbers: usize,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let shown = std::mem::take(&mut self.shown);
        let checked = || {
            let want = FRAME + self.header + 4 * numbers as u64;
            if self.size != want {
                let size = self.size;
                return Err(format!("it has {size} bytes instead of {want}; the file is cut or damaged"));
            }
            let value = read(&mut self)?;
            let computed = self.sum.clone().finalize();
            let mut stored = [0; 8];
            self.take(&mut stored)?;
            if u64::from_le_bytes(stored) != computed {
                return Err("its checksum is wrong; the file is damaged".to_owned());
            }
            Ok(value)
        };
        checked().map_err(|what| shown + &what)
    }

    /// One row of numbers.
    pub(crate) fn floats(&mut self, into: &mut [f32]) -> Result<(), String> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let done = into.chunks_mut(PIECE / 4).try_for_each(|piece| {
            let raw = &mut bytes[..piece.len() * 4];
            self.take(raw)?;
            for (value, raw) in piece.iter_mut().zip(raw.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*raw);
            }
            Ok(())
        });
        self.bytes = bytes;
        done
    }

    /// All rows of a matrix.
    pub(crate) fn matrix(&mut self, into: &mut Matrix) -> Result<(), String> {
        (0..into.rows()).try_for_each(|row| self.floats(into.row_mut(row)))
    }
}
