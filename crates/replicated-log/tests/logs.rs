//! Logs that LevelDB's own library wrote (`logs/make.py`), and what becomes of them when they are damaged.

use std::fs;
use std::path::{Path, PathBuf};

use replicated_log::{Error, Found, read};

fn log(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs").join(name)
}

/// How many agents there are, the weight of the one role, and where that was found.
fn facts(found: &Found) -> (usize, f64, u64, bool) {
    let agents = found.registry.slaves.as_ref().map_or(0, |slaves| slaves.slaves.len());
    (agents, found.registry.weights[0].info.weight, found.position, found.agreed)
}

#[test]
fn the_last_registry_is_found() {
    // In tables that are compressed, and a log after them with records longer than a block.
    let found = read(&log("tables")).expect("it works");
    assert_eq!(facts(&found), (40, 3.5, 43, true));
    let agent = &found.registry.slaves.as_ref().expect("it works").slaves[39].info;
    assert_eq!(
        (agent.hostname.as_str(), agent.id.as_ref().expect("it works").value.as_str()),
        ("host-0039.example", "aaaa-S39")
    );
    assert_eq!(facts(&read(&log("diffs")).expect("it works")), (30, 7.5, 3, true));
    // Positions beyond ten digits, and a promise of old in place of the metadata.
    assert_eq!(facts(&read(&log("old")).expect("it works")), (3, 4.5, 10_000_000_000, true));
    assert_eq!(facts(&read(&log("unlearned")).expect("it works")), (30, 1.5, 2, false));
}

#[test]
fn what_is_not_whole_is_refused() {
    let check = |name: &str, expected: &str| {
        let error = read(&log(name)).expect_err("refused").to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    };
    check("empty", "is of a replica that was EMPTY and not VOTING: there is nothing to import");
    check("hole", "lacks position 2, which may have a newer registry than 1");
    check("nothing", "cannot read");
}

fn copy(name: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("it works");
    for entry in fs::read_dir(log(name)).expect("it works") {
        let path = entry.expect("it works").path();
        fs::copy(&path, copy.path().join(path.file_name().expect("it works"))).expect("it works");
    }
    copy
}

/// Changes one file and says what becomes of the log.
fn with(directory: &Path, file: &str, bytes: &[u8]) -> Result<Found, Error> {
    let path = directory.join(file);
    let whole = fs::read(&path).expect("it works");
    fs::write(&path, bytes).expect("it works");
    let read = read(directory);
    fs::write(&path, whole).expect("it works");
    read
}

#[test]
fn each_beginning_of_each_file_is_refused_or_an_earlier_state() {
    let copy = copy("diffs");
    let whole = read(copy.path()).expect("it works");
    for file in ["000003.log", "MANIFEST-000002", "CURRENT"] {
        let bytes = fs::read(copy.path().join(file)).expect("it works");
        for end in 0..bytes.len() {
            match with(copy.path(), file, &bytes[..end]) {
                // Between two records it is a log that was not written on.
                Ok(found) => {
                    let complete = file != "000003.log" && found == whole;
                    assert!(complete || found.position <= whole.position, "{file} {end}");
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(&copy.path().display().to_string()), "{file} {end}: {text}");
                }
            }
        }
    }
}

#[test]
fn no_flipped_bit_goes_unseen() {
    for (name, file) in [("diffs", "000003.log"), ("diffs", "MANIFEST-000002"), ("tables", "000009.ldb")] {
        let copy = copy(name);
        let whole = read(copy.path()).expect("it works");
        let bytes = fs::read(copy.path().join(file)).expect("it works");
        // A table comes with a log that is long to read.
        let step = if name == "tables" { 23 } else { 1 };
        for at in (0..bytes.len()).step_by(step) {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            // A table has some bytes that nothing depends on.
            if let Ok(found) = with(copy.path(), file, &bad) {
                assert!(file.ends_with(".ldb") && found == whole, "{name}/{file} {at}");
            }
        }
    }
}

#[test]
fn files_that_are_missing_are_named() {
    for file in ["000005.ldb", "000009.ldb", "000011.log", "MANIFEST-000010", "CURRENT"] {
        let copy = copy("tables");
        if !copy.path().join(file).exists() {
            continue;
        }
        fs::remove_file(copy.path().join(file)).expect("it works");
        match read(copy.path()) {
            // A table that was compacted away lies about until LevelDB is opened again.
            Ok(found) => assert_eq!(facts(&found), (40, 3.5, 43, true)),
            Err(error) => assert!(error.to_string().contains(file), "{error}"),
        }
    }
}
