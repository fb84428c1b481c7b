//! Where a container's standard output and error go: to files of its sandbox, where nothing else is wanted.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{Gid, OFlags, Uid, fchown};

use crate::users::Account;

/// Both files, open for appending, or what stands in their place: pipes, a terminal.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) stdout: File,
    pub(crate) stderr: File,
}

impl Outputs {
    /// Opens them in the sandbox, made anew or to be continued, and gives them to `owner`.
    pub(crate) fn open(sandbox: &Path, owner: Option<&Account>) -> io::Result<Self> {
        Ok(Self {
            stdout: open(&sandbox.join("stdout"), owner)?,
            stderr: open(&sandbox.join("stderr"), owner)?,
        })
    }
}

fn open(path: &Path, owner: Option<&Account>) -> io::Result<File> {
    // A link that somebody put there would have root write, and give away, some other file.
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).expect("the flag is a small number");
    let file = OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(flags).open(path)?;
    if let Some(owner) = owner {
        fchown(&file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    }
    Ok(file)
}
