//! Taking a layer apart: a tar stream, plain or compressed by gzip or zstd, into a [`Tree`].
//!
//! What hides things below is brought into the form of the overlay file system (`overlay.rs`). Devices are left out:
//! a container gets those that it may use from the agent. What a layer may grow to is bounded by [`Limits`].

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use fetcher::{Bounds, Inside, pump};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::digest::{Digest, Hash, Hashing};
use crate::limits::Limits;
use crate::tree::{Attributes, Tree};

/// What came of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// What the bytes were.
    pub(crate) packed: Digest,
    /// What the plain tar stream was.
    pub(crate) plain: Digest,
    /// How many bytes it has in files.
    pub(crate) bytes: u64,
    /// How many devices were left out.
    pub(crate) devices: u64,
}

/// Unpacks a layer of `packed_bytes` into an empty directory.
pub(crate) fn unpack(
    layer: impl Read,
    packed_bytes: u64,
    into: &Path,
    limits: &Limits,
    cancel: &AtomicBool,
) -> io::Result<Unpacked> {
    let (mut packed, mut plain) = (Hash::new(), Hash::new());
    let mut source = BufReader::with_capacity(128 * 1024, Hashing::new(layer, &mut packed));
    let bytes_max = limits.unpacked(packed_bytes);
    let mut sink = Sink {
        tree: Tree::open(into)?,
        bytes_left: bytes_max,
        bytes_max,
        entries_left: limits.entries_max,
        entries_max: limits.entries_max,
        devices: 0,
        cancel,
    };
    {
        let mut stream = Hashing::new(decompress(&mut source)?, &mut plain);
        untar(&mut stream, &mut sink)?;
        // ORDER: a digest is of everything, and behind the end of the archive may be more.
        pump(&mut stream, io::sink(), Bounds { cancel, bytes_max: sink.bytes_left.max(TAIL_BYTES_MAX) })?;
    }
    pump(&mut source, io::sink(), Bounds { cancel, bytes_max: TAIL_BYTES_MAX })?;
    drop(source);
    let (bytes, devices) = (bytes_max - sink.bytes_left, sink.devices);
    sink.tree.finish()?;
    Ok(Unpacked { packed: packed.finish(), plain: plain.finish(), bytes, devices })
}

/// How much may be behind the end of an archive: some tools fill it up to a round size.
const TAIL_BYTES_MAX: u64 = 16 << 20;

/// Whether a file that begins so is compressed.
pub(crate) fn is_compressed(first: &[u8]) -> bool {
    matches!(first, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..])
}

/// The plain stream; how it is compressed is told by its first bytes.
pub(crate) fn decompress<'a>(source: &'a mut impl BufRead) -> io::Result<Box<dyn Read + 'a>> {
    let first = source.fill_buf()?;
    Ok(match first {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(Zstd::Between(source)),
        [b'B', b'Z', b'h', ..] | [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            return Err(io::Error::other("it is compressed by bzip2 or xz; images use gzip or zstd"));
        }
        _ => Box::new(source),
    })
}

/// Frames of zstd, one after the other. The library bounds the memory that a frame may ask for.
enum Zstd<R: Read> {
    Between(R),
    Within(Box<Frame<R>>),
    Over,
}

type Frame<R> = StreamingDecoder<io::Chain<io::Cursor<[u8; 4]>, R>, FrameDecoder>;

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(self, Self::Over) {
                Self::Over => return Ok(0),
                Self::Between(source) => *self = Self::next(source)?,
                Self::Within(mut decoder) => {
                    let count = decoder.read(buffer)?;
                    if count > 0 || buffer.is_empty() {
                        *self = Self::Within(decoder);
                        return Ok(count);
                    }
                    let (_, source) = decoder.into_inner().into_inner();
                    *self = Self::Between(source);
                }
            }
        }
    }
}

impl<R: BufRead> Zstd<R> {
    /// Begins the next frame, or skips it if it is there to be skipped.
    fn next(mut source: R) -> io::Result<Self> {
        if source.fill_buf()?.is_empty() {
            return Ok(Self::Over);
        }
        let mut magic = [0; 4];
        source.read_exact(&mut magic)?;
        if magic[0] & 0xf0 == 0x50 && magic[1..] == [0x2a, 0x4d, 0x18] {
            let mut length = [0; 4];
            source.read_exact(&mut length)?;
            io::copy(&mut source.by_ref().take(u32::from_le_bytes(length).into()), &mut io::sink())?;
            return Ok(Self::Between(source));
        }
        let chained = io::Cursor::new(magic).chain(source);
        Ok(Self::Within(Box::new(StreamingDecoder::new(chained).map_err(io::Error::other)?)))
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

/// Where entries go, and how much more of them is allowed.
struct Sink<'a> {
    tree: Tree,
    bytes_left: u64,
    bytes_max: u64,
    entries_left: u64,
    entries_max: u64,
    devices: u64,
    cancel: &'a AtomicBool,
}

fn untar(stream: impl Read, sink: &mut Sink<'_>) -> io::Result<()> {
    let allowance = Rc::new(Cell::new(0));
    let mut archive = tar::Archive::new(Metered { inner: stream, allowance: Rc::clone(&allowance) });
    let mut entries = archive.entries()?;
    loop {
        // What the entry before left unread is skipped first; contents have been read whole, but for their padding.
        allowance.set(HEADER_BYTES_MAX);
        let Some(entry) = entries.next() else { return Ok(()) };
        let mut entry = entry?;
        if entry.header().entry_type().is_pax_global_extensions() {
            continue;
        }
        let name = entry.path_bytes().into_owned();
        sink.count()?;
        sink.entry(&name, &mut entry, &allowance).map_err(|error| {
            let shown = String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned();
            io::Error::new(error.kind(), format!("'{shown}': {error}"))
        })?;
    }
}

/// What a name stands for that begins with this is below.
const WHITEOUT: &[u8] = b".wh.";
/// Its directory hides all that is below.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Notes of the file system that whiteouts come from.
const NOTES: &[u8] = b".wh..wh.";

impl Sink<'_> {
    fn count(&mut self) -> io::Result<()> {
        self.entries_left = self.entries_left.checked_sub(1).ok_or_else(|| {
            io::Error::other(format!("it has more than the {} entries that are allowed", self.entries_max))
        })?;
        if self.cancel.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        Ok(())
    }

    fn entry(
        &mut self,
        name: &[u8],
        entry: &mut tar::Entry<'_, impl Read>,
        allowance: &Cell<u64>,
    ) -> io::Result<()> {
        let path = inside(name)?;
        let kind = entry.header().entry_type();
        if let Some(last) = path.names().last().map(|last| last.as_bytes().to_vec())
            && last.starts_with(WHITEOUT)
        {
            return self.hide(&path, &last);
        }
        // In the oldest tar format only the name tells that a directory is one.
        if kind.is_dir() || (kind.is_file() && name.ends_with(b"/")) {
            let attributes = attributes(entry)?;
            return self.tree.directory(&path, &attributes);
        }
        if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            let attributes = attributes(entry)?;
            allowance.set(u64::MAX);
            return self.file(&path, &attributes, entry);
        }
        if kind.is_symlink() || kind.is_hard_link() {
            let target =
                entry.link_name_bytes().ok_or_else(|| io::Error::other("a link without a target"))?;
            let target = target.into_owned();
            if kind.is_symlink() {
                let attributes = attributes(entry)?;
                return self.tree.symlink(&path, OsStr::from_bytes(&target), &attributes);
            }
            let shown = String::from_utf8_lossy(&target[..target.len().min(256)]).into_owned();
            return self
                .tree
                .hard_link(&path, &inside(&target)?)
                .map_err(|error| io::Error::new(error.kind(), format!("a hard link to '{shown}': {error}")));
        }
        if kind.is_fifo() {
            let attributes = attributes(entry)?;
            return self.tree.pipe(&path, &attributes);
        }
        if kind.is_character_special() || kind.is_block_special() {
            self.devices += 1;
            return Ok(());
        }
        Err(io::Error::other(format!("it is of the unknown kind {:?}", kind.as_byte() as char)))
    }

    fn hide(&mut self, path: &Inside, last: &[u8]) -> io::Result<()> {
        let directory: std::path::PathBuf = path.names()[..path.names().len() - 1].iter().collect();
        if last == OPAQUE {
            return self.tree.opaque(&inside(directory.as_os_str().as_bytes())?);
        }
        if last.starts_with(NOTES) {
            return Ok(());
        }
        let hidden = &last[WHITEOUT.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(io::Error::other("it hides nothing that a file could be called"));
        }
        self.tree.whiteout(&inside(directory.join(OsStr::from_bytes(hidden)).as_os_str().as_bytes())?)
    }

    fn file(&mut self, path: &Inside, attributes: &Attributes, contents: impl Read) -> io::Result<()> {
        let file = self.tree.file(path)?;
        let bounds = Bounds { cancel: self.cancel, bytes_max: self.bytes_left };
        let count = pump(contents, &file, bounds).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => io::Error::other(format!(
                "it unpacks to more than the {} bytes that are allowed",
                self.bytes_max
            )),
            _ => error,
        })?;
        self.bytes_left -= count;
        self.tree.set(&file, attributes)
    }
}

/// The longest path of a layer, as in Linux.
const PATH_BYTES_MAX: usize = 4096;

fn inside(path: &[u8]) -> io::Result<Inside> {
    if path.len() > PATH_BYTES_MAX {
        return Err(io::Error::other(format!("a path of {} bytes", path.len())));
    }
    Inside::new(Path::new(OsStr::from_bytes(path))).map_err(io::Error::other)
}

fn attributes(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Attributes> {
    let header = entry.header();
    let id = |what: &str, id: u64| match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(io::Error::other(format!("{id} is not the id of a {what}"))),
    };
    let (uid, gid) = (id("user", header.uid()?)?, id("group", header.gid()?)?);
    let mode = header.mode()? & 0o7777;
    // The kernel takes what its file system can keep.
    let mtime = i64::try_from(header.mtime()?).unwrap_or(0);
    let mut extended = Vec::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        if extension.key_bytes().starts_with(b"GNU.sparse.") {
            return Err(io::Error::other("sparse files in the format of pax are not supported"));
        }
        let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix("SCHILY.xattr.")) else {
            continue;
        };
        if may_be_set(name) {
            extended.push((name.to_owned(), extension.value_bytes().to_vec()));
        }
    }
    Ok(Attributes { mode, uid, gid, mtime, extended })
}

/// The extended attributes that an image may set: what its programs may do, and what is nobody's business.
///
/// Attributes of the overlay file system could redirect it, and labels of security modules are the host's.
fn may_be_set(name: &str) -> bool {
    name == "security.capability" || (name.starts_with("user.") && !name.starts_with("user.overlay."))
}

#[cfg(test)]
mod tests;
