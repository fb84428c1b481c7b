//! What this machine has to offer, where `--resources` does not say.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use proto::json::Names;
use proto::mesos::v1::Resource;
use proto::mesos::v1::resource::disk_info::source::Type;
use resources::{Name, Resources};

/// Ports that tasks may be given.
const PORTS: &str = "[31000-32000]";

/// Bytes in the megabytes that resources count in.
const MEGABYTE: u64 = 1024 * 1024;

/// The machine, as far as resources go. What could not be found out is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    cpus: Option<usize>,
    memory_bytes: Option<u64>,
    disk_bytes: Option<u64>,
    /// Those of which containers can be given some.
    gpus: usize,
}

/// The agent's resources: those that `text` lists (as text or JSON), and for each of cpus, mem, disk and ports that it
/// leaves out, what the machine has.
pub(crate) fn resources(
    text: Option<&str>,
    default_role: &str,
    work_dir: &Path,
    gpus: usize,
) -> anyhow::Result<Vec<Resource>> {
    let given = parse(text.unwrap_or_default().trim(), default_role)?;
    let mut facts = facts(work_dir);
    facts.gpus = gpus;
    complete(&given, default_role, facts)
}

/// Thousandths of the GPUs that `text` lists. None where it does not name them.
pub(crate) fn given_gpus(text: Option<&str>, default_role: &str) -> anyhow::Result<Option<u64>> {
    let given = parse(text.unwrap_or_default().trim(), default_role)?;
    let milli = || given.resources.gpus().map_or(0, |gpus| u64::try_from(gpus.milli()).unwrap_or(0));
    Ok(given.names.contains(&Name::GPUS).then(milli))
}

/// The directories of the disks of type PATH that `text` lists, which may be relative to the work directory.
pub(crate) fn path_disks(text: Option<&str>, default_role: &str) -> anyhow::Result<Vec<String>> {
    let given = parse(text.unwrap_or_default().trim(), default_role)?.resources.to_protos();
    let sources = given.iter().filter_map(|resource| resource.disk.as_ref()?.source.as_ref());
    let paths = sources.filter(|source| source.r#type() == Type::Path);
    Ok(paths.filter_map(|source| source.path.as_ref()?.root.clone()).collect())
}

/// What `--resources` lists.
struct Given {
    resources: Resources,
    /// The names in it. Of a name with nothing there is none, whatever the machine has.
    names: BTreeSet<Name>,
}

fn parse(text: &str, default_role: &str) -> anyhow::Result<Given> {
    if !text.starts_with('[') {
        let resources = Resources::parse(text, default_role)?;
        let names = text.split(';').filter_map(|part| part.split([':', '(']).next());
        return Ok(Given { resources, names: names.map(|name| Name::from(name.trim())).collect() });
    }
    let mut messages: Vec<Resource> =
        proto::json::list_from_slice(text.as_bytes(), Names::V0).map_err(|error| anyhow!("{error}"))?;
    default_roles(&mut messages, default_role);
    let resources = Resources::from_protos(&messages)?;
    resources::validate::command_line(&resources)?;
    let names = messages.iter().map(|message| Name::from(message.name.as_str())).collect();
    Ok(Given { resources, names })
}

/// Gives what names no role to the default one.
#[expect(deprecated, reason = "the field of old is how such JSON names its role")]
fn default_roles(messages: &mut [Resource], default_role: &str) {
    for message in
        messages.iter_mut().filter(|message| message.role.is_none() && message.reservations.is_empty())
    {
        message.role = Some(default_role.to_owned());
    }
}

fn complete(given: &Given, default_role: &str, facts: Facts) -> anyhow::Result<Vec<Resource>> {
    let mut all = given.resources.to_protos();
    let mut add = |name: &Name, value: String| -> anyhow::Result<()> {
        if !given.names.contains(name) {
            all.extend(Resources::parse(&format!("{name}:{value}"), default_role)?.to_protos());
        }
        Ok(())
    };
    add(&Name::CPUS, facts.cpus.unwrap_or(1).to_string())?;
    add(&Name::MEM, offered(facts.memory_bytes, 1, 1024).to_string())?;
    add(&Name::DISK, offered(facts.disk_bytes, 5, 10 * 1024).to_string())?;
    if facts.gpus > 0 {
        add(&Name::GPUS, facts.gpus.to_string())?;
    }
    add(&Name::PORTS, PORTS.to_owned())?;
    Ok(all)
}

/// Megabytes to offer of a total: all but `spare_gb` gigabytes, or half where there is less than twice that.
fn offered(total_bytes: Option<u64>, spare_gb: u64, unknown: u64) -> u64 {
    let Some(total) = total_bytes.map(|bytes| bytes / MEGABYTE) else { return unknown };
    let spare = spare_gb * 1024;
    if total >= 2 * spare { total - spare } else { total / 2 }
}

fn facts(work_dir: &Path) -> Facts {
    let memory = rustix::system::sysinfo();
    let memory_bytes = u64::from(memory.mem_unit).checked_mul(memory.totalram);
    let disk = rustix::fs::statvfs(work_dir).ok();
    Facts {
        cpus: processors().or_else(|| std::thread::available_parallelism().ok().map(usize::from)),
        memory_bytes: memory_bytes.filter(|bytes| *bytes > 0),
        disk_bytes: disk.and_then(|disk| disk.f_blocks.checked_mul(disk.f_frsize)),
        gpus: 0,
    }
}

/// The processors that are online, as the kernel lists them: `0-3,8`.
fn processors() -> Option<usize> {
    count(&std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?)
}

fn count(list: &str) -> Option<usize> {
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some(last.checked_sub(first)? + 1)
    });
    ranges.sum()
}

/// The attributes of `--attributes`.
pub(crate) fn attributes(text: Option<&str>) -> anyhow::Result<Vec<proto::mesos::v1::Attribute>> {
    resources::attributes::parse(text.unwrap_or_default()).context("Failed to parse --attributes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts =
        Facts { cpus: Some(8), memory_bytes: Some(16 << 30), disk_bytes: Some(100 << 30), gpus: 0 };

    fn check(text: &str, role: &str, facts: Facts, expected: &str) {
        let all = complete(&parse(text, role).unwrap(), role, facts).unwrap();
        assert_eq!(Resources::from_protos(&all).unwrap().to_string(), expected, "{text}");
    }

    #[test]
    fn disks_of_type_path_are_found() {
        let disk = |source: &str| {
            format!(
                r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":64}},"disk":{{"source":{source}}}}}"#
            )
        };
        let path = disk(r#"{"type":"PATH","path":{"root":"/mnt/data"}}"#);
        let mount = disk(r#"{"type":"MOUNT","mount":{"root":"/mnt/own"}}"#);
        let text = format!("[{path},{mount}]");
        assert_eq!(path_disks(Some(&text), "*").unwrap(), ["/mnt/data"]);
        assert!(path_disks(None, "*").unwrap().is_empty());
    }

    #[test]
    fn the_machine_fills_in_what_is_not_given() {
        check("", "*", FACTS, "cpus:8; mem:15360; disk:97280; ports:[31000-32000]");
        check(
            "cpus:2;bananas:3",
            "*",
            FACTS,
            "cpus:2; bananas:3; mem:15360; disk:97280; ports:[31000-32000]",
        );
        check(
            "disk:0;gpus: 0;cpus(eng) : 1",
            "*",
            FACTS,
            "cpus(reservations: [(STATIC,eng)]):1; mem:15360; ports:[31000-32000]",
        );
        let none = Facts { cpus: None, memory_bytes: None, disk_bytes: None, gpus: 0 };
        check("", "*", none, "cpus:1; mem:1024; disk:10240; ports:[31000-32000]");
        let small = Facts { cpus: Some(1), memory_bytes: Some(1 << 30), disk_bytes: Some(8 << 30), gpus: 0 };
        check("", "*", small, "cpus:1; mem:512; disk:4096; ports:[31000-32000]");
        let gpus = Facts { gpus: 2, ..FACTS };
        check("", "*", gpus, "cpus:8; mem:15360; disk:97280; gpus:2; ports:[31000-32000]");
        check("gpus:1", "*", gpus, "gpus:1; cpus:8; mem:15360; disk:97280; ports:[31000-32000]");
        assert_eq!(given_gpus(Some("gpus:1;gpus(a):2"), "*").unwrap(), Some(3000));
        assert_eq!(given_gpus(Some("cpus:1"), "*").unwrap(), None);
    }

    #[test]
    fn json_is_understood() {
        let json = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":2}},
            {"name":"mem","type":"SCALAR","scalar":{"value":64},"role":"*"},
            {"name":"disk","type":"SCALAR","scalar":{"value":5}},
            {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}}]"#;
        check(json, "*", FACTS, "cpus:2; mem:64; disk:5; ports:[1-2]");
        let no_disk = r#"[{"name":"disk","type":"SCALAR","scalar":{"value":0}}]"#;
        check(no_disk, "*", FACTS, "cpus:8; mem:15360; ports:[31000-32000]");
        assert!(parse("[{}]", "*").is_err());
        assert!(parse("cpus", "*").is_err());
    }

    #[test]
    fn processors_are_counted() {
        assert_eq!(count("0-3,8\n"), Some(5));
        assert_eq!(count("0"), Some(1));
        assert_eq!(count(""), None);
    }
}
