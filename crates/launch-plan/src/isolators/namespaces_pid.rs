//! `namespaces/pid`: process ids of its own for a container, and a `/proc` that shows them.

use crate::facts::Settings;
use crate::plan::{Container, Mount, Plan, Refusal};

pub(crate) fn prepare(
    settings: &Settings,
    container: &Container<'_>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    if container.is_session {
        plan.process.enter_pids = true;
        return Ok(());
    }
    let shares = container.linux().is_some_and(|linux| linux.share_pid_namespace());
    if shares && container.is_nested() {
        plan.process.enter_pids = true;
        return Ok(());
    }
    if shares && settings.own_pid_always {
        let message = "Sharing agent pid namespace with top-level container is not allowed";
        return Err(Refusal(message.to_owned()));
    }
    if !shares {
        plan.process.own_pids = true;
        plan.process.mounts.push(Mount {
            kind: "proc".to_owned(),
            target: "/proc".to_owned(),
            options: String::new(),
        });
    }
    Ok(())
}
