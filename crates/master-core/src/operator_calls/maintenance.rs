//! The maintenance schedule, and machines that go down and up.

use std::collections::BTreeSet;

use proto::mesos::v1;
use proto::mesos::v1::maintenance::Schedule;
use proto::mesos::v1::master::call;

use super::Asker;
use crate::Master;
use crate::effect::{Effect, Reply};
use crate::event::RequestId;
use crate::maintenance::{Machine, Refused};
use crate::pending::Pending;
use crate::registry::Operation;
use crate::step::Step;

/// A change of machines that waits for the registry.
#[derive(Debug)]
pub(crate) enum Change {
    /// Another schedule.
    Schedule(Box<Schedule>),
    /// These go down.
    Start(Vec<v1::MachineId>),
    /// These come up.
    Stop(Vec<v1::MachineId>),
}

impl Master {
    pub(crate) fn update_maintenance_schedule(
        &mut self,
        asker: Asker<'_>,
        body: call::UpdateMaintenanceSchedule,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let checked = self.maintenance.check_schedule(&body.schedule);
        self.change_machines(asker, checked, Change::Schedule(Box::new(body.schedule)), step)
    }

    pub(crate) fn start_maintenance(
        &mut self,
        asker: Asker<'_>,
        body: call::StartMaintenance,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let used = self.machines_in_use();
        let checked = self.maintenance.check_start(&body.machines, |machine| used.contains(machine));
        self.change_machines(asker, checked, Change::Start(body.machines), step)
    }

    pub(crate) fn stop_maintenance(
        &mut self,
        asker: Asker<'_>,
        body: call::StopMaintenance,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let used = self.machines_in_use();
        let checked = self.maintenance.check_stop(&body.machines, |machine| used.contains(machine));
        self.change_machines(asker, checked, Change::Stop(body.machines), step)
    }

    fn machines_in_use(&self) -> BTreeSet<Machine> {
        self.agents.iter().map(crate::agents::Agent::machine).collect()
    }

    fn change_machines(
        &mut self,
        asker: Asker<'_>,
        checked: Result<(), Refused>,
        change: Change,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        if let Err(why) = checked {
            return Some(Reply::bad_request(why.to_string()));
        }
        let operation = match &change {
            Change::Schedule(schedule) => Operation::UpdateSchedule(schedule.clone()),
            Change::Start(machines) => Operation::StartMaintenance(machines.clone()),
            Change::Stop(machines) => Operation::StopMaintenance(machines.clone()),
        };
        self.ask_registry(operation, Pending::Machines { change, request: asker.request }, step);
        None
    }

    pub(crate) fn on_machines_changed(&mut self, change: Change, request: RequestId, step: &mut Step<'_>) {
        match change {
            Change::Schedule(schedule) => self.change_maintenance(|all| all.update_schedule(&schedule), step),
            Change::Start(machines) => {
                self.remove_agents_of(&machines, step);
                self.change_maintenance(|all| all.start(&machines), step);
            }
            Change::Stop(machines) => self.change_maintenance(|all| all.stop(&machines), step),
        }
        step.fx.push(Effect::Reply { request, reply: Reply::ok() });
    }
}
