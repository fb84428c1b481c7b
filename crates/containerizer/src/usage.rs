//! What a container uses, summed over its processes as `/proc` shows them.

use std::time::SystemTime;

use proto::mesos::v1::{Resource, ResourceStatistics};

use crate::process::{Process, Signs, all};

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// The statistics of posix/cpu and posix/mem, with the limits that follow from the resources. Reads `/proc`, so it
/// belongs on a thread that may block.
pub(crate) fn statistics(signs: &Signs, resources: &[Resource]) -> ResourceStatistics {
    let processes = all();
    sum(&signs.members(&processes), resources)
}

fn sum(members: &[&Process], resources: &[Resource]) -> ResourceStatistics {
    let ticks_per_sec = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as u64;
    let total = |field: fn(&Process) -> u64| members.iter().map(|member| field(member)).sum::<u64>();
    let memory = scalar(resources, "mem").map(|megabytes| (megabytes * MEGABYTE) as u64);
    ResourceStatistics {
        timestamp: now_secs(),
        cpus_user_time_secs: Some(total(|process| process.user_ticks) as f64 / ticks_per_sec),
        cpus_system_time_secs: Some(total(|process| process.system_ticks) as f64 / ticks_per_sec),
        cpus_soft_limit: scalar(resources, "cpus"),
        mem_rss_bytes: Some(total(|process| process.rss_pages) * page),
        mem_soft_limit_bytes: memory,
        mem_limit_bytes: memory,
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
fn now_secs() -> f64 {
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
        let own = Process::read(std::process::id()).unwrap();
        let resources =
            [resource("cpus", 0.1), resource("mem", 32.0), resource("cpus", 0.2), resource("mem", 32.0)];
        let statistics = sum(&[&own, &own], &resources);
        assert_eq!(statistics.cpus_soft_limit, Some(0.3));
        assert_eq!(statistics.mem_limit_bytes, Some(67_108_864));
        assert_eq!(statistics.mem_soft_limit_bytes, Some(67_108_864));
        assert_eq!(statistics.mem_rss_bytes, Some(2 * own.rss_pages * rustix::param::page_size() as u64));
        assert!(statistics.timestamp > 1.6e9);
        assert_eq!(sum(&[], &[]).mem_limit_bytes, None);
    }
}
