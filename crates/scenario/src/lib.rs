//! Scripted input and golden effects for the cores' tests.
//!
//! A scenario is a text file of blocks, separated by blank lines:
//!
//! ```text
//! # A comment.
//! command and its arguments
//! more input, if any
//! ----
//! everything that came of it
//! ```
//!
//! The form is that of etcd raft's `testdata`. `UPDATE_EXPECT=1` writes what comes
//! out into the files in place of what was expected.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One block's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first word.
    pub command: String,
    /// The rest of the first line.
    pub arguments: String,
    /// The lines between the first and the dashes.
    pub body: String,
    /// Where the block begins in its file, counted from 1.
    pub line: usize,
}

/// What lies between blank lines.
enum Part {
    /// Comment lines, kept as they are.
    Comment(String),
    /// Input lines, and what they say.
    Block { input: String, block: Block },
}

const DASHES: &str = "----";

/// Runs every `*.txt` of a directory, each against a world of its own.
///
/// # Panics
///
/// When a file cannot be read or what comes out is not what is expected.
pub fn run_dir<W>(directory: &Path, new: impl Fn() -> W, act: impl Fn(&mut W, &Block) -> String) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the scenarios' directory is readable")
        .map(|entry| entry.expect("the scenarios' directory is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has scenarios", directory.display());
    let update = std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    let mut failures = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a scenario is readable");
        let mut world = new();
        let actual = replay(&text, |block| act(&mut world, block));
        if actual == text {
            continue;
        }
        if update {
            std::fs::write(&file, actual).expect("a scenario is writable");
        } else {
            write!(failures, "\n== {}\n{}", file.display(), difference(&text, &actual))
                .expect("writing to a String cannot fail");
        }
    }
    assert!(failures.is_empty(), "scenarios differ (UPDATE_EXPECT=1 accepts):{failures}");
}

/// The file as it would be if everything that comes out were expected.
pub fn replay(text: &str, mut act: impl FnMut(&Block) -> String) -> String {
    let mut actual = String::new();
    for part in parse(text) {
        if !actual.is_empty() {
            actual.push('\n');
        }
        match part {
            Part::Comment(comment) => actual.push_str(&comment),
            Part::Block { input, block } => {
                let output = act(&block);
                // A blank line would end the block.
                let lines = output.lines().filter(|line| !line.trim().is_empty());
                actual.push_str(&input);
                actual.push_str(DASHES);
                actual.push('\n');
                for line in lines {
                    actual.push_str(line);
                    actual.push('\n');
                }
            }
        }
    }
    actual
}

fn parse(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while lines.peek().is_some() {
        let mut chunk: Vec<(usize, &str)> = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()).as_ref() {
            chunk.push((0, line));
        }
        let number = lines.peek().map_or_else(|| text.lines().count(), |(number, _)| *number);
        while lines.next_if(|(_, line)| line.trim().is_empty()).is_some() {}
        if !chunk.is_empty() {
            let begin = number + 1 - chunk.len();
            parts.push(part(&chunk.iter().map(|(_, line)| *line).collect::<Vec<_>>(), begin));
        }
    }
    parts
}

fn part(lines: &[&str], begin: usize) -> Part {
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let comments = lines.iter().take_while(|line| line.starts_with('#')).count();
    if comments == lines.len() {
        return Part::Comment(joined(lines));
    }
    let dashes = lines.iter().position(|line| *line == DASHES).unwrap_or(lines.len());
    let (first, rest) = (lines[comments], &lines[comments + 1..dashes.max(comments + 1)]);
    let (command, arguments) = first.split_once(' ').unwrap_or((first, ""));
    let block = Block {
        command: command.to_owned(),
        arguments: arguments.trim().to_owned(),
        body: rest.join("\n"),
        line: begin + comments,
    };
    Part::Block { input: joined(&lines[..dashes]), block }
}

/// The lines that are not on both sides, with their place.
fn difference(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut text = format!("line {}:\n", same + 1);
    for line in &old[same..old.len() - tail] {
        writeln!(text, "-{line}").expect("writing to a String cannot fail");
    }
    for line in &new[same..new.len() - tail] {
        writeln!(text, "+{line}").expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_takes_the_place_of_what_was_expected() {
        let text = "# About it.\n\nsay hello world\nmore\n----\nold\n\nsay twice\n----\n";
        let actual = replay(text, |block| {
            format!("{}|{}|{}|{}", block.command, block.arguments, block.body, block.line)
        });
        assert_eq!(
            actual,
            "# About it.\n\nsay hello world\nmore\n----\nsay|hello world|more|3\n\nsay twice\n----\nsay|twice||8\n"
        );
        assert_eq!(replay(&actual, |_| "x\n\ny".to_owned()).matches("x\ny\n").count(), 2);
    }

    #[test]
    fn a_difference_names_its_lines() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "line 2:\n-b\n+x\n");
    }
}
