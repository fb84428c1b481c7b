//! What a container in networks of its own, or of the container around it, finds in its namespaces.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use launch_plan::Process;
use linux::{Root, by_descriptor};

use super::LaunchError;

/// What the directory of such files has, and where a container sees it.
const FILES: &[(&str, &str)] =
    &[("hosts", "/etc/hosts"), ("hostname", "/etc/hostname"), (RESOLV_CONF, "/etc/resolv.conf")];

/// Without name servers of its own a network has those of the machine.
const RESOLV_CONF: &str = "resolv.conf";

/// Makes new namespaces ones that a program can use.
pub(super) fn set_up(process: &Process) -> Result<(), LaunchError> {
    if process.own_network {
        linux::loopback_up().map_err(|error| LaunchError::Network("the loopback interface", error))?;
    }
    if let Some(name) = &process.host_name {
        linux::set_host_name(name).map_err(|error| LaunchError::Network("the hostname", error))?;
    }
    Ok(())
}

/// Shows the files that go with its networks in place of the machine's. Its mounts must be its own by now.
pub(super) fn show_files(process: &Process) -> Result<(), LaunchError> {
    let Some(directory) = &process.network_files else { return Ok(()) };
    for (name, target) in FILES.iter().copied() {
        let source = Path::new(directory).join(name);
        if name != RESOLV_CONF || source.exists() {
            show(Path::new("/"), &source, target, false)?;
        }
    }
    Ok(())
}

/// Shows them in the root of its own, too. What is the machine's nobody writes there.
pub(super) fn show_files_in_root(process: &Process) -> Result<(), LaunchError> {
    let Some(root) = &process.root else { return Ok(()) };
    let is_machines = process.network_files.is_none() && !process.enter_network;
    for (_, path) in FILES.iter().copied().filter(|(_, path)| Path::new(path).exists()) {
        show(Path::new(&root.path), Path::new(path), path, is_machines)?;
    }
    Ok(())
}

fn show(root: &Path, source: &Path, target: &'static str, read_only: bool) -> Result<(), LaunchError> {
    let shown = || -> io::Result<()> {
        let (root, target) = (Root::open(root)?, Path::new(target));
        let place = root.file(target)?;
        linux::bind(source, &by_descriptor(place.as_fd()), false)?;
        match read_only {
            // The mount that was made is on top of what the handle is of.
            true => linux::make_read_only(&by_descriptor(root.find(target)?.as_fd())),
            false => Ok(()),
        }
    };
    shown().map_err(|error| LaunchError::Network(target, error))
}
