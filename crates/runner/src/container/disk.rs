//! What a container writes: its writable folders and its own layer together, against its limit, and
//! the room that is left on the disk, which belongs to the server and all jobs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::InspectContainerOptionsBuilder;

/// How often the room that is left is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two measurements of what the container wrote, which walks its folders.
const LOOKS_PER_MEASUREMENT: u32 = 5;
/// Room that is kept free for the server: this share of the disk, at most [`RESERVE`] bytes.
const RESERVE_SHARE: u64 = 20;
const RESERVE: u64 = 2 << 30;

/// Completes when the container has filled its disk: with its limit, or the room it had.
pub async fn filled(docker: Docker, id: String, folders: Vec<PathBuf>, work: PathBuf, limit: u64) -> u64 {
    let mut looks = 0u32;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        looks = looks.wrapping_add(1);
        if let Some(room) = shortage(&work) {
            return room;
        }
        if looks.is_multiple_of(LOOKS_PER_MEASUREMENT) {
            let measured = folders.clone();
            let files =
                tokio::task::spawn_blocking(move || measured.iter().map(|folder| size(folder)).sum::<u64>());
            let options = InspectContainerOptionsBuilder::new().size(true).build();
            let layer = match docker.inspect_container(&id, Some(options)).await {
                Ok(found) => found.size_rw.unwrap_or(0).max(0) as u64,
                // It is gone, or the engine is: whoever waits for it will see.
                Err(_) => 0,
            };
            if files.await.unwrap_or(0).saturating_add(layer) > limit {
                return limit;
            }
        }
    }
}

/// The size of the whole disk when too little of it is free.
fn shortage(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let total = disk.f_blocks.saturating_mul(disk.f_frsize);
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    (free < RESERVE.min(total / RESERVE_SHARE)).then_some(total)
}

/// Bytes of the plain files under a folder, links not followed. What cannot be read counts nothing.
fn size(folder: &Path) -> u64 {
    let mut bytes = 0u64;
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(data) if data.is_dir() => open.push(entry.path()),
                Ok(data) if data.is_file() => bytes = bytes.saturating_add(data.len()),
                _ => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_large_as_its_files() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("a"))?;
        fs::write(folder.path().join("a/x"), [0u8; 100])?;
        fs::write(folder.path().join("y"), [0u8; 23])?;
        std::os::unix::fs::symlink("/", folder.path().join("everything"))?;
        assert_eq!(size(folder.path()), 123);
        assert_eq!(size(&folder.path().join("nothing")), 0);
        Ok(())
    }
}
