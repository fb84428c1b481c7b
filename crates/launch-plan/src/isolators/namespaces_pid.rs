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
        if !plan.process.enter_mounts && !container.sees_all_processes {
            // The machine's shows other process ids.
            show(plan);
        }
        return Ok(());
    }
    if shares && settings.own_pid_always {
        let message = "Sharing agent pid namespace with top-level container is not allowed";
        return Err(Refusal(message.to_owned()));
    }
    if !shares {
        plan.process.own_pids = true;
        show(plan);
    }
    Ok(())
}

/// A root of its own has one anyway.
fn show(plan: &mut Plan) {
    if plan.process.root.as_ref().is_none_or(|root| root.is_for_another) {
        let (kind, target) = ("proc".to_owned(), "/proc".to_owned());
        plan.process.mounts.push(Mount { kind, target, options: String::new() });
    }
}
