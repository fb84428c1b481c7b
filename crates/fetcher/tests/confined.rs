//! Archives made at random of the pieces that attacks are made of: nothing outside ever changes.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use common::World;
use proptest::prelude::*;
use std::path::Path;
use tar::EntryType;

fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![Just("a"), Just("b"), Just("link"), Just(".."), Just("."), Just(""), Just("up")];
    (any::<bool>(), proptest::collection::vec(piece, 1..5))
        .prop_map(|(absolute, pieces)| format!("{}{}", if absolute { "/" } else { "" }, pieces.join("/")))
}

/// Kind, path, target of a link.
fn entry() -> impl Strategy<Value = (EntryType, String, String)> {
    let kind = prop_oneof![
        Just(EntryType::Regular),
        Just(EntryType::Directory),
        Just(EntryType::Symlink),
        Just(EntryType::Link),
    ];
    let target = prop_oneof![path(), Just("OUTSIDE".to_owned()), Just("OUTSIDE/kept".to_owned())];
    (kind, path(), target)
}

/// Every path below `at` with its contents, links not followed.
fn tree(at: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap();
        let contents = if kind.is_file() { std::fs::read_to_string(&path).unwrap() } else { String::new() };
        found.push((path.display().to_string(), contents));
        if kind.is_dir() {
            found.extend(tree(&path));
        }
    }
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn archives_stay_inside(entries in proptest::collection::vec(entry(), 1..12)) {
        let world = World::new();
        let outside = world.directory.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "kept").unwrap();
        // A link that was there before: what an earlier archive or a hostile task left.
        std::os::unix::fs::symlink(&outside, world.sandbox.join("link")).unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, path, target) in &entries {
            let target = target.replace("OUTSIDE", &outside.display().to_string());
            let mut header = tar::Header::new_gnu();
            let gnu = header.as_gnu_mut().unwrap();
            gnu.name[..path.len()].copy_from_slice(path.as_bytes());
            gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_entry_type(*kind);
            let contents: &[u8] = if *kind == EntryType::Regular { b"evil" } else { b"" };
            header.set_size(contents.len() as u64);
            header.set_mode(0o755);
            header.set_mtime(0);
            header.set_cksum();
            builder.append(&header, contents).unwrap();
        }
        let uri = world.source("a.tar", &builder.into_inner().unwrap());
        let before: Vec<_> =
            tree(world.directory.path()).into_iter().filter(|(path, _)| !path.contains("/sandbox")).collect();
        // Many of these archives are refused; what counts is what they leave.
        let _ = world.fetch(&[uri]);
        let after: Vec<_> =
            tree(world.directory.path()).into_iter().filter(|(path, _)| !path.contains("/sandbox")).collect();
        prop_assert_eq!(before, after);
    }
}
