//! The parameters of a container: options of `docker run` that frameworks give by name, in the words of the Engine API.
//!
//! Mesos hands them to the docker program, so that everything works that this knows. Here each has a line; what has none
//! is refused by name.

use proto::mesos::v1::Parameter;
use serde_json::{Map, Value, json};

use crate::options::{Body, push};

/// What the value of an option is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Text.
    Text,
    /// A number.
    Number,
    /// A number of bytes, perhaps with a unit.
    Size,
    /// Yes or no.
    Flag,
    /// Text; each adds to a list.
    List,
    /// `name=value`; each adds to a map.
    Pair,
}

/// Where in the description.
#[derive(Clone, Copy, Debug)]
enum Place {
    Config,
    Host,
}

/// Options that are one field each.
const FIELDS: &[(&str, Place, &str, Kind)] = &[
    ("add-host", Place::Host, "ExtraHosts", Kind::List),
    ("blkio-weight", Place::Host, "BlkioWeight", Kind::Number),
    ("cap-add", Place::Host, "CapAdd", Kind::List),
    ("cap-drop", Place::Host, "CapDrop", Kind::List),
    ("cgroup-parent", Place::Host, "CgroupParent", Kind::Text),
    ("cgroupns", Place::Host, "CgroupnsMode", Kind::Text),
    ("cpu-period", Place::Host, "CpuPeriod", Kind::Number),
    ("cpu-quota", Place::Host, "CpuQuota", Kind::Number),
    ("cpu-rt-period", Place::Host, "CpuRealtimePeriod", Kind::Number),
    ("cpu-rt-runtime", Place::Host, "CpuRealtimeRuntime", Kind::Number),
    ("cpu-shares", Place::Host, "CpuShares", Kind::Number),
    ("cpuset-cpus", Place::Host, "CpusetCpus", Kind::Text),
    ("cpuset-mems", Place::Host, "CpusetMems", Kind::Text),
    ("device-cgroup-rule", Place::Host, "DeviceCgroupRules", Kind::List),
    ("dns", Place::Host, "Dns", Kind::List),
    ("dns-opt", Place::Host, "DnsOptions", Kind::List),
    ("dns-option", Place::Host, "DnsOptions", Kind::List),
    ("dns-search", Place::Host, "DnsSearch", Kind::List),
    ("domainname", Place::Config, "Domainname", Kind::Text),
    ("env", Place::Config, "Env", Kind::List),
    ("group-add", Place::Host, "GroupAdd", Kind::List),
    ("hostname", Place::Config, "Hostname", Kind::Text),
    ("init", Place::Host, "Init", Kind::Flag),
    ("ipc", Place::Host, "IpcMode", Kind::Text),
    ("kernel-memory", Place::Host, "KernelMemory", Kind::Size),
    ("label", Place::Config, "Labels", Kind::Pair),
    ("link", Place::Host, "Links", Kind::List),
    ("mac-address", Place::Config, "MacAddress", Kind::Text),
    ("memory", Place::Host, "Memory", Kind::Size),
    ("memory-reservation", Place::Host, "MemoryReservation", Kind::Size),
    ("memory-swap", Place::Host, "MemorySwap", Kind::Size),
    ("memory-swappiness", Place::Host, "MemorySwappiness", Kind::Number),
    ("oom-kill-disable", Place::Host, "OomKillDisable", Kind::Flag),
    ("oom-score-adj", Place::Host, "OomScoreAdj", Kind::Number),
    ("pid", Place::Host, "PidMode", Kind::Text),
    ("pids-limit", Place::Host, "PidsLimit", Kind::Number),
    ("privileged", Place::Host, "Privileged", Kind::Flag),
    ("publish-all", Place::Host, "PublishAllPorts", Kind::Flag),
    ("read-only", Place::Host, "ReadonlyRootfs", Kind::Flag),
    ("runtime", Place::Host, "Runtime", Kind::Text),
    ("security-opt", Place::Host, "SecurityOpt", Kind::List),
    ("shm-size", Place::Host, "ShmSize", Kind::Size),
    ("stop-signal", Place::Config, "StopSignal", Kind::Text),
    ("stop-timeout", Place::Config, "StopTimeout", Kind::Number),
    ("storage-opt", Place::Host, "StorageOpt", Kind::Pair),
    ("sysctl", Place::Host, "Sysctls", Kind::Pair),
    ("tty", Place::Config, "Tty", Kind::Flag),
    ("user", Place::Config, "User", Kind::Text),
    ("userns", Place::Host, "UsernsMode", Kind::Text),
    ("uts", Place::Host, "UTSMode", Kind::Text),
    ("volume", Place::Host, "Binds", Kind::List),
    ("volume-driver", Place::Host, "VolumeDriver", Kind::Text),
    ("volumes-from", Place::Host, "VolumesFrom", Kind::List),
    ("workdir", Place::Config, "WorkingDir", Kind::Text),
];

/// Options of one letter.
const SHORT: &[(&str, &str)] = &[
    ("c", "cpu-shares"),
    ("e", "env"),
    ("h", "hostname"),
    ("l", "label"),
    ("m", "memory"),
    ("P", "publish-all"),
    ("p", "publish"),
    ("t", "tty"),
    ("u", "user"),
    ("v", "volume"),
    ("w", "workdir"),
];

/// The network that the first parameter that names one asks for.
pub(crate) fn network(parameters: &[Parameter]) -> Option<String> {
    parameters.iter().find(|it| is_network(&it.key)).map(|it| it.value.clone())
}

fn is_network(key: &str) -> bool {
    key == "net" || key == "network"
}

/// Adds what the parameters ask for. Returns whether name servers are among it, or what cannot be had.
pub(crate) fn apply(body: &mut Body, parameters: &[Parameter]) -> Result<bool, String> {
    let mut has_dns = false;
    let mut has_network = false;
    for parameter in parameters {
        let key = SHORT.iter().find(|(short, _)| *short == parameter.key);
        let key = key.map_or(parameter.key.as_str(), |(_, long)| long);
        has_dns |= matches!(key, "dns" | "dns-search" | "dns-opt" | "dns-option");
        if is_network(key) {
            if std::mem::replace(&mut has_network, true) {
                return Err(format!("Parameter '{key}' is given twice: a container joins one network"));
            }
            continue;
        }
        set(body, key, &parameter.value)
            .map_err(|why| format!("Parameter '{}={}': {why}", parameter.key, parameter.value))?;
    }
    Ok(has_dns)
}

fn set(body: &mut Body, key: &str, value: &str) -> Result<(), String> {
    if let Some((_, place, field, kind)) = FIELDS.iter().find(|(name, ..)| *name == key) {
        return set_field(body, *place, field, *kind, value);
    }
    match key {
        "cpus" => body.host("NanoCpus", nano_cpus(value)?.into()),
        "device" => body.host_list("Devices", device(value)?),
        "entrypoint" => body.config("Entrypoint", json!([value])),
        "expose" => body.expose(&with_protocol(value)),
        "publish" => publish(body, value)?,
        "platform" => body.platform = Some(value.to_owned()),
        "log-driver" => drop(log(body).insert("Type".to_owned(), value.into())),
        "log-opt" => {
            let (name, value) = pair(value)?;
            insert(log(body), "Config", name, value.into());
        }
        "restart" => body.host("RestartPolicy", restart(value)?),
        "rm" => return Err("the agent removes containers by --docker_remove_delay".to_owned()),
        "tmpfs" => {
            let (path, options) = value.split_once(':').unwrap_or((value, ""));
            insert(&mut body.host, "Tmpfs", path.to_owned(), options.into());
        }
        "ulimit" => body.host_list("Ulimits", ulimit(value)?),
        "ip" | "ip6" => {
            let field = if key == "ip" { "IPv4Address" } else { "IPv6Address" };
            insert(&mut body.endpoint, "IPAMConfig", field.to_owned(), value.into());
        }
        "network-alias" | "net-alias" => push(&mut body.endpoint, "Aliases", value.into()),
        "health-cmd" => health(body, "Test", json!(["CMD-SHELL", value])),
        "health-interval" => health(body, "Interval", nanos(value)?.into()),
        "health-timeout" => health(body, "Timeout", nanos(value)?.into()),
        "health-start-period" => health(body, "StartPeriod", nanos(value)?.into()),
        "health-retries" => health(body, "Retries", number(value)?.into()),
        "no-healthcheck" if flag(value)? => health(body, "Test", json!(["NONE"])),
        "no-healthcheck" => {}
        _ => return Err("this option of 'docker run' is not supported".to_owned()),
    }
    Ok(())
}

fn set_field(body: &mut Body, place: Place, field: &str, kind: Kind, value: &str) -> Result<(), String> {
    let map = match place {
        Place::Config => &mut body.config,
        Place::Host => &mut body.host,
    };
    match kind {
        Kind::Text => drop(map.insert(field.to_owned(), value.into())),
        Kind::Number => drop(map.insert(field.to_owned(), number(value)?.into())),
        Kind::Size => drop(map.insert(field.to_owned(), size(value)?.into())),
        Kind::Flag => drop(map.insert(field.to_owned(), flag(value)?.into())),
        Kind::List => match place {
            Place::Config => body.config_list(field, value.into()),
            Place::Host => body.host_list(field, value.into()),
        },
        Kind::Pair => {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            insert(map, field, name.to_owned(), value.into());
        }
    }
    Ok(())
}

fn insert(map: &mut Map<String, Value>, field: &str, name: String, value: Value) {
    if let Some(inner) = map.entry(field).or_insert_with(|| json!({})).as_object_mut() {
        inner.insert(name, value);
    }
}

fn log(body: &mut Body) -> &mut Map<String, Value> {
    body.host
        .entry("LogConfig")
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .expect("nothing else is ever put there")
}

fn health(body: &mut Body, field: &str, value: Value) {
    insert(&mut body.config, "Healthcheck", field.to_owned(), value);
}

fn number(value: &str) -> Result<i64, String> {
    value.trim().parse().map_err(|_| "the value is not a number".to_owned())
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("the value is neither true nor false".to_owned()),
    }
}

/// `512`, `64m`, `1gb`; `-1` where that means no bound.
fn size(value: &str) -> Result<i64, String> {
    let text = value.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k')) => (&text[..at], 10),
        Some((at, 'm')) => (&text[..at], 20),
        Some((at, 'g')) => (&text[..at], 30),
        Some((at, 't')) => (&text[..at], 40),
        Some(_) | None => (text, 0),
    };
    let number = digits.parse::<i64>().ok().and_then(|number| number.checked_mul(1 << unit));
    number.ok_or_else(|| "the value is not a number of bytes".to_owned())
}

/// `1.5` cpus in billionths.
fn nano_cpus(value: &str) -> Result<i64, String> {
    let wrong = || "the value is not a number of cpus".to_owned();
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    if part.len() > 9 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let digits = format!("{}{part:0<9}", if whole.is_empty() { "0" } else { whole });
    digits.parse().ok().filter(|nano| *nano >= 0).ok_or_else(wrong)
}

/// A duration of Go, in nanoseconds: `30s`, `1m30s`, `500ms`.
fn nanos(value: &str) -> Result<i64, String> {
    let wrong = || "the value is not a duration such as 1m30s".to_owned();
    let mut rest = value.trim();
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        let units = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let unit = match &rest[digits..digits + units] {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(wrong()),
        };
        total = number.checked_mul(unit).and_then(|it| total.checked_add(it)).ok_or_else(wrong)?;
        rest = &rest[digits + units..];
    }
    Ok(total)
}

fn pair(value: &str) -> Result<(String, String), String> {
    let (name, value) = value.split_once('=').ok_or("the value is not name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// `80`, `8080:80`, `127.0.0.1:8080:80`, each perhaps with `/udp`.
fn publish(body: &mut Body, value: &str) -> Result<(), String> {
    let (rest, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
    let mut parts = rest.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let ip = parts.next().unwrap_or_default();
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    if !is_port(container) || !(host.is_empty() || is_port(host)) {
        return Err("the value is not [[ip:]port:]port".to_owned());
    }
    body.publish_port(&format!("{container}/{protocol}"), ip, host);
    Ok(())
}

/// `/dev/here[:/dev/there[:rwm]]`
fn device(value: &str) -> Result<Value, String> {
    let parts: Vec<&str> = value.split(':').collect();
    let (here, there, access) = match parts.as_slice() {
        [here] => (here, here, "rwm"),
        [here, second] if second.starts_with('/') => (here, second, "rwm"),
        [here, access] => (here, here, *access),
        [here, there, access] => (here, there, *access),
        _ => return Err("the value is not a device".to_owned()),
    };
    if !here.starts_with('/') || access.is_empty() || !access.chars().all(|letter| "rwm".contains(letter)) {
        return Err("the value is not a device with an absolute path and some of r, w and m".to_owned());
    }
    Ok(json!({"PathOnHost": here, "PathInContainer": there, "CgroupPermissions": access}))
}

/// `no`, `always`, `on-failure[:3]`
fn restart(value: &str) -> Result<Value, String> {
    let (name, count) = value.split_once(':').unwrap_or((value, "0"));
    Ok(json!({"Name": name, "MaximumRetryCount": number(count)?}))
}

/// `nofile=1024[:2048]`
fn ulimit(value: &str) -> Result<Value, String> {
    let (name, amounts) = pair(value)?;
    let (soft, hard) = amounts.split_once(':').unwrap_or((&amounts, &amounts));
    Ok(json!({"Name": name, "Soft": number(soft)?, "Hard": number(hard)?}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(lines: &[&str]) -> Vec<Parameter> {
        let parameter = |line: &&str| {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            Parameter { key: key.to_owned(), value: value.to_owned() }
        };
        lines.iter().map(parameter).collect()
    }

    #[test]
    fn options_have_their_fields() {
        let check = |lines: &[&str], expected: Value| {
            let mut body = Body::default();
            body.host("NetworkMode", "mine".into());
            apply(&mut body, &parameters(lines)).unwrap_or_else(|why| panic!("{lines:?}: {why}"));
            body.host.remove("NetworkMode");
            body.host.retain(|_, value| !value.is_null());
            let mut document = body.to_json();
            let host = document["HostConfig"].as_object().cloned().unwrap_or_default();
            let document = document.as_object_mut().unwrap();
            document.remove("HostConfig");
            document.extend(host);
            assert_eq!(Value::Object(document.clone()), expected, "{lines:?}");
        };
        check(&["memory=64m", "m=1g"], json!({"Memory": 1 << 30}));
        check(&["memory-swap=-1", "cpus=1.5"], json!({"MemorySwap": -1, "NanoCpus": 1_500_000_000}));
        check(&["label=a=b", "l=c"], json!({"Labels": {"a": "b", "c": ""}}));
        check(&["cap-add=SYS_TIME", "cap-add=NET_RAW"], json!({"CapAdd": ["SYS_TIME", "NET_RAW"]}));
        check(&["privileged=true", "tty="], json!({"Privileged": true, "Tty": true}));
        check(
            &["publish=127.0.0.1:8080:80", "p=53/udp"],
            json!({
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
                "PortBindings": {
                    "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
                    "53/udp": [{"HostIp": "", "HostPort": ""}],
                },
            }),
        );
        check(
            &["log-driver=syslog", "log-opt=tag=x"],
            json!({"LogConfig": {"Type": "syslog", "Config": {"tag": "x"}}}),
        );
        check(
            &["ulimit=nofile=10:20", "tmpfs=/run:size=1m"],
            json!({"Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}], "Tmpfs": {"/run": "size=1m"}}),
        );
        check(
            &["health-cmd=true", "health-interval=1m30s"],
            json!({"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 90_000_000_000_i64}}),
        );
        check(
            &["device=/dev/fuse", "restart=on-failure:3"],
            json!({
                "Devices": [{
                    "PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm",
                }],
                "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
            }),
        );
        check(&["network=mine", "env=A=b"], json!({"Env": ["A=b"]}));
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        let check = |lines: &[&str], expected: &str| {
            assert_eq!(apply(&mut Body::default(), &parameters(lines)), Err(expected.to_owned()));
        };
        check(&["nosuch=1"], "Parameter 'nosuch=1': this option of 'docker run' is not supported");
        check(&["memory=lots"], "Parameter 'memory=lots': the value is not a number of bytes");
        check(&["tty=maybe"], "Parameter 'tty=maybe': the value is neither true nor false");
        check(&["net=a", "network=b"], "Parameter 'network' is given twice: a container joins one network");
        check(&["cpus=1.2.3"], "Parameter 'cpus=1.2.3': the value is not a number of cpus");
        check(
            &["health-interval=5"],
            "Parameter 'health-interval=5': the value is not a duration such as 1m30s",
        );
    }
}
