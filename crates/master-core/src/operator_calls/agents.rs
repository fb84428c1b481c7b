//! DRAIN_AGENT, DEACTIVATE_AGENT and REACTIVATE_AGENT.

use proto::mesos::v1;
use proto::mesos::v1::master::call;
use types::AgentId;

use super::Asker;
use crate::Master;
use crate::agents::Transition;
use crate::drain::Change;
use crate::effect::Reply;
use crate::step::Step;

impl Master {
    pub(crate) fn drain_agent(
        &mut self,
        asker: Asker<'_>,
        body: call::DrainAgent,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let id = AgentId::from(&body.agent_id);
        match self.check_drain(&id, &body) {
            Ok(config) => self.change_agent(id, Change::Drain(config), asker.request, step),
            Err(refusal) => return Some(refusal),
        }
        None
    }

    fn check_drain(&self, id: &AgentId, body: &call::DrainAgent) -> Result<v1::DrainConfig, Reply> {
        if let Some(agent) = self.agents.get(id.as_str()) {
            if let Some(machine) = self.maintenance.schedules(&agent.machine()) {
                let machine = match (&machine.hostname, &machine.ip) {
                    (Some(hostname), Some(ip)) => format!("{hostname} ({ip})"),
                    (Some(hostname), None) => hostname.clone(),
                    (None, ip) => format!("({})", ip.as_deref().unwrap_or_default()),
                };
                return Err(Reply::bad_request(format!(
                    "Agent {id} is part of a maintenance schedule under Machine {machine}"
                )));
            }
            if !agent.capabilities.agent_draining {
                return Err(Reply::bad_request(format!("Agent {id} is not capable of draining")));
            }
        }
        self.check_known(id)?;
        match self.agents.transitions.get(id) {
            Some(Transition::MarkingGone) => {
                return Err(Reply::conflict("Agent is currently being marked gone"));
            }
            Some(Transition::Reregistering | Transition::MarkingUnreachable | Transition::Removing)
            | None => {}
        }
        let grace = body.max_grace_period.as_ref();
        let nanos = grace
            .map(|grace| grace.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(grace.nanos)));
        if let Some(nanos) = nanos.filter(|nanos| *nanos < 0) {
            return Err(Reply::bad_request(format!(
                "Expecting 'max_grace_period' not to be negative: {nanos} nanoseconds"
            )));
        }
        Ok(v1::DrainConfig {
            max_grace_period: nanos.map(|nanoseconds| v1::DurationInfo { nanoseconds }),
            mark_gone: Some(body.mark_gone()),
        })
    }

    /// Whether an agent is registered, expected back or unreachable.
    fn check_known(&self, id: &AgentId) -> Result<(), Reply> {
        let known = self.agents.get(id.as_str()).is_some()
            || self.agents.recovered.contains_key(id)
            || self.agents.unreachable.contains_key(id);
        if known { Ok(()) } else { Err(Reply::bad_request("Unknown agent")) }
    }

    pub(crate) fn deactivate_agent(
        &mut self,
        asker: Asker<'_>,
        body: call::DeactivateAgent,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let id = AgentId::from(&body.agent_id);
        if let Err(refusal) = self.check_known(&id) {
            return Some(refusal);
        }
        self.change_agent(id, Change::Deactivate, asker.request, step);
        None
    }

    pub(crate) fn reactivate_agent(
        &mut self,
        asker: Asker<'_>,
        body: call::ReactivateAgent,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let id = AgentId::from(&body.agent_id);
        if !self.agents.drains.deactivated.contains(&id) {
            return Some(Reply::bad_request("Agent is not deactivated"));
        }
        if self.agents.drains.is_draining(&id) {
            return Some(Reply::bad_request("Agent is still in the DRAINING state"));
        }
        self.change_agent(id, Change::Reactivate, asker.request, step);
        None
    }
}
