//! One cgroup: a directory of a hierarchy, with what can be done to it and to its processes.
//!
//! Killing works on the whole subtree and against a fork bomb: version 1 freezes first, so that nobody forks while the
//! kills are sent; version 2 has `cgroup.kill`. Only the freezer's hierarchy is a list of processes that can be stopped,
//! so on version 1 a container is killed there and its other cgroups are empty afterwards.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use thiserror::Error;

/// How long a freezer may take before the kills are sent all the same: a process in the middle of a system call that
/// cannot be interrupted keeps it from settling.
const FREEZE_PATIENCE: Duration = Duration::from_millis(100);

/// The longest wait between two looks at a cgroup that is not empty yet.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// More than most files of a cgroup hold.
const READ_BYTES: usize = 4096;

/// How many levels of cgroups below one are looked at. A container may make its own.
const DEPTH_MAX: usize = 32;

/// A cgroup, which need not exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cgroup {
    path: PathBuf,
}

/// Why a cgroup is still there.
#[derive(Debug, Error)]
pub enum DestroyError {
    /// Some processes do not die: they wait in the kernel for something that does not come.
    #[error("{} processes of '{}' are still alive after {patience:?}, the first of them {}", pids.len(), path.display(), pids[0])]
    Alive {
        /// The cgroup.
        path: PathBuf,
        /// Who.
        pids: Vec<u32>,
        /// How long was waited.
        patience: Duration,
    },
    /// The kernel refused something.
    #[error("'{}': {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Cgroup {
    /// The cgroup whose directory is `path`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is one.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Makes it, with the cgroups above it. One that is there already is an error of the kind `AlreadyExists`.
    pub fn create(&self) -> io::Result<()> {
        let make = || DirBuilder::new().mode(0o755).create(&self.path);
        match (make(), self.path.parent()) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
                make()
            }
            (made, _) => made,
        }
    }

    /// Reads one of its files.
    pub fn read(&self, file: &str) -> io::Result<String> {
        let mut file = File::open(self.path.join(file))?;
        // Nearly all files fit, and the kernel writes each of them anew for whoever asks how long it is.
        let mut bytes = Vec::with_capacity(READ_BYTES);
        rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes))?;
        if !bytes.is_empty() {
            file.read_to_end(&mut bytes)?;
        }
        String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Opens one of its files to be written. Never makes a file.
    pub fn open(&self, file: &str) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.path.join(file))
    }

    /// Writes one of its files, in one call as the kernel wants it. Never makes a file.
    pub fn write(&self, file: &str, value: &str) -> io::Result<()> {
        self.open(file)?.write_all(value.as_bytes())
    }

    /// Switches controllers on for what is below it, on version 2. Where a cgroup above, short of `top`, does not have
    /// them switched on, that is done first.
    pub fn delegate(&self, controllers: &[&str], top: &Path) -> io::Result<()> {
        let words: Vec<String> = controllers.iter().map(|name| format!("+{name}")).collect();
        let words = words.join(" ");
        self.switch_on(&words, top)
    }

    fn switch_on(&self, words: &str, top: &Path) -> io::Result<()> {
        match self.write("cgroup.subtree_control", words) {
            // The controller is not there, since the cgroup above does not pass it on.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path != top => {
                let above = self.path.parent().filter(|above| above.starts_with(top));
                Self::at(above.ok_or(error)?).switch_on(words, top)?;
                self.write("cgroup.subtree_control", words)
            }
            outcome => outcome,
        }
    }

    /// Moves a process into it, with all its threads.
    pub fn attach(&self, pid: u32) -> io::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// The processes in it, not those below it.
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        Ok(self.read("cgroup.procs")?.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    /// The processes in it and below it.
    pub fn all_processes(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for cgroup in self.subtree()? {
            match cgroup.processes() {
                Ok(found) => pids.extend(found),
                // It went away meanwhile.
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pids)
    }

    /// The cgroups directly below it.
    pub fn children(&self) -> io::Result<Vec<Self>> {
        let mut children = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                children.push(Self::at(entry.path()));
            }
        }
        children.sort();
        Ok(children)
    }

    /// It and all below it, the deepest last.
    fn subtree(&self) -> io::Result<Vec<Self>> {
        let mut found = vec![self.clone()];
        let mut level = vec![self.clone()];
        for _ in 0..DEPTH_MAX {
            let mut next = Vec::new();
            for cgroup in &level {
                match cgroup.children() {
                    Ok(children) => next.extend(children),
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            if next.is_empty() {
                break;
            }
            found.extend(next.iter().cloned());
            level = next;
        }
        Ok(found)
    }

    /// Stops all processes in it and below it where the hierarchy can, without waiting for that. What is destroyed
    /// afterwards has not gone on.
    pub fn stop(&self) {
        // One that cannot be stopped, or is gone, has nothing to be stopped for.
        let _ = self.write("freezer.state", "FROZEN").or_else(|_| self.write("cgroup.freeze", "1"));
    }

    /// Kills everything in it and below it and removes it. One that is not there is destroyed. Blocks until it is gone
    /// or `patience` is over.
    pub fn destroy(&self, patience: Duration) -> Result<(), DestroyError> {
        if self.remove_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + patience;
        self.kill(deadline, patience)?;
        self.remove(deadline)
    }

    /// Removes it if there is nothing in it and nothing below it, which the kernel knows best. True if there is none
    /// any more. Does not wait.
    #[must_use]
    pub fn remove_empty(&self) -> bool {
        fs::remove_dir(&self.path).map_or_else(|error| is_gone(&error), |()| true)
    }

    /// Kills everything in it and below it, again until nothing is left.
    fn kill(&self, deadline: Instant, patience: Duration) -> Result<(), DestroyError> {
        let mut pause = Duration::from_millis(1);
        loop {
            let pids = match self.all_processes() {
                Ok(pids) => pids,
                Err(error) if is_gone(&error) => return Ok(()),
                Err(source) => return Err(self.io(source)),
            };
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(DestroyError::Alive { path: self.path.clone(), pids, patience });
            }
            let killed = self.kill_round().map_err(|source| self.io(source))?;
            wait_for(&killed, deadline);
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Sends the kill to all there are. Returns handles of those that were killed one by one.
    fn kill_round(&self) -> io::Result<Vec<OwnedFd>> {
        match self.write("cgroup.kill", "1") {
            Ok(()) => return Ok(Vec::new()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let frozen = self.freeze();
        let killed = self.all_processes().map(|pids| pids.into_iter().filter_map(kill_one).collect());
        if frozen {
            // ORDER: a frozen process of version 1 dies only when it is thawed.
            match self.write("freezer.state", "THAWED") {
                Err(error) if !is_gone(&error) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        killed
    }

    /// Stops all processes, so that none forks. False where the hierarchy cannot.
    fn freeze(&self) -> bool {
        if self.write("freezer.state", "FROZEN").is_err() {
            return false;
        }
        let deadline = Instant::now() + FREEZE_PATIENCE;
        while self.read("freezer.state").is_ok_and(|state| state.trim() == "FREEZING")
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Removes it and what is below it, once the kernel has let go of the last process.
    fn remove(&self, deadline: Instant) -> Result<(), DestroyError> {
        let mut pause = Duration::from_micros(100);
        loop {
            let Err(error) = self.try_remove() else { return Ok(()) };
            if Errno::from_io_error(&error) != Some(Errno::BUSY) || Instant::now() >= deadline {
                return Err(self.io(error));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn try_remove(&self) -> io::Result<()> {
        let subtree = match self.subtree() {
            Ok(subtree) => subtree,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for cgroup in subtree.iter().rev() {
            match fs::remove_dir(&cgroup.path) {
                Err(error) if !is_gone(&error) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn io(&self, source: io::Error) -> DestroyError {
        DestroyError::Io { path: self.path.clone(), source }
    }
}

/// Whether the error says that the cgroup was removed meanwhile.
fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NODEV))
}

fn kill_one(pid: u32) -> Option<OwnedFd> {
    let handle = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
    // One that ended meanwhile needs no kill.
    pidfd_send_signal(&handle, Signal::KILL).ok().map(|()| handle)
}

/// Waits until all of them have ended, or the deadline, or for a second: whoever is left is killed again.
fn wait_for(killed: &[OwnedFd], deadline: Instant) {
    let deadline = deadline.min(Instant::now() + Duration::from_secs(1));
    for handle in killed {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else { return };
        let mut fds = [PollFd::new(handle, PollFlags::IN)];
        // A wait that fails is made up for by the next look.
        let _ = poll(&mut fds, Some(&timeout));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_destroyed() {
        let directory = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::at(directory.path().join("a/b"));
        assert!(!cgroup.exists());
        cgroup.destroy(Duration::ZERO).unwrap();
    }

    #[test]
    fn files_are_never_made() {
        let directory = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::at(directory.path().join("a/b"));
        cgroup.create().unwrap();
        assert_eq!(cgroup.create().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(cgroup.write("cpu.shares", "2").unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(directory.path().join("a/b/cgroup.procs"), "1\n22\n").unwrap();
        assert_eq!(cgroup.processes().unwrap(), [1, 22]);
        assert_eq!(
            Cgroup::at(directory.path()).children().unwrap(),
            [Cgroup::at(directory.path().join("a"))]
        );
    }
}
