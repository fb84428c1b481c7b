//! Mounts within the mount namespace of this process.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
};

/// A new file system to be mounted. Set-user-id programs on it are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountRequest {
    /// Its type, such as `proc`.
    pub kind: String,
    /// Where.
    pub target: PathBuf,
    /// Its options, such as `mode=1777`.
    pub options: String,
    /// Whether programs on it can be run.
    pub exec: bool,
    /// Whether devices on it can be used.
    pub devices: bool,
    /// Whether nothing on it can be changed.
    pub read_only: bool,
}

/// Lets mounts of the machine come in, and none of this namespace get out.
pub fn receive_only() -> io::Result<()> {
    Ok(mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?)
}

/// Makes one mount.
pub fn apply(request: &MountRequest) -> io::Result<()> {
    let MountRequest { kind, target, options, exec, devices, read_only } = request;
    let options = CString::new(options.as_str())?;
    let mut flags = MountFlags::NOSUID;
    flags.set(MountFlags::NOEXEC, !exec);
    flags.set(MountFlags::NODEV, !devices);
    flags.set(MountFlags::RDONLY, *read_only);
    Ok(mount(kind.as_str(), target, kind.as_str(), flags, options.as_c_str())?)
}

/// The path of what a descriptor is of, whatever its names have become since: as long as the descriptor is open. It
/// needs a mounted `/proc`.
#[must_use]
pub fn by_descriptor(descriptor: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

/// Shows `source` at `target`, too, with what is mounted below it where that is wanted.
pub fn bind(source: &Path, target: &Path, recursive: bool) -> io::Result<()> {
    match recursive {
        true => mount_bind_recursive(source, target)?,
        false => mount_bind(source, target)?,
    }
    Ok(())
}

/// Mounts layers on each other. `links` is a directory of symbolic links `0`, `1` and so on, the lowest first, one to
/// each layer; beside it are `upperdir`, which takes the changes, and `workdir`.
///
/// All that the kernel is told must fit into a page, which the paths of the layers would not; so they are named
/// from where the links are. The working directory is `/` afterwards.
pub fn overlay(links: &Path, layers: usize, target: &Path) -> io::Result<()> {
    // ORDER: the target may be relative to this one.
    let target = std::path::absolute(target)?;
    std::env::set_current_dir(links)?;
    let lower: Vec<String> = (0..layers).rev().map(|layer| layer.to_string()).collect();
    let options = format!("lowerdir={},upperdir=../upperdir,workdir=../workdir", lower.join(":"));
    let options = CString::new(options)?;
    let mounted = mount("overlay", target.as_path(), "overlay", MountFlags::empty(), options.as_c_str());
    std::env::set_current_dir("/")?;
    Ok(mounted?)
}
