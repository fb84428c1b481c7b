//! Ranges of user and group ids for containers with user namespaces: who has which, so that no two have the same.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How many ids a container has: all that usual images and machines know.
pub const IDS_EACH: u32 = 65536;

/// From where to where ids are given out, both included, as `[524288-1879048191]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    first: u32,
    last: u32,
}

/// A container's users of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserNamespace {
    /// Who is the container's root outside.
    pub first: u32,
    /// How many ids it has.
    pub count: u32,
    /// Paths whose files belong in the container to whom they belong on disk.
    pub files: Vec<String>,
}

/// Why a range cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdRangeError {
    /// It has not the form.
    #[error("it is not of the form [FIRST-LAST]")]
    Form,
    /// It has not enough ids.
    #[error("it has room for no container: each takes {IDS_EACH} ids")]
    Small,
    /// It has ids of the machine's own users.
    #[error("it begins among the machine's own users, who have ids up to {IDS_EACH}")]
    Own,
}

/// Which parts of a range are taken.
#[derive(Clone, Debug)]
pub struct Ids {
    range: IdRange,
    /// The first id of each part that is taken.
    taken: BTreeSet<u32>,
    /// Where the search begins: what was given back last is given out again last, since files may be left.
    next: u32,
}

impl FromStr for IdRange {
    type Err = IdRangeError;

    fn from_str(text: &str) -> Result<Self, IdRangeError> {
        let numbers = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')?.split_once('-'));
        let (first, last) = numbers.ok_or(IdRangeError::Form)?;
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| IdRangeError::Form);
        let (first, last) = (number(first)?, number(last)?);
        if first < IDS_EACH {
            return Err(IdRangeError::Own);
        }
        // The highest id of all is nobody's.
        let count = last.min(u32::MAX - 1).checked_sub(first).ok_or(IdRangeError::Form)?;
        if count < IDS_EACH - 1 {
            return Err(IdRangeError::Small);
        }
        Ok(Self { first, last: first + count })
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}-{}]", self.first, self.last)
    }
}

impl Default for IdRange {
    /// What systemd leaves to containers.
    fn default() -> Self {
        Self { first: 524_288, last: 1_879_048_191 }
    }
}

impl IdRange {
    /// How many containers it is enough for.
    fn parts(self) -> u32 {
        (self.last - self.first + 1) / IDS_EACH
    }
}

impl Ids {
    /// Nobody has any.
    #[must_use]
    pub fn new(range: IdRange) -> Self {
        Self { range, taken: BTreeSet::new(), next: 0 }
    }

    /// Gives out the ids from the returned one on. The error is for people.
    pub fn take(&mut self) -> Result<u32, String> {
        let parts = self.range.parts();
        // One of so many parts is free, or none of all.
        let tries = parts.min(u32::try_from(self.taken.len()).unwrap_or(u32::MAX).saturating_add(1));
        for offset in 0..tries {
            let part = (self.next + offset) % parts;
            let first = self.range.first + part * IDS_EACH;
            if self.taken.insert(first) {
                self.next = (part + 1) % parts;
                return Ok(first);
            }
        }
        Err(format!("All {parts} ranges of user ids in --userns_range={} are in use", self.range))
    }

    /// Notes that a container of an earlier agent has them.
    pub fn keep(&mut self, first: u32) {
        self.taken.insert(first);
    }

    /// Takes them back.
    pub fn give_back(&mut self, first: u32) {
        self.taken.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let read = |text: &str| text.parse::<IdRange>();
        assert_eq!(read("[65536-131071]").unwrap().parts(), 1);
        assert_eq!(read(" [ 524288 - 1879048191 ] ").unwrap(), IdRange::default());
        assert_eq!(IdRange::default().to_string(), "[524288-1879048191]");
        assert_eq!(IdRange::default().parts(), 28_664);
        assert_eq!(read("[65536-4294967295]").unwrap().parts(), 65_534);
        assert_eq!(read("[65536-131070]"), Err(IdRangeError::Small));
        assert_eq!(read("[1000-200000]"), Err(IdRangeError::Own));
        for broken in ["", "[]", "65536-131071", "[65536-]", "[131071-65536]", "[65536-99999999999]"] {
            assert_eq!(read(broken), Err(IdRangeError::Form), "{broken}");
        }
    }

    #[test]
    fn no_two_have_the_same() {
        let mut ids = Ids::new("[100000-300000]".parse().unwrap());
        ids.keep(165_536);
        assert_eq!(ids.take(), Ok(100_000));
        assert_eq!(ids.take(), Ok(231_072));
        let full = "All 3 ranges of user ids in --userns_range=[100000-300000] are in use";
        assert_eq!(ids.take(), Err(full.to_owned()));
        ids.give_back(100_000);
        ids.give_back(231_072);
        assert_eq!(ids.take(), Ok(100_000));
        ids.give_back(100_000);
        // What was given back last comes last.
        assert_eq!(ids.take(), Ok(231_072));
        // Of another range, by an earlier agent.
        ids.keep(7);
        ids.give_back(7);
    }
}
