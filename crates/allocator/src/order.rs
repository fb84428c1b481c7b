//! Siblings in the order of shares against the basis, apart by the name that makes the share.
//!
//! While one name makes the share of all in a class, they are in the order of that name's amounts whatever the total is.
//! So when the total drifts from the basis, only the first of each class need be measured to tell who comes first.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use smallvec::SmallVec;

use crate::bits::Bits;
use crate::labels::Label;
use crate::policy::Precedence;
use crate::share::{Class, Share};
use crate::tree::NodeKey;

/// Who comes first among siblings of one class. Compared without looking elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) precedence: Precedence,
    pub(crate) share: Share,
    /// How often this subtree was given something.
    pub(crate) picks: u64,
    /// Stands for the name.
    pub(crate) label: Label,
}

/// Who comes after a rank.
pub(crate) struct After {
    pub(crate) next: Option<(Rank, NodeKey)>,
    pub(crate) passed: u64,
    pub(crate) last_passed: Option<Rank>,
}

/// The siblings; few classes, and none empty.
#[derive(Default)]
pub(crate) struct Order {
    classes: SmallVec<[(Class, BTreeMap<Rank, NodeKey>); 1]>,
}

impl Order {
    pub(crate) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The only one, if there is one and no other.
    pub(crate) fn lone(&self) -> Option<NodeKey> {
        match &self.classes[..] {
            [(_, only)] if only.len() == 1 => only.values().next().copied(),
            _ => None,
        }
    }

    pub(crate) fn insert(&mut self, class: Class, rank: Rank, node: NodeKey) {
        match self.classes.iter_mut().find(|(known, _)| *known == class) {
            Some((_, members)) => {
                members.insert(rank, node);
            }
            None => self.classes.push((class, BTreeMap::from([(rank, node)]))),
        }
    }

    /// Takes one out, and says whether it was there.
    pub(crate) fn remove(&mut self, class: Class, rank: &Rank) -> bool {
        let Some(at) = self.classes.iter().position(|(known, _)| *known == class) else { return false };
        let removed = self.classes[at].1.remove(rank).is_some();
        if self.classes[at].1.is_empty() {
            self.classes.swap_remove(at);
        }
        removed
    }

    /// Takes all out, in no order that means anything.
    pub(crate) fn take(&mut self) -> Vec<NodeKey> {
        let classes = std::mem::take(&mut self.classes);
        classes.into_iter().flat_map(|(_, members)| members.into_values()).collect()
    }

    pub(crate) fn classes(&self) -> impl Iterator<Item = Class> {
        self.classes.iter().map(|(class, _)| *class)
    }

    /// The first of a class that comes after a rank, or the first of all, and how
    /// many were passed by before it, with the last of these.
    pub(crate) fn after(&self, class: Class, last: Option<&Rank>, passed_by: &Bits) -> After {
        let mut after = After { next: None, passed: 0, last_passed: None };
        let Some((_, members)) = self.classes.iter().find(|(known, _)| *known == class) else {
            return after;
        };
        let from = last.map_or(Unbounded, Excluded);
        for (rank, node) in members.range::<Rank, _>((from, Unbounded)) {
            if !passed_by.has(node.place()) {
                after.next = Some((*rank, *node));
                break;
            }
            after.passed += 1;
            after.last_passed = Some(*rank);
        }
        after
    }

    /// All, with class and rank.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Class, &Rank, NodeKey)> {
        self.classes
            .iter()
            .flat_map(|(class, members)| members.iter().map(move |(rank, node)| (*class, rank, *node)))
    }
}
