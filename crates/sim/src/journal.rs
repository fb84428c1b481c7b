//! What happened, as one number that two runs can be compared by, and as lines for who wants to read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::node::{Nanos, Node};

/// The history of one run.
#[derive(Debug, Default)]
pub struct Journal {
    hash: u64,
    /// Events so far.
    pub events: u64,
    /// Lines, where somebody reads them.
    lines: Option<String>,
    shown: BTreeMap<String, String>,
}

impl Journal {
    /// A journal that also writes lines.
    #[must_use]
    pub fn with_lines() -> Self {
        Self { lines: Some(String::new()), ..Self::default() }
    }

    /// Whether somebody reads.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.lines.is_some()
    }

    /// The number of all that happened so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn mix(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.hash = mixed ^ (mixed >> 29);
    }

    fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    /// An event begins.
    pub fn event(&mut self, at: Nanos, what: &str, line: impl FnOnce() -> String) {
        self.events += 1;
        self.mix(at);
        self.mix_bytes(what.as_bytes());
        let number = self.events;
        if let Some(lines) = &mut self.lines {
            // Writing to a string does not fail.
            let _ = writeln!(lines, "#{number} {} {}", seconds(at), line());
        }
    }

    /// Something that came of it.
    pub fn note(&mut self, node: Node, what: &str, bytes: &[u8], line: impl FnOnce() -> String) {
        self.mix_bytes(what.as_bytes());
        self.mix_bytes(bytes);
        if let Some(lines) = &mut self.lines {
            let _ = writeln!(lines, "    {node}: {what} {}", line());
        }
    }

    /// The state after it: what differs from the state before is written.
    pub fn differences(&mut self, state: BTreeMap<String, String>) {
        let Some(lines) = &mut self.lines else { return };
        for (key, value) in &state {
            match self.shown.get(key) {
                None => drop(writeln!(lines, "  + {key}: {value}")),
                Some(before) if before != value => drop(writeln!(lines, "  ~ {key}: {before} -> {value}")),
                Some(_) => {}
            }
        }
        for key in self.shown.keys().filter(|key| !state.contains_key(*key)) {
            let _ = writeln!(lines, "  - {key}");
        }
        self.shown = state;
    }

    /// The lines since the last time.
    pub fn take_lines(&mut self) -> String {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// A time of the world for people.
#[must_use]
pub(crate) fn seconds(at: Nanos) -> String {
    format!("{}.{:06}s", at / 1_000_000_000, at % 1_000_000_000 / 1000)
}
