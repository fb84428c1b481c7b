//! What people ask: why is a framework offered nothing, and who comes next?
//!
//! [`Explanation`] tells of one framework in one role, agents of one shape taken
//! together; [`RoleReport`] tells of a role and of those who compete in it. Both are
//! read from the structures that decide, so that they cannot disagree with what
//! happens. They cost a pass over agents and are for people's questions, not for the
//! hot path; how many agents are examined is the caller's choice.

use std::collections::{BTreeMap, BTreeSet};

use machine::Instant;
use resources::Quantities;
use types::{AgentId, FrameworkId, Role};

use crate::agents::Agent;
use crate::arena::Key;
use crate::bits::Bits;
use crate::frameworks::Client;
use crate::lot::Lot;
use crate::visit::is_within;
use crate::{Allocator, Obstacle, Share, Weight};

/// How many frameworks of a role are listed.
const LISTED: usize = 100;

/// How many of those who come before, or who hold the most, are named.
const NAMED: usize = 5;

/// Why a framework is offered nothing, or only so much, in one of its roles.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The role.
    pub role: Role,
    /// Where the framework stands among all that want offers.
    pub standing: Standing,
    /// On how many agents it holds or is offered something.
    pub holds: usize,
    /// The agents, those of one shape together, the most numerous first.
    pub classes: Vec<AgentClass>,
    /// How many agents were examined, of how many.
    pub examined: (usize, usize),
}

/// A framework in a role, and its turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Which framework.
    pub framework: FrameworkId,
    /// In which role.
    pub role: Role,
    /// Its share within the role, unweighted.
    pub share: Share,
    /// The scalars that it holds or is offered.
    pub allocated: Quantities,
    /// How often it was given something since it subscribed.
    pub grants: u64,
    /// When it was last given something.
    pub granted: Option<Instant>,
    /// How many come before it; none when it wants no offers.
    pub place: Option<usize>,
    /// Some of those who come before it, the very next first.
    pub before: Vec<(FrameworkId, Role)>,
}

/// Agents that have the same.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentClass {
    /// The scalars of one of them.
    pub total: Quantities,
    /// How many of them were examined.
    pub agents: usize,
    /// What stands between them and the framework, the most frequent first.
    pub findings: Vec<Finding>,
}

/// One obstacle before some agents of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What stands in the way.
    pub obstacle: Obstacle,
    /// Before how many agents.
    pub agents: usize,
    /// One of them.
    pub example: AgentId,
    /// The scalars that are free on all of them together.
    pub free: Quantities,
    /// Where filters are in the way, or agents are kept: when the first of them ends.
    pub until: Option<Instant>,
    /// Where reservations are in the way: some of the roles that they are for.
    pub reserved_for: Vec<Role>,
    /// Where agents are kept for large tasks: some of those for whom.
    pub kept_for: Vec<(FrameworkId, Role)>,
    /// Who holds or is offered the most on them.
    pub holders: Vec<Holder>,
}

/// Who has what of the agents in question.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Which framework.
    pub framework: FrameworkId,
    /// In which role.
    pub role: Role,
    /// On how many of the agents.
    pub agents: usize,
    /// The scalars, offers included.
    pub amounts: Quantities,
}

/// A role: its share and who competes in it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleReport {
    /// The role.
    pub role: Role,
    /// Its weight.
    pub weight: Weight,
    /// Its weighted dominant share, roles below counted.
    pub share: Share,
    /// The scalars that are held or offered in it and in roles below it.
    pub allocated: Quantities,
    /// The frameworks in it and below it, those that want offers first and in their
    /// turn. At most a hundred of them.
    pub frameworks: Vec<Standing>,
    /// How many there are.
    pub framework_count: usize,
}

impl Explanation {
    /// How many agents each obstacle stands before.
    #[must_use]
    pub fn obstacles(&self) -> BTreeMap<Obstacle, usize> {
        let mut obstacles = BTreeMap::new();
        for finding in self.classes.iter().flat_map(|class| &class.findings) {
            *obstacles.entry(finding.obstacle).or_default() += finding.agents;
        }
        obstacles
    }
}

/// Who comes when.
struct Turns {
    order: Vec<Key<Client>>,
    places: BTreeMap<Key<Client>, usize>,
}

/// One class while agents are counted.
#[derive(Default)]
struct Tally {
    agents: usize,
    by_obstacle: BTreeMap<Obstacle, Count>,
}

struct Count {
    agents: usize,
    example: AgentId,
    free: Quantities,
    until: Option<Instant>,
    reserved_for: BTreeSet<Role>,
    kept_for: BTreeSet<(FrameworkId, Role)>,
    holders: BTreeMap<Key<Client>, (usize, Quantities)>,
}

impl Allocator {
    /// Tells why a framework is offered nothing, for each of its roles. At most
    /// `agents_max` agents are examined, evenly picked.
    #[must_use]
    pub fn explain(&mut self, framework: &FrameworkId, agents_max: usize) -> Vec<Explanation> {
        let Some(framework) = self.frameworks.get(framework) else { return Vec::new() };
        let clients: Vec<_> = framework.clients.values().copied().collect();
        let turns = self.turns();
        clients.into_iter().map(|client| self.explain_client(client, &turns, agents_max)).collect()
    }

    /// Tells of a role; none if nobody is or ever was in it or below it.
    #[must_use]
    pub fn report_role(&mut self, role: &Role) -> Option<RoleReport> {
        let turns = self.turns();
        let allocated = self.tree.allocated_to(role)?.clone();
        let inside = |client: &Client| is_within(client.role.as_str(), role.as_str());
        let waiting = turns.order.iter().copied().filter(|client| inside(&self.frameworks.clients[*client]));
        let others = self
            .frameworks
            .clients
            .iter()
            .filter(|(key, client)| inside(client) && !turns.places.contains_key(key));
        let all: Vec<_> = waiting.chain(others.map(|(key, _)| key)).collect();
        Some(RoleReport {
            role: role.clone(),
            weight: self.tree.weight(role),
            share: self.role_share(role),
            allocated,
            framework_count: all.len(),
            frameworks: all.into_iter().take(LISTED).map(|client| self.standing(client, &turns)).collect(),
        })
    }

    /// All that want offers, in the order of their turns as of now. Where lots are
    /// drawn nobody knows the turns, and the order is that of shares.
    fn turns(&mut self) -> Turns {
        let mut walk = self.tree.walk_without_lots();
        let order: Vec<_> =
            std::iter::from_fn(|| self.tree.next(&mut walk, &Bits::EMPTY, |_| true)).collect();
        self.tree.end(walk);
        let places = order.iter().enumerate().map(|(place, client)| (*client, place)).collect();
        Turns { order, places }
    }

    fn standing(&self, client: Key<Client>, turns: &Turns) -> Standing {
        let holder = &self.frameworks.clients[client];
        let name = |client: &Key<Client>| {
            let client = &self.frameworks.clients[*client];
            (self.frameworks.arena[client.framework].id.clone(), client.role.clone())
        };
        let allocated = self.tree.allocated(holder.node).clone();
        let place = turns.places.get(&client).copied();
        let (framework, role) = name(&client);
        Standing {
            framework,
            role,
            share: self.tree.totals().true_share(&allocated, Weight::ONE).0,
            allocated,
            grants: holder.grants,
            granted: holder.granted,
            place,
            before: turns.order[..place.unwrap_or(0)].iter().take(NAMED).map(name).collect(),
        }
    }

    fn explain_client(&self, client: Key<Client>, turns: &Turns, agents_max: usize) -> Explanation {
        let all = self.agents.by_id.len();
        let stride = all.div_ceil(agents_max.max(1)).max(1);
        let mut classes: Vec<(Quantities, Tally)> = Vec::new();
        let mut examined = 0;
        for (agent, place) in self.agents.arena.iter().step_by(stride) {
            examined += 1;
            let total = place.total.scalars().clone();
            let at = classes.iter().position(|(shape, _)| *shape == total).unwrap_or_else(|| {
                classes.push((total, Tally::default()));
                classes.len() - 1
            });
            let tally = &mut classes[at].1;
            tally.agents += 1;
            self.count(client, agent, place, tally);
        }
        let mut classes: Vec<_> = classes
            .into_iter()
            .map(|(total, tally)| AgentClass { total, agents: tally.agents, findings: self.findings(tally) })
            .collect();
        classes.sort_by_key(|class| std::cmp::Reverse(class.agents));
        Explanation {
            role: self.frameworks.clients[client].role.clone(),
            standing: self.standing(client, turns),
            holds: self.frameworks.clients[client].holdings,
            classes,
            examined: (examined, all),
        }
    }

    fn count(&self, client: Key<Client>, agent: Key<Agent>, place: &Agent, tally: &mut Tally) {
        let obstacle = self.obstacle(client, agent, place);
        let free = Lot::of(place.available());
        let count = tally.by_obstacle.entry(obstacle).or_insert_with(|| Count {
            agents: 0,
            example: place.id.clone(),
            free: Quantities::new(),
            until: None,
            reserved_for: BTreeSet::new(),
            kept_for: BTreeSet::new(),
            holders: BTreeMap::new(),
        });
        count.agents += 1;
        count.free += free.scalars();
        if obstacle == Obstacle::Declined {
            let ends = self.filters_end(client, agent, &free);
            count.until = [count.until, ends].into_iter().flatten().min();
        }
        if matches!(obstacle, Obstacle::KeptForLarge | Obstacle::AddsUp)
            && let Some(kept) = self.kept_agent(agent)
        {
            count.until = [count.until, Some(kept.until)].into_iter().flatten().min();
            if obstacle == Obstacle::KeptForLarge {
                count.kept_for.insert((kept.framework, kept.role));
            }
        }
        if obstacle == Obstacle::ReservedForOthers {
            count
                .reserved_for
                .extend(free.resources().iter().filter_map(|resource| resource.reservation_role().cloned()));
        }
        for (holder, held) in place.uses.iter().filter(|(holder, _)| **holder != client) {
            let (agents, amounts) = count.holders.entry(*holder).or_default();
            *agents += 1;
            *amounts += held.scalars();
        }
    }

    fn findings(&self, tally: Tally) -> Vec<Finding> {
        let finding = |(obstacle, count): (Obstacle, Count)| Finding {
            obstacle,
            agents: count.agents,
            example: count.example,
            free: count.free,
            until: count.until,
            reserved_for: count.reserved_for.into_iter().take(NAMED).collect(),
            kept_for: count.kept_for.into_iter().take(NAMED).collect(),
            holders: self.holders(count.holders),
        };
        let mut findings: Vec<_> = tally.by_obstacle.into_iter().map(finding).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.agents));
        findings
    }

    /// The few that hold the most, by dominant share.
    fn holders(&self, all: BTreeMap<Key<Client>, (usize, Quantities)>) -> Vec<Holder> {
        let mut all: Vec<_> = all.into_iter().collect();
        let share = |amounts: &Quantities| self.tree.totals().true_share(amounts, Weight::ONE).0;
        all.sort_by_cached_key(|(_, (_, amounts))| std::cmp::Reverse(share(amounts)));
        let named = all.into_iter().take(NAMED).map(|(client, (agents, amounts))| {
            let client = &self.frameworks.clients[client];
            let framework = self.frameworks.arena[client.framework].id.clone();
            Holder { framework, role: client.role.clone(), agents, amounts }
        });
        named.collect()
    }

    /// When the last filter that keeps a client from what is free on an agent ends.
    fn filters_end(&self, client: Key<Client>, agent: Key<Agent>, free: &Lot) -> Option<Instant> {
        let holder = &self.frameworks.clients[client];
        let capabilities = self.frameworks.arena[holder.framework].capabilities;
        let usable =
            free.resources().allocatable_to(&holder.role).filter(|resource| capabilities.handle(resource));
        crate::filters::refused_until(holder, agent, &Lot::of(usable))
    }
}
