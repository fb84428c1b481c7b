//! The backend `overlay`: layers stay where they are, and the kernel shows them as one.
//!
//! The launch helper mounts them among the mounts of the container, so that nobody else ever sees that mount, and it is
//! gone with the container's last process, whatever becomes of the agent.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use launch_plan::{Layers, Rootfs};

use super::places;

/// The most layers that the kernel puts on each other.
const LAYERS_MAX: usize = 500;

/// Makes what the helper needs.
pub(super) fn prepare(backend: &Path, name: &str, layers: &[PathBuf]) -> Result<Rootfs, String> {
    if layers.len() > LAYERS_MAX {
        return Err(format!("The image has {} layers, and overlayfs takes {LAYERS_MAX}", layers.len()));
    }
    let (rootfs, scratch) = (places::rootfs(backend, name), places::scratch(backend, name));
    let links = scratch.join("links");
    let made = || {
        fs::create_dir_all(&rootfs)?;
        fs::create_dir_all(&links)?;
        // This one's owner and mode are those of the root that the container sees.
        DirBuilder::new().mode(0o755).create(scratch.join("upperdir"))?;
        fs::set_permissions(scratch.join("upperdir"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::create_dir(scratch.join("workdir"))?;
        layers.iter().enumerate().try_for_each(|(at, layer)| symlink(layer, links.join(at.to_string())))
    };
    made().map_err(|error: io::Error| {
        format!("Failed to create container rootfs at '{}': {error}", rootfs.display())
    })?;
    Ok(Rootfs {
        path: rootfs.to_string_lossy().into_owned(),
        layers: Some(Layers { links: links.to_string_lossy().into_owned(), count: layers.len() }),
        ..Rootfs::default()
    })
}
