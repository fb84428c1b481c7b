//! A file that takes what a container prints, and makes room when it is full: `stdout` becomes `stdout.1`, and so on.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};

/// How much a full file may be, and how many older ones stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes of one file.
    pub bytes_max: u64,
    /// Older files beside the one that is written.
    pub keep: u32,
}

/// What is written at once at most: the smallest size that a file may be held to.
pub(crate) const PIECE_BYTES: usize = 4096;

/// One such file.
#[derive(Debug)]
pub(crate) struct LogFile {
    directory: Arc<OwnedFd>,
    name: &'static str,
    rotation: Option<Rotation>,
    file: Option<File>,
    written: u64,
}

impl LogFile {
    /// A file of that name in the directory, which is made when there is something to write.
    pub(crate) fn new(directory: Arc<OwnedFd>, name: &'static str, rotation: Option<Rotation>) -> Self {
        Self { directory, name, rotation, file: None, written: 0 }
    }

    /// Writes. What the disk does not take is lost: the container must not wait for it.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE_BYTES) {
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if self.rotation.is_some_and(|rotation| self.size() + length > rotation.bytes_max) {
                self.rotate();
            }
            if let Ok(file) = self.open() {
                // Nobody is there to be told.
                let _ = file.write_all(piece);
                self.written += length;
            }
        }
    }

    /// How much the file holds.
    fn size(&mut self) -> u64 {
        // It is not made for this.
        if self.file.is_some() || self.open().is_ok() { self.written } else { 0 }
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            // A link that somebody put there would lead elsewhere.
            let flags = OFlags::WRONLY
                | OFlags::CREATE
                | OFlags::APPEND
                | OFlags::CLOEXEC
                | OFlags::NOFOLLOW
                | OFlags::NONBLOCK;
            let file = File::from(openat(&*self.directory, self.name, flags, Mode::from_raw_mode(0o644))?);
            self.written = file.metadata()?.len();
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Puts the file away. One that cannot be goes on growing.
    fn rotate(&mut self) {
        self.file = None;
        self.written = 0;
        let keep = self.rotation.map_or(0, |rotation| rotation.keep);
        if keep == 0 {
            let _ = unlinkat(&*self.directory, self.name, AtFlags::empty());
            return;
        }
        let older = |number: u32| match number {
            0 => self.name.to_owned(),
            number => format!("{}.{number}", self.name),
        };
        for number in (0..keep).rev() {
            // There may be fewer yet.
            let _ = renameat(&*self.directory, older(number), &*self.directory, older(number + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rustix::fs::open;

    use super::*;

    fn log(directory: &Path, rotation: Option<Rotation>) -> LogFile {
        let directory = open(directory, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        LogFile::new(Arc::new(directory), "stdout", rotation)
    }

    fn sizes(directory: &Path) -> Vec<(String, u64)> {
        let entries = fs::read_dir(directory).unwrap().flatten();
        let mut sizes: Vec<_> = entries
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
            .collect();
        sizes.sort();
        sizes
    }

    fn check(rotation: Option<Rotation>, expected: &[(&str, u64)]) {
        let directory = tempfile::tempdir().unwrap();
        let mut written = log(directory.path(), rotation);
        for _ in 0..5 {
            written.write(&[b'x'; 4000]);
        }
        let expected: Vec<_> = expected.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
        assert_eq!(sizes(directory.path()), expected);
    }

    #[test]
    fn full_files_are_put_away() {
        check(None, &[("stdout", 20_000)]);
        check(Some(Rotation { bytes_max: 8192, keep: 0 }), &[("stdout", 4000)]);
        check(Some(Rotation { bytes_max: 8192, keep: 1 }), &[("stdout", 4000), ("stdout.1", 8000)]);
        let three = [("stdout", 4000), ("stdout.1", 8000), ("stdout.2", 8000)];
        check(Some(Rotation { bytes_max: 8192, keep: 9 }), &three);
    }

    #[test]
    fn a_flood_in_one_piece_is_held_to_the_size() {
        let directory = tempfile::tempdir().unwrap();
        let rotation = Some(Rotation { bytes_max: 4096, keep: 1 });
        log(directory.path(), rotation).write(&[b'x'; 100_000]);
        assert!(sizes(directory.path()).iter().all(|(_, size)| *size <= 4096));
        // One that comes later counts what is there.
        log(directory.path(), rotation).write(&[b'y'; 4000]);
        assert!(sizes(directory.path()).iter().all(|(_, size)| *size <= 4096));
        // A link is not followed.
        let elsewhere = directory.path().join("elsewhere");
        fs::write(&elsewhere, "kept").unwrap();
        fs::remove_file(directory.path().join("stdout")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, directory.path().join("stdout")).unwrap();
        log(directory.path(), None).write(b"lost");
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "kept");
    }
}
