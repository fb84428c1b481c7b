//! Names of resources: the five everybody uses cost no allocation.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The name of a kind of resource, such as `cpus`.
///
/// Names order by their text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Repr);

/// The names that everybody uses, in the order of their text.
pub(crate) static KNOWN: [Name; 5] = [Name::CPUS, Name::DISK, Name::GPUS, Name::MEM, Name::PORTS];

/// In the order of their text, so that two of the known ones compare by their place.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Cpus,
    Disk,
    Gpus,
    Mem,
    Ports,
    /// Never one of the names above, so that equality need not look inside.
    Other(Arc<str>),
}

impl Name {
    /// Processor time, in cores.
    pub const CPUS: Self = Self(Repr::Cpus);
    /// Memory, in MiB.
    pub const MEM: Self = Self(Repr::Mem);
    /// Disk space, in MiB.
    pub const DISK: Self = Self(Repr::Disk);
    /// Whole graphics processors.
    pub const GPUS: Self = Self(Repr::Gpus);
    /// TCP and UDP ports.
    pub const PORTS: Self = Self(Repr::Ports);

    /// How many names have a [place](Self::place).
    pub const PLACES: usize = KNOWN.len();

    /// Its place among the names that everybody uses, by their text; none for another.
    #[inline]
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        match self.0 {
            Repr::Cpus => Some(0),
            Repr::Disk => Some(1),
            Repr::Gpus => Some(2),
            Repr::Mem => Some(3),
            Repr::Ports => Some(4),
            Repr::Other(_) => None,
        }
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Cpus => "cpus",
            Repr::Mem => "mem",
            Repr::Disk => "disk",
            Repr::Gpus => "gpus",
            Repr::Ports => "ports",
            Repr::Other(text) => text,
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(match text {
            "cpus" => Repr::Cpus,
            "mem" => Repr::Mem,
            "disk" => Repr::Disk,
            "gpus" => Repr::Gpus,
            "ports" => Repr::Ports,
            other => Repr::Other(other.into()),
        })
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.place(), other.place()) {
            (Some(mine), Some(theirs)) => mine.cmp(&theirs),
            (None, _) | (_, None) => self.as_str().cmp(other.as_str()),
        }
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_other_names_order_by_text() {
        let mut names: Vec<Name> =
            ["ports", "bananas", "mem", "cpus", "zz", "disk", "gpus"].map(Name::from).into();
        names.sort();
        assert!(KNOWN.is_sorted() && KNOWN.iter().enumerate().all(|(at, name)| name.place() == Some(at)));
        let texts: Vec<_> = names.iter().map(Name::as_str).collect();
        assert_eq!(texts, ["bananas", "cpus", "disk", "gpus", "mem", "ports", "zz"]);
        assert_eq!(Name::from("cpus"), Name::CPUS);
    }
}
