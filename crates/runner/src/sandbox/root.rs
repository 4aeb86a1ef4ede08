//! The root that a sandboxed program sees: a new tree of mounts, and the old one gone.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix_namespaces::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix_namespaces::process::{chdir, pivot_root};

use super::mounts::bind;
use super::{Sandbox, SandboxError};

/// Folders of the machine that are programs, libraries and their configuration. What is not named here
/// is not there: homes, `/var`, `/run` with its sockets, `/srv`, `/mnt` and whatever else holds data.
const SYSTEM: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "nix", "gnu"];

/// Devices that every program may count on.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Beginnings of the names of accelerators' devices.
const ACCELERATORS: &[&str] = &["nvidia", "dri", "kfd", "neuron", "accel"];

/// Builds the root and enters it. To be called in a mount namespace of its own, by process 1 of its
/// process namespace. Afterwards `/` is the new root and nothing of the old one can be reached.
pub fn enter(sandbox: &Sandbox) -> Result<(), SandboxError> {
    // Nothing mounted here shall be seen outside.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).map_err(forbidden)?;
    let root = sandbox.scratch.join("root");
    fs::create_dir_all(&root).map_err(SandboxError::step("the folder of the root"))?;
    file_system("tmpfs", &root, "mode=755,size=1m,nr_inodes=65536").map_err(forbidden)?;
    let root = fs::canonicalize(&root).map_err(SandboxError::step("the folder of the root"))?;
    system(&root).map_err(SandboxError::step("the system folders"))?;
    opt(&root, sandbox).map_err(SandboxError::step("/opt"))?;
    devices(&root).map_err(SandboxError::step("/dev"))?;
    kernel(&root, sandbox.isolated)?;
    show_own_folders(&root, sandbox).map_err(SandboxError::step("/tmp and the home folder"))?;
    names(&root, sandbox).map_err(SandboxError::step("/etc/hosts and /etc/resolv.conf"))?;
    // Last: a data folder of the server inside a system folder is emptied before parts of it are shown.
    for folder in &sandbox.hidden {
        let place = inside(&root, folder);
        if place.is_dir() {
            file_system("tmpfs", &place, "mode=755,size=1m")
                .map_err(SandboxError::step(format!("hiding {}", folder.display())))?;
        }
    }
    let shown = sandbox.readable.iter().map(|path| (path, true));
    for (path, read_only) in shown.chain(sandbox.writable.iter().map(|path| (path, false))) {
        if !(read_only && is_shown(sandbox, path)) {
            bind(path, &inside(&root, path), read_only)
                .map_err(SandboxError::step(format!("showing {}", path.display())))?;
        }
    }
    change_root(&root).map_err(SandboxError::step("changing the root"))
}

/// Whether a path is seen without being shown by itself.
fn is_shown(sandbox: &Sandbox, path: &Path) -> bool {
    let system = SYSTEM.iter().map(|name| Path::new("/").join(name));
    let shown = system.chain([PathBuf::from("/opt")]).any(|folder| path.starts_with(folder));
    shown && !sandbox.hidden.iter().any(|folder| path.starts_with(folder))
}

fn forbidden(error: rustix_namespaces::io::Errno) -> SandboxError {
    SandboxError::Forbidden(error.to_string())
}

/// The place under the new root of an absolute path.
fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn file_system(kind: &str, place: &Path, options: &str) -> Result<(), rustix_namespaces::io::Errno> {
    mount(kind, place, kind, MountFlags::NOSUID | MountFlags::NODEV, options)
}

fn system(root: &Path) -> io::Result<()> {
    for name in SYSTEM {
        let source = Path::new("/").join(name);
        match fs::symlink_metadata(&source) {
            // `/bin` is a link to `usr/bin` on most machines.
            Ok(found) if found.is_symlink() => symlink(fs::read_link(&source)?, root.join(name))?,
            Ok(found) if found.is_dir() => bind(&source, &root.join(name), true)?,
            _ => {}
        }
    }
    Ok(())
}

/// `/opt` with the machine's entries and the job's folder, which need not be on the machine.
fn opt(root: &Path, sandbox: &Sandbox) -> io::Result<()> {
    let opt = root.join("opt");
    fs::create_dir_all(&opt)?;
    for entry in fs::read_dir("/opt").into_iter().flatten().flatten() {
        let target = opt.join(entry.file_name());
        match entry.file_type()? {
            _ if entry.file_name() == "ml" => {}
            kind if kind.is_dir() => bind(&entry.path(), &target, true)?,
            kind if kind.is_symlink() => symlink(fs::read_link(entry.path())?, &target)?,
            _ => {}
        }
    }
    if let Some(ml) = &sandbox.ml {
        bind(ml, &opt.join("ml"), sandbox.ml_read_only)?;
    }
    sandbox.binds.iter().try_for_each(|part| bind(&part.folder, &inside(root, &part.target), part.read_only))
}

fn devices(root: &Path) -> io::Result<()> {
    let dev = root.join("dev");
    fs::create_dir_all(&dev)?;
    mount("tmpfs", &dev, "tmpfs", MountFlags::NOSUID, "mode=755,size=1m")?;
    for name in DEVICES {
        let source = Path::new("/dev").join(name);
        if source.exists() {
            bind(&source, &dev.join(name), false)?;
        }
    }
    for entry in fs::read_dir("/dev")?.flatten() {
        let name = entry.file_name();
        if ACCELERATORS.iter().any(|known| name.to_string_lossy().starts_with(known)) {
            bind(&entry.path(), &dev.join(name), false)?;
        }
    }
    // Workers of data loaders pass tensors through it; the kernel's default ceiling is half the memory.
    fs::create_dir_all(dev.join("shm"))?;
    file_system("tmpfs", &dev.join("shm"), "mode=1777")?;
    for (name, target) in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
    {
        symlink(target, dev.join(name))?;
    }
    Ok(())
}

/// `/proc` of the own processes and `/sys`.
fn kernel(root: &Path, isolated: bool) -> Result<(), SandboxError> {
    let (proc, sys) = (root.join("proc"), root.join("sys"));
    for folder in [&proc, &sys] {
        fs::create_dir_all(folder).map_err(SandboxError::step("/proc and /sys"))?;
    }
    if isolated {
        raise_loopback(&sys);
    }
    bind(Path::new("/sys"), &sys, true).map_err(SandboxError::step("/sys"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", &proc, "proc", flags, "").map_err(forbidden)
}

/// Switches the loopback interface of a new network namespace on: by the flags that sysfs shows, which
/// only root may write, or else by `ip`. Without either the program has no network at all, which isolates
/// it as well.
fn raise_loopback(place: &Path) {
    let mut up = false;
    if file_system("sysfs", place, "").is_ok() {
        // IFF_UP and IFF_LOOPBACK.
        up = fs::write(place.join("class/net/lo/flags"), "0x9").is_ok();
        let _ = unmount(place, UnmountFlags::DETACH);
    }
    if !up {
        for ip in ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"] {
            let raised = std::process::Command::new(ip).args(["link", "set", "lo", "up"]).status();
            if raised.is_ok_and(|status| status.success()) {
                break;
            }
        }
    }
}

/// The folders that the program has for itself, with their names below `/` inside.
pub fn own_folders(sandbox: &Sandbox) -> [(PathBuf, &'static str); 2] {
    [(sandbox.scratch.join("tmp"), "tmp"), (sandbox.scratch.join("home"), "root")]
}

/// Makes the folders that the program has for itself, on this side.
pub fn make_own_folders(sandbox: &Sandbox) -> io::Result<()> {
    for (folder, _) in own_folders(sandbox) {
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777))?;
    }
    Ok(())
}

fn show_own_folders(root: &Path, sandbox: &Sandbox) -> io::Result<()> {
    for (folder, name) in own_folders(sandbox) {
        bind(&folder, &root.join(name), false)?;
    }
    for name in ["home", "run", "var"] {
        fs::create_dir_all(root.join(name))?;
    }
    symlink("/tmp", root.join("var/tmp"))
}

/// Private `/etc/hosts`, and the resolver's settings where `/etc` only has a link to them.
fn names(root: &Path, sandbox: &Sandbox) -> io::Result<()> {
    let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
    for (name, address) in &sandbox.hosts {
        hosts.push_str(&format!("{address} {name}\n"));
    }
    if !sandbox.hosts.iter().any(|(name, _)| *name == sandbox.host_name) {
        hosts.push_str(&format!("127.0.0.1 {}\n", sandbox.host_name));
    }
    let file = sandbox.scratch.join("hosts");
    fs::write(&file, hosts)?;
    if root.join("etc/hosts").is_file() {
        bind(&file, &root.join("etc/hosts"), true)?;
    }
    let resolver = Path::new("/etc/resolv.conf");
    let is_link = fs::symlink_metadata(resolver).is_ok_and(|found| found.is_symlink());
    match fs::canonicalize(resolver) {
        Ok(real) if is_link && !inside(root, &real).exists() => bind(&real, &inside(root, &real), true),
        _ => Ok(()),
    }
}

/// The new root becomes `/`, read-only apart from what was mounted writable; the old one goes.
fn change_root(root: &Path) -> io::Result<()> {
    chdir(root)?;
    // Both in one place: the old root comes to lie over the new one and is taken off at once.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount_remount("/", flags, "")?)
}
