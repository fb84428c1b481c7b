//! Agents that are emptied or switched off, as the registry knows them.

use proto::mesos::internal::registry::MinimumCapability;
use proto::mesos::v1;
use proto::mesos::v1::master_info::capability;
use types::AgentId;

use super::State;

/// Where an agent's entry keeps whether it is emptied or switched off.
struct Entry<'a> {
    drain_info: &'a mut Option<v1::DrainInfo>,
    deactivated: &'a mut Option<bool>,
}

impl State {
    /// The entry of an agent that is admitted or unreachable.
    fn entry(&mut self, agent: &AgentId) -> Option<Entry<'_>> {
        if let Some(slave) = self.admitted.get_mut(agent) {
            let (drain_info, deactivated) = (&mut slave.drain_info, &mut slave.deactivated);
            return Some(Entry { drain_info, deactivated });
        }
        let slave = self.unreachable.get_mut(agent)?;
        Some(Entry { drain_info: &mut slave.drain_info, deactivated: &mut slave.deactivated })
    }

    pub(super) fn drain(&mut self, agent: &AgentId, config: v1::DrainConfig) -> bool {
        let Some(entry) = self.entry(agent) else { return false };
        *entry.drain_info = Some(v1::DrainInfo { state: v1::DrainState::Draining.into(), config });
        *entry.deactivated = Some(true);
        self.require_draining(true);
        true
    }

    pub(super) fn mark_drained(&mut self, agent: &AgentId) -> bool {
        let draining = i32::from(v1::DrainState::Draining);
        let Some(entry) = self.entry(agent) else { return false };
        let Some(info) = entry.drain_info.as_mut().filter(|info| info.state == draining) else {
            return false;
        };
        info.state = v1::DrainState::Drained.into();
        true
    }

    pub(super) fn deactivate(&mut self, agent: &AgentId) -> bool {
        let Some(entry) = self.entry(agent) else { return false };
        *entry.deactivated = Some(true);
        self.require_draining(true);
        true
    }

    pub(super) fn reactivate(&mut self, agent: &AgentId) -> bool {
        let Some(entry) = self.entry(agent) else { return false };
        *entry.drain_info = None;
        *entry.deactivated = None;
        let admitted = self.admitted.values().map(|slave| slave.deactivated());
        let unreachable = self.unreachable.values().map(|slave| slave.deactivated());
        if !admitted.chain(unreachable).any(|deactivated| deactivated) {
            self.require_draining(false);
        }
        true
    }

    /// Notes whether only masters that know draining may read this registry.
    fn require_draining(&mut self, required: bool) {
        let name = capability::Type::AgentDraining.as_str_name();
        let all = &mut self.rest.minimum_capabilities;
        all.retain(|minimum| minimum.capability != name);
        if required {
            all.push(MinimumCapability { capability: name.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Operation;
    use super::*;
    use proto::mesos::internal::Registry;

    #[test]
    fn an_agent_is_drained_and_reactivated_also_while_unreachable() {
        let mut state = State::default();
        let id = AgentId::from("S0");
        let info = v1::AgentInfo { id: Some((&id).into()), ..v1::AgentInfo::default() };
        let config = v1::DrainConfig { mark_gone: Some(false), ..v1::DrainConfig::default() };
        let drain = Operation::DrainAgent { agent: id.clone(), config };
        assert!(!state.apply(&drain));
        assert!(state.apply(&Operation::AdmitAgent(Box::new(info.clone()))));
        assert!(!state.apply(&Operation::MarkAgentDrained(id.clone())));
        assert!(state.apply(&drain));
        let since = v1::TimeInfo { nanoseconds: 7 };
        assert!(state.apply(&Operation::MarkUnreachable { agent: id.clone(), since }));
        assert!(state.apply(&Operation::MarkAgentDrained(id.clone())));
        assert!(!state.apply(&Operation::MarkAgentDrained(id.clone())));

        let registry = Registry::from(&state);
        assert_eq!(registry.minimum_capabilities.len(), 1);
        assert_eq!(registry.minimum_capabilities[0].capability, "AGENT_DRAINING");
        let mut state = State::from(registry);
        assert!(state.apply(&Operation::MarkReachable(Box::new(info))));
        let slave = &state.admitted[&id];
        assert_eq!(slave.drain_info.as_ref().map(|info| info.state()), Some(v1::DrainState::Drained));
        assert!(slave.deactivated());
        assert!(state.apply(&Operation::ReactivateAgent(id.clone())));
        assert_eq!(state.admitted[&id].drain_info, None);
        assert!(Registry::from(&state).minimum_capabilities.is_empty());
        assert!(state.apply(&Operation::DeactivateAgent(id)));
        assert_eq!(Registry::from(&state).minimum_capabilities.len(), 1);
    }
}
