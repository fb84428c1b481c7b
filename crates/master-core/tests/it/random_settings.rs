//! Random settings of operators: maintenance, draining, weights and quota, some of them
//! refused; and whether the registry agrees with the master on them.

use std::collections::BTreeMap;

use master_core::View;
use proto::mesos::internal::Registry;
use proto::mesos::v1::value::Scalar as Amount;
use resources::{Name, Scalar};

use crate::world::World;

/// A call that changes a setting, as a command of a scenario. Numbers pick among what is
/// there; machines are those of agents 1 to 4.
#[derive(Clone, Debug)]
pub(crate) enum Setting {
    Schedule { first: u8, second: u8, at: u8 },
    Down(u8),
    Up(u8),
    Drain { agent: u8, mark_gone: bool },
    Deactivate(u8),
    Reactivate(u8),
    Weight { role: u8, weight: u8 },
    Quota { role: u8, guarantee: u8, limit: u8, force: bool },
}

const ROLES: [&str; 5] = ["a", "b", "b/c", "*", "eng"];

impl Setting {
    pub(crate) fn command(&self, view: &View) -> Option<(&'static str, String)> {
        let id = |at: &u8| {
            let all = view.agents.iter().map(|agent| agent.id.as_str());
            let all = all.chain(
                view.recovered_agents.iter().filter_map(|info| Some(info.id.as_ref()?.value.as_str())),
            );
            let all: Vec<_> = all.collect();
            let id = all.get(usize::from(*at) % all.len().max(1)).copied().unwrap_or("nobody");
            format!(r#""agent_id":{{"value":"{id}"}}"#)
        };
        Some(match self {
            Self::Schedule { first, second, at } => {
                let window = |hosts: u8, at: u32| {
                    let ids: Vec<_> = (1..5).filter(|n| hosts & (1 << n) != 0).map(machine).collect();
                    let start = 1_700_000_000_000_000_000 + i64::from(at) * 1_000_000_000;
                    let ids = ids.join(",");
                    format!(
                        r#"{{"machine_ids":[{ids}],"unavailability":{{"start":{{"nanoseconds":{start}}}}}}}"#
                    )
                };
                // Where both name a machine the call is refused, as where one names none.
                let windows: Vec<_> = [(*first, 7 * u32::from(*at)), (*second, 9 * u32::from(*at))]
                    .into_iter()
                    .filter(|(hosts, _)| *hosts > 1)
                    .map(|(hosts, at)| window(hosts, at))
                    .collect();
                ("maintain", format!(r#"schedule {{"schedule":{{"windows":[{}]}}}}"#, windows.join(",")))
            }
            Self::Down(n) => ("maintain", format!(r#"down {{"machines":[{}]}}"#, machine(n % 4 + 1))),
            Self::Up(n) => ("maintain", format!(r#"up {{"machines":[{}]}}"#, machine(n % 4 + 1))),
            Self::Drain { agent, mark_gone } => {
                ("maintain", format!(r#"drain {{{},"mark_gone":{mark_gone}}}"#, id(agent)))
            }
            Self::Deactivate(agent) => ("maintain", format!("deactivate {{{}}}", id(agent))),
            Self::Reactivate(agent) => ("maintain", format!("reactivate {{{}}}", id(agent))),
            Self::Weight { role, weight } => {
                let role = ROLES[usize::from(*role) % ROLES.len()];
                let infos = format!(r#"[{{"role":"{role}","weight":{}}}]"#, f64::from(*weight) / 2.0);
                let call =
                    format!(r#"{{"type":"UPDATE_WEIGHTS","update_weights":{{"weight_infos":{infos}}}}}"#);
                ("operator", call)
            }
            Self::Quota { role, guarantee, limit, force } => {
                let role = ROLES[usize::from(*role) % ROLES.len()];
                let cpus = |n: &u8| if n.is_multiple_of(4) { String::new() } else { format!("cpus:{n}") };
                let force = if *force { " force" } else { "" };
                ("quota", format!("{role}={}<{}{force}", cpus(guarantee), cpus(limit)))
            }
        })
    }
}

fn machine(n: u8) -> String {
    format!(r#"{{"hostname":"host{n}","ip":"127.0.0.{n}"}}"#)
}

/// What is durable is what the master holds, once nothing is under way.
pub(crate) fn assert_durable(world: &World) {
    if !world.is_registry_idle() {
        return;
    }
    let (view, registry) = (world.master.view(), Registry::from(&world.registry));
    let slaves = registry.slaves.map(|slaves| slaves.slaves).unwrap_or_default();
    let admitted: BTreeMap<_, _> =
        slaves.iter().map(|slave| (slave.info.id.as_ref().map(|id| id.value.as_str()), slave)).collect();
    for agent in &view.agents {
        let slave = admitted.get(&Some(agent.id.as_str())).expect("registered agents are admitted");
        assert_eq!(agent.deactivated, slave.deactivated(), "{}", agent.id);
        assert_eq!(agent.drain_info, slave.drain_info, "{}", agent.id);
    }
    assert_eq!(admitted.len(), view.agents.len() + view.recovered_agents.len());
    let machines = registry.machines.map(|machines| machines.machines).unwrap_or_default();
    let machines: Vec<_> = machines.iter().map(|machine| &machine.info).collect();
    assert_eq!(machines, view.maintenance.machines.values().collect::<Vec<_>>());
    assert_eq!(registry.schedules, view.maintenance.schedules);
    let weights = registry.weights.iter().map(|weight| (weight.info.role().into(), weight.info.weight));
    assert_eq!(weights.collect::<BTreeMap<_, _>>(), *view.weights);
    let quotas: Vec<_> = registry.quota_configs.iter().map(|config| config.role.as_str()).collect();
    assert_eq!(quotas, view.quotas.keys().map(types::Role::as_str).collect::<Vec<_>>());
    for config in &registry.quota_configs {
        let quota = &view.quotas[&types::Role::from(config.role.as_str())];
        let cpus = |amount: Option<&Amount>| amount.and_then(|amount| Scalar::from_f64(amount.value));
        let guarantee = cpus(config.guarantees.get("cpus")).unwrap_or_default();
        assert_eq!(quota.guarantees.get(&Name::CPUS), guarantee);
        assert_eq!(quota.limits.get(&Name::CPUS), cpus(config.limits.get("cpus")));
    }
}
