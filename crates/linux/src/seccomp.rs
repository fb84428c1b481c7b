//! Programs that answer each system call of this process, from now on and of all that it becomes or starts.
#![expect(unsafe_code, reason = "loading such a program has no safe form")]

use std::io;

/// One instruction: `struct sock_filter`.
pub use libc::sock_filter as SeccompInstruction;

/// Whether the kernel takes such programs.
#[must_use]
pub fn seccomp_is_supported() -> bool {
    // SAFETY: with no program to read, this fails whatever happens: by EFAULT where it would be read.
    let failed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, 0, 0, 0) };
    failed == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

/// Has a program answer this thread's calls. The thread needs `CAP_SYS_ADMIN`, or to have given up new privileges.
pub fn load_seccomp(program: &mut [SeccompInstruction]) -> io::Result<()> {
    let len = libc::c_ushort::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: `program` and the instructions it points to live until the call is over, which only reads them.
    let outcome =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_answer_calls_of_their_thread() {
        assert!(seccomp_is_supported());
        let instruction = |code, k| SeccompInstruction { code, jt: 0, jf: 0, k };
        std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            assert!(load_seccomp(&mut []).is_err());
            // Loads the number; `getppid` fails by EXDEV, all else is allowed.
            let number = u32::try_from(libc::SYS_getppid).unwrap();
            let mut program = [
                instruction(0x20, 0),
                SeccompInstruction { jt: 0, jf: 1, ..instruction(0x15, number) },
                instruction(0x06, 0x0005_0000 | 18),
                instruction(0x06, 0x7fff_0000),
            ];
            load_seccomp(&mut program).unwrap();
            // SAFETY: the call takes nothing and cannot fail but by the program.
            let parent = unsafe { libc::syscall(libc::SYS_getppid) };
            assert_eq!((parent, io::Error::last_os_error().raw_os_error()), (-1, Some(18)));
        })
        .join()
        .unwrap();
        assert!(rustix::process::getppid().is_some());
    }
}
