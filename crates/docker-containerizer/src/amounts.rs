//! Other amounts for a container that runs.

use std::sync::Arc;

use containerizer::Notice;
use types::ContainerId;

use crate::containerizer::Shared;

/// Tells the daemon what a container has now.
pub(crate) async fn update(shared: Arc<Shared>, container: ContainerId) {
    let Some((resources, limits)) = shared.amounts(&container) else { return };
    let Some((name, before)) = shared.with(&container, |entry| (entry.name.clone(), entry.memory_bytes))
    else {
        return;
    };
    let (amounts, memory) = docker::update(&resources, &limits, shared.config.enable_cfs, before);
    match shared.config.client.update(&name, &amounts).await {
        Ok(()) => {
            shared.with(&container, |entry| entry.memory_bytes = memory);
        }
        // It ended meanwhile, or is about to begin with what it has now.
        Err(error) if error.is_not_found() => {}
        Err(error) => shared.notify(Notice::UpdateFailed { container, message: error.to_string() }).await,
    }
}
