//! `mesos maintenance`: when machines will not be there, and taking them down and up.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use proto::json::{self, Names};
use proto::mesos::v1::allocator::inverse_offer_status::Status;
use proto::mesos::v1::maintenance::Schedule;
use proto::mesos::v1::master::call::{self, Type};
use proto::mesos::v1::{MachineId, master};

use crate::table::Table;
use crate::tool::{Cluster, print};

#[derive(Subcommand)]
pub(crate) enum MaintenanceVerb {
    /// The schedule: which machines will not be there when
    #[command(subcommand)]
    Schedule(ScheduleVerb),
    /// Which machines are draining, with what frameworks answered, and which are down
    Status(Cluster),
    /// Takes scheduled machines down: their agents leave the cluster
    Start(Machines),
    /// Brings machines up again, and takes them out of the schedule
    Stop(Machines),
}

#[derive(Subcommand)]
pub(crate) enum ScheduleVerb {
    /// Prints it, as JSON that 'set' takes
    Show(Cluster),
    /// Replaces it by what a file says, JSON as /maintenance/schedule takes it
    Set {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        cluster: Cluster,
    },
}

#[derive(Args)]
pub(crate) struct Machines {
    /// The machines, as the schedule names them
    #[arg(required = true, value_name = "HOST[:IP]", value_parser = machine)]
    machines: Vec<MachineId>,
    #[command(flatten)]
    cluster: Cluster,
}

/// Does what is asked.
pub(crate) async fn maintenance(verb: MaintenanceVerb) -> anyhow::Result<()> {
    match verb {
        MaintenanceVerb::Schedule(ScheduleVerb::Show(cluster)) => {
            let answer = cluster.operator().master(Type::GetMaintenanceSchedule).await?;
            let schedule = answer.get_maintenance_schedule.unwrap_or_default().schedule;
            print(&format!("{}\n", json::to_string(&schedule, Names::V1)))
        }
        MaintenanceVerb::Schedule(ScheduleVerb::Set { file, cluster }) => {
            let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let schedule: Schedule = json::from_slice(&text)
                .with_context(|| format!("{} is not a maintenance schedule", file.display()))?;
            let windows = schedule.windows.len();
            let call = master::Call {
                r#type: Some(Type::UpdateMaintenanceSchedule.into()),
                update_maintenance_schedule: Some(call::UpdateMaintenanceSchedule { schedule }),
                ..master::Call::default()
            };
            cluster.operator().change(&call).await?;
            print(&format!("The schedule has {windows} windows now.\n"))
        }
        MaintenanceVerb::Status(cluster) => status(&cluster).await,
        MaintenanceVerb::Start(Machines { machines, cluster }) => {
            let text = format!("{} machines are down.\n", machines.len());
            let call = master::Call {
                r#type: Some(Type::StartMaintenance.into()),
                start_maintenance: Some(call::StartMaintenance { machines }),
                ..master::Call::default()
            };
            cluster.operator().change(&call).await?;
            print(&text)
        }
        MaintenanceVerb::Stop(Machines { machines, cluster }) => {
            let text = format!("{} machines are up.\n", machines.len());
            let call = master::Call {
                r#type: Some(Type::StopMaintenance.into()),
                stop_maintenance: Some(call::StopMaintenance { machines }),
                ..master::Call::default()
            };
            cluster.operator().change(&call).await?;
            print(&text)
        }
    }
}

async fn status(cluster: &Cluster) -> anyhow::Result<()> {
    let answer = cluster.operator().master(Type::GetMaintenanceStatus).await?;
    let status = answer.get_maintenance_status.unwrap_or_default().status;
    let mut table = Table::new(&["Hostname", "IP", "Mode", "Accepted by", "Declined by"]);
    for machine in status.draining_machines {
        let who = |wanted: Status| {
            let answers = machine.statuses.iter().filter(|answer| answer.status() == wanted);
            answers.map(|answer| answer.framework_id.value.as_str()).collect::<Vec<_>>().join(" ")
        };
        table.row(vec![
            machine.id.hostname().to_owned(),
            machine.id.ip().to_owned(),
            "draining".to_owned(),
            who(Status::Accept),
            who(Status::Decline),
        ]);
    }
    for machine in status.down_machines {
        let (hostname, ip) = (machine.hostname().to_owned(), machine.ip().to_owned());
        table.row(vec![hostname, ip, "down".to_owned(), String::new(), String::new()]);
    }
    print(&table.to_string())
}

/// A machine as people write it: `host`, `host:10.0.0.1` or `:10.0.0.1`.
fn machine(text: &str) -> Result<MachineId, String> {
    let (hostname, ip) = text.split_once(':').unwrap_or((text, ""));
    if hostname.is_empty() && ip.is_empty() {
        return Err("a machine has a host's name, an address or both".to_owned());
    }
    let some = |part: &str| (!part.is_empty()).then(|| part.to_owned());
    Ok(MachineId { hostname: some(hostname), ip: some(ip) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_read() {
        let read = |text: &str| machine(text).map(|id| (id.hostname, id.ip));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("a"), Ok((some("a"), None)));
        assert_eq!(read("a:10.0.0.1"), Ok((some("a"), some("10.0.0.1"))));
        assert_eq!(read(":10.0.0.1"), Ok((None, some("10.0.0.1"))));
        assert!(read(":").is_err() && read("").is_err());
    }
}
