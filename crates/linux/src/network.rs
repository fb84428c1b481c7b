//! Network namespaces: kept by a file, told apart, given back; and what a new one needs from within.
#![expect(unsafe_code, reason = "the flags of a network interface are set by an ioctl")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// What the kernel calls the file system of namespaces.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Makes `file` a handle of the network namespace of the process `pid`. The namespace then lives as long as the handle.
pub fn keep_network(pid: u32, file: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(file)?;
    Ok(mount_bind(format!("/proc/{pid}/ns/net"), file)?)
}

/// Whether a file is a handle of a namespace. A file that is not there is none.
pub fn is_namespace(file: &Path) -> io::Result<bool> {
    match rustix::fs::statfs(file) {
        Ok(found) => Ok(u64::try_from(found.f_type).is_ok_and(|kind| kind == NSFS_MAGIC)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Gives back the namespace that `file` is a handle of.
pub fn release_namespace(file: &Path) -> io::Result<()> {
    Ok(unmount(file, UnmountFlags::DETACH)?)
}

/// Makes a directory a mount of its own, whose mounts and unmounts are passed on to the copies that containers have of
/// it: what is unmounted here must not live on there. What is one already stays as it is.
pub fn share_mounts_below(directory: &Path) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    let mounts = crate::mountinfo::parse_mountinfo(&std::fs::read("/proc/self/mountinfo")?);
    match mounts.iter().rfind(|mount| mount.target == directory) {
        Some(mount) if mount.shared => return Ok(()),
        // Somebody died between the two calls.
        Some(_) => {}
        None => mount_bind(&directory, &directory)?,
    }
    // ORDER: private first; a group of its own is what tells it from the mount that it is in.
    mount_change(&directory, MountPropagationFlags::PRIVATE)?;
    Ok(mount_change(&directory, MountPropagationFlags::SHARED)?)
}

/// Brings up the loopback interface of this process's network namespace.
pub fn loopback_up() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all zeroes are a request, with an empty name and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: the request lives across the calls, which read and write no more than one. The flags are the field of the
    // union that the first call fills in.
    unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Names the host in this process's namespace of such names.
pub fn set_host_name(name: &str) -> io::Result<()> {
    Ok(rustix::system::sethostname(name.as_bytes())?)
}
