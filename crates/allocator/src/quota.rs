//! Quota: what a role is guaranteed, and what it may hold at most.
//!
//! Quota is set for top-level roles and counts their whole subtree. A role
//! *consumes* all reservations of its subtree, whether anybody holds them or not,
//! and the unreserved, non-revocable scalars that are held by or offered to its
//! frameworks. Only those scalars are ever held back: reservations, revocable
//! resources, ranges and sets are offered whatever the quota.
//!
//! **The rule.** Of each name a framework is offered at most the *cap* of its role:
//!
//! ```text
//! cap = min(limit - consumed, unmet + surplus)
//! unmet = guarantee - consumed               what the role must still get
//! surplus = available - required             what may go to anybody
//! required = sum of all roles' unmet
//! available = unreserved, non-revocable scalars of active agents nobody holds
//! ```
//! where nothing is less than zero, and names of which nothing is required are not
//! held back for anybody. On an agent those with something unmet there come first.
//!
//! All terms are running sums, changed with the books. What was held back, and why,
//! is remembered ([`held_back`](crate::held_back)), so that only a cap that grew
//! makes anybody look again.
//
// COMPAT(mesos): Mesos checks a limit only when it offers to frameworks of the
// top-level role itself, and serves only these first, though it counts what those
// below it hold. Here the rule holds for the whole subtree.

use std::collections::{BTreeMap, BTreeSet};

use resources::{Limits, Name, Quantities, Resource, Resources, Scalar, Value};
use smallvec::SmallVec;
use types::Role;

use crate::Allocator;
use crate::agents::Agent;
use crate::arena::{Arena, Key};
use crate::frameworks::Client;
use crate::full::Full;
use crate::held_back::{HeldBack, Stalled};
use crate::lot::Lot;

/// The quota of one role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Scalars that are kept free for the role until it has them.
    pub guarantees: Quantities,
    /// Scalars of which the role is offered no more; names that are absent have no
    /// limit.
    pub limits: Limits,
}

impl Quota {
    /// Whether this is what every role has for which none was set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.guarantees.is_empty() && self.limits.is_empty()
    }
}

/// What a top-level role and those below it have, and may have.
pub(crate) struct Account {
    pub(crate) role: Role,
    pub(crate) quota: Quota,
    /// The scalars reserved to the subtree on all agents.
    pub(crate) reserved: Quantities,
    /// The open scalars held by or offered to the subtree.
    pub(crate) used: Quantities,
    /// What of the guarantees is not consumed; part of [`Quotas::required`].
    pub(crate) unmet: Quantities,
    pub(crate) clients: BTreeSet<Key<Client>>,
    /// What was held back from its clients.
    pub(crate) held: HeldBack,
    /// Whether it is listed in [`Quotas::eased`].
    pub(crate) listed: bool,
    /// Whether it is among [`Quotas::stalled`].
    pub(crate) stalled: bool,
    /// Its place in the tree, while it is among [`Quotas::full`].
    pub(crate) full_at: Option<usize>,
}

/// The accounts of all top-level roles, and the sums over them.
#[derive(Default)]
pub(crate) struct Quotas {
    pub(crate) accounts: Arena<Account>,
    pub(crate) by_role: BTreeMap<Role, Key<Account>>,
    /// What must be kept for roles with guarantees.
    pub(crate) required: Quantities,
    /// The open scalars of active agents that nobody holds or is offered.
    pub(crate) available: Quantities,
    /// What was held back from anybody for the sake of guarantees.
    pub(crate) held: HeldBack,
    /// Roles that were owed something and are not now, or the other way round, since the
    /// tree was told.
    pub(crate) turned: BTreeSet<Key<Account>>,
    /// Roles whose caps may have grown.
    pub(crate) eased: Vec<Key<Account>>,
    /// Roles that were below their limits again, but had nothing of it for the sake of
    /// the guarantees of others.
    pub(crate) stalled: Stalled,
    /// Roles of which nobody need look.
    pub(crate) full: Full,
}

/// Whether quota may hold a resource back: unreserved, non-revocable scalars.
pub(crate) fn is_open(resource: &Resource) -> bool {
    resource.as_scalar().is_some() && !resource.is_reserved() && !resource.is_revocable()
}

/// The top-level role above a role, or itself.
pub(crate) fn top_level(role: &str) -> &str {
    role.split_once('/').map_or(role, |(top, _)| top)
}

fn less(amount: Scalar, by: Scalar) -> Scalar {
    if amount > by { amount - by } else { Scalar::ZERO }
}

impl Account {
    fn consumed_of(&self, name: &Name) -> Scalar {
        self.reserved.get(name) + self.used.get(name)
    }

    pub(crate) fn consumed(&self) -> Quantities {
        let mut consumed = self.reserved.clone();
        consumed += &self.used;
        consumed
    }

    /// What may still be offered of a name under the limit.
    pub(crate) fn room(&self, name: &Name) -> Option<Scalar> {
        self.quota.limits.get(name).map(|limit| less(limit, self.consumed_of(name)))
    }
}

impl Quotas {
    /// The account of a role's top level, made where missing.
    pub(crate) fn entry(&mut self, role: &str) -> Key<Account> {
        let role = top_level(role);
        if let Some(account) = self.by_role.get(role) {
            return *account;
        }
        let account = self.accounts.insert(Account {
            role: Role::from(role),
            quota: Quota::default(),
            reserved: Quantities::new(),
            used: Quantities::new(),
            unmet: Quantities::new(),
            clients: BTreeSet::new(),
            held: HeldBack::default(),
            listed: false,
            stalled: false,
            full_at: None,
        });
        self.by_role.insert(Role::from(role), account);
        account
    }

    /// Drops an account that nothing is known of.
    pub(crate) fn forget_if_idle(&mut self, account: Key<Account>) {
        let idle = &self.accounts[account];
        if idle.quota.is_default() && idle.clients.is_empty() && idle.reserved.is_empty() {
            debug_assert!(idle.used.is_empty(), "what is used has a client");
            let role = idle.role.clone();
            self.turned.remove(&account);
            self.accounts.remove(account);
            self.by_role.remove(&role);
        }
    }

    /// What may go to anybody of a name; none where nothing is required of it.
    pub(crate) fn surplus(&self, name: &Name) -> Option<Scalar> {
        let required = self.required.get(name);
        (required > Scalar::ZERO).then(|| less(self.available.get(name), required))
    }

    /// The most that a role may be offered of a name now; none where it is not bound.
    pub(crate) fn cap(&self, account: &Account, name: &Name) -> Option<Scalar> {
        let beyond = self.surplus(name).map(|surplus| surplus + account.unmet.get(name));
        [account.room(name), beyond].into_iter().flatten().min()
    }

    /// Whether anything could be held back from a role at all.
    pub(crate) fn binds(&self, account: Key<Account>) -> bool {
        !self.required.is_empty() || !self.accounts[account].quota.limits.is_empty()
    }

    /// Whether a role has reached its limits for all of these open scalars, and it is
    /// noted already that it is to look again when it has not: then none of its
    /// frameworks need look.
    pub(crate) fn is_full(&self, account: Key<Account>, open: &Quantities) -> bool {
        let account = &self.accounts[account];
        let full = |name: &Name| account.room(name).is_some_and(Scalar::is_zero);
        open.iter().all(|(name, _)| full(name) && account.held.is_all_noted(name))
    }

    /// Whether a role is owed anything at all.
    pub(crate) fn is_owed_anything(&self, account: Key<Account>) -> bool {
        !self.accounts[account].unmet.is_empty()
    }

    /// What of a lot the role may be offered; none where that is all.
    pub(crate) fn cut(&self, account: Key<Account>, lot: &Lot) -> Option<Lot> {
        if !self.binds(account) {
            return None;
        }
        let account = &self.accounts[account];
        let caps = lot.open().iter().filter_map(|(name, amount)| {
            let cap = self.cap(account, name)?;
            (cap < *amount).then(|| (name.clone(), cap))
        });
        let caps: SmallVec<[(Name, Scalar); 4]> = caps.collect();
        (!caps.is_empty()).then(|| Lot::of(shrink(lot.resources(), caps)))
    }

    /// Whether it is a limit of its own that holds some of a lot back from a role.
    pub(crate) fn is_at_limit(&self, account: Key<Account>, lot: &Lot) -> bool {
        let account = &self.accounts[account];
        lot.open().iter().any(|(name, amount)| {
            let room = account.room(name).filter(|room| room < amount);
            room.is_some_and(|room| {
                self.surplus(name).is_none_or(|surplus| room <= surplus + account.unmet.get(name))
            })
        })
    }

    /// Whether the role must still get something that is among these.
    pub(crate) fn is_owed(&self, account: Key<Account>, free: &Quantities) -> bool {
        let unmet = &self.accounts[account].unmet;
        unmet.iter().any(|(name, _)| free.get(name) > Scalar::ZERO)
    }

    /// Open scalars went to the frameworks of a role.
    pub(crate) fn use_more(&mut self, account: Key<Account>, amounts: &Quantities) {
        self.accounts[account].used += amounts;
        self.measure(account);
    }

    /// Frameworks of a role gave open scalars back.
    pub(crate) fn use_less(&mut self, account: Key<Account>, amounts: &Quantities) {
        self.accounts[account].used -= amounts;
        self.measure(account);
        self.ease(account);
    }

    /// A role's caps may have grown.
    pub(crate) fn ease(&mut self, account: Key<Account>) {
        self.strike_full(account);
        let eased = &mut self.accounts[account];
        if !eased.listed && !eased.held.is_empty() {
            eased.listed = true;
            self.eased.push(account);
        }
    }

    /// Brings what is unmet up to date.
    fn measure(&mut self, key: Key<Account>) {
        let account = &mut self.accounts[key];
        if account.quota.guarantees.is_empty() && account.unmet.is_empty() {
            return;
        }
        self.required -= &account.unmet;
        let mut unmet = account.quota.guarantees.clone();
        unmet -= &account.reserved;
        unmet -= &account.used;
        self.required += &unmet;
        if unmet.is_empty() != account.unmet.is_empty() {
            self.turned.insert(key);
        }
        account.unmet = unmet;
    }

    /// The reservations of an agent changed.
    fn replace_reservations(&mut self, old: &Resources, new: &Resources) {
        let mut touched: SmallVec<[Key<Account>; 4]> = SmallVec::new();
        for (total, is_new) in [(new, true), (old, false)] {
            for resource in total {
                let (Some(role), Some(amount)) = (resource.reservation_role(), resource.as_scalar()) else {
                    continue;
                };
                let account = self.entry(role.as_str());
                let reserved = &mut self.accounts[account].reserved;
                reserved.add(resource.name(), if is_new { amount } else { Scalar::ZERO - amount });
                if !touched.contains(&account) {
                    touched.push(account);
                }
            }
        }
        for account in touched {
            self.measure(account);
            self.ease(account);
            self.forget_if_idle(account);
        }
    }
}

/// Cuts resources so that open scalars of these names amount to no more than this.
/// Whole things that do not fit are left out.
pub(crate) fn shrink(resources: &Resources, mut caps: SmallVec<[(Name, Scalar); 4]>) -> Resources {
    let mut kept = Resources::new();
    for resource in resources {
        let cap = caps.iter_mut().find(|(name, _)| name == resource.name() && is_open(resource));
        let (Some((_, left)), Some(amount)) = (cap, resource.as_scalar()) else {
            kept.push(resource.clone());
            continue;
        };
        if amount <= *left {
            *left -= amount;
            kept.push(resource.clone());
        } else if *left > Scalar::ZERO && !resource.is_indivisible() {
            kept.push(resource.clone().with_value(Value::Scalar(*left)));
            *left = Scalar::ZERO;
        }
    }
    kept
}

impl Allocator {
    /// Sets what a top-level role is guaranteed and may hold at most; the default
    /// quota ends it. Nothing that is held or offered is taken back.
    pub fn set_quota(&mut self, role: &Role, quota: Quota) {
        debug_assert_eq!(top_level(role.as_str()), role.as_str(), "quota is for top-level roles");
        let account = self.quotas.entry(role.as_str());
        let places = self.agents.arena.places();
        let before = &mut self.quotas.accounts[account];
        if !self.quotas.held.is_empty() {
            // What was held back from a role without quota is noted for all only.
            let old = &before.quota.guarantees;
            let risen = quota.guarantees.iter().filter(|(name, amount)| **amount > old.get(name));
            before.held.note_all(risen.map(|(name, _)| name), places);
        }
        before.quota = quota;
        self.quotas.measure(account);
        self.quotas.ease(account);
        self.quotas.forget_if_idle(account);
    }

    /// The quota of a role; the default where none was set.
    #[must_use]
    pub fn quota(&self, role: &Role) -> Quota {
        self.quotas.by_role.get(role).map(|key| self.quotas.accounts[*key].quota.clone()).unwrap_or_default()
    }

    /// The roles that have quota, by name.
    pub fn quotas(&self) -> impl Iterator<Item = (&Role, &Quota)> {
        let all = self.quotas.by_role.iter();
        let all = all.map(|(role, account)| (role, &self.quotas.accounts[*account].quota));
        all.filter(|(_, quota)| !quota.is_default())
    }

    /// What counts against the quota of a top-level role: all that is reserved to it
    /// and to those below it, held or not, and the unreserved, non-revocable scalars
    /// that they hold or are offered.
    #[must_use]
    pub fn quota_consumed(&self, role: &Role) -> Quantities {
        self.quotas.by_role.get(role).map(|key| self.quotas.accounts[*key].consumed()).unwrap_or_default()
    }

    /// The unreserved, non-revocable scalars that are kept for roles with unmet
    /// guarantees, and those of active agents that nobody holds or is offered.
    #[must_use]
    pub fn quota_headroom(&self) -> (&Quantities, &Quantities) {
        (&self.quotas.required, &self.quotas.available)
    }

    /// Changes what counts for an agent's part of the available headroom.
    pub(crate) fn recount_open(&mut self, agent: Key<Agent>, change: impl FnOnce(&mut Agent)) {
        let place = &mut self.agents.arena[agent];
        self.quotas.available -= &place.open_free();
        change(place);
        self.quotas.available += &place.open_free();
    }

    /// Tells the tree which roles are owed something.
    pub(crate) fn tell_who_is_owed(&mut self) {
        for key in std::mem::take(&mut self.quotas.turned) {
            if let Some(account) = self.quotas.accounts.get(key) {
                self.tree.set_owed(&account.role, !account.unmet.is_empty());
            }
        }
    }

    /// Replaces an agent's total on all books.
    pub(crate) fn set_total(&mut self, agent: Key<Agent>, total: Lot) {
        let place = &self.agents.arena[agent];
        if place.is_regular && !total.has_shared() && total.contains(&place.total) {
            let more = self.agents.growth(&place.total.clone(), &total);
            let place = &mut self.agents.arena[agent];
            place.free = place.free.plus(&more).in_order_of(&total);
            if place.is_offered() {
                self.quotas.available += more.open();
            }
            self.put_total(agent, total);
            return;
        }
        self.taking_stock(agent, |allocator| allocator.put_total(agent, total));
    }

    /// The same where the free part is seen to by the caller.
    pub(crate) fn put_total(&mut self, agent: Key<Agent>, total: Lot) {
        let before = self.agents.arena[agent].total.clone();
        if !before.is_for_anybody() || !total.is_for_anybody() {
            self.quotas.replace_reservations(before.resources(), total.resources());
        }
        self.tree.replace_total(before.scalars(), total.scalars());
        self.agents.arena[agent].replace_total(total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(text: &str) -> SmallVec<[(Name, Scalar); 4]> {
        let pairs = text.split(';').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, amount) = pair.split_once(':').expect("a pair");
            (Name::from(name), Scalar::from_units(amount.parse().expect("a number")))
        });
        pairs.collect()
    }

    #[test]
    fn only_open_scalars_are_cut() {
        let all = Resources::parse("cpus:4;cpus(eng):3;mem:100;ports:[1-9];disk:7", "*").expect("parses");
        let revocable = Resources::parse("cpus:2", "*").expect("parses").map(|r| r.with_revocable(true));
        let all = all + revocable;
        for (given, left) in [
            ("cpus:1", "cpus:1;cpus(eng):3;mem:100;ports:[1-9];disk:7"),
            ("cpus:0;disk:0;mem:0", "cpus(eng):3;ports:[1-9]"),
            ("cpus:9;mem:60", "cpus:4;cpus(eng):3;mem:60;ports:[1-9];disk:7"),
        ] {
            let kept = shrink(&all, caps(given));
            assert_eq!(kept.non_revocable(), Resources::parse(left, "*").expect("parses"), "{given}");
            assert_eq!(kept.revocable().len(), 1, "{given}");
        }
    }

    #[test]
    fn who_turned_is_noted_once() {
        let mut allocator = Allocator::new(crate::Options::default());
        let guarantees = Quantities::parse("cpus:1").expect("parses");
        for _ in 0..100 {
            for role in ["a", "b"] {
                let quota = Quota { guarantees: guarantees.clone(), ..Quota::default() };
                allocator.set_quota(&role.into(), quota);
                allocator.set_quota(&role.into(), Quota::default());
            }
        }
        assert!(allocator.quotas.turned.is_empty(), "their accounts are gone");
        let key = allocator.quotas.entry("a");
        for amounts in [&guarantees, &Quantities::new()].into_iter().cycle().take(100) {
            allocator.quotas.accounts[key].quota.guarantees = amounts.clone();
            allocator.quotas.measure(key);
        }
        assert_eq!(allocator.quotas.turned.len(), 1);
    }

    #[test]
    fn the_top_of_a_role() {
        for (role, top) in [("eng", "eng"), ("eng/back/db", "eng"), ("*", "*")] {
            assert_eq!(top_level(role), top);
        }
    }
}
