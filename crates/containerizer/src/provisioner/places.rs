//! Where roots are, which is where Apache Mesos has them:
//!
//! ```text
//! <work_dir>/provisioner/containers/<id>/layers                                   what is used of the store
//!                                       /volumes                                  the roots that are volumes only
//!                                       /backends/<backend>/rootfses/<root>       a root
//!                                       /backends/overlay/scratch/<root>/{upperdir,workdir,links}
//!                                       /containers/<id of one in it>/...
//! ```
//! A root of overlay is a mount there in the container's own mounts, and an empty directory for everybody else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use types::ContainerId;

/// All that is kept of a container.
pub(super) fn container(top: &Path, id: &ContainerId) -> PathBuf {
    let above = match id.parent.as_deref() {
        Some(parent) => container(top, parent),
        None => top.to_owned(),
    };
    above.join("containers").join(&*id.value)
}

/// What of the store a container uses.
pub(super) fn layers(top: &Path, id: &ContainerId) -> PathBuf {
    container(top, id).join("layers")
}

/// The names of its roots that are no roots of its own, but volumes.
pub(super) fn volumes(top: &Path, id: &ContainerId) -> PathBuf {
    container(top, id).join("volumes")
}

/// Whether one of its roots is its own.
pub(super) fn has_root(top: &Path, id: &ContainerId) -> bool {
    let volumes = std::fs::read_to_string(volumes(top, id)).unwrap_or_default();
    let is_own = |root: &PathBuf| !volumes.lines().any(|name| root.ends_with(name));
    rootfses(top, id).iter().any(is_own)
}

/// All that one backend keeps of a container.
pub(super) fn backend(top: &Path, id: &ContainerId, backend: &str) -> PathBuf {
    container(top, id).join("backends").join(backend)
}

/// A root.
pub(super) fn rootfs(backend: &Path, name: &str) -> PathBuf {
    backend.join("rootfses").join(name)
}

/// What changes of a root of overlay.
pub(super) fn scratch(backend: &Path, name: &str) -> PathBuf {
    backend.join("scratch").join(name)
}

/// The containers that something is kept of, those around others first.
pub(super) fn all(top: &Path) -> Vec<ContainerId> {
    let mut found: Vec<ContainerId> = Vec::new();
    let mut places = vec![(top.to_owned(), None::<ContainerId>)];
    while let Some((place, parent)) = places.pop() {
        for name in names(&place.join("containers")) {
            let parent = parent.clone().map(Arc::new);
            let id = ContainerId { value: name.as_str().into(), parent };
            places.push((place.join("containers").join(name), Some(id.clone())));
            found.push(id);
        }
    }
    found
}

/// The roots of a container, whichever backend made them.
pub(super) fn rootfses(top: &Path, id: &ContainerId) -> Vec<PathBuf> {
    let backends = container(top, id).join("backends");
    let mut found = Vec::new();
    for backend in names(&backends) {
        let rootfses = backends.join(backend).join("rootfses");
        found.extend(names(&rootfses).into_iter().map(|name| rootfses.join(name)));
    }
    found
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
