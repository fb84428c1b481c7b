//! What the daemon has of earlier agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use docker::container_id;
use types::ContainerId;

use crate::containerizer::Shared;

/// Notes the names of the containers that are known, and ends the others.
pub(crate) async fn recover(shared: &Arc<Shared>, known: &BTreeSet<ContainerId>) -> Result<(), String> {
    let names = shared.config.client.containers().await;
    let names = names.map_err(|error| format!("Failed to list the Docker containers: {error}"))?;
    let mut old_names = BTreeMap::new();
    for name in names {
        // Somebody else's container may begin with the same word.
        let Some(container) = container_id(&name).map(ContainerId::root) else { continue };
        if known.contains(&container) {
            old_names.insert(container, name);
        } else if shared.config.kill_orphans {
            tracing::info!(%container, name, "ending a Docker container that no agent knows");
            let shared = Arc::clone(shared);
            drop(tokio::spawn(async move {
                if let Err(error) = shared.config.client.stop(&name, shared.config.stop_timeout).await {
                    tracing::warn!(name, %error, "cannot stop a Docker container; it is killed");
                }
                shared.removals.later(name, Duration::ZERO);
            }));
        }
    }
    shared.removals.set_old_names(old_names);
    Ok(())
}
