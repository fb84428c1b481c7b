//! Forgetting: agents that have been unreachable or gone for long, or are too many.
//!
//! Without it the registry would grow with every agent that ever was.

use std::collections::BTreeMap;

use proto::mesos::v1;
use types::AgentId;

use crate::Master;
use crate::config::Config;
use crate::pending::Pending;
use crate::registry::Operation;
use crate::step::{Due, Step};

impl Master {
    pub(crate) fn arm_prune(&mut self, step: &Step<'_>) {
        self.timers.arm(step.after(self.config.registry_gc_interval), Due::Prune);
    }

    pub(crate) fn on_prune_due(&mut self, step: &mut Step<'_>) {
        self.arm_prune(step);
        let now = step.now.wall.as_nanos();
        let unreachable = outdated(&self.agents.unreachable, now, &self.config);
        let gone = outdated(&self.agents.gone, now, &self.config);
        if unreachable.is_empty() && gone.is_empty() {
            return;
        }
        let operation = Operation::Prune { unreachable: unreachable.clone(), gone: gone.clone() };
        self.ask_registry(operation, Pending::Prune { unreachable, gone }, step);
    }

    pub(crate) fn on_pruned(&mut self, unreachable: &[AgentId], gone: &[AgentId]) {
        for agent in unreachable {
            self.agents.unreachable.remove(agent);
            self.agents.drains.forget(agent);
        }
        for agent in gone {
            self.agents.gone.remove(agent);
        }
    }
}

/// The agents that have been away for too long, and the longest away of those that
/// are too many.
fn outdated(all: &BTreeMap<AgentId, v1::TimeInfo>, now: i64, config: &Config) -> Vec<AgentId> {
    let age_max = i64::try_from(config.registry_age_max.as_nanos()).unwrap_or(i64::MAX);
    let mut by_age: Vec<_> = all.iter().map(|(id, since)| (since.nanoseconds, id)).collect();
    by_age.sort_unstable();
    let surplus = by_age.len().saturating_sub(config.registry_agents_max);
    by_age
        .into_iter()
        .enumerate()
        .take_while(|(at, (since, _))| *at < surplus || now.saturating_sub(*since) >= age_max)
        .map(|(_, (_, id))| id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_and_the_surplus_are_forgotten() {
        let mut config = Config::new(v1::MasterInfo::default());
        config.registry_age_max = std::time::Duration::from_nanos(10);
        config.registry_agents_max = 2;
        let check = |ages: &[(&str, i64)], forgotten: &[&str]| {
            let all = ages
                .iter()
                .map(|(id, since)| (AgentId::from(*id), v1::TimeInfo { nanoseconds: *since }))
                .collect();
            let forgotten: Vec<_> = forgotten.iter().map(|id| AgentId::from(*id)).collect();
            assert_eq!(outdated(&all, 100, &config), forgotten);
        };
        check(&[("a", 95), ("b", 99)], &[]);
        check(&[("a", 95), ("b", 90)], &["b"]);
        check(&[("a", 97), ("b", 99), ("c", 98)], &["a"]);
        check(&[("a", 1), ("b", 99), ("c", 2)], &["a", "c"]);
    }
}
