//! Mounts that cannot be written to.
#![expect(unsafe_code, reason = "mount_setattr has no safe form")]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_remount};

/// Makes the mount at `target` one that cannot be written to, with those below it where the kernel can (5.12).
pub fn make_read_only(target: &Path) -> io::Result<()> {
    match set_attribute(target) {
        Err(error) if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) => remount(target),
        done => done,
    }
}

fn set_attribute(target: &Path) -> io::Result<()> {
    let path = CString::new(target.as_os_str().as_bytes())?;
    let attributes =
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the kernel reads a path that ends with a NUL and a structure of the size that it is told, both of which
    // live on until the call is over, and writes nothing.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The old way changes all flags of one mount at once, so the others are given as they are.
fn remount(target: &Path) -> io::Result<()> {
    let has = statvfs(target)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (is, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ] {
        flags.set(flag, has.contains(is));
    }
    Ok(mount_remount(target, flags, "")?)
}
