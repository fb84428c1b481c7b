//! Machines that are taken out of service: the schedule, and each machine's mode.
//!
//! ```text
//! up -- (in the schedule) --> draining -- (start) --> down -- (stop) --> up
//!  ^---- (not in it any more) ----'
//! ```
//!
//! The transitions are pure. The registry and the master apply the same ones, each to
//! a [`Maintenance`] of its own.

pub(crate) mod agents;
pub(crate) mod inverse_offers;
mod validate;

use std::collections::BTreeMap;
use std::net::IpAddr;

use proto::mesos::v1;
use proto::mesos::v1::machine_info::Mode;
use proto::mesos::v1::maintenance::{Schedule, Window};

pub(crate) use validate::Refused;

/// A machine's name: a host, an address, or both. Hosts are compared without regard
/// to case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Machine {
    hostname: Option<String>,
    ip: Option<String>,
}

impl Machine {
    /// The machine that an agent runs on.
    #[must_use]
    pub fn of_agent(hostname: &str, ip: IpAddr) -> Self {
        Self { hostname: Some(hostname.to_lowercase()), ip: Some(ip.to_string()) }
    }
}

impl From<&v1::MachineId> for Machine {
    fn from(id: &v1::MachineId) -> Self {
        Self { hostname: id.hostname.as_ref().map(|name| name.to_lowercase()), ip: id.ip.clone() }
    }
}

/// All that is known of machines that are to be taken out of service, or are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Maintenance {
    /// Machines that are draining or down.
    pub machines: BTreeMap<Machine, v1::MachineInfo>,
    /// The schedules; there is one at most, and none once all its machines are up again.
    pub schedules: Vec<Schedule>,
}

impl Maintenance {
    /// When a machine will not be there, if that is planned.
    #[must_use]
    pub fn unavailability(&self, machine: &Machine) -> Option<v1::Unavailability> {
        self.machines.get(machine)?.unavailability
    }

    /// Whether no agent of a machine may register.
    #[must_use]
    pub fn is_down(&self, machine: &Machine) -> bool {
        self.machines.get(machine).is_some_and(|info| info.mode() == Mode::Down)
    }

    /// Whether the schedule names a machine.
    #[must_use]
    pub fn schedules(&self, machine: &Machine) -> Option<&v1::MachineId> {
        let windows = self.schedules.iter().flat_map(|schedule| &schedule.windows);
        windows.flat_map(|window| &window.machine_ids).find(|id| Machine::from(*id) == *machine)
    }

    /// Replaces the schedule. Machines that are new in it drain; those that are not in
    /// it are up.
    pub fn update_schedule(&mut self, schedule: &Schedule) {
        let mut planned: BTreeMap<Machine, (&v1::MachineId, v1::Unavailability)> = BTreeMap::new();
        for window in &schedule.windows {
            for id in &window.machine_ids {
                planned.insert(id.into(), (id, window.unavailability));
            }
        }
        self.machines.retain(|machine, _| planned.contains_key(machine));
        for (machine, (id, unavailability)) in planned {
            let info = self.machines.entry(machine).or_insert_with(|| v1::MachineInfo {
                id: id.clone(),
                mode: Some(Mode::Draining.into()),
                unavailability: None,
            });
            info.unavailability = Some(unavailability);
        }
        self.schedules = vec![schedule.clone()];
    }

    /// Takes machines down. Returns whether any is known.
    pub fn start(&mut self, ids: &[v1::MachineId]) -> bool {
        let mut changed = false;
        for id in ids {
            if let Some(info) = self.machines.get_mut(&Machine::from(id)) {
                info.mode = Some(Mode::Down.into());
                changed = true;
            }
        }
        changed
    }

    /// Brings machines up, and takes them out of the schedule. Returns whether any was
    /// known.
    pub fn stop(&mut self, ids: &[v1::MachineId]) -> bool {
        let up: Vec<Machine> = ids.iter().map(Machine::from).collect();
        let before = self.machines.len();
        self.machines.retain(|machine, _| !up.contains(machine));
        for schedule in &mut self.schedules {
            for window in &mut schedule.windows {
                window.machine_ids.retain(|id| !up.contains(&id.into()));
            }
            schedule.windows.retain(|window| !window.machine_ids.is_empty());
        }
        self.schedules.retain(|schedule| !schedule.windows.is_empty());
        before != self.machines.len()
    }

    /// The schedule as readers see it: windows with machines.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let windows = self.schedules.first().into_iter().flat_map(|schedule| &schedule.windows);
        Schedule {
            windows: windows.filter(|window: &&Window| !window.machine_ids.is_empty()).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(hostname: &str, ip: &str) -> v1::MachineId {
        v1::MachineId { hostname: Some(hostname.to_owned()), ip: Some(ip.to_owned()) }
    }

    fn window(machines: &[v1::MachineId], start: i64) -> Window {
        let unavailability =
            v1::Unavailability { start: v1::TimeInfo { nanoseconds: start }, duration: None };
        Window { machine_ids: machines.to_vec(), unavailability }
    }

    #[test]
    fn a_machine_drains_goes_down_and_comes_up() {
        let (a, b) = (id("Host1", "10.0.0.1"), id("host2", "10.0.0.2"));
        let same = Machine::of_agent("host1", "10.0.0.1".parse().unwrap());
        let mut all = Maintenance::default();
        all.update_schedule(&Schedule { windows: vec![window(&[a.clone(), b.clone()], 5)] });
        assert_eq!(all.unavailability(&same).unwrap().start.nanoseconds, 5);
        assert!(all.start(std::slice::from_ref(&a)) && all.is_down(&same));

        // A new schedule moves the window and leaves the mode alone.
        all.update_schedule(&Schedule { windows: vec![window(std::slice::from_ref(&a), 9)] });
        assert!(all.is_down(&same) && all.machines.len() == 1);
        assert_eq!(all.unavailability(&same).unwrap().start.nanoseconds, 9);

        assert!(all.stop(std::slice::from_ref(&a)));
        assert_eq!(all, Maintenance::default());
        assert!(!all.stop(&[a]) && !all.start(&[b]));
    }
}
