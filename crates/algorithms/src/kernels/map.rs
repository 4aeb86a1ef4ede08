//! Files as memory: the system reads what is looked at, and nothing else.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A file's bytes, read only.
pub struct MappedFile(Option<memmap2::Mmap>);

impl MappedFile {
    /// Maps a file. It has to stay as it is while it is mapped, as the channels of a training job do, which belong to
    /// the job alone: after a cut the process would end with a signal, not with an error.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self(None));
        }
        // SAFETY: the file is a job's own copy, which nothing writes or cuts while the job runs (see above).
        Ok(Self(Some(unsafe { memmap2::Mmap::map(&file)? })))
    }
}

impl Deref for MappedFile {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_bytes_and_an_empty_one_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for text in ["", "some bytes"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(&*MappedFile::open(&path).unwrap(), text.as_bytes());
        }
        assert!(MappedFile::open(&folder.path().join("none")).is_err());
    }
}
