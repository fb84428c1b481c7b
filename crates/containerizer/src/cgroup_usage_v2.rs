//! What a container uses, as its cgroup of version 2 counts it.

use linux::{Cgroup, parse_flat_keyed};
use proto::mesos::v1::ResourceStatistics;

const MICROSECONDS_PER_SEC: f64 = 1e6;

/// `cgroups/cpu`: the time of all processes there ever were in it, and how often they were held back.
///
/// COMPAT(mesos): the latter is told without a hard limit too.
pub(crate) fn cpu(statistics: &mut ResourceStatistics, cgroup: &Cgroup) {
    let Ok(text) = cgroup.read("cpu.stat") else { return };
    let stat = parse_flat_keyed(&text);
    let secs = |name: &str| stat.get(name).map(|micros| *micros as f64 / MICROSECONDS_PER_SEC);
    let small = |name: &str| stat.get(name).map(|value| u32::try_from(*value).unwrap_or(u32::MAX));
    statistics.cpus_user_time_secs = secs("user_usec");
    statistics.cpus_system_time_secs = secs("system_usec");
    statistics.cpus_nr_periods = small("nr_periods");
    statistics.cpus_nr_throttled = small("nr_throttled");
    statistics.cpus_throttled_time_secs = secs("throttled_usec");
}

/// `--cgroups_cpu_enable_pids_and_tids_count`
pub(crate) fn counts(statistics: &mut ResourceStatistics, cgroup: &Cgroup) {
    let leaf = Cgroup::at(cgroup.path().join("leaf"));
    let lines = |file: &str| u32::try_from(leaf.read(file).ok()?.lines().count()).ok();
    statistics.processes = lines("cgroup.procs");
    statistics.threads = lines("cgroup.threads");
}

/// `cgroups/mem`: what it holds, by kind, and how hard it is to get more.
pub(crate) fn memory(statistics: &mut ResourceStatistics, cgroup: &Cgroup) {
    let number = |file: &str| cgroup.read(file).ok()?.trim().parse().ok();
    statistics.mem_total_bytes = number("memory.current");
    statistics.mem_swap_bytes = number("memory.swap.current");
    if let Ok(text) = cgroup.read("memory.stat") {
        let stat = parse_flat_keyed(&text);
        let get = |name: &str| stat.get(name).copied();
        statistics.mem_kmem_usage_bytes = get("kernel");
        statistics.mem_kmem_tcp_usage_bytes = get("sock");
        // COMPAT(mesos): each of these has an old name and a new one.
        statistics.mem_file_bytes = get("file");
        statistics.mem_cache_bytes = get("file");
        statistics.mem_anon_bytes = get("anon");
        statistics.mem_rss_bytes = get("anon");
        statistics.mem_mapped_file_bytes = get("file_mapped");
        statistics.mem_unevictable_bytes = get("unevictable");
    }
    if let Ok(text) = cgroup.read("memory.pressure") {
        let pressure = Pressure::of(&text);
        statistics.mem_low_pressure_counter = Some(pressure.low);
        statistics.mem_medium_pressure_counter = Some(pressure.medium);
        statistics.mem_critical_pressure_counter = Some(pressure.critical);
    }
}

/// How long processes waited for memory, told as counts. Version 1 counts events; version 2 measures time (PSI), and
/// Mesos tells nothing there.
#[derive(Debug, PartialEq, Eq)]
struct Pressure {
    /// Tens of milliseconds in which some process waited.
    low: u64,
    /// Tenths of seconds in which some process waited.
    medium: u64,
    /// Tenths of seconds in which all of them waited.
    critical: u64,
}

const MICROSECONDS_PER_LOW: u64 = 10_000;
const MICROSECONDS_PER_COUNT: u64 = 100_000;

impl Pressure {
    /// Of `memory.pressure`: lines such as `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
    fn of(text: &str) -> Self {
        let total = |kind: &str| {
            let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
            line.rsplit_once("total=")?.1.parse::<u64>().ok()
        };
        let (some, full) = (total("some").unwrap_or(0), total("full").unwrap_or(0));
        Self {
            low: some / MICROSECONDS_PER_LOW,
            medium: some / MICROSECONDS_PER_COUNT,
            critical: full / MICROSECONDS_PER_COUNT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_counted() {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=250000\nfull avg10=0.00 total=100000\n";
        assert_eq!(Pressure::of(text), Pressure { low: 25, medium: 2, critical: 1 });
        assert_eq!(Pressure::of("broken\n"), Pressure { low: 0, medium: 0, critical: 0 });
    }
}
