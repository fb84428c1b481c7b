//! The tree of roles and frameworks, each level in the order of shares.
//!
//! ```text
//! root -- eng ----- own ----- framework 1
//!      |       |        `---- framework 2
//!      |       `-- eng/backend -- own -- framework 1
//!      `- web ----- own ----- framework 3
//! ```
//! A role's own frameworks hang below a node of their own, which competes with the
//! roles below it. Only nodes that lead to an active framework are in the order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use resources::Quantities;
use types::Role;

use crate::arena::{Arena, Key};
use crate::frameworks::Client;
use crate::share::{Share, Totals, Weight};

pub(crate) type NodeKey = Key<Node>;

/// Levels of roles with nodes of their own. What is deeper hangs below the last of
/// them, lest one long role fill the memory with those above it.
const DEPTH_MAX: usize = 32;

/// Who comes first among siblings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    share: Share,
    /// How often this subtree was given something.
    picks: u64,
    name: Arc<str>,
}

enum Kind {
    Role,
    Own,
    Client(Key<Client>),
}

pub(crate) struct Node {
    kind: Kind,
    parent: Option<NodeKey>,
    children: usize,
    weight: Weight,
    allocated: Quantities,
    /// What it is in the order by; right only while the parent's epoch is.
    rank: Rank,
    /// Whether it is in its parent's order.
    listed: bool,
    order: BTreeMap<Rank, NodeKey>,
    /// The epoch of the ranks in `order`.
    epoch: u64,
}

/// The tree, and the totals its shares are measured against.
pub(crate) struct Tree {
    nodes: Arena<Node>,
    root: NodeKey,
    roles: BTreeMap<Role, NodeKey>,
    weights: BTreeMap<Role, Weight>,
    totals: Totals,
}

/// A walk over the active frameworks in the order of shares, while nothing changes.
pub(crate) struct Walk {
    /// From the root down.
    path: Vec<Level>,
}

/// How far a walk is among the children of a node.
struct Level {
    node: NodeKey,
    /// The rank against the basis of the child that was taken out of the order last.
    last: Option<Rank>,
    /// Children that were taken out of the order and measured against the total,
    /// while others may come before them.
    measured: BTreeMap<Rank, NodeKey>,
}

impl Level {
    fn of(node: NodeKey) -> Self {
        Self { node, last: None, measured: BTreeMap::new() }
    }
}

impl Tree {
    pub(crate) fn new(totals: Totals, weights: BTreeMap<Role, Weight>) -> Self {
        let mut nodes = Arena::default();
        let root = nodes.insert(Node::new(Kind::Role, "".into(), None, Weight::ONE));
        Self { nodes, root, roles: BTreeMap::new(), weights, totals }
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// An agent's total changed.
    pub(crate) fn replace_total(&mut self, old: &Quantities, new: &Quantities) {
        self.totals.replace(old, new);
    }

    /// Adds an inactive framework to a role.
    pub(crate) fn add_client(&mut self, role: &Role, framework: &str, client: Key<Client>) -> NodeKey {
        let role_node = self.role_node(role);
        let own_name: Arc<str> = format!("{role}/.").into();
        let own = match self.own_of(role) {
            Some(own) => own,
            None => {
                let own = self.insert(Kind::Own, own_name, role_node, Weight::ONE);
                self.roles.insert(own_role(role), own);
                own
            }
        };
        self.insert(Kind::Client(client), framework.into(), own, Weight::ONE)
    }

    fn own_of(&self, role: &Role) -> Option<NodeKey> {
        self.roles.get(&own_role(role)).copied()
    }

    /// The node of a role, made with those above it where missing.
    fn role_node(&mut self, role: &Role) -> NodeKey {
        let mut at = self.root;
        let slashes = role.as_str().match_indices('/').map(|(slash, _)| slash);
        for end in slashes.take(DEPTH_MAX).chain([role.as_str().len()]) {
            let path = &role.as_str()[..end];
            at = match self.roles.get(path) {
                Some(node) => *node,
                None => {
                    let weight = self.weights.get(path).copied().unwrap_or(Weight::ONE);
                    let node = self.insert(Kind::Role, path.into(), at, weight);
                    self.roles.insert(Role::from(path), node);
                    node
                }
            };
        }
        at
    }

    fn insert(&mut self, kind: Kind, name: Arc<str>, parent: NodeKey, weight: Weight) -> NodeKey {
        self.nodes[parent].children += 1;
        self.nodes.insert(Node::new(kind, name, Some(parent), weight))
    }

    /// Removes a framework from its role, and the nodes that then lead nowhere.
    pub(crate) fn remove_client(&mut self, client: NodeKey) {
        self.deactivate(client);
        let left = self.nodes[client].allocated.clone();
        self.discharge(client, &left);
        let mut at = client;
        while let Some(parent) = self.nodes[at].parent {
            if self.nodes[at].children > 0 {
                break;
            }
            let gone = self.nodes.remove(at);
            if let Some(Node { kind: Kind::Role | Kind::Own, rank, .. }) = gone {
                self.roles.remove(&*rank.name);
            }
            self.nodes[parent].children -= 1;
            at = parent;
        }
    }

    pub(crate) fn is_active(&self, client: NodeKey) -> bool {
        self.nodes[client].listed
    }

    /// Lists a framework, and the nodes that lead to it.
    pub(crate) fn activate(&mut self, client: NodeKey) {
        let mut at = client;
        while let (false, Some(parent)) = (self.nodes[at].listed, self.nodes[at].parent) {
            self.nodes[at].listed = true;
            self.measure(at);
            let rank = self.nodes[at].rank.clone();
            self.nodes[parent].order.insert(rank, at);
            at = parent;
        }
    }

    /// Takes a framework off the list, and the nodes that lead to no other.
    pub(crate) fn deactivate(&mut self, client: NodeKey) {
        let mut at = client;
        while let (true, Some(parent)) = (self.nodes[at].listed, self.nodes[at].parent) {
            self.nodes[at].listed = false;
            let rank = self.nodes[at].rank.clone();
            self.nodes[parent].order.remove(&rank);
            if !self.nodes[parent].order.is_empty() {
                break;
            }
            at = parent;
        }
    }

    /// A framework was given something.
    pub(crate) fn charge(&mut self, client: NodeKey, amounts: &Quantities) {
        self.climb(client, |node| {
            node.allocated += amounts;
            node.rank.picks += 1;
        });
    }

    /// A framework gave something back.
    pub(crate) fn discharge(&mut self, client: NodeKey, amounts: &Quantities) {
        self.climb(client, |node| node.allocated -= amounts);
    }

    /// A framework holds something that was not offered now: found on an agent, or
    /// made of something else by an operation.
    pub(crate) fn adopt(&mut self, client: NodeKey, amounts: &Quantities) {
        self.climb(client, |node| node.allocated += amounts);
    }

    pub(crate) fn set_weight(&mut self, role: &Role, weight: Weight) {
        self.weights.insert(role.clone(), weight);
        if let Some(node) = self.roles.get(role).copied() {
            self.rerank(node, |node| node.weight = weight);
        }
    }

    pub(crate) fn weight(&self, role: &Role) -> Weight {
        self.weights.get(role).copied().unwrap_or(Weight::ONE)
    }

    pub(crate) fn allocated(&self, node: NodeKey) -> &Quantities {
        &self.nodes[node].allocated
    }

    /// What is allocated to a role and to those below it.
    pub(crate) fn allocated_to(&self, role: &Role) -> Option<&Quantities> {
        self.roles.get(role).map(|node| &self.nodes[*node].allocated)
    }

    /// Changes the nodes from one up to the root, and puts each in its new place.
    fn climb(&mut self, from: NodeKey, change: impl Fn(&mut Node)) {
        let mut at = Some(from);
        while let Some(node) = at {
            self.rerank(node, &change);
            at = self.nodes[node].parent;
        }
    }

    fn rerank(&mut self, at: NodeKey, change: impl Fn(&mut Node)) {
        let node = &mut self.nodes[at];
        let (true, Some(parent)) = (node.listed, node.parent) else {
            change(node);
            return;
        };
        let old = node.rank.clone();
        change(node);
        self.measure(at);
        let new = self.nodes[at].rank.clone();
        let order = &mut self.nodes[parent].order;
        order.remove(&old);
        order.insert(new, at);
    }

    fn measure(&mut self, at: NodeKey) {
        let node = &mut self.nodes[at];
        node.rank.share = self.totals.share(&node.allocated, node.weight);
    }

    /// Brings the order below a node up to date after the totals changed their shape.
    fn refresh(&mut self, at: NodeKey) {
        let epoch = self.totals.epoch();
        if self.nodes[at].epoch == epoch {
            return;
        }
        let children: Vec<NodeKey> = std::mem::take(&mut self.nodes[at].order).into_values().collect();
        for child in &children {
            self.measure(*child);
        }
        let order = children.into_iter().map(|child| (self.nodes[child].rank.clone(), child)).collect();
        let node = &mut self.nodes[at];
        node.order = order;
        node.epoch = epoch;
    }

    /// A walk that begins with the least share.
    pub(crate) fn walk(&self) -> Walk {
        Walk { path: vec![Level::of(self.root)] }
    }

    /// The next active framework of a walk. Roles that `enter` refuses are passed by.
    pub(crate) fn next(&mut self, walk: &mut Walk, enter: impl Fn(&str) -> bool) -> Option<Key<Client>> {
        while let Some(level) = walk.path.last_mut() {
            self.refresh(level.node);
            let Some(child) = self.next_child(level) else {
                walk.path.pop();
                continue;
            };
            let node = &self.nodes[child];
            match node.kind {
                Kind::Client(client) => return Some(client),
                Kind::Role if !enter(&node.rank.name) => {}
                Kind::Role | Kind::Own => walk.path.push(Level::of(child)),
            }
        }
        None
    }

    /// The next child in the order of shares against the total. The order kept is
    /// that against the basis, so children are taken out of it and measured until
    /// none of those left can come before the first that was measured.
    fn next_child(&self, level: &mut Level) -> Option<NodeKey> {
        use std::ops::Bound::{Excluded, Unbounded};
        let order = &self.nodes[level.node].order;
        loop {
            let following = match &level.last {
                None => order.first_key_value(),
                Some(last) => order.range((Excluded(last), Unbounded)).next(),
            };
            let Some((rank, child)) = following else {
                return level.measured.pop_first().map(|(_, child)| child);
            };
            let least = self.totals.at_least(rank.share);
            if let Some(first) = level.measured.first_entry()
                && first.key().share < least
            {
                return Some(first.remove());
            }
            level.last = Some(rank.clone());
            // With nothing allocated there is nothing to measure.
            if self.totals.is_exact() || rank.share == Share::default() {
                return Some(*child);
            }
            level.measured.insert(self.true_rank(*child), *child);
        }
    }

    /// A node's rank against the total.
    fn true_rank(&self, node: NodeKey) -> Rank {
        let node = &self.nodes[node];
        let (share, _) = self.totals.true_share(&node.allocated, node.weight);
        Rank { share, ..node.rank.clone() }
    }

    /// Puts a few active frameworks in the order of shares.
    pub(crate) fn sort<T>(&self, few: &mut [T], node: impl Fn(&T) -> NodeKey) {
        few.sort_by_cached_key(|item| self.ranks(node(item)));
    }

    /// The ranks from the root down to a node.
    fn ranks(&self, node: NodeKey) -> Vec<Rank> {
        let mut ranks = Vec::new();
        let mut at = node;
        while let Some(parent) = self.nodes[at].parent {
            ranks.push(self.true_rank(at));
            at = parent;
        }
        ranks.reverse();
        ranks
    }

    pub(crate) fn check(&self) {
        for (key, node) in self.nodes.iter() {
            let children: Vec<_> = self.nodes.iter().filter(|(_, n)| n.parent == Some(key)).collect();
            assert_eq!(children.len(), node.children, "{:?} has its children", node.rank);
            let listed: BTreeSet<_> = children.iter().filter(|(_, n)| n.listed).map(|(k, _)| *k).collect();
            assert_eq!(listed, node.order.values().copied().collect(), "{:?} lists them", node.rank);
            for (rank, child) in &node.order {
                assert_eq!(*rank, self.nodes[*child].rank, "the order's rank is the node's");
            }
            if !matches!(node.kind, Kind::Client(_)) {
                let mut sum = Quantities::new();
                children.iter().for_each(|(_, child)| sum += &child.allocated);
                assert_eq!(sum, node.allocated, "{:?} has what its children have", node.rank);
                assert_eq!(node.parent.is_some() && !node.order.is_empty(), node.listed);
            }
        }
    }
}

/// The name under which a role's own node is found.
fn own_role(role: &Role) -> Role {
    Role::from(format!("{role}/."))
}

impl Node {
    fn new(kind: Kind, name: Arc<str>, parent: Option<NodeKey>, weight: Weight) -> Self {
        Self {
            kind,
            parent,
            children: 0,
            weight,
            allocated: Quantities::new(),
            rank: Rank { share: Share::default(), picks: 0, name },
            listed: false,
            order: BTreeMap::new(),
            epoch: 0,
        }
    }
}
