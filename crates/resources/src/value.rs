//! A resource's amount: a scalar, ranges or a set.

use std::fmt;

use crate::{Ranges, Scalar, Set};

/// How much of a resource there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, such as cores or MiB.
    Scalar(Scalar),
    /// Whole numbers, such as ports.
    Ranges(Ranges),
    /// Words, such as named devices.
    Set(Set),
}

impl Value {
    /// Whether there is nothing of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.is_zero(),
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(set) => set.is_empty(),
        }
    }

    /// Whether both are of one type.
    #[must_use]
    pub fn same_type(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Scalar(_), Self::Scalar(_))
                | (Self::Ranges(_), Self::Ranges(_))
                | (Self::Set(_), Self::Set(_))
        )
    }

    /// Whether `other` is part of this.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(mine), Self::Scalar(theirs)) => theirs <= mine,
            (Self::Ranges(mine), Self::Ranges(theirs)) => mine.contains(theirs),
            (Self::Set(mine), Self::Set(theirs)) => mine.contains(theirs),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => false,
        }
    }

    /// The sum in place. Does nothing for another type.
    pub(crate) fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(mine), Self::Scalar(theirs)) => *mine += *theirs,
            (Self::Ranges(mine), Self::Ranges(theirs)) => *mine = mine.union(theirs),
            (Self::Set(mine), Self::Set(theirs)) => *mine = mine.union(theirs),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => {}
        }
    }

    /// The difference in place; a scalar may become negative.
    pub(crate) fn subtract(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(mine), Self::Scalar(theirs)) => *mine -= *theirs,
            (Self::Ranges(mine), Self::Ranges(theirs)) => *mine = mine.difference(theirs),
            (Self::Set(mine), Self::Set(theirs)) => *mine = mine.difference(theirs),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => {}
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Ranges(ranges) => ranges.fmt(f),
            Self::Set(set) => set.fmt(f),
        }
    }
}
