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
//!
//! Top-level roles whose quota guarantees are not met are in an order of their own as
//! well, so that a walk over them does not pass by all the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use machine::Rng;
use resources::Quantities;
use types::Role;

use crate::arena::{Arena, Key};
use crate::bits::Bits;
use crate::frameworks::Client;
use crate::labels::{Label, Labels};
use crate::lottery::Lottery;
use crate::order::{Order, Rank};
use crate::policy::{Policy, Precedence, Sorter};
use crate::quota::Account;
use crate::share::{Class, Share, Totals, Weight};

mod walk;

use walk::Level;

pub(crate) type NodeKey = Key<Node>;

/// Levels of roles with nodes of their own. What is deeper hangs below the last of
/// them, lest one long role fill the memory with those above it.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Copy)]
enum Kind {
    Root,
    /// A role, and the account of its top level.
    Role(Key<Account>),
    Own,
    Client(Key<Client>),
}

pub(crate) struct Node {
    kind: Kind,
    name: Arc<str>,
    parent: Option<NodeKey>,
    children: Labels<NodeKey>,
    child_count: usize,
    weight: Weight,
    allocated: Quantities,
    /// How often this subtree was given something.
    picks: u64,
    /// What it is in the order by; right only while the parent's epoch is, and
    /// while it has siblings there.
    rank: Rank,
    class: Class,
    /// Whether it is in its parent's order.
    listed: bool,
    /// Whether a guarantee of the role is not met. Only of top-level roles.
    owed: bool,
    order: Order,
    /// Those in `order` that are owed something.
    order_of_owed: Order,
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
    policy: Policy,
    /// The places of the active frameworks, and how many there are.
    active: Bits,
    active_count: usize,
    /// Memory for the next walk.
    spare: Vec<Level>,
    /// Draws the lots. Not the allocator's, so that other policies spend no chance.
    rng: Rng,
}

impl Tree {
    pub(crate) fn new(totals: Totals, weights: BTreeMap<Role, Weight>, policy: Policy, seed: u64) -> Self {
        let mut nodes = Arena::default();
        let root = nodes.insert(Node::new(Kind::Root, "".into(), None, Weight::ONE, Precedence::LAST));
        Self {
            nodes,
            root,
            roles: BTreeMap::new(),
            weights,
            totals,
            policy,
            active: Bits::default(),
            active_count: 0,
            spare: Vec::new(),
            rng: Rng::new(seed),
        }
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// An agent's total changed.
    pub(crate) fn replace_total(&mut self, old: &Quantities, new: &Quantities) {
        self.totals.replace(old, new);
    }

    /// Adds an inactive framework to a role, whose top level has this account and may
    /// be owed something.
    pub(crate) fn add_client(
        &mut self,
        role: &Role,
        framework: &str,
        client: Key<Client>,
        (account, owed): (Key<Account>, bool),
    ) -> NodeKey {
        let role_node = self.role_node(role, account, owed);
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
    fn role_node(&mut self, role: &Role, account: Key<Account>, owed: bool) -> NodeKey {
        let mut at = self.root;
        let slashes = role.as_str().match_indices('/').map(|(slash, _)| slash);
        for end in slashes.take(DEPTH_MAX).chain([role.as_str().len()]) {
            let path = &role.as_str()[..end];
            at = match self.roles.get(path) {
                Some(node) => *node,
                None => {
                    let weight = self.weights.get(path).copied().unwrap_or(Weight::ONE);
                    let is_top = at == self.root;
                    let node = self.insert(Kind::Role(account), path.into(), at, weight);
                    self.nodes[node].owed = is_top && owed;
                    self.roles.insert(Role::from(path), node);
                    node
                }
            };
        }
        at
    }

    fn insert(&mut self, kind: Kind, name: Arc<str>, parent: NodeKey, weight: Weight) -> NodeKey {
        let precedence = match kind {
            Kind::Role(_) => self.policy.precedence(&name),
            Kind::Root | Kind::Own | Kind::Client(_) => Precedence::LAST,
        };
        let node = self.nodes.insert(Node::new(kind, Arc::clone(&name), Some(parent), weight, precedence));
        self.nodes[parent].child_count += 1;
        let (label, anew) = self.nodes[parent].children.insert(name, node);
        if !anew.is_empty() {
            let listed = self.nodes[parent].take_order();
            anew.into_iter().for_each(|(label, child)| self.nodes[child].rank.label = label);
            listed.into_iter().for_each(|child| self.list(child, parent));
        }
        self.nodes[node].rank.label = label;
        node
    }

    /// Removes a framework from its role, and the nodes that then lead nowhere.
    pub(crate) fn remove_client(&mut self, client: NodeKey) {
        self.deactivate(client);
        let left = self.nodes[client].allocated.clone();
        self.discharge(client, &left);
        let mut at = client;
        while let Some(parent) = self.nodes[at].parent {
            if self.nodes[at].child_count > 0 {
                break;
            }
            let Some(gone) = self.nodes.remove(at) else { break };
            if let Kind::Role(_) | Kind::Own = gone.kind {
                self.roles.remove(&*gone.name);
            }
            self.nodes[parent].children.remove(&gone.name);
            self.nodes[parent].child_count -= 1;
            at = parent;
        }
    }

    /// Whether any framework is active at all.
    pub(crate) fn is_anybody_active(&self) -> bool {
        !self.nodes[self.root].order.is_empty()
    }

    /// A top-level role is owed something from now on, or is not any more.
    pub(crate) fn set_owed(&mut self, role: &Role, owed: bool) {
        let Some(at) = self.roles.get(role).copied().filter(|at| self.nodes[*at].owed != owed) else {
            return;
        };
        let root = self.root;
        let (node, above) = self.nodes.pair_mut(at, root);
        node.owed = owed;
        if !node.listed {
            return;
        }
        if owed {
            // An only child may have an old rank, which is the one it is listed by.
            above.order_of_owed.insert(node.class, node.rank, at);
        } else {
            above.order_of_owed.remove(node.class, &node.rank);
        }
    }

    pub(crate) fn is_active(&self, client: NodeKey) -> bool {
        self.nodes[client].listed
    }

    /// Lists a framework, and the nodes that lead to it.
    pub(crate) fn activate(&mut self, client: NodeKey) {
        self.active_count += usize::from(self.active.insert(client.place()));
        let mut at = client;
        while let (false, Some(parent)) = (self.nodes[at].listed, self.nodes[at].parent) {
            if let Some(sibling) = self.nodes[parent].order.lone() {
                // It had no need of a rank until now.
                self.replace(sibling, parent);
            }
            self.nodes[at].listed = true;
            self.measure(at);
            self.list(at, parent);
            at = parent;
        }
    }

    /// Takes a framework off the list, and the nodes that lead to no other.
    pub(crate) fn deactivate(&mut self, client: NodeKey) {
        self.active_count -= usize::from(self.active.remove(client.place()));
        let mut at = client;
        while let (true, Some(parent)) = (self.nodes[at].listed, self.nodes[at].parent) {
            self.nodes[at].listed = false;
            self.unlist(at, parent);
            if !self.nodes[parent].order.is_empty() {
                break;
            }
            at = parent;
        }
    }

    /// Puts a node into its parent's order.
    fn list(&mut self, at: NodeKey, parent: NodeKey) {
        let (node, above) = self.nodes.pair_mut(at, parent);
        above.order.insert(node.class, node.rank, at);
        if node.owed {
            above.order_of_owed.insert(node.class, node.rank, at);
        }
    }

    /// Takes a node out of its parent's order, and says whether it was there.
    fn unlist(&mut self, at: NodeKey, parent: NodeKey) -> bool {
        let (node, above) = self.nodes.pair_mut(at, parent);
        if node.owed {
            above.order_of_owed.remove(node.class, &node.rank);
        }
        above.order.remove(node.class, &node.rank)
    }

    /// A framework was given something.
    pub(crate) fn charge(&mut self, client: NodeKey, amounts: &Quantities) {
        self.climb(client, |node| {
            node.allocated += amounts;
            node.picks += 1;
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
        change(node);
        // An only child is first whatever its share is.
        if self.nodes[parent].order.lone().is_none() {
            self.replace(at, parent);
        }
    }

    /// Puts a node in its new place among its siblings.
    fn replace(&mut self, at: NodeKey, parent: NodeKey) {
        if self.unlist(at, parent) {
            self.measure(at);
            self.list(at, parent);
        }
    }

    fn measure(&mut self, at: NodeKey) {
        self.nodes[at].measure(&self.totals);
    }

    /// Brings the order below a node up to date after the totals changed their shape.
    fn refresh(&mut self, at: NodeKey) {
        let epoch = self.totals.epoch();
        if self.nodes[at].epoch == epoch {
            return;
        }
        for child in self.nodes[at].take_order() {
            self.measure(child);
            self.list(child, at);
        }
        self.nodes[at].epoch = epoch;
    }

    /// How many frameworks are active.
    pub(crate) fn active_count(&self) -> usize {
        self.active_count
    }

    /// How many active frameworks are not in these places.
    pub(crate) fn count_without(&self, places: &Bits) -> usize {
        self.active.count_without(places)
    }

    /// The active frameworks that are not in these places, in no order that means anything.
    pub(crate) fn clients_without(&self, places: &Bits) -> Vec<Key<Client>> {
        let nodes = self.active.without(places).filter_map(|place| self.nodes.key_at(place));
        nodes.filter_map(|node| self.client_of(node)).collect()
    }

    fn client_of(&self, node: NodeKey) -> Option<Key<Client>> {
        match self.nodes[node].kind {
            Kind::Client(client) => Some(client),
            Kind::Root | Kind::Role(_) | Kind::Own => None,
        }
    }

    /// Whether lots decide anywhere.
    pub(crate) fn draws_lots(&self) -> bool {
        self.policy.is_random()
    }

    /// How the children of a node are ordered.
    fn sorter(&self, node: NodeKey) -> Sorter {
        match self.nodes[node].kind {
            Kind::Root | Kind::Role(_) => self.policy.role_sorter,
            Kind::Own | Kind::Client(_) => self.policy.framework_sorter,
        }
    }

    /// The lots of siblings, the first precedence last.
    fn lots(&self, siblings: impl Iterator<Item = NodeKey>) -> Vec<Lottery<NodeKey>> {
        let mut by_precedence: BTreeMap<Precedence, Vec<(NodeKey, Weight)>> = BTreeMap::new();
        for at in siblings {
            let node = &self.nodes[at];
            by_precedence.entry(node.rank.precedence).or_default().push((at, node.weight));
        }
        by_precedence.into_values().rev().map(Lottery::new).collect()
    }

    fn true_share(&self, node: NodeKey) -> Share {
        let node = &self.nodes[node];
        self.totals.true_share(&node.allocated, node.weight).0
    }

    /// A node's rank against the total.
    fn true_rank(&self, at: NodeKey) -> Rank {
        let node = &self.nodes[at];
        Rank { share: self.true_share(at), picks: node.picks, ..node.rank }
    }

    /// Puts a few active frameworks in the order of the policy.
    pub(crate) fn sort<T>(&mut self, few: &mut [T], node: impl Fn(&T) -> NodeKey) {
        if self.policy.is_random() {
            let places = self.places(few.iter().map(&node));
            few.sort_by_key(|item| places.get(&node(item)).copied());
        } else {
            few.sort_by_cached_key(|item| self.ranks(node(item)));
        }
    }

    /// The places of a few frameworks where lots are drawn: the tree is walked as if
    /// there were no others.
    fn places(&mut self, few: impl Iterator<Item = NodeKey>) -> BTreeMap<NodeKey, usize> {
        let mut below: BTreeMap<NodeKey, BTreeSet<NodeKey>> = BTreeMap::new();
        for client in few {
            let mut at = client;
            while let Some(parent) = self.nodes[at].parent {
                below.entry(parent).or_default().insert(at);
                at = parent;
            }
        }
        let mut places = BTreeMap::new();
        let mut next = vec![self.root];
        while let Some(at) = next.pop() {
            let Some(children) = below.get(&at) else {
                places.insert(at, places.len());
                continue;
            };
            let mut order: Vec<_> = children.iter().copied().collect();
            match self.sorter(at) {
                Sorter::Drf => order.sort_by_cached_key(|child| self.true_rank(*child)),
                Sorter::Random => {
                    let mut lots = self.lots(order.drain(..));
                    lots.reverse();
                    for lottery in &mut lots {
                        order.extend(std::iter::from_fn(|| lottery.draw(&mut self.rng)));
                    }
                }
            }
            next.extend(order.into_iter().rev());
        }
        places
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

    /// For tests: whether a role is owed something, if it has a node.
    pub(crate) fn is_owed(&self, role: &Role) -> Option<bool> {
        self.roles.get(role).map(|node| self.nodes[*node].owed)
    }

    pub(crate) fn check(&self) {
        for (key, node) in self.nodes.iter() {
            let children: Vec<_> = self.nodes.iter().filter(|(_, n)| n.parent == Some(key)).collect();
            assert_eq!(children.len(), node.child_count, "{} has its children", node.name);
            let listed: BTreeSet<_> = children.iter().filter(|(_, n)| n.listed).map(|(k, _)| *k).collect();
            assert_eq!(
                listed,
                node.order.iter().map(|(.., child)| child).collect(),
                "{} lists them",
                node.name
            );
            let owed: BTreeSet<_> = node.order.iter().filter(|(.., child)| self.nodes[*child].owed).collect();
            assert_eq!(owed, node.order_of_owed.iter().collect(), "{}: the owed are apart", node.name);
            let mut by_label: Vec<_> = children.iter().map(|(_, n)| (n.rank.label, &n.name)).collect();
            by_label.sort_unstable();
            assert!(by_label.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1));
            let is_current = node.epoch == self.totals.epoch() && node.order.lone().is_none();
            for (class, rank, child) in node.order.iter() {
                let child = &self.nodes[child];
                assert_eq!((class, rank), (child.class, &child.rank), "the order's rank is the node's");
                let in_class = self.totals.share_in(&child.allocated, class, child.weight);
                assert!(!is_current || (rank.share, rank.picks) == (in_class, child.picks), "{rank:?}");
                let (_, measured) = self.totals.share(&child.allocated, child.weight);
                assert!(!is_current || !self.totals.is_exact() || class == measured, "{rank:?}");
            }
            if !matches!(node.kind, Kind::Client(_)) {
                let mut sum = Quantities::new();
                children.iter().for_each(|(_, child)| sum += &child.allocated);
                assert_eq!(sum, node.allocated, "{} has what its children have", node.name);
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
    fn new(
        kind: Kind,
        name: Arc<str>,
        parent: Option<NodeKey>,
        weight: Weight,
        precedence: Precedence,
    ) -> Self {
        Self {
            kind,
            name,
            parent,
            children: Labels::default(),
            child_count: 0,
            weight,
            allocated: Quantities::new(),
            picks: 0,
            rank: Rank { precedence, share: Share::default(), picks: 0, label: Label::default() },
            class: Class::default(),
            listed: false,
            owed: false,
            order: Order::default(),
            order_of_owed: Order::default(),
            epoch: 0,
        }
    }

    /// Takes all out of the order, in no order that means anything.
    fn take_order(&mut self) -> Vec<NodeKey> {
        self.order_of_owed = Order::default();
        self.order.take()
    }

    fn measure(&mut self, totals: &Totals) {
        (self.rank.share, self.class) = totals.share(&self.allocated, self.weight);
        self.rank.picks = self.picks;
    }
}
