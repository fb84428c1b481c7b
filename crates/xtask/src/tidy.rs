//! What a reader should never meet: files past 800 lines, stubs, hidden lints.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::root;

/// Past this a file has more than one idea.
const LINES_MAX: usize = 800;

/// Words that have no business in a finished tree, and why.
const BANNED: &[(&str, &str)] = &[
    (concat!("todo", "!("), "a stub"),
    (concat!("unimplemented", "!("), "a stub"),
    (concat!("#[", "allow("), "use #[expect(lint, reason = \"..\")]"),
    (concat!("#[", "ignore"), "a test that does not run"),
];

/// Checks every Rust file of the tree.
pub(crate) fn check() -> anyhow::Result<()> {
    let mut files = Vec::new();
    collect(&root().join("crates"), &mut files)?;
    let mut complaints = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
        let lines = text.lines().count();
        if lines > LINES_MAX {
            complaints.push(format!("{name} has {lines} lines; the most is {LINES_MAX}"));
        }
        if !name.contains("/tests/") && !text.starts_with("//!") {
            complaints.push(format!("{name} does not open with //!: what it owns"));
        }
        for (word, why) in BANNED {
            if let Some(at) = text.lines().position(|line| line.contains(word)) {
                complaints.push(format!("{name}:{}: {word}: {why}", at + 1));
            }
        }
    }
    ensure!(complaints.is_empty(), "tidy:\n  {}", complaints.join("\n  "));
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
