//! Top-level roles that have reached limits, as sets: a walk passes by thousands of them
//! at once.
//!
//! A role is noted here when nobody of it need look ([`Quotas::is_full`]), and struck off
//! as soon as that may have changed; then the next walk that comes to it finds out again.

use resources::{Name, Quantities};

use crate::arena::Key;
use crate::bits::Bits;
use crate::quota::{Account, Quotas};

/// By the place of a name, the places in the tree of the roles that are full of it.
#[derive(Default)]
pub(crate) struct Full {
    by_name: [Bits; Name::PLACES],
    roles: usize,
}

/// A role that was found to be full, and its place in the tree.
pub(crate) type Found = (Key<Account>, usize);

impl Full {
    /// Adds the roles to a set that are full of all that there is.
    pub(crate) fn collect(&self, open: &Quantities, into: &mut Bits) {
        if self.roles > 0 && open.iter().all(|(name, _)| name.place().is_some()) {
            let names = open.iter().filter_map(|(name, _)| name.place());
            into.extend_with_common(names.map(|name| &self.by_name[name]));
        }
    }
}

impl Quotas {
    /// Notes roles that were found to be full of all that there is.
    pub(crate) fn note_full(&mut self, found: &[Found], open: &Quantities) {
        for (account, place) in found {
            let noted = &mut self.accounts[*account].full_at;
            self.full.roles += usize::from(noted.is_none());
            *noted = Some(*place);
            for name in open.iter().filter_map(|(name, _)| name.place()) {
                self.full.by_name[name].insert(*place);
            }
        }
    }

    /// A role may not be full any more, or is going away.
    pub(crate) fn strike_full(&mut self, account: Key<Account>) {
        if let Some(place) = self.accounts[account].full_at.take() {
            self.full.roles -= 1;
            for roles in &mut self.full.by_name {
                roles.remove(place);
            }
        }
    }

    /// For tests: panics unless those that are noted are full.
    pub(crate) fn check_full(&self) {
        let noted = self.accounts.iter().filter(|(_, account)| account.full_at.is_some());
        assert_eq!(noted.count(), self.full.roles);
        for (key, account) in self.accounts.iter() {
            for name in [Name::CPUS, Name::DISK, Name::GPUS, Name::MEM] {
                let roles = name.place().map(|place| &self.full.by_name[place]);
                let noted = account.full_at.zip(roles).is_some_and(|(at, roles)| roles.has(at));
                let one = [(&name, resources::Scalar::from_units(1))].into_iter().collect();
                assert!(!noted || self.is_full(key, &one), "{} is full of {name}", account.role);
            }
        }
    }
}
