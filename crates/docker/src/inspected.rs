//! What the daemon knows of a container, and the names that Mesos gives.

use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;

/// What the names of Mesos's containers begin with.
pub(crate) const NAME_PREFIX: &str = "mesos-";

/// The length of a UUID in text.
const UUID_CHARS: usize = 36;

/// What there is to know of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspected {
    /// Its id with the daemon.
    pub id: String,
    /// Its first process, if it runs.
    pub pid: Option<u32>,
    /// Whether it ever ran.
    pub started: bool,
    /// Its address in the network that it was made for.
    pub ip: Option<String>,
    /// The same for IPv6.
    pub ip6: Option<String>,
    /// What it is asked to end with, if that is not SIGTERM.
    pub stop_signal: Option<String>,
    /// Whether it has the network of the machine.
    pub host_network: bool,
    /// All that the daemon says, as the tool `docker inspect` prints it: a list of one.
    pub output: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    id: String,
    state: State,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default)]
    network_settings: NetworkSettings,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(default)]
    pid: u32,
    started_at: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    stop_signal: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    network_mode: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(default, rename = "IPAddress")]
    ip_address: String,
    #[serde(default)]
    networks: Option<std::collections::BTreeMap<String, Endpoint>>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default, rename = "IPAddress")]
    ip_address: String,
    #[serde(default, rename = "GlobalIPv6Address")]
    ip6_address: String,
}

impl Inspected {
    pub(crate) fn read(document: Value) -> Result<Self, Error> {
        let output = Value::Array(vec![document.clone()]).to_string();
        let unreadable =
            |why: serde_json::Error| Error::Unreadable { what: "inspect".to_owned(), why: why.to_string() };
        let read: Document = serde_json::from_value(document).map_err(unreadable)?;
        let mode = &read.host_config.network_mode;
        // A network may be named by its id; then the only one that there is is meant.
        let networks = read.network_settings.networks.unwrap_or_default();
        let only = networks.values().next().filter(|_| networks.len() == 1);
        let endpoint = networks.get(mode).or(only);
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let ip = match endpoint {
            Some(endpoint) => some(&endpoint.ip_address),
            None => some(&read.network_settings.ip_address),
        };
        Ok(Self {
            pid: (read.state.pid != 0).then_some(read.state.pid),
            started: !read.state.started_at.starts_with("0001-01-01T00:00:00"),
            ip6: endpoint.and_then(|endpoint| some(&endpoint.ip6_address)),
            ip,
            stop_signal: read.config.stop_signal.filter(|signal| !signal.is_empty()),
            host_network: mode == "host",
            id: read.id,
            output,
        })
    }
}

/// The name of a container of Mesos's.
#[must_use]
pub fn container_name(container: &str) -> String {
    format!("{NAME_PREFIX}{container}")
}

/// The container that a name belongs to, if Mesos gave it: `mesos-<id>`, or as older versions named it,
/// `mesos-<agent>.<id>`, with `.executor` behind it for an executor in a container of its own.
#[must_use]
pub fn container_id(name: &str) -> Option<&str> {
    let rest = name.trim_start_matches('/').strip_prefix(NAME_PREFIX)?;
    let parts: Vec<&str> = rest.split('.').collect();
    let id = match parts.as_slice() {
        [id] => id,
        [_, id] | [_, id, _] => id,
        _ => return None,
    };
    let dashes = [8, 13, 18, 23];
    let is_uuid = id.len() == UUID_CHARS
        && id
            .bytes()
            .enumerate()
            .all(|(at, byte)| if dashes.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() });
    is_uuid.then_some(id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_lead_back_to_containers() {
        let id = "8c34ee45-9bb5-4ec5-84b2-2b3f5b7c3a1d";
        assert_eq!(container_id(&container_name(id)), Some(id));
        assert_eq!(container_id(&format!("/mesos-{id}")), Some(id));
        assert_eq!(container_id(&format!("mesos-S0.{id}")), Some(id));
        assert_eq!(container_id(&format!("mesos-S0.{id}.executor")), Some(id));
        for name in ["mesos-dns", "web", "mesos-a.b.c.d", &format!("x{id}")] {
            assert_eq!(container_id(name), None, "{name}");
        }
    }

    #[test]
    fn the_address_is_that_of_its_network() {
        let check = |mode: &str, networks: Value, expected: Option<&str>| {
            let read = Inspected::read(json!({
                "Id": "i",
                "State": {"Pid": 7, "StartedAt": "2026-01-01T00:00:00Z"},
                "HostConfig": {"NetworkMode": mode},
                "NetworkSettings": {"IPAddress": "10.0.0.1", "Networks": networks},
            }));
            let read = read.unwrap();
            assert_eq!(read.ip.as_deref(), expected, "{mode}");
            assert!(read.started && read.pid == Some(7) && read.output.starts_with("[{"));
        };
        let both = json!({"bridge": {"IPAddress": "172.17.0.2"}, "mine": {"IPAddress": "10.9.0.2"}});
        check("bridge", both.clone(), Some("172.17.0.2"));
        check("mine", both, Some("10.9.0.2"));
        check("default", json!({"bridge": {"IPAddress": "172.17.0.2"}}), Some("172.17.0.2"));
        check("host", json!({"host": {"IPAddress": ""}}), None);
        check("old", Value::Null, Some("10.0.0.1"));
    }

    #[test]
    fn one_that_never_ran_has_not_started() {
        let document = json!({"Id": "i", "State": {"Pid": 0, "StartedAt": "0001-01-01T00:00:00Z"}});
        let read = Inspected::read(document).unwrap();
        assert!(!read.started && read.pid.is_none());
    }
}
