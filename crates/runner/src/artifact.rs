//! Artifacts: folders as gzipped tar archives, the same bytes for the same content.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sagebrush_types::limits::{ARTIFACT_BYTES, ARTIFACT_FILES};

use crate::stage::is_folder;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file system, or bytes that are no gzipped tar.
    #[error("cannot read or write the archive: {0}")]
    Io(#[from] io::Error),
    /// An entry that would leave the folder or is neither file nor folder.
    #[error("the archive's entry '{0}' is not a plain file or folder inside the archive")]
    Entry(String),
    /// More entries or bytes than an artifact may have.
    #[error("the archive holds more than {ARTIFACT_FILES} entries or {ARTIFACT_BYTES} bytes")]
    TooLarge,
}

/// Packs the content of `folder` (members at the top level, sorted, without owners and times) into
/// `archive`, and fsyncs it. Links and special files are left out.
///
/// # Errors
/// Any error of the file system.
pub fn pack(folder: &Path, archive: &Path) -> Result<(), ArtifactError> {
    let file = BufWriter::with_capacity(1 << 20, File::create(archive)?);
    // Weights hardly compress: the fastest level costs a third of the time for 1 % of the size.
    let mut builder = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    if is_folder(folder) {
        append(&mut builder, folder, Path::new(""))?;
    }
    let mut file = builder.into_inner()?.finish()?;
    file.flush()?;
    file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    Ok(())
}

fn append(builder: &mut tar::Builder<impl Write>, folder: &Path, inside: &Path) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        let name = inside.join(entry.file_name());
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        if kind.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            builder.append_data(&mut header, name.join(""), io::empty())?;
            append(builder, &entry.path(), &name)?;
        } else if kind.is_file() {
            let file = File::open(entry.path())?;
            header.set_mode(0o644);
            header.set_size(file.metadata()?.len());
            builder.append_data(&mut header, &name, file)?;
        }
    }
    Ok(())
}

/// Unpacks a gzipped tar archive into `folder`, which is created.
///
/// # Errors
/// `Entry` for an entry that is absolute, climbs out, or is a link or a device; `TooLarge` beyond
/// the bounds; `Io` for anything unreadable. What was unpacked before the error stays in `folder`.
pub fn unpack(archive: &Path, folder: &Path) -> Result<(), ArtifactError> {
    fs::create_dir_all(folder)?;
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(File::open(archive)?)));
    let mut bytes = 0u64;
    for (count, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        let path = inside(&entry.path()?)?;
        let kind = entry.header().entry_type();
        if count >= ARTIFACT_FILES {
            return Err(ArtifactError::TooLarge);
        }
        let target = folder.join(&path);
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
        } else if kind.is_file() {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = File::options().write(true).create_new(true).open(&target)?;
            bytes += io::copy(&mut (&mut entry).take(ARTIFACT_BYTES + 1 - bytes), &mut file)?;
            if bytes > ARTIFACT_BYTES {
                return Err(ArtifactError::TooLarge);
            }
        } else if !matches!(kind, tar::EntryType::XHeader | tar::EntryType::XGlobalHeader) {
            return Err(ArtifactError::Entry(path.display().to_string()));
        }
    }
    Ok(())
}

fn inside(path: &Path) -> Result<PathBuf, ArtifactError> {
    let mut kept = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => kept.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(ArtifactError::Entry(path.display().to_string()));
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again_and_packs_to_the_same_bytes() -> Result<(), ArtifactError> {
        let folder = tempfile::tempdir()?;
        let model = folder.path().join("model");
        fs::create_dir_all(model.join("code/empty"))?;
        fs::write(model.join("weights"), vec![7u8; 100_000])?;
        fs::write(model.join("code/inference.py"), "x")?;
        let (first, second) = (folder.path().join("1.tar.gz"), folder.path().join("2.tar.gz"));
        pack(&model, &first)?;
        let copy = folder.path().join("copy");
        unpack(&first, &copy)?;
        assert_eq!(fs::read(copy.join("code/inference.py"))?, b"x");
        assert!(copy.join("code/empty").is_dir());
        pack(&copy, &second)?;
        assert_eq!(fs::read(first)?, fs::read(second)?);
        Ok(())
    }

    #[test]
    fn archives_that_climb_out_or_link_are_refused() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        for (name, kind) in [("../evil", tar::EntryType::Regular), ("link", tar::EntryType::Symlink)] {
            let archive = folder.path().join("a.tar.gz");
            let mut builder = tar::Builder::new(GzEncoder::new(File::create(&archive)?, Compression::fast()));
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            let bytes = name.as_bytes();
            header.as_old_mut().name[..bytes.len()].copy_from_slice(bytes);
            header.set_cksum();
            builder.append(&header, io::empty())?;
            builder.into_inner()?.finish()?;
            let out = folder.path().join("out");
            assert!(matches!(unpack(&archive, &out), Err(ArtifactError::Entry(_))), "{name}");
            assert!(!folder.path().join("evil").exists());
        }
        Ok(())
    }

    #[test]
    fn bytes_that_are_no_archive_are_an_error() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let archive = folder.path().join("a.tar.gz");
        fs::write(&archive, "not gzip")?;
        assert!(unpack(&archive, &folder.path().join("out")).is_err());
        Ok(())
    }
}
