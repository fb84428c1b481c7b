//! What an earlier agent has left of containers' networks, read back from its files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proto::json;
use proto::mesos::v1::NetworkInfo;
use types::ContainerId;

use crate::networks::joined::Joined;
use crate::networks::{Attached, Networks, config, config_file, info_file};

impl Networks {
    /// Picks up the networks of a container that an earlier agent launched. Blocks for some small files.
    pub(crate) fn recover(&self, container: &ContainerId) {
        let Some(settings) = &self.settings else { return };
        let place = settings.place(container);
        if !place.exists() {
            return;
        }
        let mut attached = Attached::default();
        for (network, interface) in interfaces(&place) {
            attached.infos.extend(info(&place, &network, &interface));
            attached.interfaces.push(interface);
        }
        self.attached().insert(container.clone(), attached);
    }
}

/// A network that a container is in, as frameworks are told of it. None where the plugin was not heard to its end.
fn info(place: &Path, network: &str, interface: &str) -> Option<NetworkInfo> {
    let said = fs::read(info_file(place, network, interface)).ok()?;
    let joined = Joined::parse(&said).ok()?;
    let config = config::read(&config_file(place, network)).ok()?;
    let asked = config.object.get("args")?.get("org.apache.mesos")?.get("network_info")?.to_string();
    Some(joined.info(&json::from_slice_v0(asked.as_bytes()).ok()?))
}

/// The networks of a container, each with its interface, in the order of the interfaces.
pub(super) fn interfaces(place: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for network in directories(place) {
        for interface in directories(&place.join(&network)) {
            found.push((network.clone(), interface));
        }
    }
    found.sort_by(|(_, a), (_, b)| (a.len(), a).cmp(&(b.len(), b)));
    found
}

/// The containers that something is kept of.
pub(super) fn found(root: &Path) -> Vec<ContainerId> {
    directories(root).iter().map(|name| container(name)).collect()
}

/// The container of that name: its id, with those around it before.
pub(crate) fn container(name: &str) -> ContainerId {
    let mut names = name.split('.');
    let mut container = ContainerId::root(names.next().unwrap_or_default());
    for name in names {
        container = ContainerId { value: name.into(), parent: Some(Arc::new(container)) };
    }
    container
}

fn directories(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::NetworkSettings;

    #[test]
    fn networks_are_read_back() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("a.b");
        for (network, interface) in [("web", "eth10"), ("db", "eth9"), ("half", "eth11")] {
            fs::create_dir_all(place.join(network).join(interface)).unwrap();
            let told = format!(
                r#"{{"name":"{network}","args":{{"org.apache.mesos":{{"network_info":{{"name":"{network}"}}}}}}}}"#
            );
            fs::write(config_file(&place, network), told).unwrap();
        }
        fs::write(info_file(&place, "web", "eth10"), r#"{"ip4":{"ip":"10.0.0.2/8"}}"#).unwrap();
        fs::write(info_file(&place, "db", "eth9"), "{}").unwrap();
        fs::write(place.join("ns"), "").unwrap();
        let settings =
            NetworkSettings::new("/c".into(), "/p".to_owned(), root.path().to_owned(), "/m".into());
        let networks = Networks::new(Some(settings));
        let container = container("a.b");
        assert_eq!(found(root.path()), std::slice::from_ref(&container));
        assert!(networks.of(&container).is_none());
        networks.recover(&container);
        let attached = networks.of(&container).unwrap();
        assert_eq!(attached.interfaces, ["eth9", "eth10", "eth11"]);
        let names: Vec<&str> = attached.infos.iter().map(NetworkInfo::name).collect();
        assert_eq!(names, ["db", "web"]);
        assert_eq!(attached.infos[1].ip_addresses[0].ip_address(), "10.0.0.2");
        // What is in it is in the same networks.
        let within = ContainerId { value: "c".into(), parent: Some(Arc::new(container.clone())) };
        assert_eq!(networks.of(&within).unwrap().infos, attached.infos);
        assert_eq!(networks.around(&within), Some(&container));
        assert_eq!(networks.around(&container), None);
        assert!(networks.orphans(|it| it.to_string() == "a.b").is_empty());
        assert_eq!(networks.orphans(|_| false).len(), 1);
    }
}
