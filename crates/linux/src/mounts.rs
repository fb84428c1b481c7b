//! Mounts within the mount namespace of this process.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change, mount_remount,
};

/// One mount to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountRequest {
    /// A new file system.
    New {
        /// Its type, such as `proc`.
        kind: String,
        /// Where.
        target: PathBuf,
        /// Its options, such as `mode=1777`.
        options: String,
        /// Whether programs on it can be run.
        exec: bool,
    },
    /// A directory or file at another place too, with what is mounted below it.
    Bind {
        /// What.
        source: PathBuf,
        /// Where.
        target: PathBuf,
        /// Whether it can be written there.
        read_only: bool,
    },
}

/// Lets mounts of the machine come in, and none of this namespace get out.
pub fn receive_only() -> io::Result<()> {
    Ok(mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?)
}

/// Makes one mount.
pub fn apply(request: &MountRequest) -> io::Result<()> {
    match request {
        MountRequest::New { kind, target, options, exec } => {
            let options = CString::new(options.as_str())?;
            let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
            if !exec {
                flags |= MountFlags::NOEXEC;
            }
            mount(kind.as_str(), target, kind.as_str(), flags, options.as_c_str())?;
        }
        MountRequest::Bind { source, target, read_only } => {
            mount_bind_recursive(source, target)?;
            if *read_only {
                mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, c"")?;
            }
        }
    }
    Ok(())
}
