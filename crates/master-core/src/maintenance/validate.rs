//! What is wrong with a schedule or a list of machines, in the words of Mesos.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proto::json::{self, Names};
use proto::mesos::v1;
use proto::mesos::v1::machine_info::Mode;
use proto::mesos::v1::maintenance::Schedule;
use thiserror::Error;

use super::{Machine, Maintenance};

/// Why a change of the maintenance schedule, or of machines, is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    #[error("List of machines in the maintenance window is empty")]
    EmptyWindow,
    #[error("List of machines is empty")]
    NoMachines,
    #[error("Unavailability 'duration' is negative")]
    NegativeDuration,
    #[error("Both 'hostname' and 'ip' for a machine are empty")]
    Nameless,
    #[error("Failed to parse IPv4: {0}")]
    NotAnAddress(String),
    #[error("Machine '{0}' appears more than once in the schedule")]
    Twice(String),
    #[error("Machine '{0}' is deactivated and cannot be removed from the schedule")]
    Down(String),
    #[error("Machine '{0}' is not part of a maintenance schedule")]
    Unscheduled(String),
    #[error("Machine '{0}' is not in DRAINING mode and cannot be brought down")]
    NotDraining(String),
    #[error("Machine '{0}' is not in DOWN mode and cannot be brought up")]
    NotDown(String),
}

impl Maintenance {
    /// Whether a schedule may replace the present one.
    pub(crate) fn check_schedule(&self, schedule: &Schedule) -> Result<(), Refused> {
        let mut seen = BTreeSet::new();
        for window in &schedule.windows {
            if window.machine_ids.is_empty() {
                return Err(Refused::EmptyWindow);
            }
            if window.unavailability.duration.is_some_and(|duration| duration.nanoseconds < 0) {
                return Err(Refused::NegativeDuration);
            }
            check_each(&window.machine_ids, &mut seen)?;
        }
        for (machine, info) in &self.machines {
            if info.mode() == Mode::Down && !seen.contains(machine) {
                return Err(Refused::Down(name(&info.id)));
            }
        }
        Ok(())
    }

    /// Whether machines may be taken down: all are draining. `runs_agents` says of a
    /// machine that is in no schedule whether it is known all the same.
    pub(crate) fn check_start(
        &self,
        ids: &[v1::MachineId],
        runs_agents: impl Fn(&Machine) -> bool,
    ) -> Result<(), Refused> {
        self.check_mode(ids, Mode::Draining, runs_agents, Refused::NotDraining)
    }

    /// Whether machines may be brought up: all are down.
    pub(crate) fn check_stop(
        &self,
        ids: &[v1::MachineId],
        runs_agents: impl Fn(&Machine) -> bool,
    ) -> Result<(), Refused> {
        self.check_mode(ids, Mode::Down, runs_agents, Refused::NotDown)
    }

    fn check_mode(
        &self,
        ids: &[v1::MachineId],
        mode: Mode,
        runs_agents: impl Fn(&Machine) -> bool,
        refused: fn(String) -> Refused,
    ) -> Result<(), Refused> {
        if ids.is_empty() {
            return Err(Refused::NoMachines);
        }
        check_each(ids, &mut BTreeSet::new())?;
        for id in ids {
            let machine = Machine::from(id);
            match self.machines.get(&machine) {
                Some(info) if info.mode() == mode => {}
                Some(_) => return Err(refused(name(id))),
                None if runs_agents(&machine) => return Err(refused(name(id))),
                None => return Err(Refused::Unscheduled(name(id))),
            }
        }
        Ok(())
    }
}

fn check_each(ids: &[v1::MachineId], seen: &mut BTreeSet<Machine>) -> Result<(), Refused> {
    for id in ids {
        let ip = id.ip();
        if id.hostname().is_empty() && ip.is_empty() {
            return Err(Refused::Nameless);
        }
        if !ip.is_empty() && ip.parse::<Ipv4Addr>().is_err() {
            return Err(Refused::NotAnAddress(ip.to_owned()));
        }
        if !seen.insert(id.into()) {
            return Err(Refused::Twice(name(id)));
        }
    }
    Ok(())
}

fn name(id: &v1::MachineId) -> String {
    json::to_string(id, Names::V0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> Schedule {
        json::from_slice(text.as_bytes()).unwrap()
    }

    #[test]
    fn bad_schedules_are_refused_by_what_is_wrong() {
        let start = r#""unavailability":{"start":{"nanoseconds":1}}"#;
        let one = |machines: &str| format!(r#"{{"windows":[{{"machine_ids":[{machines}],{start}}}]}}"#);
        let a = r#"{"hostname":"a","ip":"10.0.0.1"}"#;
        let cases = [
            (one(""), "List of machines in the maintenance window is empty"),
            (one("{}"), "Both 'hostname' and 'ip' for a machine are empty"),
            (one(r#"{"ip":"10.0.0.256"}"#), "Failed to parse IPv4: 10.0.0.256"),
            (one(r#"{"ip":"::1"}"#), "Failed to parse IPv4: ::1"),
            (
                one(&format!("{a},{a}")),
                r#"Machine '{"hostname":"a","ip":"10.0.0.1"}' appears more than once in the schedule"#,
            ),
            (
                format!(
                    r#"{{"windows":[{{"machine_ids":[{a}],{start}}},{{"machine_ids":[{{"hostname":"A","ip":"10.0.0.1"}}],{start}}}]}}"#
                ),
                r#"Machine '{"hostname":"A","ip":"10.0.0.1"}' appears more than once in the schedule"#,
            ),
            (
                format!(
                    r#"{{"windows":[{{"machine_ids":[{a}],"unavailability":{{"start":{{"nanoseconds":1}},"duration":{{"nanoseconds":-1}}}}}}]}}"#
                ),
                "Unavailability 'duration' is negative",
            ),
        ];
        for (text, why) in cases {
            let refused = Maintenance::default().check_schedule(&schedule(&text)).unwrap_err();
            assert_eq!(refused.to_string(), why, "{text}");
        }
        for good in [r#"{"windows":[]}"#.to_owned(), one(a), one(r#"{"hostname":"a"}"#)] {
            assert_eq!(Maintenance::default().check_schedule(&schedule(&good)), Ok(()));
        }
    }
}
