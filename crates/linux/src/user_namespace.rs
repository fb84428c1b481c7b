//! User namespaces: users that are others outside, and mounts that know about it.
#![expect(unsafe_code, reason = "fork, unshare and mount_setattr have no safe form")]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::process::{Gid, Pid, Uid, WaitOptions, waitpid};
use rustix::thread::{
    LinkNameSpaceType, UnshareFlags, move_into_link_name_space, set_thread_gid, set_thread_groups,
    set_thread_uid, unshare_unsafe,
};

/// Makes a user namespace whose ids 0 to `count` are those from `first` on here.
///
/// The calling process must have one thread, and a `/proc` that shows it.
pub fn user_namespace(first: u32, count: u32) -> io::Result<OwnedFd> {
    let ((mut told, telling), (waiting, done)) = (io::pipe()?, io::pipe()?);
    // SAFETY: with one thread, as is asked for above, nothing of the child's memory is held by a thread that it lacks.
    let pid = unsafe { libc::fork() };
    match Pid::from_raw(pid) {
        None if pid == 0 => {
            drop((told, done));
            let is_over = be_in_namespace(telling, waiting).is_ok();
            std::process::exit(i32::from(!is_over));
        }
        Some(child) if pid > 0 => {
            drop((telling, waiting));
            let namespace = map(&mut told, first, count);
            // ORDER: the child lives until its namespace was opened.
            drop(done);
            waitpid(Some(child), WaitOptions::empty())?;
            namespace
        }
        None | Some(_) => Err(io::Error::last_os_error()),
    }
}

/// The child: enters a new namespace, says which process it is, and waits until that was looked at.
fn be_in_namespace(mut telling: io::PipeWriter, mut waiting: io::PipeReader) -> io::Result<()> {
    // SAFETY: no descriptor table is unshared, which is what could take descriptors away from code that owns them.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }?;
    // The parent may know it by another number than `/proc` does.
    telling.write_all(fs::read_link("/proc/self")?.as_os_str().as_encoded_bytes())?;
    drop(telling);
    waiting.read_to_end(&mut Vec::new()).map(drop)
}

fn map(told: &mut io::PipeReader, first: u32, count: u32) -> io::Result<OwnedFd> {
    let mut pid = String::new();
    told.read_to_string(&mut pid)?;
    if pid.is_empty() {
        return Err(io::Error::other(
            "no user namespace can be made (see /proc/sys/user/max_user_namespaces)",
        ));
    }
    for file in ["gid_map", "uid_map"] {
        fs::write(format!("/proc/{pid}/{file}"), format!("0 {first} {count}"))?;
    }
    Ok(File::open(format!("/proc/{pid}/ns/user"))?.into())
}

/// Becomes root of a user namespace, with no other group.
///
/// The calling process must have one thread.
pub fn enter_user_namespace(namespace: BorrowedFd<'_>) -> io::Result<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::User))?;
    set_thread_groups(&[])?;
    set_thread_gid(Gid::ROOT)?;
    set_thread_uid(Uid::ROOT)?;
    Ok(())
}

/// `struct mount_attr`.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    namespace: u64,
}

const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// Lets files below a path belong, in this mount namespace, to those users of a user namespace who have on disk the
/// ids that they have within: what belongs to root on disk belongs to the namespace's root. What is mounted below it stays
/// as it is.
pub fn map_ids(path: &Path, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags)?;
    let descriptor = u64::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
    let attributes = Attributes { set: MOUNT_ATTR_IDMAP, clear: 0, propagation: 0, namespace: descriptor };
    // SAFETY: the path and the attributes live until the call is over, which only reads them; their size is told.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(move_mount(tree.as_fd(), "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}
