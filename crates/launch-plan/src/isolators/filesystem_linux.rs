//! `filesystem/linux`: mounts of its own for a container, which take part in those of the machine one way only, and a
//! root of its own where it has an image.
//!
//! A container in another one begins with a copy of the other's, unless either has a root of its own. A session sees
//! exactly what the other sees.

use crate::facts::Settings;
use crate::isolators::volumes;
use crate::plan::{Container, Plan, Refusal};
use crate::root::{Bind, Root};

pub(crate) fn prepare(
    settings: &Settings,
    container: &Container<'_>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let process = &mut plan.process;
    if container.is_session {
        if container.root.is_some() {
            return Err(refuse("A 'rootfs' cannot be set for DEBUG containers"));
        }
        if container.info.is_some_and(|info| !info.volumes.is_empty()) {
            return Err(refuse("Volumes not supported for DEBUG containers"));
        }
        process.enter_mounts = true;
        return Ok(());
    }
    process.own_mounts = true;
    let Some(rootfs) = container.root else {
        process.enter_mounts = container.is_nested() && !container.around_has_root;
        return volumes::prepare(settings, container, plan);
    };
    process.root = Some(Root {
        path: rootfs.path.clone(),
        layers: rootfs.layers.clone(),
        unmasked: container.sees_all_processes,
        // COMPAT(mesos): the executor of a command stays where its agent is, and only the command goes there.
        is_for_another: container.is_command_task,
        ..Root::default()
    });
    process.binds.push(Bind {
        source: container.sandbox.to_owned(),
        below: container.sandbox_root.map(str::to_owned),
        target: settings.sandbox_directory.clone(),
        ..Bind::default()
    });
    volumes::prepare(settings, container, plan)
}

fn refuse(message: &str) -> Refusal {
    Refusal(message.to_owned())
}
