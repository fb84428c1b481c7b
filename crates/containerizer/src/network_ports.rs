//! `network/ports`: who listens on ports that were not given to him, looked at now and then, and the end of a container
//! that does.
//!
//! Containers share the ports of the machine and those in them share the ports of the outermost one. Containers in
//! networks of their own have all ports there, and are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use launch_plan::Isolator;
use proto::mesos::slave::ContainerLimitation;
use proto::mesos::v1::{Resource, task_status, value};
use types::ContainerId;

use crate::cgroups::Cgroups;
use crate::entries::Shared;

/// How ports are watched.
#[derive(Clone, Debug)]
pub struct PortSettings {
    /// `--container_ports_watch_interval`
    pub interval: Duration,
    /// `--enforce_container_ports`: whether who listens on the wrong port ends.
    pub enforce: bool,
    /// The only ports that are looked at; none looks at all.
    pub isolated: Option<Vec<RangeInclusive<u16>>>,
}

/// Ports, of which a process has few.
type Ports = BTreeSet<u16>;

/// The state of a socket that listens, in the kernel's files.
const LISTENS: &str = "0A";

/// Looks until the container, or one in it, listens on a port that is not its own, and that is to be enforced.
pub(crate) async fn watch(shared: &Arc<Shared>, container: &ContainerId) -> ContainerLimitation {
    let is_outermost = container.parent.is_none();
    if !shared.config.settings.isolation.has(Isolator::NetworkPorts) || !is_outermost {
        return std::future::pending().await;
    }
    if shared.networks.of(container).is_some() {
        return std::future::pending().await;
    }
    let settings = &shared.config.ports;
    let mut told = BTreeMap::new();
    loop {
        tokio::time::sleep(settings.interval).await;
        let (looking, outermost) = (Arc::clone(shared), container.clone());
        let looked = tokio::task::spawn_blocking(move || listeners(&looking, &outermost)).await;
        let Ok(found) = looked else { continue };
        let Some((resources, _)) = shared.amounts(container) else { continue };
        let Some(given) = given(&resources) else { continue };
        for (who, ports) in found {
            let others = without(&ports, &given);
            // What was told once is not told again.
            if others.is_empty() || told.get(&who) == Some(&ports) {
                continue;
            }
            told.insert(who.clone(), ports);
            let limitation = limitation(&who, &others);
            tracing::info!("{}", limitation.message());
            if settings.enforce {
                return limitation;
            }
        }
    }
}

/// The ports that a container and those in it listen on, each by itself. Reads `/proc`.
fn listeners(shared: &Shared, outermost: &ContainerId) -> BTreeMap<ContainerId, Ports> {
    let isolated = |port: &u16| {
        let ranges = shared.config.ports.isolated.as_ref();
        ranges.is_none_or(|ranges| ranges.iter().any(|range| range.contains(port)))
    };
    let mut sockets = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A machine without version 6 has no such table.
        sockets.extend(listening(&fs::read_to_string(table).unwrap_or_default()));
    }
    let (mut found, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let mut containers = shared.with_those_within(outermost);
    // The innermost first: a cgroup lists the processes of those within, too.
    containers.sort_by_key(|container| std::cmp::Reverse(depth(container)));
    for container in containers {
        let Some(cgroups) = Cgroups::of(&shared.config, &container) else { continue };
        let own = cgroups.processes().into_iter().filter(|pid| seen.insert(*pid)).collect::<Vec<_>>();
        let ports: Ports = own
            .into_iter()
            .flat_map(sockets_of)
            .filter_map(|inode| sockets.get(&inode).copied())
            .filter(isolated)
            .collect();
        found.insert(container, ports);
    }
    found
}

fn depth(container: &ContainerId) -> usize {
    std::iter::successors(container.parent.as_deref(), |it| it.parent.as_deref()).count()
}

/// The sockets that listen, by inode, in the text of `/proc/net/tcp`.
fn listening(table: &str) -> BTreeMap<u64, u16> {
    let one = |line: &str| {
        // `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode`
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        let inode = fields.get(9)?.parse().ok()?;
        (*fields.get(3)? == LISTENS).then_some((inode, u16::from_str_radix(port, 16).ok()?))
    };
    table.lines().filter_map(one).collect()
}

/// The inodes of a process's sockets. One that has ended has none.
fn sockets_of(pid: u32) -> Vec<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// The ports that a container has. None where it is not known what it has: an executor that is not back yet.
fn given(resources: &[Resource]) -> Option<Vec<value::Range>> {
    let ports = resources.iter().filter(|it| it.name == "ports").filter_map(|it| it.ranges.as_ref());
    (!resources.is_empty()).then(|| ports.flat_map(|ports| ports.range.iter().copied()).collect())
}

fn without(ports: &Ports, given: &[value::Range]) -> Ports {
    let is_given = |port: &u64| given.iter().any(|range| (range.begin..=range.end).contains(port));
    ports.iter().copied().filter(|port| !is_given(&u64::from(*port))).collect()
}

fn limitation(container: &ContainerId, ports: &Ports) -> ContainerLimitation {
    let ranges = ranges(ports);
    let text: Vec<String> = ranges.iter().map(|range| format!("{}-{}", range.begin, range.end)).collect();
    let message = format!("Container {container} is listening on unallocated port(s): [{}]", text.join(", "));
    let resource = Resource {
        name: "ports".to_owned(),
        r#type: value::Type::Ranges.into(),
        ranges: Some(value::Ranges { range: ranges }),
        ..Resource::default()
    };
    ContainerLimitation {
        resources: vec![resource],
        message: Some(message),
        reason: Some(task_status::Reason::ContainerLimitation.into()),
    }
}

fn ranges(ports: &Ports) -> Vec<value::Range> {
    let mut ranges: Vec<value::Range> = Vec::new();
    for port in ports.iter().copied().map(u64::from) {
        match ranges.last_mut() {
            Some(last) if last.end + 1 == port => last.end = port,
            Some(_) | None => ranges.push(value::Range { begin: port, end: port }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \u{20}  0: 0100007F:7918 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
            \u{20}  1: 0100007F:1F90 0100007F:7918 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n\
            \u{20}  2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 4713 1\n\
            broken\n";
        assert_eq!(listening(table), BTreeMap::from([(4711, 31000), (4713, 80)]));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets = listening(&fs::read_to_string("/proc/net/tcp").unwrap());
        let own: Vec<u16> =
            sockets_of(std::process::id()).iter().filter_map(|inode| sockets.get(inode).copied()).collect();
        assert!(own.contains(&listener.local_addr().unwrap().port()), "{own:?}");
    }

    #[test]
    fn who_has_nothing_is_not_known() {
        let ports = |begin, end| Resource {
            name: "ports".to_owned(),
            ranges: Some(value::Ranges { range: vec![value::Range { begin, end }] }),
            ..Resource::default()
        };
        assert_eq!(given(&[]), None);
        let cpus = Resource { name: "cpus".to_owned(), ..Resource::default() };
        assert_eq!(given(&[cpus]), Some(Vec::new()));
        let given = given(&[ports(1, 2), ports(80, 80)]).unwrap();
        let found = Ports::from([1, 2, 3, 4, 80, 443]);
        let limitation = limitation(&ContainerId::root("c"), &without(&found, &given));
        assert_eq!(limitation.message(), "Container c is listening on unallocated port(s): [3-4, 443-443]");
    }
}
