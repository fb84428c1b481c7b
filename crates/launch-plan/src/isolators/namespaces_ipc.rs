//! `namespaces/ipc`: message queues, semaphores and shared memory of its own for a container.

use proto::mesos::v1::linux_info::IpcMode;

use crate::facts::Settings;
use crate::plan::{Container, Mount, Plan, Refusal};
use crate::root::SharedMemory;

const MEGABYTE: u64 = 1024 * 1024;

pub(crate) fn prepare(
    settings: &Settings,
    container: &Container<'_>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    if container.is_session {
        plan.process.enter_ipc = true;
        return Ok(());
    }
    let linux = container.linux();
    let mode = linux.and_then(|linux| linux.ipc_mode).map(IpcMode::try_from);
    let asked = linux.and_then(|linux| linux.shm_size).map(|megabytes| u64::from(megabytes) * MEGABYTE);
    if asked.is_some() && mode != Some(Ok(IpcMode::Private)) {
        return Err(refuse("Only support specifying the size of /dev/shm when the IPC mode is `PRIVATE`"));
    }
    match mode {
        Some(Ok(IpcMode::ShareParent)) if container.is_nested() && plan.process.root.is_some() => {
            return Err(refuse(
                "A nested container with an image cannot share the /dev/shm of its parent; use the IPC mode `PRIVATE`, \
                 or none",
            ));
        }
        None | Some(Ok(IpcMode::ShareParent)) if container.is_nested() => plan.process.enter_ipc = true,
        // COMPAT(mesos): without a word on it, /dev/shm stays the agent's, unless there is a root of its own.
        None => plan.process.own_ipc = true,
        Some(Ok(IpcMode::Private)) => {
            plan.process.own_ipc = true;
            let size = asked.or(settings.default_shm_bytes);
            let options =
                size.map_or_else(|| "mode=1777".to_owned(), |bytes| format!("mode=1777,size={bytes}"));
            match &mut plan.process.root {
                Some(root) => root.shared_memory = SharedMemory::Own(options),
                None => {
                    let (kind, target) = ("tmpfs".to_owned(), "/dev/shm".to_owned());
                    plan.process.mounts.push(Mount { kind, target, options });
                }
            }
        }
        Some(Ok(IpcMode::ShareParent)) if settings.own_ipc_always => {
            return Err(refuse("Sharing agent IPC namespace with top-level container is not allowed"));
        }
        Some(Ok(IpcMode::ShareParent)) => {
            if let Some(root) = &mut plan.process.root {
                root.shared_memory = SharedMemory::Machine;
            }
        }
        Some(Ok(IpcMode::Unknown) | Err(_)) => return Err(refuse("Unknown IPC mode")),
    }
    Ok(())
}

fn refuse(message: &str) -> Refusal {
    Refusal(message.to_owned())
}
