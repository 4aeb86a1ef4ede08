//! The hosts of a job. This machine plays all of them; each has a folder of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sagebrush_runner::{Layout, is_folder, plain_files, read_message};
use sagebrush_types::limits::FAILURE_REASON_CHARS;

/// The hosts of one job, at least one.
#[derive(Debug, Clone)]
pub struct Hosts {
    first: Layout,
    others: Vec<Layout>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// Its place among the hosts, from 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
    /// The folder that stands for its `/opt/ml`.
    pub layout: &'a Layout,
}

impl Host<'_> {
    /// `algo-1`, `algo-2`, ...
    pub fn name(&self) -> String {
        name(self.index)
    }
}

fn name(index: usize) -> String {
    format!("algo-{}", index + 1)
}

impl Hosts {
    /// `count` hosts under a working folder.
    pub fn new(work: &Path, count: usize) -> Self {
        let others = (1..count).map(|index| Layout::new(work.join(format!("opt-ml-{}", index + 1))));
        Self { first: Layout::new(work.join("opt-ml")), others: others.collect() }
    }

    /// The folder of the first host, where all results come together.
    pub fn first(&self) -> &Layout {
        &self.first
    }

    /// The names of all.
    pub fn names(&self) -> Vec<String> {
        (0..=self.others.len()).map(name).collect()
    }

    /// Every host.
    pub fn each(&self) -> impl Iterator<Item = Host<'_>> {
        let of = self.others.len() + 1;
        let layouts = std::iter::once(&self.first).chain(&self.others);
        layouts.enumerate().map(move |(index, layout)| Host { index, of, layout })
    }

    /// What a host says about itself in the file that `place` names: the first that says anything.
    pub fn message(&self, place: impl Fn(&Layout) -> PathBuf) -> Option<String> {
        self.each().find_map(|host| read_message(&place(host.layout), FAILURE_REASON_CHARS))
    }

    /// Moves the plain files of a folder of the other hosts into that of the first, which keeps what it
    /// has under the same name.
    pub fn gather(&self, place: impl Fn(&Layout) -> PathBuf) -> io::Result<()> {
        let target = place(&self.first);
        for layout in &self.others {
            for (path, name) in plain_files(&place(layout))? {
                // A part of the path that is no folder of the first host's, a link among others, is that host's choice.
                let Some(folder) = folder_for(&target, &name)? else { continue };
                let moved = folder.join(path.file_name().unwrap_or_default());
                if moved.symlink_metadata().is_err() {
                    fs::rename(&path, &moved)?;
                }
            }
        }
        Ok(())
    }
}

/// The folder below `target` that a file of this relative name lies in, made where it is not there; `None`
/// where something else has its place.
fn folder_for(target: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    fs::create_dir_all(target)?;
    let mut folder = target.to_path_buf();
    let parts: Vec<&str> = name.split('/').collect();
    for part in &parts[..parts.len() - 1] {
        folder.push(part);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        if !is_folder(&folder) {
            return Ok(None);
        }
    }
    Ok(is_folder(target).then_some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_made_comes_together_and_the_first_wins() -> io::Result<()> {
        let work = tempfile::tempdir()?;
        let hosts = Hosts::new(work.path(), 2);
        assert_eq!(hosts.names(), ["algo-1", "algo-2"]);
        for host in hosts.each() {
            fs::create_dir_all(host.layout.model().join("part"))?;
            fs::write(host.layout.model().join("part/common"), host.name())?;
            fs::write(host.layout.model().join("part").join(host.name()), "")?;
        }
        hosts.gather(Layout::model)?;
        let names: Vec<String> =
            plain_files(&hosts.first().model())?.into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["part/algo-1", "part/algo-2", "part/common"]);
        assert_eq!(fs::read_to_string(hosts.first().model().join("part/common"))?, "algo-1");
        Ok(())
    }

    #[test]
    fn nothing_is_moved_through_a_link() -> io::Result<()> {
        let (work, outside) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let hosts = Hosts::new(work.path(), 2);
        for host in hosts.each() {
            fs::create_dir_all(host.layout.model())?;
        }
        std::os::unix::fs::symlink(outside.path(), hosts.first().model().join("part"))?;
        let second = hosts.others[0].model();
        fs::create_dir(second.join("part"))?;
        fs::write(second.join("part/file"), "x")?;
        hosts.gather(Layout::model)?;
        assert_eq!(fs::read_dir(outside.path())?.count(), 0);
        Ok(())
    }
}
