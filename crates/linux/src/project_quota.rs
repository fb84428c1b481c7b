//! Project quotas of XFS: which project files belong to, and what each project may take of its file system.
//!
//! By `quotactl_fd` (Linux 5.14), which needs no device's name.
#![expect(unsafe_code, reason = "neither these ioctls nor quotactl_fd have a safe form")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};

/// `struct fsxattr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// `struct fs_disk_quota`; blocks are of 512 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct DiskQuota {
    version: i8,
    kind: i8,
    fields: u16,
    id: u32,
    hard_blocks: u64,
    soft_blocks: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    used_blocks: u64,
    used_inodes: u64,
    rest: [u64; 7],
}

const GET_ATTRIBUTES: libc::Ioctl = 0x801c_581f_u32 as libc::Ioctl;
const SET_ATTRIBUTES: libc::Ioctl = 0x401c_5820;
const INHERIT: u32 = 0x200;
const PROJECTS: u32 = 2;
const QUOTA_ON: u32 = 0x5801;
const GET_QUOTA: u32 = 0x5803;
const SET_LIMITS: u32 = 0x5804;
const GET_STATE: u32 = 0x5808;
const SOFT_AND_HARD: u16 = 0b1100;
/// Projects are counted, and their limits enforced.
const STATE_PROJECTS: u32 = 0b11_0000;
const XFS_MAGIC: i64 = 0x5846_5342;
const BLOCK: u64 = 512;
/// How deep a directory may be whose files are moved to a project.
const DEPTH_MAX: usize = 200;

/// What a project takes, and may take, in bytes. A limit of zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProjectUsage {
    /// What it may take for a while.
    pub soft: u64,
    /// What it may never exceed.
    pub hard: u64,
    /// What it takes.
    pub used: u64,
}

/// The project quotas of one file system.
#[derive(Debug)]
pub struct ProjectQuotas(File);

impl ProjectQuotas {
    /// Those of the file system that a directory is on; None if that is no XFS.
    pub fn open(directory: &Path) -> io::Result<Option<Self>> {
        let file = File::open(directory)?;
        let is_xfs = rustix::fs::fstatfs(&file)?.f_type == XFS_MAGIC;
        Ok(is_xfs.then_some(Self(file)))
    }

    /// Has limits enforced, where projects are counted since the mount.
    pub fn enable(&self) -> io::Result<()> {
        let mut flags = STATE_PROJECTS;
        match self.control(QUOTA_ON, 0, 0, &mut flags) {
            // They are already.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            outcome => outcome,
        }
    }

    /// Whether projects are counted.
    pub fn are_enabled(&self) -> io::Result<bool> {
        // `struct fs_quota_statv` is 160 bytes; it begins with its version, and has its flags in the third and fourth.
        let mut state = [0_u16; 96];
        state[0] = u16::from_ne_bytes([1, 0]);
        match self.control(GET_STATE, 0, 0, &mut state) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(false),
            Err(error) => Err(error),
            Ok(()) => Ok(u32::from(state[1]) & STATE_PROJECTS != 0),
        }
    }

    /// What a project takes. None if it has neither files nor limits.
    pub fn usage(&self, project: u32) -> io::Result<Option<ProjectUsage>> {
        let mut quota = DiskQuota { version: 1, kind: 2, id: project, ..DiskQuota::default() };
        match self.control(GET_QUOTA, PROJECTS, project, &mut quota) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
            Ok(()) if quota.hard_blocks == 0 && quota.used_blocks == 0 => Ok(None),
            Ok(()) => Ok(Some(ProjectUsage {
                soft: quota.soft_blocks.saturating_mul(BLOCK),
                hard: quota.hard_blocks.saturating_mul(BLOCK),
                used: quota.used_blocks.saturating_mul(BLOCK),
            })),
        }
    }

    /// Limits a project, in bytes. Zeros take its limits away.
    pub fn limit(&self, project: u32, soft: u64, hard: u64) -> io::Result<()> {
        let mut quota = DiskQuota {
            version: 1,
            kind: 2,
            fields: SOFT_AND_HARD,
            id: project,
            hard_blocks: hard / BLOCK,
            soft_blocks: soft / BLOCK,
            ..DiskQuota::default()
        };
        self.control(SET_LIMITS, PROJECTS, project, &mut quota)
    }

    /// `data` is what the command reads or writes.
    fn control<T>(&self, command: u32, kind: u32, id: u32, data: &mut T) -> io::Result<()> {
        // SAFETY: the descriptor is open, and each command's structure is no longer than what its one caller gives,
        // which outlives the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_quotactl_fd,
                self.0.as_raw_fd(),
                (command << 8) | kind,
                id,
                std::ptr::from_mut(data),
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

fn attributes(file: BorrowedFd<'_>) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: the descriptor is open, and the structure is the one that this request fills.
    let result =
        unsafe { libc::ioctl(file.as_raw_fd(), GET_ATTRIBUTES, std::ptr::from_mut(&mut attributes)) };
    if result == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

fn set_project(file: BorrowedFd<'_>, project: u32) -> io::Result<()> {
    let mut attributes = attributes(file)?;
    attributes.project = project;
    attributes.flags |= INHERIT;
    // SAFETY: the descriptor is open, and the structure is the one that this request reads.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), SET_ATTRIBUTES, std::ptr::from_ref(&attributes)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The project of a directory; None if that is nobody's.
pub fn project_of(directory: &Path) -> io::Result<Option<u32>> {
    let project = attributes(open(CWD, directory, OFlags::DIRECTORY)?.as_fd())?.project;
    Ok(Some(project).filter(|project| *project != 0))
}

/// Moves a directory and the files below to a project, to which new ones will belong. Neither links nor other file
/// systems are followed, whatever is renamed meanwhile.
pub fn assign_project(directory: &Path, project: u32) -> io::Result<()> {
    let top = open(CWD, directory, OFlags::DIRECTORY)?;
    let device = fstat(&top)?.st_dev;
    assign(top, project, device, DEPTH_MAX)
}

fn assign(file: OwnedFd, project: u32, device: u64, depth: usize) -> io::Result<()> {
    let stat = fstat(&file)?;
    if stat.st_dev != device {
        return Ok(());
    }
    set_project(file.as_fd(), project)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or_else(|| io::Error::other("the directories are too deep"))?;
    for entry in Dir::read_from(&file)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_file = matches!(entry.file_type(), FileType::Directory | FileType::RegularFile);
        if !is_file || matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match open(file.as_fd(), name, OFlags::NONBLOCK) {
            Ok(below) => assign(below, project, device, depth)?,
            // It was removed, or made a link.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ELOOP)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn open(at: BorrowedFd<'_>, path: impl rustix::path::Arg, more: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    Ok(openat(at, path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_the_kernels() {
        assert_eq!(size_of::<Attributes>(), 28);
        assert_eq!(size_of::<DiskQuota>(), 112);
    }

    #[test]
    fn what_is_no_xfs_has_no_projects() {
        // No kernel has XFS at /proc.
        assert!(ProjectQuotas::open(Path::new("/proc")).unwrap().is_none());
        assert!(ProjectQuotas::open(Path::new("/no/such")).is_err());
        assert!(project_of(Path::new("/proc")).is_err());
        assert!(assign_project(Path::new("/proc/self/exe"), 5000).is_err());
    }
}
