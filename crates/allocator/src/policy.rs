//! In which order siblings of the tree come: who is offered resources first.
//!
//! [`Policy::precedence`] comes before everything; among siblings of the same
//! precedence the [`Sorter`] of their kind decides.

use std::collections::BTreeMap;

use types::Role;

/// How siblings of one kind are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sorter {
    /// The least weighted dominant share first.
    #[default]
    Drf,
    /// By lot, anew each time: each sibling comes next with a chance in proportion
    /// to its weight.
    Random,
}

/// Who comes before whom. Set once.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// How roles are ordered (`--role_sorter`).
    pub role_sorter: Sorter,
    /// How the frameworks of one role are ordered (`--framework_sorter`).
    pub framework_sorter: Sorter,
    /// Strict priorities of roles (`--allocator=priority`); all others have 0. A
    /// role of a higher priority comes before its siblings of lower ones, whatever
    /// they hold.
    pub priorities: BTreeMap<Role, u32>,
}

impl Policy {
    /// The place of a role among its siblings that comes before shares and lots:
    /// the lower the earlier.
    pub(crate) fn precedence(&self, role: &str) -> Precedence {
        Precedence(u32::MAX - self.priorities.get(role).copied().unwrap_or(0))
    }

    pub(crate) fn is_random(&self) -> bool {
        self.role_sorter == Sorter::Random || self.framework_sorter == Sorter::Random
    }
}

/// What comes before shares and lots; the lower the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Precedence(u32);

impl Precedence {
    /// That of everything without a priority.
    pub(crate) const LAST: Self = Self(u32::MAX);
}
