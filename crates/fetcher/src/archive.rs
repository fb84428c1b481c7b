//! Taking archives apart: tar in four compressions, zip, and single gzip files.
//!
//! Everything is written through a [`Jail`], so that no archive reaches outside the sandbox. Devices, pipes and
//! unknown kinds of entries are refused, and what an archive may grow to is bounded by [`Limits`].

use crate::jail::{Inside, Jail};
use crate::pump::{Bounds, pump};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What downloads and archives may grow to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of one download.
    pub download_bytes_max: u64,
    /// The most bytes that one archive may unpack to.
    pub extracted_bytes_max: u64,
    /// How many times its own size an archive may unpack to...
    pub extracted_ratio_max: u64,
    /// ...beyond this many bytes, which any archive may.
    pub extracted_bytes_free: u64,
    /// The most entries of one archive.
    pub entries_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const GB: u64 = 1 << 30;
        Self {
            download_bytes_max: 1024 * GB,
            extracted_bytes_max: 1024 * GB,
            extracted_ratio_max: 200,
            extracted_bytes_free: 4 * GB,
            entries_max: 2_000_000,
        }
    }
}

impl Limits {
    fn extracted(&self, archive_bytes: u64) -> u64 {
        let by_ratio = archive_bytes.saturating_mul(self.extracted_ratio_max).max(self.extracted_bytes_free);
        by_ratio.min(self.extracted_bytes_max)
    }
}

/// The kinds of files that are taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tar,
    Zip,
    Gzip,
}

/// The kind that a file's name tells, if it is one.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    const TAR: [&str; 7] = [".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz"];
    if TAR.iter().any(|suffix| name.ends_with(suffix)) {
        Some(Kind::Tar)
    } else if name.ends_with(".zip") {
        Some(Kind::Zip)
    } else if name.ends_with(".gz") {
        Some(Kind::Gzip)
    } else {
        None
    }
}

/// Takes `archive`, whose file name is `name`, apart into `jail`.
pub(crate) fn extract(
    kind: Kind,
    mut archive: File,
    name: &str,
    jail: &Jail,
    limits: &Limits,
    cancel: &AtomicBool,
) -> io::Result<()> {
    let bytes_max = limits.extracted(archive.metadata()?.len());
    let mut sink = Sink { jail, bytes_left: bytes_max, entries_left: limits.entries_max, cancel };
    match kind {
        Kind::Tar => {
            let plain = decompress(archive)?;
            untar(plain, &mut sink)
        }
        Kind::Zip => unzip(archive, &mut sink),
        Kind::Gzip => {
            archive.seek(SeekFrom::Start(0))?;
            let plain_name = name.strip_suffix(".gz").unwrap_or(name);
            let base = Path::new(plain_name).file_name().unwrap_or_default();
            let inside = Inside::new(Path::new(base)).map_err(io::Error::other)?;
            sink.file(&inside, 0o666, flate2::read::MultiGzDecoder::new(BufReader::new(archive)))
        }
    }
}

/// The tar stream within a file, whatever it is compressed with.
///
/// COMPAT(mesos): the compression is told by the first bytes and not by the name, as libarchive does.
fn decompress(mut archive: File) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    archive.by_ref().take(6).read_to_end(&mut magic)?;
    archive.seek(SeekFrom::Start(0))?;
    let file = BufReader::with_capacity(64 * 1024, archive);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(file)),
        _ => Box::new(file),
    })
}

/// Where entries go, and how much more of them is allowed.
struct Sink<'a> {
    jail: &'a Jail,
    bytes_left: u64,
    entries_left: u64,
    cancel: &'a AtomicBool,
}

impl Sink<'_> {
    /// Counts an entry and says where it goes.
    fn entry(&mut self, path: &Path) -> io::Result<Inside> {
        self.entries_left = self
            .entries_left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("the archive has too many entries"))?;
        Inside::new(path).map_err(io::Error::other)
    }

    /// Writes a file; a partial one is removed again.
    fn file(&mut self, inside: &Inside, mode: u32, from: impl Read) -> io::Result<()> {
        let file = self.jail.file(inside, mode)?;
        let bounds = Bounds { cancel: self.cancel, bytes_max: self.bytes_left };
        match pump(from, &file, bounds) {
            Ok(count) => {
                self.bytes_left -= count;
                Ok(())
            }
            Err(error) => {
                // The first error is the one to tell; what is left behind here is within the sandbox.
                let _ = self.jail.remove(inside);
                Err(error)
            }
        }
    }
}

/// How many bytes of a tar stream may pass before the next entry's contents: headers, long names, extended
/// attributes. The tar library keeps these in memory.
const HEADER_BYTES_MAX: u64 = 4 << 20;

/// A reader with an allowance that its owner sets anew now and then.
struct Metered<R> {
    inner: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.allowance.get().checked_sub(count as u64);
        self.allowance.set(left.ok_or_else(|| io::Error::other("the archive's headers are too large"))?);
        Ok(count)
    }
}

fn untar(stream: impl Read, sink: &mut Sink<'_>) -> io::Result<()> {
    let allowance = Rc::new(Cell::new(0));
    let mut archive = tar::Archive::new(Metered { inner: stream, allowance: allowance.clone() });
    let mut entries = archive.entries()?;
    loop {
        // What the entry before left unread is skipped first; it has been read whole, but for its padding.
        allowance.set(HEADER_BYTES_MAX);
        let Some(entry) = entries.next() else { return Ok(()) };
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            continue;
        }
        let inside =
            sink.entry(&PathBuf::from(std::ffi::OsString::from_vec(entry.path_bytes().into_owned())))?;
        let mode = entry.header().mode()?;
        let mtime = entry.header().mtime()?;
        // In the oldest tar format only the name tells that a directory is one.
        if kind.is_dir() || (kind.is_file() && entry.path_bytes().ends_with(b"/")) {
            sink.jail.directory(&inside, mode)?;
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            allowance.set(u64::MAX);
            sink.file(&inside, mode, &mut entry)?;
            set_mtime(sink.jail, &inside, mtime);
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target =
                entry.link_name_bytes().ok_or_else(|| io::Error::other("a link without a target"))?;
            let target = PathBuf::from(std::ffi::OsString::from_vec(target.into_owned()));
            if kind.is_symlink() {
                sink.jail.symlink(&inside, &target)?;
            } else {
                sink.jail.hard_link(&inside, &Inside::new(&target).map_err(io::Error::other)?)?;
            }
        } else {
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Err(io::Error::other(format!("'{path}' is a device, a pipe or of an unknown kind")));
        }
    }
}

/// Times are a nicety: a file system that does not take one does not fail the fetch.
fn set_mtime(jail: &Jail, inside: &Inside, seconds: u64) {
    if let Ok(file) = jail.read(inside)
        && let Some(time) = std::time::SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    {
        let _ = file.set_modified(time);
    }
}

/// The part of a Unix mode that tells the kind of a file.
const MODE_KIND: u32 = 0o170_000;
const MODE_SYMLINK: u32 = 0o120_000;
const MODE_FILE: u32 = 0o100_000;

fn unzip(archive: File, sink: &mut Sink<'_>) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(BufReader::new(archive)).map_err(io::Error::other)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(io::Error::other)?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(entry.name_raw().to_vec()));
        let inside = sink.entry(&path)?;
        let mode = entry.unix_mode();
        if entry.is_dir() {
            sink.jail.directory(&inside, mode.unwrap_or(0o777))?;
            continue;
        }
        match mode.map_or(0, |mode| mode & MODE_KIND) {
            MODE_SYMLINK => {
                let mut target = Vec::new();
                entry.by_ref().take(4096).read_to_end(&mut target)?;
                sink.jail.symlink(&inside, Path::new(&std::ffi::OsString::from_vec(target)))?;
            }
            0 | MODE_FILE => sink.file(&inside, mode.unwrap_or(0o644), &mut entry)?,
            _ => return Err(io::Error::other(format!("'{}' is a device or a pipe", path.display()))),
        }
    }
    Ok(())
}
