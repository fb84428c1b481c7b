//! Programs of the kernel that are attached to cgroups.
#![expect(unsafe_code, reason = "the system call bpf has no safe form")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::cgroup::Cgroup;
use crate::device_rules::{DeviceRule, Instruction, program};

// Of `linux/bpf.h`.
const BPF_PROG_LOAD: i64 = 5;
const BPF_PROG_ATTACH: i64 = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// The cgroups below may have programs too.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The beginning of `union bpf_attr` for a load. The kernel takes what is missing for zero.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    program: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

/// The beginning of `union bpf_attr` for an attachment.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Lets the processes of a cgroup of version 2, and of those below it, use the devices of these rules alone. The rule
/// lasts as long as the cgroup.
pub fn limit_devices(cgroup: &Cgroup, rules: &[DeviceRule]) -> io::Result<()> {
    let directory = rustix::fs::open(cgroup.path(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let program = load(&program(rules))?;
    attach(directory.as_fd(), program.as_fd())
}

fn load(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let request = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        instructions: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        program: instructions.as_ptr().expose_provenance() as u64,
        license: c"Apache-2.0".as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
    };
    // SAFETY: the request is as long as the call is told, and what it points to outlives the call, which only reads it.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, std::ptr::from_ref(&request), size_of::<Load>())
    };
    let descriptor = i32::try_from(result).ok().filter(|it| *it >= 0);
    let descriptor = descriptor.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn attach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let request = Attach {
        target: cgroup.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the request is as long as the call is told, and points to nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, std::ptr::from_ref(&request), size_of::<Attach>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
