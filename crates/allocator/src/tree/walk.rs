//! Walks over the active frameworks, in the order of the policy.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use smallvec::SmallVec;

use super::{Kind, NodeKey, Tree};
use crate::arena::Key;
use crate::bits::Bits;
use crate::frameworks::Client;
use crate::lottery::Lottery;
use crate::order::{After, Order, Rank};
use crate::policy::Sorter;
use crate::quota::Account;
use crate::share::{Class, Share};

/// A walk, while nothing changes.
pub(crate) struct Walk {
    /// From the root down.
    path: Vec<Level>,
    lots: bool,
    /// Whether it is over the top-level roles only that are owed something.
    owed: bool,
    /// How many were passed by.
    passed: u64,
    /// Whose shares are made by other names than those of their classes.
    misplaced: Vec<NodeKey>,
}

/// A role that a walk may go into.
pub(crate) struct RoleOnTheWay<'a> {
    pub(crate) name: &'a str,
    /// Its place in the tree.
    pub(crate) place: usize,
    /// The account of its top level.
    pub(crate) account: Key<Account>,
    /// Whether it is that top level.
    pub(crate) is_top: bool,
}

/// How far a walk is among the children of a node.
pub(super) struct Level {
    node: NodeKey,
    /// Whether anything was taken.
    begun: bool,
    /// How far it is in each class.
    heads: SmallVec<[Head; 1]>,
    /// Children that were taken out of the order and measured against the total,
    /// while others may come before them.
    measured: BinaryHeap<Reverse<(Rank, NodeKey)>>,
    /// Where lots are drawn: those that are left, the first precedence last.
    lots: Option<Vec<Lottery<NodeKey>>>,
}

/// How far a walk is among the children of one class.
struct Head {
    class: Class,
    /// The rank against the basis of the last that was taken or passed by.
    last: Option<Rank>,
    next: Next,
}

/// Who comes next of a class.
enum Next {
    Unknown,
    Nobody,
    /// The least that the share may be, the rank against the basis, and the node.
    Child(Share, Rank, NodeKey),
}

impl Level {
    fn of(node: NodeKey) -> Self {
        Self { node, begun: false, heads: SmallVec::new(), measured: BinaryHeap::new(), lots: None }
    }
}

impl Tree {
    /// A walk that begins with who comes first.
    pub(crate) fn walk(&mut self) -> Walk {
        let mut path = std::mem::take(&mut self.spare);
        path.clear();
        path.push(Level::of(self.root));
        Walk { path, lots: self.policy.is_random(), owed: false, passed: 0, misplaced: Vec::new() }
    }

    /// A walk over those only whose top-level roles are owed something.
    pub(crate) fn walk_over_owed(&mut self) -> Walk {
        Walk { owed: true, ..self.walk() }
    }

    /// A walk in the order of shares also where lots are drawn.
    pub(crate) fn walk_without_lots(&mut self) -> Walk {
        Walk { lots: false, ..self.walk() }
    }

    /// Ends a walk, and says how many it passed by. Those that it found in the wrong
    /// class are put into the right one, so that no other walk need measure them.
    pub(crate) fn end(&mut self, walk: Walk) -> u64 {
        for node in walk.misplaced {
            if let Some(parent) = self.nodes.get(node).filter(|node| node.listed).and_then(|node| node.parent)
            {
                self.replace(node, parent);
            }
        }
        self.spare = walk.path;
        walk.passed
    }

    /// The next active framework of a walk. Roles that `enter` refuses are passed by,
    /// and those and frameworks that are in these places.
    pub(crate) fn next(
        &mut self,
        walk: &mut Walk,
        passed_by: &Bits,
        mut enter: impl FnMut(RoleOnTheWay<'_>) -> bool,
    ) -> Option<Key<Client>> {
        while let Some(level) = walk.path.last_mut() {
            self.refresh(level.node);
            let owed = walk.owed && level.node == self.root;
            let drawn = walk.lots && self.sorter(level.node) == Sorter::Random;
            let child = if drawn {
                self.draw_child(level, owed)
            } else {
                self.next_child(level, owed, passed_by, &mut walk.passed, &mut walk.misplaced)
            };
            let Some(child) = child else {
                walk.path.pop();
                continue;
            };
            let node = &self.nodes[child];
            match node.kind {
                Kind::Client(_) if passed_by.has(child.place()) => walk.passed += 1,
                Kind::Client(client) => return Some(client),
                Kind::Role(account) => {
                    let is_top = level.node == self.root;
                    if enter(RoleOnTheWay { name: &node.name, place: child.place(), account, is_top }) {
                        walk.path.push(Level::of(child));
                    }
                }
                Kind::Root | Kind::Own => walk.path.push(Level::of(child)),
            }
        }
        None
    }

    /// The order of a node's children, or of those that are owed something.
    fn order(&self, at: NodeKey, owed: bool) -> &Order {
        let node = &self.nodes[at];
        if owed { &node.order_of_owed } else { &node.order }
    }

    /// The next child by lot.
    fn draw_child(&mut self, level: &mut Level, owed: bool) -> Option<NodeKey> {
        let order = self.order(level.node, owed);
        let lots = level.lots.get_or_insert_with(|| self.lots(order.iter().map(|(.., child)| child)));
        while let Some(lottery) = lots.last_mut() {
            if let Some(child) = lottery.draw(&mut self.rng) {
                return Some(child);
            }
            lots.pop();
        }
        None
    }

    /// The next child in the order of shares against the total. The order kept is
    /// that against the basis, so children are taken out of it and measured until
    /// none of those left can come before the first that was measured.
    fn next_child(
        &self,
        level: &mut Level,
        owed: bool,
        passed_by: &Bits,
        passed: &mut u64,
        misplaced: &mut Vec<NodeKey>,
    ) -> Option<NodeKey> {
        let order = self.order(level.node, owed);
        let begun = std::mem::replace(&mut level.begun, true);
        if let Some(only) = order.lone() {
            return (!begun).then_some(only);
        }
        if !begun {
            let head = |class| Head { class, last: None, next: Next::Unknown };
            level.heads.extend(order.classes().map(head));
        }
        loop {
            for head in level.heads.iter_mut().filter(|head| matches!(head.next, Next::Unknown)) {
                *passed += self.look_ahead(order, head, passed_by);
            }
            let Some((head, least, kept, child)) = first(&mut level.heads) else {
                return level.measured.pop().map(|Reverse((_, child))| child);
            };
            // Those measured come before all that may follow from here, or not yet.
            let as_least = Rank { share: least, ..kept };
            if level.measured.peek().is_some_and(|Reverse((first, _))| *first < as_least) {
                return level.measured.pop().map(|Reverse((_, child))| child);
            }
            head.last = Some(kept);
            head.next = Next::Unknown;
            let share = if self.totals.is_exact() { least } else { self.true_share(child) };
            if share == least {
                return Some(child);
            }
            misplaced.push(child);
            level.measured.push(Reverse((Rank { share, ..kept }, child)));
        }
    }

    /// Finds out who comes next of a class, and says how many it passed by.
    fn look_ahead(&self, order: &Order, head: &mut Head, passed_by: &Bits) -> u64 {
        let After { next, passed, last_passed } = order.after(head.class, head.last.as_ref(), passed_by);
        // Nobody passes them twice.
        head.last = last_passed.or(head.last);
        head.next = next.map_or(Next::Nobody, |(rank, child)| {
            let least = if self.totals.is_exact() {
                rank.share
            } else {
                let node = &self.nodes[child];
                self.totals.at_least(&node.allocated, head.class, node.weight)
            };
            Next::Child(least, rank, child)
        });
        passed
    }
}

/// Whose share may be the least of those that come next in their classes.
fn first(heads: &mut [Head]) -> Option<(&mut Head, Share, Rank, NodeKey)> {
    let next = heads.iter_mut().filter_map(|head| match head.next {
        Next::Child(least, rank, child) => Some((head, least, rank, child)),
        Next::Unknown | Next::Nobody => None,
    });
    next.min_by(|(_, one, rank, _), (_, other, others, _)| {
        Rank { share: *one, ..*rank }.cmp(&Rank { share: *other, ..*others })
    })
}
