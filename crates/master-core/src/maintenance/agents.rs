//! What a change of the schedule means for the agents on its machines.

use std::sync::Arc;

use proto::mesos::v1;
use types::{AgentId, Pid};

use super::{Machine, Maintenance};
use crate::Master;
use crate::agents::Agent;
use crate::departure::Leave;
use crate::registration::shut_down;
use crate::step::Step;

const DOWN: &str = "Operator initiated 'Machine DOWN'";

impl Agent {
    /// The machine that the agent runs on.
    pub(crate) fn machine(&self) -> Machine {
        self.view().machine()
    }
}

impl Master {
    /// Applies a change that the registry has, and tells everybody whose agents will
    /// be unavailable at another time than before.
    pub(crate) fn change_maintenance<T>(
        &mut self,
        change: impl FnOnce(&mut Maintenance) -> T,
        step: &mut Step<'_>,
    ) {
        let before = Arc::clone(&self.maintenance);
        change(Arc::make_mut(&mut self.maintenance));
        let after = Arc::clone(&self.maintenance);
        // COMPAT(mesos): Mesos also begins anew where nothing changed, and forgets what
        // frameworks answered; it calls that unfinished.
        let changed: Vec<_> = self
            .agents
            .iter()
            .map(|agent| (agent.id().clone(), agent.machine()))
            .map(|(id, machine)| (id, before.unavailability(&machine), after.unavailability(&machine)))
            .filter(|(_, before, after)| before != after)
            .map(|(id, _, after)| (id, after))
            .collect();
        for (id, unavailability) in changed {
            self.set_unavailability(&id, unavailability, step);
        }
    }

    fn set_unavailability(
        &mut self,
        id: &AgentId,
        unavailability: Option<v1::Unavailability>,
        step: &mut Step<'_>,
    ) {
        // ORDER: what is outstanding ends first, so that the allocator begins anew.
        self.end_offers_on(id, step);
        self.inverse_offers.forget_answers(id);
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        agent.facts().unavailability = unavailability;
        agent.renew_template();
        self.allocator.set_unavailable(id, unavailability.is_some());
    }

    /// Takes the agents of machines that are down out of the cluster.
    pub(crate) fn remove_agents_of(&mut self, machines: &[v1::MachineId], step: &mut Step<'_>) {
        let machines: Vec<Machine> = machines.iter().map(Machine::from).collect();
        let there = self.agents.iter().filter(|agent| machines.contains(&agent.machine()));
        let there: Vec<_> = there.map(|agent| (agent.id().clone(), agent.pid().clone())).collect();
        for (id, pid) in there {
            self.take_down(&id, &pid, step);
        }
    }

    /// The same for an agent whose machine went down while the registry was at work on its
    /// registration.
    pub(crate) fn remove_if_down(&mut self, pid: &Pid, step: &mut Step<'_>) {
        let Some(agent) = self.agents.at_pid(pid).and_then(|id| self.agents.get(id.as_str())) else { return };
        if self.maintenance.is_down(&agent.machine()) {
            let id = agent.id().clone();
            self.take_down(&id, pid, step);
        }
    }

    fn take_down(&mut self, id: &AgentId, pid: &Pid, step: &mut Step<'_>) {
        shut_down(pid, DOWN, step);
        // The message may be lost; nobody waits for the agent.
        self.remove_agent(id, Leave::MachineDown, step);
    }

    /// Refuses an agent whose machine is down. Returns whether it did.
    pub(crate) fn refuse_if_down(&self, from: &Pid, info: &v1::AgentInfo, step: &mut Step<'_>) -> bool {
        let machine = Machine::of_agent(&info.hostname, from.address.ip());
        let down = self.maintenance.is_down(&machine);
        if down {
            shut_down(from, "Machine is `DOWN`", step);
        }
        down
    }
}
