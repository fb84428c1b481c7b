//! Layers that mean harm, and those that only look so.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType};
use tar::EntryType;
use tempfile::TempDir;

use super::{Unpacked, unpack};
use crate::digest::Digest;
use crate::limits::Limits;
use crate::overlay::{is_opaque, is_whiteout};

/// One entry, as it is written, byte for byte.
#[derive(Clone, Debug)]
struct Entry {
    kind: EntryType,
    path: String,
    target: String,
    contents: Vec<u8>,
    mode: u32,
    pax: Vec<(String, Vec<u8>)>,
}

fn entry(kind: EntryType, path: &str) -> Entry {
    Entry {
        kind,
        path: path.into(),
        target: String::new(),
        contents: Vec::new(),
        mode: 0o755,
        pax: Vec::new(),
    }
}

fn file(path: &str, contents: &str) -> Entry {
    Entry { contents: contents.as_bytes().to_vec(), mode: 0o644, ..entry(EntryType::Regular, path) }
}

fn directory(path: &str) -> Entry {
    entry(EntryType::Directory, path)
}

fn link(kind: EntryType, path: &str, target: &str) -> Entry {
    Entry { target: target.into(), ..entry(kind, path) }
}

fn symlink(path: &str, target: &str) -> Entry {
    link(EntryType::Symlink, path, target)
}

fn hard_link(path: &str, target: &str) -> Entry {
    link(EntryType::Link, path, target)
}

fn header(kind: EntryType, path: &str, target: &str, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    let put = |field: &mut [u8], text: &str| {
        let count = text.len().min(field.len());
        field[..count].copy_from_slice(&text.as_bytes()[..count]);
    };
    put(&mut header.as_mut_bytes()[..100], path);
    put(&mut header.as_mut_bytes()[157..257], target);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    header.set_size(size);
    header.set_cksum();
    header
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        if !entry.pax.is_empty() {
            let pairs = entry.pax.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            builder.append_pax_extensions(pairs).unwrap();
        }
        let size = entry.contents.len() as u64;
        let header = header(entry.kind, &entry.path, &entry.target, entry.mode, size);
        builder.append(&header, entry.contents.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A directory to unpack into, with something beside it that nobody may touch.
struct Jail {
    directory: TempDir,
}

impl Jail {
    fn new() -> Self {
        let jail = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(jail.rootfs()).unwrap();
        fs::create_dir(jail.directory.path().join("outside")).unwrap();
        fs::write(jail.directory.path().join("outside/secret"), "secret").unwrap();
        jail
    }

    fn rootfs(&self) -> std::path::PathBuf {
        self.directory.path().join("rootfs")
    }

    fn unpack_bytes(&self, bytes: &[u8], limits: &Limits) -> Result<Unpacked, String> {
        let size = bytes.len() as u64;
        let unpacked = unpack(bytes, size, &self.rootfs(), limits, &AtomicBool::new(false));
        self.check_outside();
        unpacked.map_err(|error| error.to_string())
    }

    fn unpack(&self, entries: &[Entry]) -> Result<Unpacked, String> {
        self.unpack_bytes(&archive(entries), &Limits::default())
    }

    /// That what is beside the directory is as it was.
    fn check_outside(&self) {
        let names = |path: &Path| fs::read_dir(path).unwrap().count();
        assert_eq!(names(self.directory.path()), 2);
        let outside = self.directory.path().join("outside");
        assert_eq!(names(&outside), 1);
        let secret = outside.join("secret");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        let metadata = fs::metadata(&secret).unwrap();
        assert_eq!((metadata.nlink(), metadata.mode() & 0o7777), (1, 0o644));
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.rootfs().join(path)).unwrap()
    }

    fn stat(&self, path: &str) -> rustix::fs::Stat {
        rustix::fs::statat(CWD, self.rootfs().join(path), rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn whatever_a_path_says_it_stays_inside() {
    let refused = |entries: &[Entry], why: &str| {
        let error = Jail::new().unpack(entries).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    };
    refused(&[file("../outside/new", "x")], "Path contains '..'");
    refused(&[file("a/../../outside/new", "x")], "Path contains '..'");
    refused(&[directory("..")], "Path contains '..'");
    refused(&[hard_link("stolen", "../outside/secret")], "Path contains '..'");
    refused(
        &[symlink("out", "../outside"), hard_link("stolen", "out/secret")],
        "a hard link to 'out/secret'",
    );
    refused(&[file("file", "x"), file("file/below", "y")], "'file' is a file where a directory is needed");
    refused(&[symlink("a", "b"), symlink("b", "a"), file("a/x", "y")], "symbolic links");
    refused(&[file("", "x")], "the path names no file");
    refused(&[hard_link("a", "none")], "a hard link to 'none'");
    refused(&[directory("d"), hard_link("a", "d")], "the target is not a file");
    refused(&[entry(EntryType::new(b'?'), "odd")], "it is of the unknown kind '?'");

    // A link leads where it leads in the container, and an absolute path begins there.
    let jail = Jail::new();
    let outside = jail.directory.path().join("outside").display().to_string();
    let entries = [
        symlink("up", "../../../outside"),
        file("up/secret", "mine"),
        symlink("away", &outside),
        file("away/secret", "mine, too"),
        file("/etc/passwd", "root"),
        symlink("secret", &format!("{outside}/secret")),
        file("secret", "a file in place of the link"),
    ];
    jail.unpack(&entries).unwrap();
    assert_eq!(jail.read("outside/secret"), "mine");
    assert_eq!(jail.read(&format!("{}/secret", &outside[1..])), "mine, too");
    assert_eq!(
        (jail.read("etc/passwd"), jail.read("secret")),
        ("root".to_owned(), "a file in place of the link".to_owned())
    );
}

#[test]
fn what_is_in_the_way_makes_room() {
    let jail = Jail::new();
    let entries = [
        directory("tree/deep"),
        file("tree/deep/file", "x"),
        file("tree", "a file now"),
        symlink("link", "nowhere"),
        directory("link"),
        file("link/file", "y"),
        file("one", "first"),
        hard_link("two", "one"),
        file("two", "second"),
        hard_link("one", "one"),
    ];
    jail.unpack(&entries).unwrap();
    assert_eq!((jail.read("tree"), jail.read("link/file")), ("a file now".to_owned(), "y".to_owned()));
    // Another name of a file keeps what it had.
    assert_eq!((jail.read("one"), jail.read("two")), ("first".to_owned(), "second".to_owned()));
}

#[test]
fn what_hides_is_in_the_form_of_overlay() {
    let jail = Jail::new();
    let entries = [
        file("etc/.wh.passwd", ""),
        directory("etc"),
        file("var/.wh..wh..opq", ""),
        file("both/.wh.dir", ""),
        directory("both/dir"),
        file("both/file", "seen"),
        file("both/.wh.file", ""),
        directory("later"),
        file(".wh.later", ""),
        file(".wh.implied", ""),
        file("implied/file", ""),
        file(".wh..wh.plnk", ""),
    ];
    jail.unpack(&entries).unwrap();
    assert!(is_whiteout(&jail.stat("etc/passwd")));
    for path in ["var", "both/dir", "later", "implied"] {
        assert!(is_opaque(&jail.rootfs().join(path)).unwrap(), "{path}");
    }
    assert!(!is_opaque(&jail.rootfs().join("etc")).unwrap());
    assert_eq!(jail.read("both/file"), "seen");
    assert!(!jail.rootfs().join(".wh..wh.plnk").exists());
    for name in [".wh.", ".wh..", ".wh..."] {
        let error = Jail::new().unpack(&[file(name, "")]).unwrap_err();
        assert!(error.contains("it hides nothing that a file could be called"), "{name}: {error}");
    }
}

#[test]
fn devices_are_left_out_and_what_programs_may_do_is_kept() {
    let jail = Jail::new();
    // The capability to open raw sockets, as the kernel keeps it.
    let capability =
        b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    let attribute = |name: &str, value: &[u8]| (format!("SCHILY.xattr.{name}"), value.to_vec());
    let entries = [
        entry(EntryType::Char, "dev/zero"),
        entry(EntryType::Block, "dev/sda"),
        entry(EntryType::Fifo, "pipe"),
        Entry { mode: 0o4755, ..file("bin/su", "x") },
        Entry {
            pax: vec![
                attribute("security.capability", &capability),
                attribute("user.note", b"n"),
                attribute("user.overlay.opaque", b"y"),
                attribute("trusted.overlay.redirect", b"/etc"),
                attribute("security.selinux", b"s"),
            ],
            ..file("bin/ping", "x")
        },
    ];
    let unpacked = jail.unpack(&entries).unwrap();
    assert_eq!((unpacked.devices, unpacked.bytes), (2, 2));
    assert_eq!(fs::read_dir(jail.rootfs()).unwrap().count(), 2);
    assert!(fs::symlink_metadata(jail.rootfs().join("pipe")).unwrap().file_type().is_fifo());
    let su = fs::metadata(jail.rootfs().join("bin/su")).unwrap();
    assert_eq!((su.permissions().mode() & 0o7777, su.mtime()), (0o4755, 1_000_000_000));
    let ping = jail.rootfs().join("bin/ping");
    let has = |name: &str| {
        let mut value = vec![0; 64];
        rustix::fs::lgetxattr(&ping, name, value.as_mut_slice()).is_ok()
    };
    assert!(!["user.overlay.opaque", "trusted.overlay.redirect", "security.selinux"].into_iter().any(has));
    if is_root() {
        assert!(has("security.capability"));
    }
}

#[test]
fn nothing_grows_beyond_its_bounds() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let limits = Limits {
        unpacked_bytes_free: 1 << 20,
        unpacked_ratio_max: 10,
        entries_max: 100,
        ..Limits::default()
    };
    let refused = |bytes: &[u8], why: &str| {
        let error = Jail::new().unpack_bytes(bytes, &limits).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    };
    let zeros = Entry { contents: vec![0; 8 << 20], ..file("zeros", "") };
    refused(
        &gzip(&archive(std::slice::from_ref(&zeros))),
        "it unpacks to more than the 1048576 bytes that are allowed",
    );
    // As much, if it is as large itself.
    Jail::new().unpack_bytes(&archive(&[zeros]), &limits).unwrap();
    let many: Vec<_> = (0..101).map(|number| file(&format!("f{number}"), "")).collect();
    refused(&archive(&many), "it has more than the 100 entries that are allowed");
    // A file that says it is an exabyte of nothing.
    let mut sparse = header(EntryType::GNUSparse, "sparse", "", 0o644, 0);
    let gnu = sparse.as_gnu_mut().unwrap();
    gnu.realsize.copy_from_slice(b"77777777777\0");
    gnu.sparse[0].offset.copy_from_slice(b"77777777777\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    sparse.set_cksum();
    let mut bytes = sparse.as_bytes().to_vec();
    bytes.extend([0; 1024]);
    refused(&bytes, "it unpacks to more than the 1048576 bytes that are allowed");
    let mut long = header(EntryType::XHeader, "x", "", 0o644, 1 << 40).as_bytes().to_vec();
    long.extend(vec![b'x'; 5 << 20]);
    refused(&long, "the archive's headers are too large");
    let deep: Vec<_> = ["d/"; 300].concat().into();
    let deep = Entry { pax: vec![("path".into(), deep)], ..directory("x") };
    refused(&archive(&[deep]), "it has more than 256 directories in each other");
    // One step at a time, through links.
    let mut steps = vec![directory(&"d/".repeat(40)), symlink("l", &"d/".repeat(40))];
    for _ in 0..10 {
        let inner = format!("l/{}", "d/".repeat(40));
        steps.push(directory(&inner));
        steps.push(symlink("l", &format!("{}{}", "d/".repeat(40), "d/".repeat(40))));
    }
    Jail::new().unpack(&steps).unwrap();
    let sparse = Entry { pax: vec![("GNU.sparse.major".into(), b"1".to_vec())], ..file("s", "") };
    refused(&archive(&[sparse]), "sparse files in the format of pax are not supported");
    let path = Entry { pax: vec![("path".into(), vec![b'a'; 5000])], ..file("p", "") };
    refused(&archive(&[path]), "a path of 5000 bytes");
    let user = Entry { pax: vec![("uid".into(), b"4294967295".to_vec())], ..file("u", "") };
    refused(&archive(&[user]), "4294967295 is not the id of a user");
}

#[test]
fn every_compression_gives_the_same() {
    let plain = archive(&[directory("d"), file("d/f", "contents")]);
    let mut gzip = Vec::new();
    flate2::read::GzEncoder::new(plain.as_slice(), flate2::Compression::fast())
        .read_to_end(&mut gzip)
        .unwrap();
    let mut zstd =
        ruzstd::encoding::compress_to_vec(plain.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
    // A frame that is there to be skipped, as some tools write it behind the others.
    zstd.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    for packed in [plain.clone(), gzip, zstd] {
        let jail = Jail::new();
        let unpacked = jail.unpack_bytes(&packed, &Limits::default()).unwrap();
        assert_eq!(jail.read("d/f"), "contents");
        assert_eq!((unpacked.plain, unpacked.packed), (Digest::of(&plain), Digest::of(&packed)));
    }
    let error = Jail::new().unpack_bytes(b"BZh91AY&SY", &Limits::default()).unwrap_err();
    assert_eq!(error, "it is compressed by bzip2 or xz; images use gzip or zstd");
}

#[test]
fn a_given_up_layer_ends() {
    let jail = Jail::new();
    let bytes = archive(&[file("f", "x")]);
    let error =
        unpack(bytes.as_slice(), 1, &jail.rootfs(), &Limits::default(), &AtomicBool::new(true)).unwrap_err();
    assert!(error.to_string().contains("cancelled"));
}

fn hostile_path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a",
        "b",
        "l",
        "..",
        ".",
        "",
        "/",
        "outside",
        "secret",
        ".wh.a",
        ".wh..wh..opq",
        ".wh...",
        "rootfs",
    ]);
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

fn hostile_entry() -> impl Strategy<Value = Entry> {
    let kind = prop::sample::select(vec![
        EntryType::Regular,
        EntryType::Directory,
        EntryType::Symlink,
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Fifo,
        EntryType::Char,
        EntryType::Block,
    ]);
    (kind, hostile_path(), hostile_path(), prop::bool::ANY).prop_map(|(kind, path, target, absolute)| {
        let target = if absolute { format!("/{target}") } else { target };
        let contents = if kind == EntryType::Regular { b"evil".to_vec() } else { Vec::new() };
        Entry { kind, path, target, contents, mode: 0o777, pax: Vec::new() }
    })
}

/// No file that another user of the machine would call a device.
fn check_devices(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let stat = rustix::fs::lstat(&path).unwrap();
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => check_devices(&path),
            FileType::CharacterDevice => assert!(is_whiteout(&stat), "{}", path.display()),
            FileType::BlockDevice => panic!("{}", path.display()),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_archive_gets_out(entries in prop::collection::vec(hostile_entry(), 1..12)) {
        let jail = Jail::new();
        // Whether it is taken or refused, what is outside is looked at.
        let _ = jail.unpack(&entries);
        check_devices(&jail.rootfs());
        // It can be removed again, whatever it has in it.
        fs::remove_dir_all(jail.rootfs()).unwrap();
    }

    #[test]
    fn no_bytes_do_harm(
        entries in prop::collection::vec(hostile_entry(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = archive(&entries);
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let jail = Jail::new();
        let _ = jail.unpack_bytes(&bytes, &Limits { unpacked_bytes_free: 1 << 20, ..Limits::default() });
        check_devices(&jail.rootfs());
    }
}
