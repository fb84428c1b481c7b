//! The registry: which agents were admitted, are unreachable or gone; what operators set.
//!
//! Changes are pure transitions of [`State`]. The shell makes each durable, applies
//! it and reports; until then the core tells nobody. Frameworks and tasks are not
//! kept here, they come back with the agents (as observed of Mesos).

mod check;
mod draining;
mod entries;
mod quota;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::mesos::internal::{Registry, registry};
use proto::mesos::v1;
use proto::mesos::v1::maintenance::Schedule;
use proto::mesos::v1::master_info::capability;
use proto::mesos::v1::quota::QuotaConfig;
use types::AgentId;

use crate::maintenance::{Machine, Maintenance};

pub use check::{of_entries, of_registry};
pub use entries::{BadEntry, Key, UNFINISHED};

/// What this master knows of registries and agents beyond the first versions.
pub const CAPABILITIES: [capability::Type; 3] =
    [capability::Type::AgentUpdate, capability::Type::AgentDraining, capability::Type::QuotaV2];

/// Whether this master knows all that one must know to lead with a registry: a newer
/// master may have left in it what would be lost here.
pub(crate) fn readable(registry: &Registry) -> Result<(), String> {
    let known = |name: &str| CAPABILITIES.iter().any(|one| one.as_str_name() == name);
    let needed = registry.minimum_capabilities.iter().map(|minimum| minimum.capability.as_str());
    let missing: BTreeSet<_> = needed.filter(|name| !known(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<_> = missing.into_iter().collect();
    Err(format!(
        "Master is missing the following minimum capabilities: {}. See the following documentation for steps to safely \
         recover from this state: http://mesos.apache.org/documentation/latest/downgrades",
        missing.join(", ")
    ))
}

/// A change of the registry.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A new agent.
    AdmitAgent(Box<v1::AgentInfo>),
    /// A known agent came back with another description.
    UpdateAgent(Box<v1::AgentInfo>),
    /// An agent stopped answering.
    MarkUnreachable {
        /// Which.
        agent: AgentId,
        /// Since when, by the wall clock.
        since: v1::TimeInfo,
    },
    /// An agent that was unreachable, or removed from the registry in the
    /// meantime, is back.
    MarkReachable(Box<v1::AgentInfo>),
    /// An agent left.
    RemoveAgent(AgentId),
    /// An operator declared an agent gone for good.
    MarkGone {
        /// Which.
        agent: AgentId,
        /// When, by the wall clock.
        at: v1::TimeInfo,
    },
    /// Sets the weights of roles.
    UpdateWeights(Vec<v1::WeightInfo>),
    /// Forgets agents that were unreachable or gone for long.
    Prune {
        /// The unreachable ones to forget.
        unreachable: Vec<AgentId>,
        /// The gone ones to forget.
        gone: Vec<AgentId>,
    },
    /// Replaces the maintenance schedule.
    UpdateSchedule(Box<Schedule>),
    /// Takes machines down.
    StartMaintenance(Vec<v1::MachineId>),
    /// Brings machines up, and takes them out of the schedule.
    StopMaintenance(Vec<v1::MachineId>),
    /// Empties an agent of tasks; it gets no new ones.
    DrainAgent {
        /// Which.
        agent: AgentId,
        /// How, and what then.
        config: v1::DrainConfig,
    },
    /// An agent that was emptied runs nothing any more.
    MarkAgentDrained(AgentId),
    /// An agent gets no new tasks.
    DeactivateAgent(AgentId),
    /// An agent gets tasks again.
    ReactivateAgent(AgentId),
    /// Sets the quotas of roles; an empty one is none.
    UpdateQuota(Vec<QuotaConfig>),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = |info: &v1::AgentInfo| info.id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
        match self {
            Self::AdmitAgent(info) => write!(f, "admit {}", id(info)),
            Self::UpdateAgent(info) => write!(f, "update {}", id(info)),
            Self::MarkUnreachable { agent, since: _ } => write!(f, "mark {agent} unreachable"),
            Self::MarkReachable(info) => write!(f, "mark {} reachable", id(info)),
            Self::RemoveAgent(agent) => write!(f, "remove {agent}"),
            Self::MarkGone { agent, at: _ } => write!(f, "mark {agent} gone"),
            Self::UpdateWeights(infos) => write!(f, "update the weights of {} roles", infos.len()),
            Self::UpdateQuota(configs) => {
                let roles: Vec<_> = configs.iter().map(|config| config.role.as_str()).collect();
                write!(f, "update quota of {}", roles.join(", "))
            }
            Self::Prune { unreachable, gone } => {
                write!(f, "prune {} unreachable and {} gone", unreachable.len(), gone.len())
            }
            Self::UpdateSchedule(schedule) => write!(f, "schedule {} windows", schedule.windows.len()),
            Self::StartMaintenance(machines) => write!(f, "take {} machines down", machines.len()),
            Self::StopMaintenance(machines) => write!(f, "bring {} machines up", machines.len()),
            Self::DrainAgent { agent, config: _ } => write!(f, "drain {agent}"),
            Self::MarkAgentDrained(agent) => write!(f, "mark {agent} drained"),
            Self::DeactivateAgent(agent) => write!(f, "deactivate {agent}"),
            Self::ReactivateAgent(agent) => write!(f, "reactivate {agent}"),
        }
    }
}

/// What became of a registry operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable. False when it had nothing to change or was against the rules
    /// (an agent already admitted, one that is not there).
    Applied {
        /// Whether the registry changed.
        changed: bool,
    },
    /// The store refused it or did not answer in time; nobody knows whether it is
    /// durable, so this master must end.
    Lost(String),
}

/// What the registry says, indexed.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The admitted agents.
    pub admitted: BTreeMap<AgentId, registry::Slave>,
    /// The unreachable ones, since when.
    pub unreachable: BTreeMap<AgentId, registry::UnreachableSlave>,
    /// Those gone for good.
    pub gone: BTreeMap<AgentId, registry::GoneSlave>,
    /// The weights of roles, by role.
    pub weights: BTreeMap<String, registry::Weight>,
    /// The maintenance schedule and its machines.
    pub maintenance: Maintenance,
    /// All that this version does not change; kept as it was.
    rest: Registry,
}

impl From<Registry> for State {
    fn from(mut registry: Registry) -> Self {
        let admitted = registry.slaves.take().unwrap_or_default().slaves;
        let unreachable = registry.unreachable.take().unwrap_or_default().slaves;
        let gone = registry.gone.take().unwrap_or_default().slaves;
        let weights = std::mem::take(&mut registry.weights).into_iter();
        let machines = registry.machines.take().unwrap_or_default().machines;
        let maintenance = Maintenance {
            machines: machines
                .into_iter()
                .map(|machine| (Machine::from(&machine.info.id), machine.info))
                .collect(),
            schedules: std::mem::take(&mut registry.schedules),
        };
        Self {
            weights: weights.map(|weight| (weight.info.role().to_owned(), weight)).collect(),
            admitted: admitted
                .into_iter()
                .filter_map(|slave| Some((AgentId::from(slave.info.id.as_ref()?), slave)))
                .collect(),
            unreachable: unreachable.into_iter().map(|slave| (AgentId::from(&slave.id), slave)).collect(),
            gone: gone.into_iter().map(|slave| (AgentId::from(&slave.id), slave)).collect(),
            maintenance,
            rest: registry,
        }
    }
}

impl From<&State> for Registry {
    fn from(state: &State) -> Self {
        let mut registry = state.settings();
        registry.slaves = Some(registry::Slaves { slaves: state.admitted.values().cloned().collect() });
        registry.unreachable =
            Some(registry::UnreachableSlaves { slaves: state.unreachable.values().cloned().collect() });
        registry.gone = Some(registry::GoneSlaves { slaves: state.gone.values().cloned().collect() });
        registry
    }
}

impl State {
    /// All but the lists of agents.
    fn settings(&self) -> Registry {
        let mut registry =
            Registry { weights: self.weights.values().cloned().collect(), ..self.rest.clone() };
        let machines = self.maintenance.machines.values();
        if machines.len() > 0 {
            let machines = machines.map(|info| registry::Machine { info: info.clone() }).collect();
            registry.machines = Some(registry::Machines { machines });
        }
        registry.schedules.clone_from(&self.maintenance.schedules);
        registry
    }

    /// Applies a change. Returns whether there was something to change.
    pub fn apply(&mut self, operation: &Operation) -> bool {
        match operation {
            Operation::AdmitAgent(info) => {
                let Some(id) = info.id.as_ref().map(AgentId::from) else { return false };
                if self.admitted.contains_key(&id) {
                    return false;
                }
                self.admitted.insert(id, admitted(info));
                true
            }
            Operation::UpdateAgent(info) => {
                let Some(id) = info.id.as_ref().map(AgentId::from) else { return false };
                let Some(slave) = self.admitted.get_mut(&id) else { return false };
                slave.info = (**info).clone();
                true
            }
            Operation::MarkUnreachable { agent, since } => {
                let Some(slave) = self.admitted.remove(agent) else { return false };
                self.unreachable.insert(
                    agent.clone(),
                    registry::UnreachableSlave {
                        id: agent.into(),
                        timestamp: *since,
                        drain_info: slave.drain_info,
                        deactivated: slave.deactivated,
                    },
                );
                true
            }
            Operation::MarkReachable(info) => {
                let Some(id) = info.id.as_ref().map(AgentId::from) else { return false };
                let was = self.unreachable.remove(&id);
                if self.admitted.contains_key(&id) {
                    return false;
                }
                let mut slave = admitted(info);
                if let Some(was) = was {
                    slave.drain_info = was.drain_info;
                    slave.deactivated = was.deactivated;
                }
                self.admitted.insert(id, slave);
                true
            }
            Operation::RemoveAgent(agent) => self.admitted.remove(agent).is_some(),
            Operation::MarkGone { agent, at } => {
                let known = self.admitted.remove(agent).is_some() | self.unreachable.remove(agent).is_some();
                if known {
                    self.gone.insert(agent.clone(), registry::GoneSlave { id: agent.into(), timestamp: *at });
                }
                known
            }
            Operation::UpdateWeights(infos) => {
                let mut changed = false;
                for info in infos {
                    let weight = registry::Weight { info: info.clone() };
                    let old = self.weights.insert(info.role().to_owned(), weight.clone());
                    changed |= old != Some(weight);
                }
                changed
            }
            Operation::UpdateQuota(configs) => {
                self.update_quota(configs);
                true
            }
            Operation::Prune { unreachable, gone } => {
                let before = self.unreachable.len() + self.gone.len();
                unreachable.iter().for_each(|agent| drop(self.unreachable.remove(agent)));
                gone.iter().for_each(|agent| drop(self.gone.remove(agent)));
                before != self.unreachable.len() + self.gone.len()
            }
            Operation::UpdateSchedule(schedule) => {
                self.maintenance.update_schedule(schedule);
                true
            }
            Operation::StartMaintenance(machines) => self.maintenance.start(machines),
            Operation::StopMaintenance(machines) => self.maintenance.stop(machines),
            Operation::DrainAgent { agent, config } => self.drain(agent, *config),
            Operation::MarkAgentDrained(agent) => self.mark_drained(agent),
            Operation::DeactivateAgent(agent) => self.deactivate(agent),
            Operation::ReactivateAgent(agent) => self.reactivate(agent),
        }
    }
}

fn admitted(info: &v1::AgentInfo) -> registry::Slave {
    registry::Slave { info: info.clone(), drain_info: None, deactivated: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an agent of this id says of itself.
    pub(super) fn agent(id: &str) -> Box<v1::AgentInfo> {
        let id = Some(v1::AgentId { value: id.to_owned() });
        Box::new(v1::AgentInfo { id, hostname: "h".to_owned(), ..v1::AgentInfo::default() })
    }

    #[test]
    fn an_agent_goes_through_its_states() {
        let mut state = State::default();
        let id = AgentId::from("S0");
        let since = v1::TimeInfo { nanoseconds: 7 };
        let unreachable = Operation::MarkUnreachable { agent: id.clone(), since };
        assert!(!state.apply(&unreachable));
        assert!(state.apply(&Operation::AdmitAgent(agent("S0"))));
        assert!(!state.apply(&Operation::AdmitAgent(agent("S0"))));
        assert!(state.apply(&unreachable));
        assert!(state.apply(&Operation::MarkReachable(agent("S0"))));
        assert!(state.apply(&Operation::MarkGone { agent: id.clone(), at: since }));
        assert!(!state.apply(&Operation::RemoveAgent(id.clone())));
        let copy = State::from(Registry::from(&state));
        assert!(copy.admitted.is_empty() && copy.unreachable.is_empty());
        assert!(copy.gone.contains_key(&id));
        assert!(state.apply(&Operation::Prune { unreachable: vec![], gone: vec![id] }));
    }

    #[test]
    fn weights_are_kept_by_role() {
        let mut state = State::default();
        let info = |role: &str, weight| v1::WeightInfo { role: Some(role.to_owned()), weight };
        let update = |infos: &[v1::WeightInfo]| Operation::UpdateWeights(infos.to_vec());
        assert!(!state.apply(&update(&[])));
        assert!(state.apply(&update(&[info("dev", 2.0), info("eng", 3.0)])));
        assert!(!state.apply(&update(&[info("dev", 2.0)])));
        assert!(state.apply(&update(&[info("dev", 2.5)])));
        let stored = Registry::from(&State::from(Registry::from(&state))).weights;
        let stored: Vec<_> = stored.into_iter().map(|weight| weight.info).collect();
        assert_eq!(stored, [info("dev", 2.5), info("eng", 3.0)]);
    }
}
