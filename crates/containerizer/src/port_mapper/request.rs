//! What the plugin is asked: the environment of CNI, and the network's configuration.

use std::path::PathBuf;

use proto::mesos::v1::NetworkInfo;
use serde_json::{Map, Value};

use crate::networks::which;
use crate::port_mapper::{Code, Failure};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Join the network.
    Add,
    /// Leave it.
    Del,
}

/// A port of the machine that leads to one of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) host_port: u16,
    pub(super) container_port: u16,
    pub(super) protocol: &'static str,
}

/// One call of the plugin.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) verb: Verb,
    pub(super) container: String,
    /// The chain of the NAT table for the rules.
    pub(super) chain: String,
    /// What comes in by these devices is left alone.
    pub(super) exclude_devices: Vec<String>,
    pub(super) mappings: Vec<Mapping>,
    /// The plugin that joins the network.
    pub(super) delegate_program: PathBuf,
    /// And what it is told.
    pub(super) delegate: Map<String, Value>,
}

impl Verb {
    /// As CNI has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
        }
    }
}

impl Request {
    /// Reads a request. `variable` looks up a variable of the environment.
    pub(super) fn parse(config: &[u8], variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let needed = |name: &str| {
            variable(name).ok_or_else(|| bad(format!("Unable to find environment variable '{name}'")))
        };
        let command = needed("CNI_COMMAND")?;
        let container = needed("CNI_CONTAINERID")?;
        if command != "DEL" && variable("CNI_NETNS").is_none() {
            return Err(bad(
                "Unable to find environment variable 'CNI_NETNS' for non-'DEL' command".to_owned()
            ));
        }
        needed("CNI_IFNAME")?;
        let path = needed("CNI_PATH")?;
        let config: Value = serde_json::from_slice(config).map_err(|error| bad(error.to_string()))?;
        let text = |name: &str| {
            let found = config.get(name).and_then(Value::as_str).map(str::to_owned);
            found.ok_or_else(|| bad(format!("Failed to get the required field '{name}': Not found")))
        };
        let (name, chain) = (text("name")?, text("chain")?);
        let (delegate, delegate_program) = delegate(&config, &name, &path)?;
        let request = Self {
            verb: match command.as_str() {
                "ADD" => Verb::Add,
                "DEL" => Verb::Del,
                _ => {
                    let message = format!("Unsupported command: {command}");
                    return Err(Failure { code: Code::Command, message });
                }
            },
            container,
            chain,
            exclude_devices: exclude_devices(&config)?,
            mappings: mappings(&config)?,
            delegate_program,
            delegate,
        };
        Ok(request)
    }
}

fn bad(message: String) -> Failure {
    Failure { code: Code::Arguments, message }
}

fn exclude_devices(config: &Value) -> Result<Vec<String>, Failure> {
    let Some(devices) = config.get("excludeDevices") else { return Ok(Vec::new()) };
    let devices =
        devices.as_array().ok_or_else(|| bad("Failed to parse field 'excludeDevices'".to_owned()))?;
    let one = |device: &Value| {
        device.as_str().map(str::to_owned).ok_or_else(|| {
            bad("Failed to parse 'excludeDevices' list. The excluded device needs to be a string".to_owned())
        })
    };
    devices.iter().map(one).collect()
}

/// The ports that the framework asked for. Whoever calls without `args` has asked for none.
fn mappings(config: &Value) -> Result<Vec<Mapping>, Failure> {
    let Some(args) = config.get("args") else { return Ok(Vec::new()) };
    let missing = |name: &str| bad(format!("Failed to get the field '{name}': Not found"));
    let ours = args.get("org.apache.mesos").ok_or_else(|| missing("args{org.apache.mesos}"))?;
    let info = ours.get("network_info").ok_or_else(|| missing("args{org.apache.mesos}{network_info}"))?;
    let info: NetworkInfo = proto::json::from_slice_v0(info.to_string().as_bytes())
        .map_err(|error| bad(format!("Unable to parse `NetworkInfo`: {error}")))?;
    let port = |port: u32| u16::try_from(port).map_err(|_| bad(format!("{port} is not a port")));
    let mut mappings = Vec::new();
    for asked in info.port_mappings {
        let protocol = match asked.protocol.as_deref().map(str::to_lowercase).as_deref() {
            None | Some("tcp") => "tcp",
            Some("udp") => "udp",
            Some("sctp") => "sctp",
            Some(other) => return Err(bad(format!("The protocol '{other}' is not tcp, udp or sctp"))),
        };
        let (host_port, container_port) = (port(asked.host_port)?, port(asked.container_port)?);
        mappings.push(Mapping { host_port, container_port, protocol });
    }
    Ok(mappings)
}

/// What the delegate is told, and its program.
fn delegate(config: &Value, name: &str, path: &str) -> Result<(Map<String, Value>, PathBuf), Failure> {
    let Some(Value::Object(delegate)) = config.get("delegate") else {
        return Err(bad("Failed to get the required field 'delegate': Not found".to_owned()));
    };
    let Some(plugin) = delegate.get("type").and_then(Value::as_str) else {
        return Err(bad("Failed to get the delegate plugin 'type': Not found".to_owned()));
    };
    let program = which(plugin, path)
        .ok_or_else(|| bad(format!("Could not find the delegate plugin '{plugin}' in '{path}'")))?;
    let mut delegate = delegate.clone();
    delegate.insert("name".to_owned(), name.into());
    for passed_on in ["args", "cniVersion"] {
        if let (Some(value), false) = (config.get(passed_on), delegate.contains_key(passed_on)) {
            delegate.insert(passed_on.to_owned(), value.clone());
        }
    }
    Ok((delegate, program))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"name":"web","type":"mesos-cni-port-mapper","chain":"MESOS","excludeDevices":["br0"],
        "delegate":{"type":"sh","bridge":"br0"},
        "args":{"org.apache.mesos":{"network_info":{"port_mappings":[
            {"host_port":31000,"container_port":80},{"host_port":31001,"container_port":53,"protocol":"UDP"}]}}}}"#;

    fn parse(config: &str, without: &str) -> Result<Request, Failure> {
        Request::parse(config.as_bytes(), |name| match name {
            _ if name == without => None,
            "CNI_COMMAND" => Some("ADD".to_owned()),
            "CNI_PATH" => Some("/bin".to_owned()),
            _ => Some("x".to_owned()),
        })
    }

    #[test]
    fn requests_are_read() {
        let request = parse(CONFIG, "").unwrap();
        assert_eq!((request.verb, request.chain.as_str()), (Verb::Add, "MESOS"));
        let ports: Vec<_> =
            request.mappings.iter().map(|it| (it.host_port, it.container_port, it.protocol)).collect();
        assert_eq!(ports, [(31000, 80, "tcp"), (31001, 53, "udp")]);
        assert_eq!(request.delegate["name"], "web");
        assert_eq!(request.delegate["bridge"], "br0");
        assert!(request.delegate["args"]["org.apache.mesos"]["network_info"].is_object());
        let plain = r#"{"name":"web","chain":"MESOS","delegate":{"type":"sh"}}"#;
        assert!(parse(plain, "").unwrap().mappings.is_empty());
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |config: &str, without: &str, expected: &str| {
            let failure = parse(config, without).unwrap_err();
            assert!(failure.message.contains(expected), "{failure:?}");
        };
        check(CONFIG, "CNI_NETNS", "'CNI_NETNS' for non-'DEL' command");
        check(CONFIG, "CNI_CONTAINERID", "Unable to find environment variable 'CNI_CONTAINERID'");
        check("{", "", "EOF");
        check(r#"{"name":"web"}"#, "", "Failed to get the required field 'chain'");
        check(r#"{"name":"web","chain":"c"}"#, "", "required field 'delegate'");
        check(
            r#"{"name":"web","chain":"c","delegate":{"type":"no-such"}}"#,
            "",
            "Could not find the delegate plugin 'no-such' in '/bin'",
        );
        check(&CONFIG.replace("UDP", "x; reboot"), "", "The protocol 'x; reboot' is not");
        check(&CONFIG.replace("31001", "70000"), "", "70000 is not a port");
    }
}
