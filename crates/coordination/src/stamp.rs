//! What a store writes of itself in ZooKeeper and etcd, as bytes: the stamp on its directory, and how values lie in
//! nodes and keys.
//!
//! Pure.

use std::fmt;
use std::str::FromStr;

/// The format that this version writes.
pub(crate) const FORMAT_KNOWN: u64 = 1;

/// The directory of parts.
pub(crate) const PARTS: &str = "parts";

/// A value in the node itself follows this byte.
const INLINE: u8 = 0;

/// The name and number of a value's parts follow this byte.
const IN_PARTS: u8 = 1;

/// The mark on the directory: it changes with every commit, so that of two commits that know the same state one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The format of all that is there.
    pub(crate) format: u64,
    /// Whose turn it is: each leadership has a higher number.
    pub(crate) epoch: u64,
    /// Commits of this leadership so far.
    pub(crate) commit: u64,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format {} epoch {} commit {}", self.format, self.epoch, self.commit)
    }
}

impl FromStr for Stamp {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split(' ').collect();
        let ["format", format, "epoch", epoch, "commit", commit] = words[..] else { return Err(()) };
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self { format: number(format)?, epoch: number(epoch)?, commit: number(commit)? })
    }
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The value.
    Inline(Vec<u8>),
    /// The value is in parts, beside.
    Parts(Parts),
}

/// Where the parts of a value are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// How their names begin.
    pub(crate) name: String,
    /// How many there are.
    pub(crate) count: usize,
}

impl Parts {
    /// The name of parts that a leadership writes.
    pub(crate) fn name_of(epoch: u64, number: u64) -> String {
        format!("{epoch}-{number}")
    }

    /// The node of each part.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.count).map(|index| format!("{}-{index}", self.name))
    }

    /// The leadership that wrote the part of this name.
    pub(crate) fn epoch_of(node: &str) -> Option<u64> {
        node.split('-').next()?.parse().ok()
    }
}

impl Held {
    /// As it lies in the node.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Inline(value) => [&[INLINE], value.as_slice()].concat(),
            Self::Parts(Parts { name, count }) => {
                [&[IN_PARTS], format!("{name} {count}").as_bytes()].concat()
            }
        }
    }

    /// What lies in a node; none if that is nothing of ours.
    pub(crate) fn decode(data: &[u8]) -> Option<Self> {
        match data.split_first()? {
            (&INLINE, value) => Some(Self::Inline(value.to_vec())),
            (&IN_PARTS, text) => {
                let (name, count) = std::str::from_utf8(text).ok()?.split_once(' ')?;
                Parts::epoch_of(name)?;
                Some(Self::Parts(Parts { name: name.to_owned(), count: count.parse().ok()? }))
            }
            (_, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_as_they_are_written() {
        let stamp = Stamp { format: 1, epoch: 17, commit: 4 };
        assert_eq!(stamp.to_string(), "format 1 epoch 17 commit 4");
        assert_eq!(stamp.to_string().parse(), Ok(stamp));
        for bad in ["", "format 1", "format 1 epoch x commit 4", "format 1 epoch 2 commit 3 more"] {
            assert_eq!(bad.parse::<Stamp>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn nodes_are_read_as_they_are_written() {
        let parts = Parts { name: Parts::name_of(3, 9), count: 2 };
        assert_eq!(parts.nodes().collect::<Vec<_>>(), ["3-9-0", "3-9-1"]);
        assert_eq!(Parts::epoch_of("3-9-0"), Some(3));
        for held in [Held::Inline(vec![]), Held::Inline(vec![1, 2]), Held::Parts(parts)] {
            assert_eq!(Held::decode(&held.encode()), Some(held));
        }
        for bad in [&b""[..], b"\x02", b"\x01", b"\x01a 1", b"\x011 x", b"\x011-1", b"\x01\xff 1"] {
            assert_eq!(Held::decode(bad), None, "{bad:?}");
        }
    }
}
