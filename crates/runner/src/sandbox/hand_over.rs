//! Giving a job's folders to the user that its program runs as.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, openat, statat};

/// Gives a file or folder and what is in it to a user and the group of the same number. No link is
/// followed, even one that is put there meanwhile. A folder changes hands after its content, so one that
/// has done so is left alone: another instance of the same model may be at work in it.
pub fn hand_over(place: &Path, user: u32) -> io::Result<()> {
    give(CWD, place.as_os_str().as_encoded_bytes(), user)
}

fn give(folder: BorrowedFd<'_>, name: &[u8], user: u32) -> io::Result<()> {
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if found.st_uid == user {
        return Ok(());
    }
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(folder, name, flags, Mode::empty())?;
        for entry in Dir::read_from(opened.as_fd())? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                give(opened.as_fd(), name, user)?;
            }
        }
    }
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
    Ok(chownat(folder, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn what_belongs_to_the_user_already_is_left_alone_and_links_are_not_followed() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let place = folder.path().join("job");
        std::fs::create_dir_all(place.join("a/b"))?;
        symlink("/nowhere", place.join("a/link"))?;
        let owner = std::fs::metadata(&place)?.uid();
        hand_over(&place, owner)?;
        assert!(hand_over(&folder.path().join("missing"), owner).is_err());
        // Only root can give files away.
        if owner == 0 {
            hand_over(&place, 65_534)?;
            assert_eq!(std::fs::symlink_metadata(place.join("a/link"))?.uid(), 65_534);
            assert_eq!(std::fs::metadata(&place)?.gid(), 65_534);
        }
        Ok(())
    }
}
