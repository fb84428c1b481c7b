//! The files of an image that was saved: those of a directory, or the members of a tar file, which stays as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use fetcher::{Bounds, pump};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::limits::Limits;
use crate::source::Opened;
use crate::unpack;

/// The files.
pub(crate) enum Files {
    Directory(OwnedFd),
    Archive(Archive),
}

/// A tar file, and where its members are.
pub(crate) struct Archive {
    file: File,
    members: BTreeMap<String, Member>,
}

enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// Another name for a member.
    Link(String),
}

/// The most members of an archive.
const MEMBERS_MAX: usize = 100_000;

/// The most bytes of all headers of an archive.
const HEADERS_BYTES_MAX: u64 = 256 << 20;

/// How many links may be followed.
const LINKS_MAX: usize = 16;

impl Files {
    /// Opens a directory.
    pub(crate) fn directory(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::Directory(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Reads where the members of a tar file are. One that is compressed is unpacked into `scratch` first.
    pub(crate) fn archive(
        path: &Path,
        scratch: &Path,
        limits: &Limits,
        cancel: &AtomicBool,
    ) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic)?;
        file.seek(SeekFrom::Start(0))?;
        if unpack::is_compressed(&magic) {
            let plain = File::options().read(true).write(true).create_new(true).open(scratch)?;
            let mut packed = BufReader::with_capacity(128 * 1024, file);
            let bounds = Bounds { cancel, bytes_max: limits.unpacked(metadata.len()) };
            pump(unpack::decompress(&mut packed)?, &plain, bounds)?;
            file = plain;
            file.seek(SeekFrom::Start(0))?;
        }
        Ok(Self::Archive(Archive { members: members(&file)?, file }))
    }

    /// Opens a file by its name; none if there is none of that name.
    pub(crate) fn open(&self, name: &str) -> io::Result<Option<Opened<'_>>> {
        match self {
            Self::Directory(directory) => open_below(directory, name),
            Self::Archive(archive) => archive.open(name),
        }
    }

    /// Reads a small file whole; none if there is none of that name.
    pub(crate) fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, String> {
        let failed = |error: io::Error| format!("Failed to read '{name}': {error}");
        let Some(opened) = self.open(name).map_err(failed)? else { return Ok(None) };
        if opened.size > bytes_max {
            return Err(format!("'{name}' has {} bytes, and {bytes_max} are allowed", opened.size));
        }
        let mut bytes = Vec::new();
        opened.bytes.take(bytes_max).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }
}

fn open_below(directory: &OwnedFd, name: &str) -> io::Result<Option<Opened<'static>>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(directory, name, flags, Mode::empty(), confined) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::XDEV) => {
            return Err(io::Error::other("a symbolic link leads out of the image"));
        }
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(Some(Opened { size: metadata.len(), bytes: Box::new(file) }))
}

impl Archive {
    fn open(&self, name: &str) -> io::Result<Option<Opened<'_>>> {
        let mut name = name.to_owned();
        for _ in 0..LINKS_MAX {
            match self.members.get(&name) {
                None => return Ok(None),
                Some(Member::Link(target)) => name.clone_from(target),
                Some(Member::File { offset, size }) => {
                    let section = Section { file: &self.file, offset: *offset, left: *size };
                    return Ok(Some(Opened { bytes: Box::new(section), size: *size }));
                }
            }
        }
        Err(io::Error::other("too many links"))
    }
}

/// A part of a file. Several may be read at a time.
struct Section<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if count == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off"));
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// A file of which only so much may be read; what is skipped does not count.
struct Metered<'a> {
    file: &'a File,
    left: u64,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("the archive's headers are too large"))?;
        Ok(count)
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn members(file: &File) -> io::Result<BTreeMap<String, Member>> {
    let mut archive = tar::Archive::new(Metered { file, left: HEADERS_BYTES_MAX });
    let mut members = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(name) = normal("", &name) else { continue };
        let kind = entry.header().entry_type();
        let target = || entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
        let member = if kind.is_file() || kind.is_contiguous() {
            Some(Member::File { offset: entry.raw_file_position(), size: entry.size() })
        } else if kind.is_symlink() {
            let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
            target().and_then(|target| normal(directory, &target)).map(Member::Link)
        } else if kind.is_hard_link() {
            target().and_then(|target| normal("", &target)).map(Member::Link)
        } else {
            None
        };
        if let Some(member) = member {
            members.insert(name, member);
        }
        if members.len() > MEMBERS_MAX {
            return Err(io::Error::other(format!("it has more than {MEMBERS_MAX} members")));
        }
    }
    Ok(members)
}

/// A path of the archive, by names alone; none if it leads out of it.
fn normal(directory: &str, path: &str) -> Option<String> {
    let mut names: Vec<&str> = if path.starts_with('/') {
        Vec::new()
    } else {
        directory.split('/').filter(|name| !name.is_empty()).collect()
    };
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn follows_names() {
        assert_eq!(normal("a", "../b/layer.tar").as_deref(), Some("b/layer.tar"));
        assert_eq!(normal("", "./b//c").as_deref(), Some("b/c"));
        assert_eq!(normal("a", "/b").as_deref(), Some("b"));
        assert_eq!(normal("a", "../../b"), None);
    }
}
