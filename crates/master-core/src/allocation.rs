//! What the allocator is told of frameworks and agents, and when it is asked.

use std::collections::BTreeMap;

use allocator::{
    AgentOptions, AgentProfile, Allocator, FrameworkCapabilities, FrameworkOptions, Options, Progress,
};
use machine::Instant;
use proto::mesos::v1;
use resources::{Name, Quantities, Scalar};
use types::Role;

use crate::Master;
use crate::agents::Agent;
use crate::config::Config;
use crate::frameworks::Framework;
use crate::step::Step;
use crate::validation;

/// The allocator as it begins.
pub(crate) fn allocator(config: &Config) -> Allocator {
    let mut allocator = Allocator::new(options(config));
    allocator.set_whitelist(config.whitelist.clone());
    allocator
}

/// The allocator's settings. A clause of `--min_allocatable_resources` that cannot be
/// read is left out; the shell refuses such a flag before.
fn options(config: &Config) -> Options {
    let clauses = config.min_allocatable_resources.split('|').filter(|clause| !clause.trim().is_empty());
    Options {
        min_allocatable: clauses.filter_map(|clause| Quantities::parse(clause).ok()).collect(),
        filter_gpus: config.filter_gpu_resources,
        decline_pause: config.allocation_interval / 10,
        fairness_excluded: config
            .fair_sharing_excluded
            .iter()
            .map(|name| Name::from(name.as_str()))
            .collect(),
        policy: config.policy.clone(),
        min_offers: config.min_offers.clone(),
        min_offer_hold: config.min_offer_hold,
        short_tasks: config.short_tasks.share(),
        rng_seed: config.seed,
        ..Options::default()
    }
}

/// What a framework asks for.
pub(crate) fn framework_options(framework: &Framework, config: &Config) -> FrameworkOptions {
    let constraints = framework.constraints.as_deref();
    // They were checked before they became the framework's.
    let constraints = constraints.and_then(|all| validation::constraints(all, config.pattern_limits).ok());
    let can = framework.capabilities;
    FrameworkOptions {
        roles: framework.roles.iter().cloned().collect(),
        suppressed: framework.suppressed.iter().cloned().collect(),
        capabilities: FrameworkCapabilities {
            gpu_resources: can.gpu_resources,
            revocable_resources: can.revocable_resources,
            shared_resources: can.shared_resources,
            multi_role: can.multi_role,
            reservation_refinement: can.reservation_refinement,
            region_aware: can.region_aware,
        },
        constraints: constraints.unwrap_or_default(),
        min_allocatable: framework.info.offer_filters.iter().filter_map(minimum).collect(),
    }
}

fn minimum((role, filters): (&String, &v1::OfferFilters)) -> Option<(Role, Vec<Quantities>)> {
    let clauses = &filters.min_allocatable_resources.as_ref()?.quantities;
    let quantities = |clause: &v1::offer_filters::ResourceQuantities| {
        let mut all = Quantities::new();
        for (name, amount) in &clause.quantities {
            if let Some(amount) = Scalar::from_f64(amount.value) {
                all.add(&Name::from(name.as_str()), amount);
            }
        }
        all
    };
    Some((Role::from(role.as_str()), clauses.iter().map(quantities).collect()))
}

/// What constraints and the whitelist may look at of an agent.
pub(crate) fn agent_profile(info: &v1::AgentInfo) -> AgentProfile {
    let domain = info.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
    let mut attributes = BTreeMap::new();
    for attribute in &info.attributes {
        // The first of a name counts (as observed of Mesos).
        let text = attribute.text.as_ref().map(|text| text.value.clone());
        attributes.entry(attribute.name.clone()).or_insert(text);
    }
    AgentProfile {
        hostname: info.hostname.clone(),
        region: domain.map(|domain| domain.region.name.clone()),
        zone: domain.map(|domain| domain.zone.name.clone()),
        attributes,
    }
}

/// What the allocator must know of an agent.
pub(crate) fn agent_options(agent: &Agent, config: &Config) -> AgentOptions {
    let region =
        |domain: &Option<v1::DomainInfo>| Some(domain.as_ref()?.fault_domain.as_ref()?.region.name.clone());
    let theirs = region(&agent.view().info.domain);
    AgentOptions {
        active: agent.view().active,
        multi_role: agent.capabilities.multi_role,
        hierarchical_role: agent.capabilities.hierarchical_role,
        remote_region: theirs.is_some() && theirs != region(&config.master.domain),
    }
}

impl Master {
    /// Lets the allocator work, within its budget, and makes offers of what it gives.
    pub(crate) fn allocate(&mut self, step: &mut Step<'_>) {
        if !self.serves() || self.allocator.poll_timeout().is_none_or(|due| due > step.now.mono) {
            return;
        }
        let mut grants = Vec::new();
        match self.allocator.step(step.now.mono, self.config.allocation_budget, &mut grants) {
            Progress::Done | Progress::More => {}
        }
        if !grants.is_empty() {
            self.offer(grants, step);
        }
        let asks = self.allocator.take_asks(step.now.mono);
        if !asks.is_empty() {
            self.offer_inversely(asks, step);
        }
    }

    /// When the allocator wants to work next.
    pub(crate) fn allocation_due(&self) -> Option<Instant> {
        if self.serves() { self.allocator.poll_timeout() } else { None }
    }
}
