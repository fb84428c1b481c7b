//! Where a container's standard output and error go: to files of its sandbox, or to who launched a session.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tokio::net::unix::pipe;

use rustix::fs::{Gid, OFlags, Uid, fchown};

use crate::users::Account;

/// What a session prints, as it comes.
#[derive(Debug)]
pub struct Output {
    /// Its standard output.
    pub stdout: pipe::Receiver,
    /// Its standard error.
    pub stderr: pipe::Receiver,
}

/// Both files, open for appending, or the writing ends of pipes.
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

impl Outputs {
    /// Pipes, and their other ends.
    pub(crate) fn piped() -> io::Result<(Self, Output)> {
        let (stdout, write_stdout) = io::pipe()?;
        let (stderr, write_stderr) = io::pipe()?;
        let file = |writer: io::PipeWriter| File::from(OwnedFd::from(writer));
        let read = |reader: io::PipeReader| pipe::Receiver::from_owned_fd(reader.into());
        let output = Output { stdout: read(stdout)?, stderr: read(stderr)? };
        Ok((Self { stdout: file(write_stdout), stderr: file(write_stderr) }, output))
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
