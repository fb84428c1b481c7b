//! What people want to find in the log: who came, who went, what was refused for good.
//!
//! The core does not log. Its effects say enough, and they are looked at here on their way out.

use master_core::registry::Operation;
use master_core::{Effect, Outgoing};
use proto::mesos::v1::scheduler;
use types::Pid;

/// Writes a line for an effect that is worth one.
pub(crate) fn note(effect: &Effect) {
    match effect {
        Effect::SchedulerEvent { event, .. } => note_event(event),
        Effect::Send { to, message, .. } => note_message(to, message),
        Effect::Registry { operation, .. } => note_operation(operation),
        Effect::Log(text) => tracing::warn!("{text}"),
        Effect::Abort(reason) => tracing::error!(reason, "the master must end"),
        Effect::Reply { .. }
        | Effect::Close { .. }
        | Effect::Link { .. }
        | Effect::Unlink { .. }
        | Effect::OperatorSubscribed { .. }
        | Effect::OperatorEvent { .. }
        | Effect::Publish(_) => {}
    }
}

fn note_event(event: &scheduler::Event) {
    if let Some(subscribed) = &event.subscribed {
        tracing::info!(framework = subscribed.framework_id.value, "framework subscribed");
    } else if let Some(error) = &event.error {
        tracing::warn!(reason = error.message, "framework refused");
    }
}

/// Of all messages only comings and goings are worth a line; the rest would be one per task or per second.
fn note_message(to: &Pid, message: &Outgoing) {
    if let Outgoing::FrameworkRegistered(registered) = message {
        tracing::info!(framework = registered.framework_id.value, %to, "framework registered");
    } else if let Outgoing::FrameworkReregistered(registered) = message {
        tracing::info!(framework = registered.framework_id.value, %to, "framework registered again");
    } else if let Outgoing::FrameworkError(error) = message {
        tracing::warn!(%to, reason = error.message, "framework refused");
    } else if let Outgoing::AgentRegistered(registered) = message {
        tracing::info!(agent = registered.slave_id.value, %to, "agent registered");
    } else if let Outgoing::AgentReregistered(registered) = message {
        tracing::info!(agent = registered.slave_id.value, %to, "agent registered again");
    } else if let Outgoing::Shutdown(shutdown) = message {
        tracing::warn!(%to, reason = shutdown.message(), "agent told to shut down");
    }
}

fn note_operation(operation: &Operation) {
    match operation {
        Operation::AdmitAgent(info) => tracing::info!(hostname = info.hostname, "admitting an agent"),
        Operation::MarkUnreachable { agent, .. } => tracing::warn!(%agent, "marking an agent unreachable"),
        Operation::MarkGone { agent, .. } => tracing::warn!(%agent, "marking an agent gone"),
        Operation::RemoveAgent(agent) => tracing::info!(%agent, "removing an agent"),
        Operation::UpdateWeights(infos) => tracing::info!(roles = infos.len(), "setting weights"),
        Operation::UpdateSchedule(schedule) => {
            tracing::info!(windows = schedule.windows.len(), "updating the maintenance schedule");
        }
        Operation::StartMaintenance(machines) => {
            tracing::warn!(machines = machines.len(), "taking machines down");
        }
        Operation::StopMaintenance(machines) => {
            tracing::info!(machines = machines.len(), "bringing machines up");
        }
        Operation::DrainAgent { agent, .. } => tracing::warn!(%agent, "draining an agent"),
        Operation::MarkAgentDrained(agent) => tracing::info!(%agent, "an agent is drained"),
        Operation::DeactivateAgent(agent) => tracing::warn!(%agent, "deactivating an agent"),
        Operation::ReactivateAgent(agent) => tracing::info!(%agent, "reactivating an agent"),
        Operation::UpdateQuota(configs) => {
            let roles: Vec<_> = configs.iter().map(|config| config.role.as_str()).collect();
            tracing::info!(roles = roles.join(", "), "updating quotas");
        }
        Operation::UpdateAgent(_) | Operation::MarkReachable(_) | Operation::Prune { .. } => {}
    }
}
