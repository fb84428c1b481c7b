//! Mounts within the mount namespace of this process.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

/// A new file system to be mounted. Devices and set-user-id programs on it are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRequest {
    /// Its type, such as `proc`.
    pub kind: String,
    /// Where.
    pub target: PathBuf,
    /// Its options, such as `mode=1777`.
    pub options: String,
    /// Whether programs on it can be run.
    pub exec: bool,
}

/// Lets mounts of the machine come in, and none of this namespace get out.
pub fn receive_only() -> io::Result<()> {
    Ok(mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?)
}

/// Makes one mount.
pub fn apply(request: &MountRequest) -> io::Result<()> {
    let MountRequest { kind, target, options, exec } = request;
    let options = CString::new(options.as_str())?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    if !exec {
        flags |= MountFlags::NOEXEC;
    }
    Ok(mount(kind.as_str(), target, kind.as_str(), flags, options.as_c_str())?)
}
