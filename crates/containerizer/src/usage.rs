//! What a container uses: as its cgroups count it where an isolator has one, else summed over its processes.

use std::time::SystemTime;

use launch_plan::Isolator;
use linux::Cgroup;
use proto::mesos::v1::{DiskStatistics, Resource, ResourceStatistics};

use crate::blkio;
use crate::cgroup_usage;
use crate::cgroup_usage_v2;
use crate::cgroups::Cgroups;
use crate::config::{Config, Limits};
use crate::disk;
use crate::process::{Process, Signs};

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// What is known of a container without looking.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) resources: Vec<Resource>,
    pub(crate) limits: Limits,
    pub(crate) disk_used: Option<u64>,
}

/// The statistics of all isolators, with the limits that follow from the resources. Reads `/proc` or cgroups, so it
/// belongs on a thread that may block.
pub(crate) fn statistics(config: &Config, signs: &Signs, known: &Known) -> ResourceStatistics {
    let isolation = &config.settings.isolation;
    let mut statistics = allotted(config, known);
    let (cpu, memory) = (isolation.has(Isolator::PosixCpu), isolation.has(Isolator::PosixMem));
    if cpu || memory {
        let used = sum(&signs.processes());
        if cpu {
            statistics.cpus_user_time_secs = used.cpus_user_time_secs;
            statistics.cpus_system_time_secs = used.cpus_system_time_secs;
        }
        if memory {
            statistics.mem_rss_bytes = used.mem_rss_bytes;
        }
    }
    if let Some(cgroups) = &signs.cgroups {
        counted(config, cgroups, &mut statistics, known);
    }
    if isolation.has(Isolator::DiskDu)
        && let Some((limit, _)) = disk::quota(&known.resources)
    {
        statistics.disk_limit_bytes = Some(limit);
        statistics.disk_used_bytes = known.disk_used;
        let sandbox =
            DiskStatistics { limit_bytes: Some(limit), used_bytes: known.disk_used, ..Default::default() };
        statistics.disk_statistics = vec![sandbox];
    }
    statistics
}

/// What cgroups count. They may be the container's though the agent has other isolators by now.
fn counted(config: &Config, cgroups: &Cgroups, statistics: &mut ResourceStatistics, known: &Known) {
    let settings = &config.settings;
    if let Some(cgroup) = cgroups.unified(config) {
        return counted_v2(config, cgroup, statistics);
    }
    if settings.isolation.has(Isolator::CgroupsCpu) {
        if let Some(cpuacct) = cgroups.with(config, "cpuacct") {
            cgroup_usage::cpu(statistics, &cpuacct);
            if config.counts_processes {
                cgroup_usage::counts(statistics, &cpuacct);
            }
        }
        if (settings.enable_cfs || known.limits.contains_key("cpus"))
            && let Some(cpu) = cgroups.with(config, "cpu")
        {
            cgroup_usage::throttling(statistics, &cpu);
        }
    }
    if settings.isolation.has(Isolator::CgroupsMem)
        && let Some(memory) = cgroups.memory(config)
    {
        cgroup_usage::memory(statistics, &memory, settings.limit_swap);
    }
    if settings.isolation.has(Isolator::CgroupsBlkio)
        && let Some(cgroup) = cgroups.with(config, "blkio")
    {
        blkio::fill_v1(statistics, &cgroup);
    }
}

/// The same on version 2. A container that shares the limits of the one around it has no controllers of its own.
fn counted_v2(config: &Config, cgroup: &Cgroup, statistics: &mut ResourceStatistics) {
    let isolation = &config.settings.isolation;
    let has = |file: &str| cgroup.path().join(file).exists();
    if config.counts_processes {
        cgroup_usage_v2::counts(statistics, cgroup);
    }
    if isolation.has(Isolator::CgroupsCpu) && has("cpu.weight") {
        cgroup_usage_v2::cpu(statistics, cgroup);
    }
    if isolation.has(Isolator::CgroupsMem) && has("memory.max") {
        cgroup_usage_v2::memory(statistics, cgroup);
    }
    if isolation.has(Isolator::CgroupsBlkio) {
        blkio::fill_v2(statistics, cgroup);
    }
}

/// What it may use. A limit without bound is not told.
fn allotted(config: &Config, known: &Known) -> ResourceStatistics {
    let limit = |name: &str| known.limits.get(name).map(|scalar| scalar.value);
    let bytes = |megabytes: f64| (megabytes * MEGABYTE) as u64;
    let (cpus, mem) = (scalar(&known.resources, "cpus"), scalar(&known.resources, "mem"));
    let hard_cpus = match limit("cpus") {
        Some(limit) => Some(limit).filter(|limit| limit.is_finite()),
        None => cpus.filter(|_| config.settings.enable_cfs),
    };
    let hard_mem = match limit("mem") {
        Some(limit) => Some(limit).filter(|limit| limit.is_finite()),
        None => mem,
    };
    ResourceStatistics {
        timestamp: now_secs(),
        cpus_soft_limit: cpus,
        cpus_limit: hard_cpus,
        mem_soft_limit_bytes: mem.map(bytes),
        mem_limit_bytes: hard_mem.map(bytes),
        ..ResourceStatistics::default()
    }
}

fn sum(members: &[Process]) -> ResourceStatistics {
    let ticks_per_sec = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as u64;
    let total = |field: fn(&Process) -> u64| members.iter().map(field).sum::<u64>();
    ResourceStatistics {
        cpus_user_time_secs: Some(total(|process| process.user_ticks) as f64 / ticks_per_sec),
        cpus_system_time_secs: Some(total(|process| process.system_ticks) as f64 / ticks_per_sec),
        mem_rss_bytes: Some(total(|process| process.rss_pages) * page),
        ..ResourceStatistics::default()
    }
}

/// The sum of the scalars of a name, in the thousandths that Mesos counts in.
fn scalar(resources: &[Resource], name: &str) -> Option<f64> {
    let values = resources.iter().filter(|resource| resource.name == name);
    let mut thousandths =
        values.filter_map(|resource| resource.scalar.as_ref()).map(|scalar| scalar.value * 1000.0);
    let first = thousandths.next()?;
    Some(thousandths.fold(first, |sum, value| sum + value).round() / 1000.0)
}

/// Seconds since 1970.
pub(crate) fn now_secs() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::value;

    use super::*;

    #[test]
    fn sums_processes_and_resources() {
        let resource = |name: &str, value: f64| Resource {
            name: name.to_owned(),
            scalar: Some(value::Scalar { value }),
            ..Resource::default()
        };
        let resources =
            vec![resource("cpus", 0.1), resource("mem", 32.0), resource("cpus", 0.2), resource("mem", 32.0)];
        let mut config = config();
        let mut known = Known { resources, ..Known::default() };
        let statistics = allotted(&config, &known);
        assert_eq!((statistics.cpus_soft_limit, statistics.cpus_limit), (Some(0.3), None));
        assert_eq!(statistics.mem_limit_bytes, Some(67_108_864));
        assert_eq!(statistics.mem_soft_limit_bytes, Some(67_108_864));
        assert!(statistics.timestamp > 1.6e9);
        config.settings.enable_cfs = true;
        assert_eq!(allotted(&config, &known).cpus_limit, Some(0.3));
        let limits = [("cpus", 2.0), ("mem", f64::INFINITY)];
        known.limits = limits.map(|(name, value)| (name.to_owned(), value::Scalar { value })).into();
        let statistics = allotted(&config, &known);
        assert_eq!((statistics.cpus_limit, statistics.mem_limit_bytes), (Some(2.0), None));
        assert_eq!(allotted(&config, &Known::default()).mem_limit_bytes, None);
        let own = Process::read(std::process::id()).unwrap();
        let used = sum(&[own.clone(), own.clone()]);
        assert_eq!(used.mem_rss_bytes, Some(2 * own.rss_pages * rustix::param::page_size() as u64));
    }

    fn config() -> Config {
        let directory = tempfile::tempdir().unwrap();
        let fetcher = fetcher::Fetcher::new(fetcher::Config {
            cache_dir: directory.path().join("cache"),
            cache_bytes_max: 1,
            stall_timeout: std::time::Duration::from_secs(1),
            frameworks_home: String::new(),
            hadoop: None,
            limits: fetcher::Limits::default(),
        });
        Config::posix("/none".into(), std::sync::Arc::new(fetcher.unwrap()))
    }
}
