//! Bind mounts, and the parts of the mount table that are needed to make them read-only.

use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix_namespaces::mount::{MountFlags, mount_recursive_bind, mount_remount};

/// Shows `source` at `target`, which is made when it is not there: a folder for a folder, a file for
/// anything else.
pub fn bind(source: &Path, target: &Path, read_only: bool) -> io::Result<()> {
    if fs::metadata(source)?.is_dir() {
        fs::create_dir_all(target)?;
    } else if !target.exists() {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::File::create(target)?;
    }
    // What is mounted below comes along: the kernel refuses to show what another mount covers.
    mount_recursive_bind(source, target)?;
    if read_only { make_read_only(target) } else { Ok(()) }
}

/// Makes everything that is mounted at or below `target` read-only. The other flags stay: in a user
/// namespace the kernel does not let them go.
fn make_read_only(target: &Path) -> io::Result<()> {
    // The table has real paths.
    let target = fs::canonicalize(target)?;
    for mount in table()?.into_iter().filter(|mount| mount.place.starts_with(&target)) {
        let flags = mount.flags | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::BIND;
        match mount_remount(&mount.place, flags, "") {
            Ok(()) => {}
            // A mount that another one covers cannot be reached, by the program either.
            Err(error) if error == rustix_namespaces::io::Errno::INVAL && mount.place != target => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A line of the mount table.
#[derive(Debug, PartialEq)]
struct Mount {
    place: PathBuf,
    flags: MountFlags,
}

fn table() -> io::Result<Vec<Mount>> {
    let text = fs::read("/proc/self/mountinfo")?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(mount).collect())
}

/// A line of /proc/self/mountinfo: the fifth field is the place, the sixth its options (proc(5)).
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(4);
    let place = PathBuf::from(std::ffi::OsString::from_vec(unescape(fields.next()?)));
    let options = std::ffi::OsStr::from_bytes(fields.next()?).to_str()?;
    let mut flags = MountFlags::empty();
    for option in options.split(',') {
        flags |= match option {
            "ro" => MountFlags::RDONLY,
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "noatime" => MountFlags::NOATIME,
            "nodiratime" => MountFlags::NODIRATIME,
            "relatime" => MountFlags::RELATIME,
            _ => MountFlags::empty(),
        };
    }
    Some(Mount { place, flags })
}

/// Spaces and backslashes stand as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_mount_table_are_read() {
        let line = b"36 35 98:0 /mnt1 /a\\040folder\\134x ro,nosuid,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let expected = Mount {
            place: "/a folder\\x".into(),
            flags: MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOATIME,
        };
        assert_eq!(mount(line), Some(expected));
        assert_eq!(mount(b"36 35"), None);
        assert_eq!(unescape(b"a\\9"), b"a\\9");
    }
}
