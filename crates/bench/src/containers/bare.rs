//! The least that a launch can be: cgroups made, one clone with the namespaces, one exec, one wait, cgroups removed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use linux::{Cgroup, Namespaces, Spawn};
use rustix::event::{PollFd, PollFlags, poll};

/// Launches without any runtime.
pub(crate) struct Bare {
    /// The cgroup of each hierarchy that containers of ours join too.
    parents: Vec<PathBuf>,
    namespaces: Namespaces,
    /// A static program that reads its standard input and ends: it must not be over before it is in its cgroups.
    program: PathBuf,
    null: File,
    cpuset: [(&'static str, String); 2],
}

impl Bare {
    pub(crate) fn new(parents: Vec<PathBuf>, namespaces: Namespaces, program: &Path) -> io::Result<Self> {
        let mut cpuset = [("cpuset.cpus", String::new()), ("cpuset.mems", String::new())];
        for parent in &parents {
            fs::create_dir_all(parent)?;
            for (file, value) in &mut cpuset {
                let Ok(all) = fs::read_to_string(parent.with_file_name(*file)) else { continue };
                all.trim().clone_into(value);
                fs::write(parent.join(*file), all.trim())?;
            }
        }
        let null = File::options().read(true).write(true).open("/dev/null")?;
        Ok(Self { parents, namespaces, program: program.to_owned(), null, cpuset })
    }

    pub(crate) fn launch(&self, id: &str) -> io::Result<()> {
        let cgroups: Vec<_> = self.parents.iter().map(|parent| Cgroup::at(parent.join(id))).collect();
        for cgroup in &cgroups {
            fs::create_dir(cgroup.path())?;
            // Nobody may join a cgroup of the cpuset controller that has no cpus and no memory.
            if cgroup.path().join("cpuset.cpus").exists() {
                for (file, value) in &self.cpuset {
                    cgroup.write(file, value)?;
                }
            }
        }
        let (stdin, word) = io::pipe()?;
        let argv = ["cat"].map(OsString::from);
        let spawned = Spawn {
            program: &self.program,
            argv: &argv,
            stdio: [stdin.as_fd(), self.null.as_fd(), self.null.as_fd()],
            namespaces: self.namespaces,
        }
        .start()?;
        for cgroup in &cgroups {
            cgroup.attach(spawned.pid)?;
        }
        drop(word);
        poll(&mut [PollFd::new(&spawned.pidfd, PollFlags::IN)], None)?;
        let status = linux::status_of(spawned.pidfd.as_fd())?;
        for cgroup in &cgroups {
            fs::remove_dir(cgroup.path())?;
        }
        if status == Some(0) { Ok(()) } else { Err(io::Error::other(format!("ended with {status:?}"))) }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        for parent in &self.parents {
            // What is still in use tells of a launch that failed, and that has been told.
            let _ = fs::remove_dir(parent);
        }
    }
}
