//! What a container uses, as the kernel counts it in the cgroups that the daemon made.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use containerizer::Limits;
use proto::mesos::v1::{Resource, ResourceStatistics};

use crate::containerizer::Config;

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// What a command executor has beside its task, which the task's container does not.
const EXECUTOR_CPUS: f64 = 0.1;
const EXECUTOR_MEM: f64 = 32.0;

/// The ticks that version 1 of cgroups counts processors' time in.
const TICKS_PER_SEC: f64 = 100.0;

/// What is known of a container without looking.
pub(crate) struct Known {
    pub(crate) resources: Vec<Resource>,
    pub(crate) limits: Limits,
    pub(crate) is_task: bool,
}

/// The statistics of the container whose first process that is. None where it is none any more. Reads files.
pub(crate) fn statistics(config: &Config, pid: u32, known: &Known) -> Option<ResourceStatistics> {
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mut statistics = allotted(config, known);
    let two = config.hierarchies.get("").filter(|_| !config.hierarchies.contains_key("cpuacct"));
    match two {
        Some(mounted) => counted_by_two(&mut statistics, &place(&lines, "", mounted)?),
        None => counted_by_one(config, &mut statistics, &lines)?,
    }
    Some(statistics)
}

fn counted_by_one(config: &Config, statistics: &mut ResourceStatistics, lines: &str) -> Option<()> {
    let of = |controller: &str| place(lines, controller, config.hierarchies.get(controller)?);
    let cpuacct = read(&of("cpuacct")?, "cpuacct.stat");
    statistics.cpus_user_time_secs = number(&cpuacct, "user").map(|ticks| ticks / TICKS_PER_SEC);
    statistics.cpus_system_time_secs = number(&cpuacct, "system").map(|ticks| ticks / TICKS_PER_SEC);
    let memory = read(&of("memory")?, "memory.stat");
    statistics.mem_rss_bytes = number(&memory, "rss").map(|bytes| bytes as u64);
    if config.enable_cfs
        && let Some(place) = of("cpu")
    {
        let cpu = read(&place, "cpu.stat");
        statistics.cpus_nr_periods = number(&cpu, "nr_periods").map(|count| count as u32);
        statistics.cpus_nr_throttled = number(&cpu, "nr_throttled").map(|count| count as u32);
        statistics.cpus_throttled_time_secs = number(&cpu, "throttled_time").map(|nanos| nanos / 1e9);
    }
    Some(())
}

fn counted_by_two(statistics: &mut ResourceStatistics, place: &Path) {
    let cpu = read(place, "cpu.stat");
    statistics.cpus_user_time_secs = number(&cpu, "user_usec").map(|micros| micros / 1e6);
    statistics.cpus_system_time_secs = number(&cpu, "system_usec").map(|micros| micros / 1e6);
    statistics.cpus_nr_periods = number(&cpu, "nr_periods").map(|count| count as u32);
    statistics.cpus_nr_throttled = number(&cpu, "nr_throttled").map(|count| count as u32);
    statistics.cpus_throttled_time_secs = number(&cpu, "throttled_usec").map(|micros| micros / 1e6);
    let memory = read(place, "memory.stat");
    statistics.mem_rss_bytes = number(&memory, "anon").map(|bytes| bytes as u64);
}

/// The cgroup of a controller in the lines of `/proc/<pid>/cgroup`. None at the root: a process that is ending is
/// there, with all of the machine.
fn place(lines: &str, controller: &str, mounted: &str) -> Option<PathBuf> {
    lines.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let fits = controllers.split(',').any(|it| it == controller) && path != "/";
        fits.then(|| Path::new(mounted).join(path.trim_start_matches('/')))
    })
}

fn read(place: &Path, file: &str) -> String {
    fs::read_to_string(place.join(file)).unwrap_or_default()
}

fn number(text: &str, name: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

/// What it may use.
fn allotted(config: &Config, known: &Known) -> ResourceStatistics {
    // What is for the executor of a task is not in the task's container.
    let less = |value: f64, executor: f64| {
        if known.is_task { ((value - executor) * 1000.0).round() / 1000.0 } else { value }
    };
    let cpus = scalar(&known.resources, "cpus").map(|cpus| less(cpus, EXECUTOR_CPUS));
    let mem = scalar(&known.resources, "mem").map(|mem| less(mem, EXECUTOR_MEM));
    let limit = |name: &str| known.limits.get(name).map(|scalar| scalar.value);
    let bytes = |megabytes: f64| (megabytes * MEGABYTE) as u64;
    let machine_cpus = || std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    let cpus_limit = match limit("cpus") {
        Some(limit) if limit.is_infinite() => Some(machine_cpus()),
        Some(limit) => Some(less(limit, EXECUTOR_CPUS)),
        None => cpus.filter(|_| config.enable_cfs),
    };
    let (mem_limit_bytes, mem_soft_limit_bytes) = match limit("mem") {
        Some(limit) if limit.is_infinite() => (Some(config.machine_memory_bytes), mem.map(bytes)),
        Some(limit) => (Some(bytes(less(limit, EXECUTOR_MEM).trunc())), mem.map(bytes)),
        None => (mem.map(bytes), None),
    };
    ResourceStatistics {
        timestamp: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        cpus_soft_limit: cpus,
        cpus_limit,
        mem_limit_bytes,
        mem_soft_limit_bytes,
        ..ResourceStatistics::default()
    }
}

fn scalar(resources: &[Resource], name: &str) -> Option<f64> {
    let values = resources.iter().filter(|it| it.name == name).filter_map(|it| it.scalar.as_ref());
    let thousandths = values.map(|scalar| (scalar.value * 1000.0).round());
    thousandths.reduce(|sum, value| sum + value).map(|sum| sum / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_found_and_the_root_is_none() {
        let lines = "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n2:pids:/\n0::/docker/x\n";
        let check = |controller: &str, expected: Option<&str>| {
            assert_eq!(place(lines, controller, "/cg"), expected.map(PathBuf::from), "{controller}");
        };
        check("memory", Some("/cg/docker/x"));
        check("cpuacct", Some("/cg/docker/x"));
        check("", Some("/cg/docker/x"));
        check("pids", None);
        check("blkio", None);
        assert_eq!(number("user 12\nsystem 3\n", "system"), Some(3.0));
        assert_eq!(number("user_usec 12\n", "user"), None);
    }
}
