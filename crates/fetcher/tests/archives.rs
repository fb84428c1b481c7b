//! Archives of every kind, and those that mean harm.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use common::World;
use fetcher::Limits;
use proto::mesos::v1::command_info::Uri;
use std::io::{Cursor, Write};

/// A tar entry: kind, path as bytes in the header, link target, contents.
type Entry<'a> = (tar::EntryType, &'a str, &'a str, &'a [u8]);

/// A tar file; names go into the headers as they are.
fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, target, contents) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(contents.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(1_000_000_000);
        header.set_cksum();
        builder.append(&header, *contents).unwrap();
    }
    builder.into_inner().unwrap()
}

fn plain_tar() -> Vec<u8> {
    tar_of(&[
        (tar::EntryType::Directory, "d/", "", b""),
        (tar::EntryType::Regular, "d/file", "", b"hello"),
        (tar::EntryType::Regular, "/absolute", "", b"inside"),
        (tar::EntryType::Symlink, "link", "d/file", b""),
        (tar::EntryType::Link, "hard", "d/file", b""),
    ])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 3);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip_of(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (path, contents) in entries {
        if path.ends_with('/') {
            writer.add_directory(*path, options).unwrap();
        } else if let Some(target) = contents.strip_prefix("-> ") {
            writer.add_symlink(*path, target, options).unwrap();
        } else {
            writer.start_file(*path, options).unwrap();
            writer.write_all(contents.as_bytes()).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

#[track_caller]
fn fails(world: &World, name: &str, archive: &[u8], why: &str) {
    let error = world.fetch(&[world.source(name, archive)]).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn takes_every_kind_of_tar() {
    let tar = plain_tar();
    let kinds = [
        ("a.tar", tar.clone()),
        ("a.tgz", gzip(&tar)),
        ("a.tar.gz", gzip(&tar)),
        ("a.tbz2", bzip2(&tar)),
        ("a.tar.bz2", bzip2(&tar)),
        ("a.txz", xz(&tar)),
        ("a.tar.xz", xz(&tar)),
    ];
    for (name, archive) in kinds {
        let world = World::new();
        world.fetch(&[world.source(name, &archive)]).unwrap();
        assert_eq!(world.names(), [name, "absolute", "d", "hard", "link"]);
        assert_eq!(world.read("d/file") + &world.read("link") + &world.read("hard"), "hellohellohello");
        let file = std::fs::metadata(world.sandbox.join("d/file")).unwrap();
        let mtime = file.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(mtime.as_secs(), 1_000_000_000);
    }
}

#[test]
fn takes_zip_and_single_gzip_files() {
    let world = World::new();
    let zip = world.source("a.zip", &zip_of(&[("d/", ""), ("d/file", "zipped"), ("l", "-> d/file")]));
    let gz = world.source("words.txt.gz", &gzip(b"words"));
    world.fetch(&[zip, gz]).unwrap();
    assert_eq!(world.names(), ["a.zip", "d", "l", "words.txt", "words.txt.gz"]);
    assert_eq!(world.read("l") + &world.read("words.txt"), "zippedwords");
}

#[test]
fn leaves_archives_alone_when_told() {
    let world = World::new();
    let tar = world.source("a.tar", &plain_tar());
    world.fetch(&[Uri { extract: Some(false), ..tar }]).unwrap();
    assert_eq!(world.names(), ["a.tar"]);
}

#[test]
fn refuses_names_that_leave() {
    let world = World::new();
    let up = tar_of(&[(tar::EntryType::Regular, "../up", "", b"x")]);
    fails(&world, "a.tar", &up, "Path contains '..'");
    let up = tar_of(&[(tar::EntryType::Link, "l", "../secret", b"")]);
    fails(&world, "a.tar", &up, "Path contains '..'");
    fails(&world, "a.zip", &zip_of(&[("d/../../up", "x")]), "Path contains '..'");
    assert!(!world.directory.path().join("up").exists());
}

#[test]
fn never_writes_through_links() {
    let world = World::new();
    let outside = world.directory.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "kept").unwrap();
    let target = outside.display().to_string();
    let file = outside.join("file").display().to_string();
    let through = tar_of(&[
        (tar::EntryType::Symlink, "out", &target, b""),
        (tar::EntryType::Regular, "out/new", "", b"x"),
    ]);
    fails(&world, "a.tar", &through, "'out' is a symbolic link or a file where a directory is needed");
    let hard = tar_of(&[
        (tar::EntryType::Symlink, "out", &target, b""),
        (tar::EntryType::Link, "stolen", "out/file", b""),
    ]);
    fails(&world, "b.tar", &hard, "'out' is a symbolic link");
    fails(
        &world,
        "c.zip",
        &zip_of(&[("out", &format!("-> {target}")), ("out/new", "x")]),
        "'out' is a symbolic",
    );
    let replaced = tar_of(&[
        (tar::EntryType::Symlink, "link", &file, b""),
        (tar::EntryType::Regular, "link", "", b"mine"),
    ]);
    world.fetch(&[world.source("d.tar", &replaced)]).unwrap();
    assert_eq!(world.read("link"), "mine");
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "kept");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn refuses_devices_and_pipes() {
    for kind in [tar::EntryType::Char, tar::EntryType::Block, tar::EntryType::Fifo] {
        let world = World::new();
        fails(&world, "a.tar", &tar_of(&[(kind, "dev", "", b"")]), "'dev' is a device, a pipe");
        assert_eq!(world.names(), ["a.tar"]);
    }
}

#[test]
fn stops_bombs() {
    let small = Limits {
        extracted_ratio_max: 10,
        extracted_bytes_free: 100_000,
        entries_max: 3,
        ..Limits::default()
    };
    let world = World::with(|config| config.limits = small);
    let zeros = vec![0; 1_000_000];
    let tar = tar_of(&[(tar::EntryType::Regular, "zeros", "", &zeros)]);
    fails(&world, "a.tgz", &gzip(&tar), "bytes that are allowed");
    fails(&world, "zeros.gz", &gzip(&zeros), "bytes that are allowed");
    let text = "0".repeat(1_000_000);
    fails(&world, "a.zip", &zip_of(&[("zeros", &text)]), "bytes that are allowed");
    fails(&world, "b.zip", &zip_of(&[("a", ""), ("b", ""), ("c", ""), ("d", "")]), "too many entries");
    assert!(!world.names().contains(&"zeros".to_owned()));
    // A long name is kept in memory, so it is bounded, too.
    let name = vec![b'n'; 8 << 20];
    let long = tar_of(&[(tar::EntryType::GNULongName, "././@LongLink", "", &name)]);
    fails(&world, "c.tgz", &gzip(&long), "headers are too large");
}

#[test]
fn refuses_what_is_no_archive() {
    let world = World::new();
    fails(&world, "a.tar", &[b'x'; 2000], "Failed to extract archive 'a.tar'");
    fails(&world, "a.zip", b"PK no", "Failed to extract archive 'a.zip'");
    fails(&world, "a.tgz", &gzip(&plain_tar())[..100], "Failed to extract archive 'a.tgz'");
}
