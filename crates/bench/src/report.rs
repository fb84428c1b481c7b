//! What is printed: JSON lines on the standard output, tables for people after them.

use std::fmt::Write as _;
use std::io::Write as _;

/// Collects the tables, and whether everything was as it must be.
#[derive(Default)]
pub(crate) struct Report {
    table: String,
    failed: Vec<String>,
    missed: Vec<String>,
}

impl Report {
    /// Prints one line of JSON at once.
    pub(crate) fn json(&self, line: &serde_json::Value) {
        // Nobody reads it: nothing to be done.
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    /// A line of the tables.
    pub(crate) fn line(&mut self, line: &str) {
        writeln!(self.table, "{line}").expect("writing to a String cannot fail");
    }

    /// What an audit found.
    pub(crate) fn audit(&mut self, what: &str, complaints: &[String]) {
        for complaint in complaints {
            self.line(&format!("  audit FAILED: {complaint}"));
        }
        if !complaints.is_empty() {
            self.failed.push(what.to_owned());
        }
    }

    /// Whether a goal was reached.
    pub(crate) fn goal(&mut self, reached: bool, what: impl FnOnce() -> String) {
        if !reached {
            self.missed.push(what());
        }
    }

    /// Prints the tables; true if every audit passed and every goal was reached.
    pub(crate) fn end(mut self) -> bool {
        let verdict = |name: &str, what: &[String]| match what {
            [] => format!("{name}: none"),
            some => format!("{name}: {}", some.join("; ")),
        };
        let (failed, missed) =
            (verdict("audits failed", &self.failed), verdict("goals missed", &self.missed));
        self.line("");
        self.line(&failed);
        self.line(&missed);
        let _ = write!(std::io::stdout(), "{}", self.table);
        self.failed.is_empty() && self.missed.is_empty()
    }
}
