//! Quota as the master knows it: what was decided, what is durable, and the waiting
//! after a failover.
//!
//! A change is checked against what was decided before, and is decided at once, so
//! that two changes under way cannot pass each other; it holds, and readers see it,
//! when the registry has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use allocator::Quota;
use proto::mesos::v1::quota::QuotaConfig;
use resources::Quantities;
use types::Role;

use crate::Master;
use crate::step::{Due, Step};
use crate::validation::quota as check;

/// The quota of all roles that have any.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// With those that the registry is still to take.
    pub(crate) decided: BTreeMap<Role, Quota>,
    /// Those in force.
    pub(crate) durable: Arc<BTreeMap<Role, Quota>>,
}

impl Quotas {
    pub(crate) fn decide(&mut self, configs: &[QuotaConfig]) {
        configs.iter().for_each(|config| put(&mut self.decided, config));
    }
}

fn put(quotas: &mut BTreeMap<Role, Quota>, config: &QuotaConfig) {
    let quota = check::of_config(config);
    let role = Role::from(config.role.as_str());
    if quota.is_default() { drop(quotas.remove(&role)) } else { drop(quotas.insert(role, quota)) }
}

/// The scalars that top-level roles are guaranteed together.
pub(crate) fn guaranteed<'a>(quotas: impl IntoIterator<Item = &'a Quota>) -> Quantities {
    let mut sum = Quantities::new();
    quotas.into_iter().for_each(|quota| sum += &quota.guarantees);
    sum
}

impl Master {
    /// Puts quotas in force that are durable.
    pub(crate) fn enforce(&mut self, configs: &[QuotaConfig]) {
        let durable = Arc::make_mut(&mut self.quotas.durable);
        for config in configs {
            put(durable, config);
            let role = Role::from(config.role.as_str());
            self.allocator.set_quota(&role, check::of_config(config));
        }
    }

    /// Takes over the quotas of the registry. With quotas nothing is offered before
    /// most agents are back, or the wait has been long: those that come first would
    /// be given to roles with guarantees, and what the others hold be forgotten.
    pub(crate) fn recover_quotas(&mut self, configs: &[QuotaConfig], step: &mut Step<'_>) {
        self.quotas.decide(configs);
        self.enforce(configs);
        let known = u64::try_from(self.agents.recovered.len()).unwrap_or(u64::MAX);
        let awaited = known.saturating_mul(u64::from(self.config.recovery_permille)) / 1000;
        if !configs.is_empty() && awaited > 0 {
            self.allocator.pause_until(usize::try_from(awaited).unwrap_or(usize::MAX));
            self.timers.arm(step.after(self.config.allocator_recovery_timeout), Due::AllocatorRecovery);
        }
    }
}
