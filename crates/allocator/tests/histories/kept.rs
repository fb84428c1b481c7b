//! The naive rule of agents that are kept for large tasks: who may have one kept, what
//! others may have of it then, and when that ends. Agents are looked at one by one, so
//! that what is kept is known before and after each.

use std::collections::{BTreeMap, BTreeSet};

use allocator::{Allocation, KeptAgent};
use machine::Instant;
use resources::{Quantities, Resources};
use types::{AgentId, FrameworkId, Role};

use crate::world::World;

/// What is kept, as of the last step.
#[derive(Default)]
pub(crate) struct Kept {
    all: Vec<KeptAgent>,
    /// Agents that are kept for nobody before then.
    rests: BTreeMap<AgentId, Instant>,
    /// Who left a role since the last step, and may have come back.
    left: BTreeSet<(FrameworkId, Role)>,
}

/// What one step did to what is kept of an agent.
pub(crate) struct Change {
    before: Option<KeptAgent>,
    after: Option<KeptAgent>,
    /// Whether it rested all the while.
    rested: bool,
    was_right: bool,
    is_right: bool,
}

fn on(all: &[KeptAgent], agent: &AgentId) -> Option<KeptAgent> {
    all.iter().find(|kept| kept.agent == *agent).cloned()
}

fn covers(resources: &Resources, size: &Quantities) -> bool {
    size.iter().all(|(name, least)| resources.scalar(name).unwrap_or_default() >= *least)
}

impl Kept {
    pub(crate) fn forget_agent(&mut self, id: &str) {
        self.all.retain(|kept| kept.agent.as_str() != id);
        self.rests.remove(&AgentId::from(id));
    }

    pub(crate) fn note_left(&mut self, framework: &str, keeps: &[Role]) {
        let gone = self.all.iter().filter(|kept| kept.framework.as_str() == framework);
        let gone = gone.filter(|kept| !keeps.contains(&kept.role));
        self.left.extend(gone.map(|kept| (kept.framework.clone(), kept.role.clone())));
    }
}

impl World {
    /// Before a step's allocations are looked at one by one.
    pub(crate) fn begin_kept(&self) -> BTreeMap<AgentId, Change> {
        let after = self.allocator.kept_agents();
        let agents = self.kept.all.iter().chain(&after).map(|kept| kept.agent.clone());
        let change = |agent: AgentId| {
            let (before, after) = (on(&self.kept.all, &agent), on(&after, &agent));
            let was_right = before.as_ref().is_some_and(|kept| self.is_right_to_keep(kept));
            let rested = self.kept.rests.get(&agent).is_some_and(|end| *end > self.now);
            (agent, Change { before, after, rested, was_right, is_right: false })
        };
        agents.map(change).collect()
    }

    /// Whether what began to be kept in a step could begin now.
    pub(crate) fn try_kept(&self, changes: &mut BTreeMap<AgentId, Change>) {
        for change in changes.values_mut() {
            let Some(kept) = change.after.as_ref() else { continue };
            change.is_right = change.is_right || self.may_begin(kept);
        }
    }

    /// After a step: what began to be kept was right to, and what no longer is kept had an end.
    pub(crate) fn end_kept(&mut self, changes: &BTreeMap<AgentId, Change>, made: &[Allocation]) {
        for (agent, change) in changes {
            if change.before == change.after {
                continue;
            }
            if let Some(before) = &change.before {
                let whose =
                    |made: &&Allocation| (&made.framework, &made.role) == (&before.framework, &before.role);
                let has_left = self.kept.left.contains(&(before.framework.clone(), before.role.clone()));
                let has_end = !change.was_right
                    || before.until <= self.now
                    || has_left
                    || made.iter().find(whose).is_some();
                assert!(has_end, "{before:?} ended for no reason");
                self.kept.rests.insert(agent.clone(), self.now + self.options.min_offer_hold);
            }
            if let Some(after) = &change.after {
                assert!(change.before.is_none() && !change.rested, "{after:?} had no rest");
                assert_eq!(after.until, self.now + self.options.min_offer_hold);
                assert!(change.is_right, "{after:?} has no right to begin");
            }
        }
        self.kept.all = self.allocator.kept_agents();
    }

    /// When all is settled.
    pub(crate) fn check_kept(&mut self) {
        self.kept.left.clear();
        let mut whose = BTreeSet::new();
        for kept in &self.kept.all {
            assert!(self.is_right_to_keep(kept), "{kept:?} is kept for no use");
            assert!(whose.insert((&kept.framework, &kept.role)), "{kept:?} is not the only one");
            assert!(kept.until > self.now && kept.until <= self.now + self.options.min_offer_hold);
        }
    }

    /// What others may have of `free` while an agent is kept.
    pub(crate) fn left_by(&self, kept: &KeptAgent, free: &Resources) -> Resources {
        if !self.is_there(&kept.framework) {
            return free.clone();
        }
        let part = self.firm_part(&kept.framework, &kept.role, free);
        free - &self.beside_short(&kept.role, &kept.agent, None, &part)
    }

    /// For whom an agent is kept.
    pub(crate) fn kept_on(&self, agent: &AgentId) -> Option<KeptAgent> {
        on(&self.kept.all, agent)
    }

    /// Whether an allocation keeps to the rule, whenever in its step what is kept changed.
    pub(crate) fn explain_with_kept(
        &self,
        made: &Allocation,
        changes: &BTreeMap<AgentId, Change>,
    ) -> Result<(), String> {
        let Some(change) = changes.get(&made.agent) else { return self.explain(made, None) };
        if change.before == change.after {
            return self.explain(made, change.after.as_ref());
        }
        let mine = |kept: &&KeptAgent| (&kept.framework, &kept.role) == (&made.framework, &made.role);
        if change.before.as_ref().filter(mine).is_some() && self.is_all_it_may_have(made) {
            // It is enough now, and for whom it was kept has it before all others.
            return Ok(());
        }
        self.explain(made, None).or_else(|why| match &change.after {
            Some(after) => self.explain(made, Some(after)),
            None => Err(why),
        })
    }

    /// Whether an agent is to be kept for a framework when its turn comes.
    pub(crate) fn would_keep(&self, framework: &FrameworkId, role: &Role, agent: &AgentId) -> bool {
        let kept = KeptAgent {
            agent: agent.clone(),
            framework: framework.clone(),
            role: role.clone(),
            until: self.now,
        };
        let others =
            |kept: &KeptAgent| kept.agent == *agent || (&kept.framework, &kept.role) == (framework, role);
        !self.kept.all.iter().chain(&self.allocator.kept_agents()).any(others)
            && self.kept.rests.get(agent).is_none_or(|end| *end <= self.now)
            && self.is_right_to_begin(&kept)
    }

    fn may_begin(&self, kept: &KeptAgent) -> bool {
        self.is_right_to_begin(kept) && self.is_its_turn(kept)
    }

    /// It is right to keep it, quota would let the framework have as much, and it did not
    /// refuse what is there.
    fn is_right_to_begin(&self, kept: &KeptAgent) -> bool {
        let KeptAgent { agent, framework, role, .. } = kept;
        self.is_right_to_keep(kept) && {
            let quotas = self.quota_sums();
            let all = self.firm_part(framework, role, self.total(agent));
            let all = self.ever_beside_short(role, agent, &all);
            let part = self.firm_part(framework, role, &self.free(agent));
            let part = self.beside_short(role, agent, None, &part);
            covers(&quotas.cut(role, &all), &self.options.min_offers[role])
                && !quotas.cut(role, &part).is_empty()
                && !self.refusals(framework, role, agent).any(|refused| refused.contains(&part))
        }
    }

    /// Something is free for it, but less than its size; the agent has enough; it wants
    /// it, may have it, and did not refuse as much.
    fn is_right_to_keep(&self, kept: &KeptAgent) -> bool {
        let KeptAgent { agent, framework, role, .. } = kept;
        let Some(size) = self.options.min_offers.get(role) else { return false };
        if !self.wants(framework, role) || !self.can_use(framework, role, agent) {
            return false;
        }
        let part = self.firm_part(framework, role, &self.free(agent));
        let part = self.beside_short(role, agent, None, &part);
        let all = self.firm_part(framework, role, self.total(agent));
        !part.is_empty()
            && !covers(&part, size)
            && covers(&self.ever_beside_short(role, agent, &all), size)
            && !self.refusals(framework, role, agent).any(|refused| covers(refused, size))
    }
}
