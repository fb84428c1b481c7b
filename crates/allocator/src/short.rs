//! The short-task share: a part of each agent that only roles whose tasks are short may
//! have.
//!
//! Long tasks may fill a cluster, and then a framework of short ones waits until one of
//! them ends. With a share for short tasks ([`ShortTasks`]) the other roles together hold
//! and are offered at most the rest of each agent:
//!
//! ```text
//! room = (1 - share) * total - what roles of long tasks hold there
//! ```
//! of each name, and nothing less than zero. Only open scalars count: what is reserved is
//! for its role, and what is revocable can be taken back. Roles of short tasks may have
//! more than the share. How long a task runs is the master's business.
//!
//! The room depends on the agent alone, and every change of an agent makes all look at it:
//! nothing need be remembered.

use std::collections::BTreeSet;

use resources::{Quantities, Scalar};
use smallvec::SmallVec;
use types::Role;

use crate::Allocator;
use crate::agents::Agent;
use crate::arena::Key;
use crate::frameworks::Client;
use crate::lot::Lot;
use crate::quota::shrink;

/// What part of each agent is for which roles.
#[derive(Clone, Debug, Default)]
pub struct ShortTasks {
    /// The part, in thousandths; nothing where it is zero.
    pub permille: u32,
    /// The roles whose tasks are short.
    pub roles: BTreeSet<Role>,
}

impl ShortTasks {
    /// How much of an amount others may have.
    fn for_others(&self, amount: Scalar) -> Scalar {
        let part = i128::from(amount.milli()) * i128::from(1000_u32.saturating_sub(self.permille)) / 1000;
        Scalar::from_milli(i64::try_from(part).unwrap_or(i64::MAX))
    }
}

impl Allocator {
    /// Whether a client is kept from what is for short tasks.
    fn is_long(&self, client: Key<Client>) -> bool {
        let short = &self.options.short_tasks;
        short.permille > 0
            && self.frameworks.clients.get(client).is_some_and(|holder| !short.roles.contains(&holder.role))
    }

    /// What of these a client may have beside the part of the agent that is for short
    /// tasks, and what is kept there for another; none where that is all.
    pub(crate) fn cut_to_long(&self, client: Key<Client>, agent: Key<Agent>, lot: &Lot) -> Option<Lot> {
        if !self.is_long(client) {
            return None;
        }
        let mut room = self.all_for_long(agent);
        for (_, held) in self.agents.arena[agent].uses.iter().filter(|(holder, _)| self.is_long(**holder)) {
            room -= held.open();
        }
        if let Some(other) = self.large.kept_for(agent).filter(|other| *other != client)
            && self.is_long(other)
        {
            room -= self.kept_part(other, agent).open();
        }
        within(&room, lot)
    }

    /// What of all that an agent has a client may ever have at a time.
    pub(crate) fn cut_total_to_long(&self, client: Key<Client>, agent: Key<Agent>, all: Lot) -> Lot {
        if !self.is_long(client) {
            return all;
        }
        within(&self.all_for_long(agent), &all).unwrap_or(all)
    }

    fn all_for_long(&self, agent: Key<Agent>) -> Quantities {
        let mut all = Quantities::new();
        for (name, amount) in self.agents.arena[agent].total.open().iter() {
            all.add(name, self.options.short_tasks.for_others(*amount));
        }
        all
    }
}

/// What of the open scalars is within the room; none where that is all.
fn within(room: &Quantities, lot: &Lot) -> Option<Lot> {
    let caps = lot.open().iter().filter(|(name, amount)| room.get(name) < **amount);
    let caps: SmallVec<[_; 4]> = caps.map(|(name, _)| (name.clone(), room.get(name))).collect();
    (!caps.is_empty()).then(|| Lot::of(shrink(lot.resources(), caps)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_exact_to_the_thousandth() {
        for (permille, amount, rest) in [
            (0, 4000, 4000),
            (250, 4000, 3000),
            (333, 1000, 667),
            (1, 1, 0),
            (1000, 4000, 0),
            (2000, 4000, 0),
            (500, i64::MAX, i64::MAX / 2),
        ] {
            let short = ShortTasks { permille, ..ShortTasks::default() };
            assert_eq!(short.for_others(Scalar::from_milli(amount)), Scalar::from_milli(rest), "{permille}");
        }
    }
}
