//! A small master around an allocator: it remembers what was offered, and checks
//! every allocation against its own books and against a naive rule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::asks::Asks;
use crate::kept::Kept;
use crate::missing;
use crate::quota_rule::QuotaSums;
use allocator::{
    AgentOptions, AgentProfile, Allocation, Allocator, ClaimError, FrameworkOptions, KeptAgent, Options,
    Progress, Quota, Refusal, Sorter, Weight,
};
use machine::Instant;
use resources::{Conversion, Quantities, Resources, Scalar};
use types::{AgentId, FrameworkId, Role};

/// What one framework wants, as the naive rule sees it.
struct Wish {
    options: FrameworkOptions,
    active: bool,
}

struct Refused {
    framework: FrameworkId,
    role: Role,
    agent: AgentId,
    what: Resources,
    until: Instant,
}

pub(crate) struct World {
    pub(crate) allocator: Allocator,
    pub(crate) options: Options,
    pub(crate) now: Instant,
    wishes: BTreeMap<FrameworkId, Wish>,
    agents: BTreeMap<AgentId, (AgentOptions, Resources)>,
    whitelist: Option<BTreeSet<String>>,
    /// Whether agents have shared volumes.
    pub(crate) volumes: bool,
    /// What is out: offered or held.
    pub(crate) out: Vec<Allocation>,
    refused: Vec<Refused>,
    pub(crate) asks: Asks,
    pub(crate) kept: Kept,
    /// Those of the last time that all was settled.
    pub(crate) made_asks: Vec<(FrameworkId, AgentId)>,
    weights: BTreeMap<Role, f64>,
    quotas: BTreeMap<Role, Quota>,
    /// How often each subtree of the role tree, or framework in a role, was picked.
    picks: BTreeMap<Vec<String>, u64>,
    /// Whether nothing is given for now, and with how many agents that ends.
    paused: bool,
    awaited: Option<usize>,
}

pub(crate) fn resources(text: &str) -> Resources {
    Resources::parse(text, "*").expect(text)
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            allocator: Allocator::new(options.clone()),
            options,
            now: Instant::ZERO,
            wishes: BTreeMap::new(),
            agents: BTreeMap::new(),
            volumes: false,
            whitelist: None,
            out: Vec::new(),
            refused: Vec::new(),
            asks: Asks::default(),
            kept: Kept::default(),
            made_asks: Vec::new(),
            weights: BTreeMap::new(),
            quotas: BTreeMap::new(),
            picks: BTreeMap::new(),
            paused: false,
            awaited: None,
        }
    }

    pub(crate) fn add_framework(&mut self, id: &str, options: FrameworkOptions) {
        self.kept.note_left(id, &options.roles);
        self.allocator.add_framework(&id.into(), &options, true);
        self.refused.retain(|r| r.framework.as_str() != id || options.roles.contains(&r.role));
        self.wishes.insert(id.into(), Wish { options, active: true });
        self.forget_picks();
    }

    pub(crate) fn update_framework(&mut self, id: &str, options: FrameworkOptions) {
        let Some(wish) = self.wishes.get_mut(&FrameworkId::from(id)) else { return };
        let keeps = options.roles.clone();
        wish.options = options.clone();
        self.kept.note_left(id, &options.roles);
        self.allocator.update_framework(&id.into(), &options);
        self.refused.retain(|r| r.framework.as_str() != id || keeps.contains(&r.role));
        self.forget_picks();
    }

    pub(crate) fn remove_framework(&mut self, id: &str) {
        self.withdraw_all(|framework, _| framework.as_str() == id);
        self.forget_answers(|framework, _| framework.as_str() == id);
        self.kept.note_left(id, &[]);
        self.allocator.remove_framework(&id.into());
        self.wishes.remove(&FrameworkId::from(id));
        self.refused.retain(|refused| refused.framework.as_str() != id);
        self.forget_picks();
    }

    pub(crate) fn set_framework_active(&mut self, id: &str, active: bool) {
        let Some(wish) = self.wishes.get_mut(&FrameworkId::from(id)) else { return };
        wish.active = active;
        if active {
            self.allocator.activate_framework(&id.into());
        } else {
            self.allocator.deactivate_framework(&id.into());
            self.withdraw_all(|framework, _| framework.as_str() == id);
            self.forget_answers(|framework, _| framework.as_str() == id);
            self.refused.retain(|refused| refused.framework.as_str() != id);
        }
    }

    pub(crate) fn suppress(&mut self, id: &str, roles: &[Role]) {
        self.allocator.suppress(&id.into(), roles);
        if let Some(wish) = self.wishes.get_mut(&FrameworkId::from(id)) {
            let all = wish.options.roles.iter().filter(|role| roles.is_empty() || roles.contains(role));
            let more: Vec<_> = all.cloned().collect();
            wish.options.suppressed.extend(more);
        }
    }

    pub(crate) fn revive(&mut self, id: &str, roles: &[Role]) {
        self.allocator.revive(&id.into(), roles);
        let meant = |role: &Role| roles.is_empty() || roles.contains(role);
        self.forget_answers_of(id);
        if let Some(wish) = self.wishes.get_mut(&FrameworkId::from(id)) {
            wish.options.suppressed.retain(|role| !meant(role));
            self.refused.retain(|refused| refused.framework.as_str() != id || !meant(&refused.role));
        }
    }

    pub(crate) fn add_agent(&mut self, id: &str, options: AgentOptions, total: Resources) {
        self.remove_agent(id);
        self.allocator.add_agent(&id.into(), options, total.clone(), &[]);
        self.allocator.set_agent_profile(&id.into(), profile(id));
        self.agents.insert(id.into(), (options, total));
        if self.awaited.is_some_and(|awaited| self.agents.len() >= awaited) {
            (self.paused, self.awaited) = (false, None);
        }
    }

    /// Until so many agents are there, or it is resumed.
    pub(crate) fn pause(&mut self, agents: usize) {
        self.allocator.pause_until(agents);
        (self.paused, self.awaited) = (true, Some(agents));
    }

    pub(crate) fn resume(&mut self) {
        self.allocator.resume();
        (self.paused, self.awaited) = (false, None);
    }

    pub(crate) fn update_agent(&mut self, id: &str, total: Resources) {
        let Some(agent) = self.agents.get_mut(&AgentId::from(id)) else { return };
        agent.1 = total.clone();
        self.allocator.update_agent(&id.into(), total);
    }

    pub(crate) fn grow_agent(&mut self, id: &str, by: &Resources) {
        let Some((_, total)) = self.agents.get(&AgentId::from(id)) else { return };
        self.update_agent(id, total + by);
    }

    pub(crate) fn set_agent_options(&mut self, id: &str, options: AgentOptions) {
        let Some(agent) = self.agents.get_mut(&AgentId::from(id)) else { return };
        agent.0 = options;
        self.allocator.set_agent_options(&id.into(), options);
        if !options.active {
            self.withdraw_all(|_, agent| agent.as_str() == id);
        }
    }

    pub(crate) fn set_agent_active(&mut self, id: &str, active: bool) {
        let Some(agent) = self.agents.get_mut(&AgentId::from(id)) else { return };
        agent.0.active = active;
        if active {
            self.allocator.activate_agent(&id.into());
        } else {
            self.allocator.deactivate_agent(&id.into());
            self.withdraw_all(|_, agent| agent.as_str() == id);
        }
    }

    pub(crate) fn remove_agent(&mut self, id: &str) {
        self.allocator.remove_agent(&id.into());
        self.forget_asks_on(id);
        self.kept.forget_agent(id);
        self.agents.remove(&AgentId::from(id));
        self.refused.retain(|refused| refused.agent.as_str() != id);
        self.out.retain(|allocation| allocation.agent.as_str() != id);
        self.forget_picks();
    }

    pub(crate) fn request(&mut self, id: &str, agent: Option<&str>) {
        self.allocator.request(&id.into(), agent.map(AgentId::from).as_ref());
        let Some(wish) = self.wishes.get(&FrameworkId::from(id)) else { return };
        self.refused.retain(|refused| {
            let wanted = wish.active && !wish.options.suppressed.contains(&refused.role);
            let meant = agent.is_none_or(|agent| refused.agent.as_str() == agent);
            refused.framework.as_str() != id || !wanted || !meant
        });
    }

    pub(crate) fn set_whitelist(&mut self, hosts: Option<BTreeSet<String>>) {
        self.allocator.set_whitelist(hosts.clone());
        self.whitelist = hosts;
    }

    pub(crate) fn set_weight(&mut self, role: &str, weight: f64) {
        self.allocator.set_weight(&role.into(), Weight::from_f64(weight).expect("positive"));
        self.weights.insert(role.into(), weight);
    }

    pub(crate) fn set_quota(&mut self, role: &str, quota: Quota) {
        self.allocator.set_quota(&role.into(), quota.clone());
        assert_eq!(self.allocator.quota(&role.into()), quota);
        self.quotas.insert(role.into(), quota);
    }

    /// An operator makes `converted` of what nobody holds; says whether it was free.
    pub(crate) fn claim(&mut self, id: &str, consumed: &Resources, converted: &Resources) -> bool {
        let step = Conversion { consumed: consumed.clone(), converted: converted.clone(), destroyed: None };
        let claimed = self.allocator.claim(&id.into(), &[step]);
        if !self.agents.contains_key(&AgentId::from(id)) {
            assert_eq!(claimed, Err(ClaimError::UnknownAgent(id.into())));
            return false;
        }
        let is_free = self.unbooked(&id.into()).contains(consumed);
        assert_eq!(claimed.is_ok(), is_free, "{claimed:?}");
        if let (true, Some((_, total))) = (is_free, self.agents.get_mut(&AgentId::from(id))) {
            *total = &(&*total - consumed) + converted;
        }
        is_free
    }

    /// A framework makes `converted` of what is out to it at `at`.
    pub(crate) fn operate(&mut self, at: usize, consumed: &Resources, converted: &Resources) {
        let out = &mut self.out[at];
        self.allocator.update_allocation(&out.framework, &out.agent, consumed, converted);
        out.resources = out.resources.checked_sub(consumed).expect("a part") + converted.clone();
        let (_, total) = self.agents.get_mut(&out.agent).expect("what is out is of an agent");
        *total = &(&*total - &consumed.unallocated()) + &converted.unallocated();
    }

    /// More tasks than one use a shared volume that is out at `at`: each copy beyond those is charged.
    pub(crate) fn copy(&mut self, at: usize, volume: &Resources, copies: u8) {
        let out = &mut self.out[at];
        for _ in 1..copies {
            self.allocator.add_allocation(&out.framework, &out.agent, volume);
            out.resources += volume;
        }
    }

    /// Gives `part` of what is out at `at` back.
    pub(crate) fn give_back(&mut self, at: usize, part: &Resources, refuse: Option<f64>) {
        let Allocation { framework, role, agent, resources } = self.out[at].clone();
        let refusal = refuse.map(Refusal::from_seconds);
        self.allocator.recover(self.now, &framework, &agent, part, refusal);
        self.out[at].resources = resources.checked_sub(part).expect("a part");
        if self.out[at].resources.is_empty() {
            self.out.remove(at);
        }
        if let (Some(refusal), Some(wish)) = (refusal, self.wishes.get(&framework))
            && wish.active
            && wish.options.roles.contains(&role)
        {
            let hold = refusal.hold().max(self.options.decline_pause);
            let what = part.unallocated();
            self.refused.push(Refused { framework, role, agent, what, until: self.now + hold });
        }
        self.forget_picks();
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }

    /// Lets the allocator finish its work, in steps of `budget`, and checks it all.
    pub(crate) fn settle(&mut self, budget: usize) -> Vec<Allocation> {
        let now = self.now;
        self.refused.retain(|refused| refused.until > now);
        let mut all = Vec::new();
        // Where agents may be kept, each step looks at one agent.
        let budget = if self.options.min_offers.is_empty() { budget } else { 1 };
        loop {
            let mut made = Vec::new();
            let progress = self.allocator.step(self.now, budget, &mut made);
            self.allocator.assert_invariants();
            let mut changes = self.begin_kept();
            for allocation in &made {
                self.try_kept(&mut changes);
                self.quota_sums().check(allocation);
                if let Err(why) = self.explain_with_kept(allocation, &changes) {
                    panic!("{why}");
                }
                self.pick(allocation);
                self.out.push(allocation.clone());
            }
            self.try_kept(&mut changes);
            self.end_kept(&changes, &made);
            all.extend(made);
            self.check_conservation();
            self.check_consumed();
            if progress == Progress::Done {
                break;
            }
        }
        self.made_asks = self.settle_asks();
        assert!(self.allocator.poll_timeout().is_none_or(|next| next > self.now));
        assert_eq!(self.allocator.is_paused(), self.paused);
        if self.paused {
            assert!(all.is_empty(), "nothing is given in a pause: {all:?}");
        } else {
            self.allocator.assert_settled();
            self.check_nobody_waits();
            self.check_kept();
        }
        all
    }

    pub(crate) fn knows_agent(&self, id: &AgentId) -> bool {
        self.agents.contains_key(id)
    }

    pub(crate) fn is_active(&self, agent: &AgentId) -> bool {
        self.agents[agent].0.active
    }

    pub(crate) fn is_framework_active(&self, id: &FrameworkId) -> bool {
        self.wishes.get(id).is_some_and(|wish| wish.active)
    }

    fn check_conservation(&self) {
        for (id, (_, total)) in &self.agents {
            let out = self.out_of(id);
            let booked = self.allocator.agent_allocated(id);
            assert_eq!(booked.as_ref(), Some(&out), "{id}: what is out is on the books");
            let free = self.allocator.agent_available(id).expect("it is there");
            assert_eq!(free, total - &out, "{id}: what is free is not out");
        }
    }

    fn check_consumed(&self) {
        let sums = self.quota_sums();
        for role in self.quotas.keys() {
            assert_eq!(self.allocator.quota_consumed(role), sums.consumed(role), "{role}");
        }
        assert_eq!(self.allocator.quota_headroom(), sums.headroom());
    }

    fn is_random(&self) -> bool {
        let policy = &self.options.policy;
        [policy.role_sorter, policy.framework_sorter].contains(&Sorter::Random)
    }

    /// Of all who may have some of the agent's free resources, one with the least share on
    /// every level of the tree gets all it may have, those first whose roles must still get
    /// something that is there. Nobody gets what is kept for another, or is to be kept for
    /// one whose turn it is.
    pub(crate) fn explain(&self, made: &Allocation, kept: Option<&KeptAgent>) -> Result<(), String> {
        let quotas = self.quota_sums();
        let free = self.free(&made.agent);
        let free = kept.map_or(free.clone(), |kept| self.left_by(kept, &free));
        let mut candidates = Vec::new();
        for (framework, role) in self.clients() {
            let may_have = self.eligible(&quotas, framework, role, &made.agent, kept);
            if may_have.is_some() || (kept.is_none() && self.would_keep(framework, role, &made.agent)) {
                let rank = (!quotas.is_owed(role, &free), self.path_rank(framework, role));
                candidates.push((rank, framework, role, may_have.map(|all| all.allocated(role))));
            }
        }
        candidates.sort_by(|a, b| a.0.0.cmp(&b.0.0).then_with(|| compare(&a.0.1, &b.0.1)));
        let Some(first) = candidates.first() else { return Err(format!("nobody may have {made:?}")) };
        let firsts = match self.is_random() {
            true => candidates.iter().take_while(|one| one.0.0 == first.0.0).count(),
            false => 1,
        };
        let is_it = candidates[..firsts].iter().any(|(_, framework, role, resources)| {
            (*framework, *role, resources.as_ref()) == (&made.framework, &made.role, Some(&made.resources))
        });
        let why = || format!("{made:?} is not for the first (by lot, one of the first) of {candidates:#?}");
        is_it.then_some(()).ok_or_else(why)
    }

    /// Whether nobody who could have something of an agent comes before whom it is kept for.
    pub(crate) fn is_its_turn(&self, kept: &KeptAgent) -> bool {
        let quotas = self.quota_sums();
        let free = self.free(&kept.agent);
        let rank = |framework, role| (!quotas.is_owed(role, &free), self.path_rank(framework, role));
        let (last, mine) = rank(&kept.framework, &kept.role);
        self.clients().all(|(framework, role)| {
            let (late, theirs) = rank(framework, role);
            let is_before = match late == last {
                true => !self.is_random() && compare(&theirs, &mine).is_lt(),
                false => last,
            };
            !is_before || self.eligible(&quotas, framework, role, &kept.agent, None).is_none()
        })
    }

    /// Whether an allocation is all its framework may have of what is free.
    pub(crate) fn is_all_it_may_have(&self, made: &Allocation) -> bool {
        let quotas = self.quota_sums();
        self.wants(&made.framework, &made.role)
            && self
                .eligible(&quotas, &made.framework, &made.role, &made.agent, None)
                .is_some_and(|all| all.allocated(&made.role) == made.resources)
    }

    fn check_nobody_waits(&self) {
        let quotas = self.quota_sums();
        for agent in self.agents.keys() {
            let kept = self.kept_on(agent);
            for (framework, role) in self.clients() {
                assert!(
                    self.eligible(&quotas, framework, role, agent, kept.as_ref()).is_none(),
                    "{framework} waits for {agent}"
                );
            }
        }
    }

    pub(crate) fn wants(&self, framework: &FrameworkId, role: &Role) -> bool {
        self.clients().any(|client| client == (framework, role))
    }

    pub(crate) fn is_there(&self, framework: &FrameworkId) -> bool {
        self.wishes.contains_key(framework)
    }

    pub(crate) fn total(&self, agent: &AgentId) -> &Resources {
        &self.agents[agent].1
    }

    fn clients(&self) -> impl Iterator<Item = (&FrameworkId, &Role)> {
        self.wishes.iter().filter(|(_, wish)| wish.active).flat_map(|(id, wish)| {
            let wanted = wish.options.roles.iter().filter(|role| !wish.options.suppressed.contains(role));
            wanted.map(move |role| (id, role))
        })
    }

    fn is_whitelisted(&self, agent: &AgentId) -> bool {
        self.whitelist.as_ref().is_none_or(|hosts| hosts.contains(agent.as_str()))
    }

    fn out_of(&self, agent: &AgentId) -> Resources {
        let out = self.out.iter().filter(|allocation| allocation.agent == *agent);
        out.map(|allocation| allocation.resources.unallocated()).sum()
    }

    /// What is on nobody's account.
    fn unbooked(&self, agent: &AgentId) -> Resources {
        &self.agents[agent].1 - &self.out_of(agent)
    }

    /// What may be offered of an agent: what nobody has, and of each shared volume a copy,
    /// whoever else has copies.
    pub(crate) fn free(&self, agent: &AgentId) -> Resources {
        let out = self.out_of(agent);
        missing::spare(&self.agents[agent].1, &out)
    }

    pub(crate) fn quota_sums(&self) -> QuotaSums {
        let agents = self
            .agents
            .iter()
            .map(|(id, (options, total))| (id, options.active && self.is_whitelisted(id), total));
        QuotaSums::new(&self.quotas, agents, &self.out)
    }

    fn eligible(
        &self,
        quotas: &QuotaSums,
        id: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        kept: Option<&KeptAgent>,
    ) -> Option<Resources> {
        let free = &self.free(agent);
        let free = &kept.map_or(free.clone(), |kept| self.left_by(kept, free));
        if !self.can_use(id, role, agent) {
            return None;
        }
        let wish = &self.wishes[id].options;
        let mut may = self.firm_part(id, role, free);
        if wish.capabilities.shared_resources {
            may += &free.shared().allocatable_to(role);
        }
        let may = self.beside_short(role, agent, kept, &quotas.cut(role, &may));
        if may.non_shared().is_empty() {
            return None;
        }
        let own = wish.min_allocatable.iter().find(|(of, _)| of == role);
        let clauses = own.map_or(&self.options.min_allocatable, |(_, clauses)| clauses);
        let enough = |clause: &Quantities| {
            clause.iter().all(|(name, least)| may.scalar(name).unwrap_or_default() >= *least)
        };
        if may.is_empty() || !(clauses.is_empty() || clauses.iter().any(enough)) {
            return None;
        }
        if self.options.min_offers.get(role).is_some_and(|size| !enough(size)) {
            return None;
        }
        let filtered = self.refusals(id, role, agent).any(|refused| refused.contains(&may));
        (!filtered).then_some(may)
    }

    /// Whether a framework in a role may be offered an agent at all.
    pub(crate) fn can_use(&self, id: &FrameworkId, role: &Role, agent: &AgentId) -> bool {
        let (options, total) = &self.agents[agent];
        let wish = &self.wishes[id].options;
        let able = wish.capabilities;
        let has_gpus = total.gpus().is_some_and(|gpus| gpus > Scalar::ZERO);
        let refuses_agent = !options.active
            || (has_gpus && !able.gpu_resources)
            || (options.remote_region && !able.region_aware)
            || (able.multi_role && !options.multi_role)
            || (role.as_str().contains('/') && !options.hierarchical_role);
        let constraints = wish.constraints.get(role);
        let excluded = constraints.is_some_and(|all| !all.admit(&profile(agent.as_str())));
        !refuses_agent && !excluded && self.is_whitelisted(agent)
    }

    /// What of these a framework in a role may have, but for copies of shared volumes.
    pub(crate) fn firm_part(&self, id: &FrameworkId, role: &Role, free: &Resources) -> Resources {
        let may = free.allocatable_to(role).non_shared();
        if self.wishes[id].options.capabilities.revocable_resources { may } else { may.non_revocable() }
    }

    /// What a framework in a role refused of an agent.
    pub(crate) fn refusals(
        &self,
        id: &FrameworkId,
        role: &Role,
        agent: &AgentId,
    ) -> impl Iterator<Item = &Resources> {
        let all = self.refused.iter();
        let mine = move |one: &&Refused| (&one.framework, &one.role, &one.agent) == (id, role, agent);
        all.filter(mine).map(|refused| &refused.what)
    }

    /// Shares on the way from the root to a framework: each with its picks and name.
    fn path_rank(&self, framework: &FrameworkId, role: &Role) -> Vec<PathRank> {
        let mut rank = Vec::new();
        for path in paths(framework, role) {
            let amounts = self.amounts(&path);
            let weight = match &path[..] {
                [role] => self.weights.get(role.as_str()).copied().unwrap_or(1.0),
                _ => 1.0,
            };
            let mut share: f64 = 0.0;
            let mut total = Quantities::new();
            self.agents.values().for_each(|(_, all)| total += &Quantities::of_scalars(all));
            for (name, amount) in amounts.iter() {
                if total.get(name) > Scalar::ZERO {
                    share = share.max(amount.as_f64() / total.get(name).as_f64());
                }
            }
            let picks = self.picks.get(&path).copied().unwrap_or_default();
            let priority = match &path[..] {
                [role] => self.options.policy.priorities.get(role.as_str()).copied().unwrap_or(0),
                _ => 0,
            };
            let name = path.last().expect("not empty").clone();
            rank.push((std::cmp::Reverse(priority), share / weight, picks, name));
        }
        rank
    }

    /// What is allocated in the subtree at the end of a path.
    fn amounts(&self, path: &[String]) -> Quantities {
        let mut sum = Quantities::new();
        let mut shared = BTreeSet::new();
        for allocation in &self.out {
            if paths(&allocation.framework, &allocation.role).iter().any(|p| p == path) {
                sum += &Quantities::of_scalars(&allocation.resources.non_shared());
                // One copy counts for each framework and role.
                let whose = (&allocation.framework, &allocation.role, &allocation.agent);
                if !allocation.resources.shared().is_empty() && shared.insert(whose) {
                    sum += &Quantities::of_scalars(&allocation.resources.shared());
                }
            }
        }
        sum
    }

    fn pick(&mut self, made: &Allocation) {
        for path in paths(&made.framework, &made.role) {
            *self.picks.entry(path).or_default() += 1;
        }
    }

    /// A subtree that nobody subscribes to and nobody holds anything in is gone,
    /// and its picks with it.
    fn forget_picks(&mut self) {
        let mut alive: Vec<Vec<String>> = Vec::new();
        for (id, wish) in &self.wishes {
            wish.options.roles.iter().for_each(|role| alive.extend(paths(id, role)));
        }
        for allocation in &self.out {
            alive.extend(paths(&allocation.framework, &allocation.role));
        }
        self.picks.retain(|path, _| alive.contains(path));
    }
}

/// The nodes from the top role down to a framework. A node is named by one or more
/// words: `[role]`, `[role, "."]` and `[role, ".", framework]`.
fn paths(framework: &FrameworkId, role: &Role) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, _) in role.as_str().match_indices('/') {
        paths.push(vec![role.as_str()[..at].to_owned()]);
    }
    let role = role.as_str().to_owned();
    paths.push(vec![role.clone()]);
    paths.push(vec![role.clone(), format!("{role}/.")]);
    paths.push(vec![role.clone(), format!("{role}/."), framework.as_str().to_owned()]);
    paths
}

/// Each agent is on a host of its name.
fn profile(agent: &str) -> AgentProfile {
    AgentProfile { hostname: agent.to_owned(), ..AgentProfile::default() }
}

/// Priority, weighted share, picks and name.
type PathRank = (std::cmp::Reverse<u32>, f64, u64, String);

/// Level by level; shares within a rounding error are equal.
fn compare(left: &[PathRank], right: &[PathRank]) -> std::cmp::Ordering {
    for (a, b) in left.iter().zip(right) {
        let share = if (a.1 - b.1).abs() < 1e-12 { std::cmp::Ordering::Equal } else { a.1.total_cmp(&b.1) };
        let order = a.0.cmp(&b.0).then(share).then(a.2.cmp(&b.2)).then(a.3.cmp(&b.3));
        if order.is_ne() {
            return order;
        }
    }
    std::cmp::Ordering::Equal
}
