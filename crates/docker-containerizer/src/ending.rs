//! What comes after a container: the daemon is made to end what it still has of it, past its own death if need be.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use containerizer::Notice;
use proto::mesos::slave::ContainerTermination;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;
use types::ContainerId;

use crate::containerizer::Shared;

/// How much longer than it may, the daemon is waited for before the processes are killed without it.
const FORCE_KILL: Duration = Duration::from_secs(5);

/// How soon the removal of a container that the daemon did not end is tried.
const REMOVE_SOON: Duration = Duration::from_secs(5);

/// A launch was given up.
pub(crate) async fn failed(shared: Arc<Shared>, container: ContainerId, message: String) {
    end(&shared, &container).await;
    shared.forget(&container);
    shared.notify(Notice::Failed { container, message }).await;
}

/// The process beside a container ended.
pub(crate) async fn exited(
    shared: Arc<Shared>,
    container: ContainerId,
    mut termination: Box<ContainerTermination>,
) {
    end(&shared, &container).await;
    let killed = shared.was_killed(&container);
    let message = if killed { "Container killed" } else { "Container terminated" };
    termination.message.get_or_insert_with(|| message.to_owned());
    shared.forget(&container);
    shared.notify(Notice::Exited { container, termination }).await;
}

/// Ends what the daemon has of a container, and has it removed later.
async fn end(shared: &Shared, container: &ContainerId) {
    let Some(name) = shared.name(container) else { return };
    let grace = if shared.was_killed(container) { shared.config.stop_timeout } else { Duration::ZERO };
    let stopped = timeout(grace + FORCE_KILL, shared.config.client.stop(&name, grace)).await;
    let trouble = match stopped {
        Ok(Ok(())) => return shared.removals.later(name, shared.config.remove_delay),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", (grace + FORCE_KILL).as_secs()),
    };
    tracing::error!(%container, "Failed to kill the Docker container, killing its processes: {trouble}");
    let mark = format!("MESOS_CONTAINER_NAME={name}");
    if tokio::task::spawn_blocking(move || kill_marked(&mark)).await.is_err() {
        tracing::error!(%container, "looking for the processes of a container panicked");
    }
    // Whatever the daemon still knows of it when it is back goes then.
    shared.removals.later(name, REMOVE_SOON);
}

/// Kills the processes that have the variable in their environment. Where that is a container's first process, the
/// kernel ends the others with it.
fn kill_marked(mark: &str) {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()) {
            // One that ended meanwhile needs no signal.
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}
