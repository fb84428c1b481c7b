//! `network/cni`: networks of its own for a container, with a host name and the files that resolve names.
//!
//! A container in another one is in the networks of that one, unless it asks for its own. Which networks there are and
//! how one is joined is no matter of the plan: see `containerizer`.

use proto::mesos::v1::{ContainerInfo, NetworkInfo, container_info};
use types::ContainerId;

use crate::facts::Settings;
use crate::isolation::Launcher;
use crate::plan::{Container, Plan, Refusal};

/// A network that a container asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// What the interface to it is called within the container.
    pub interface: String,
    /// What the container says of it.
    pub info: NetworkInfo,
}

/// The networks that a container asks for by name. One without a name is that of the machine.
pub fn networks(info: Option<&ContainerInfo>) -> Result<Vec<Network>, Refusal> {
    let mut found: Vec<Network> = Vec::new();
    let Some(info) = info else { return Ok(found) };
    for asked in &info.network_infos {
        let Some(name) = &asked.name else { continue };
        if info.r#type() != container_info::Type::Mesos {
            return Err(refuse("Can only prepare CNI networks for a MESOS container".to_owned()));
        }
        if !is_name(name) {
            return Err(refuse(format!("Unknown CNI network '{name}'")));
        }
        if found.iter().any(|network| network.name == *name) {
            return Err(refuse(format!("Attempted to join CNI network '{name}' multiple times")));
        }
        let interface = format!("eth{}", found.len());
        found.push(Network { name: name.clone(), interface, info: asked.clone() });
    }
    Ok(found)
}

/// A network's name is that of a directory, too, beside those of other things that are kept of a container.
fn is_name(name: &str) -> bool {
    let taken = ["", ".", "..", "ns", "hosts", "hostname", "resolv.conf"];
    !name.contains(['/', '\0']) && !taken.contains(&name)
}

/// Where the things of a container's networks are kept, below the directory for all containers.
#[must_use]
pub fn place(root: &str, container: &ContainerId) -> String {
    format!("{root}/{container}")
}

/// What the host is called in a container with networks of its own.
#[must_use]
pub fn host_name(container: &ContainerId, info: Option<&ContainerInfo>) -> String {
    info.and_then(|info| info.hostname.clone()).unwrap_or_else(|| container.value.to_string())
}

pub(crate) fn prepare(
    settings: &Settings,
    container: &Container<'_>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let own = if container.is_session { Vec::new() } else { networks(container.info)? };
    let process = &mut plan.process;
    let root = settings.networks_root.as_deref();
    match (own.first(), container.network_of, root) {
        (None, None, _) => {}
        (Some(first), _, None) => return Err(refuse(format!("Unknown CNI network '{}'", first.name))),
        (Some(_), _, Some(root)) => {
            if settings.isolation.launcher() != Launcher::Linux {
                return Err(refuse("Subprocess launcher does not support cloning namespaces".to_owned()));
            }
            process.own_network = true;
            process.own_uts = true;
            process.own_mounts = true;
            process.host_name = Some(host_name(container.id, container.info));
            process.network_files = Some(place(root, container.id));
        }
        (None, Some(around), root) => {
            process.enter_network = true;
            process.enter_uts = true;
            if container.is_session {
                // What resolves names is among the mounts of the other one.
                process.enter_mounts = true;
            } else {
                process.own_mounts = true;
                process.network_files = root.map(|root| place(root, around));
            }
        }
    }
    Ok(())
}

fn refuse(message: String) -> Refusal {
    Refusal(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: container_info::Type, names: &[Option<&str>], expected: Result<&[&str], &str>) {
        let info = ContainerInfo {
            r#type: kind.into(),
            network_infos: names
                .iter()
                .map(|name| NetworkInfo { name: name.map(str::to_owned), ..NetworkInfo::default() })
                .collect(),
            ..ContainerInfo::default()
        };
        let found = networks(Some(&info)).map_err(|refusal| refusal.to_string());
        let shown: Result<Vec<String>, String> = found.map(|found| {
            found.iter().map(|network| format!("{} {}", network.interface, network.name)).collect()
        });
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(shown, expected.map_err(str::to_owned));
    }

    #[test]
    fn interfaces_are_counted_by_named_networks() {
        use container_info::Type::{Docker, Mesos};
        check(Mesos, &[None], Ok(&[]));
        check(Mesos, &[Some("a"), None, Some("b")], Ok(&["eth0 a", "eth1 b"]));
        check(Mesos, &[Some("a"), Some("a")], Err("Attempted to join CNI network 'a' multiple times"));
        check(Docker, &[Some("a")], Err("Can only prepare CNI networks for a MESOS container"));
        check(Mesos, &[Some("../a")], Err("Unknown CNI network '../a'"));
        check(Mesos, &[Some("ns")], Err("Unknown CNI network 'ns'"));
    }
}
