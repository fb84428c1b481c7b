//! `clone3` with `CLONE_INTO_CGROUP`: a child that begins in a cgroup of version 2.
//!
//! The C library has no form of it that runs a function on a stack of its own, which is what a child in its parent's
//! memory needs: one that returned into its caller would spoil the frame that its parent returns to.
#![expect(unsafe_code, reason = "clone3 has no safe form, and needs a few instructions of its own")]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};

pub(crate) const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The low byte of `clone`'s flags is the signal that the child's end sends.
const SIGNAL_MASK: u64 = 0xff;

/// `struct clone_args` of the kernel.
#[repr(C)]
#[derive(Default)]
pub(crate) struct CloneArgs {
    pub(crate) flags: u64,
    pub(crate) pidfd: u64,
    pub(crate) child_tid: u64,
    pub(crate) parent_tid: u64,
    pub(crate) exit_signal: u64,
    pub(crate) stack: u64,
    pub(crate) stack_size: u64,
    pub(crate) tls: u64,
    pub(crate) set_tid: u64,
    pub(crate) set_tid_size: u64,
    pub(crate) cgroup: u64,
}

/// Clones as `libc::clone` does, with the child in `cgroup`. Returns its pid.
///
/// # Safety
///
/// What `libc::clone` asks for: `stack` is the child's alone while it runs, `child` may do with `argument` what it does,
/// and `pidfd` can be written to.
pub(crate) unsafe fn clone_into(
    cgroup: BorrowedFd<'_>,
    child: extern "C" fn(*mut c_void) -> c_int,
    stack: &mut [MaybeUninit<u128>],
    flags: c_int,
    argument: *mut c_void,
    pidfd: *mut c_int,
) -> io::Result<u32> {
    let flags = u64::from(flags.cast_unsigned());
    let args = CloneArgs {
        flags: (flags & !SIGNAL_MASK) | CLONE_INTO_CGROUP,
        pidfd: pidfd.addr() as u64,
        exit_signal: flags & SIGNAL_MASK,
        stack: stack.as_mut_ptr().expose_provenance() as u64,
        stack_size: size_of_val(stack) as u64,
        cgroup: u64::from(cgroup.as_raw_fd().cast_unsigned()),
        ..CloneArgs::default()
    };
    // SAFETY: as this function's caller promises.
    let result = unsafe { system_call(&args, child, argument) };
    match u32::try_from(result) {
        Ok(pid) => Ok(pid),
        Err(_) => Err(io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EINVAL))),
    }
}

/// # Safety
///
/// See [`clone_into`].
#[cfg(target_arch = "x86_64")]
unsafe fn system_call(
    args: &CloneArgs,
    child: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> i64 {
    let result: i64;
    // SAFETY: the parent only makes a system call, which changes rax, rcx and r11. The child finds all other registers
    // as they were, and a stack of its own whose end is aligned to 16 bytes, calls a function by the C convention, and
    // exits with what that returns; it never gets to the code behind.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, {argument}",
            "call {child}",
            "mov edi, eax",
            "mov eax, {exit}",
            "syscall",
            "ud2",
            "2:",
            child = in(reg) child,
            argument = in(reg) argument,
            exit = const libc::SYS_exit,
            inout("rax") libc::SYS_clone3 => result,
            in("rdi") std::ptr::from_ref(args),
            in("rsi") size_of::<CloneArgs>(),
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

/// # Safety
///
/// See [`clone_into`].
#[cfg(not(target_arch = "x86_64"))]
unsafe fn system_call(_: &CloneArgs, _: extern "C" fn(*mut c_void) -> c_int, _: *mut c_void) -> i64 {
    i64::from(-libc::ENOSYS)
}
