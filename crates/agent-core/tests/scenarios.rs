//! Runs the scripts of `tests/scenarios`: each command, then all effects it has.
//!
//! A script's lines that begin with `>` are commands, with `#` comments; the rest
//! is what the agent did. `UPDATE_EXPECT=1 cargo test -p agent-core` writes it anew.
//! Long ids are printed by their number of appearance, so that scripts can name them:
//! `C1` is the first container, `U1` the first status update's UUID.

mod world;

use std::fmt::Write as _;
use std::path::Path;

use world::World;

fn run(script: &str) -> String {
    let mut world = World::new();
    let mut out = String::new();
    let mut commented = true;
    for line in script.lines() {
        if line.starts_with('#') {
            let gap = if commented { "" } else { "\n" };
            writeln!(out, "{gap}{line}").expect("a string grows");
            commented = true;
        }
        let Some(command) = line.strip_prefix('>') else { continue };
        let gap = if commented { "" } else { "\n" };
        writeln!(out, "{gap}{line}").expect("a string grows");
        commented = false;
        for effect in world.run(command.trim()) {
            writeln!(out, "{effect}").expect("a string grows");
        }
    }
    out
}

#[test]
fn scripts() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory is there")
        .map(|entry| entry.expect("it is readable").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let script = std::fs::read_to_string(&path).expect("it is readable");
        expect_test::expect_file![&path].assert_eq(&run(&script));
    }
}
