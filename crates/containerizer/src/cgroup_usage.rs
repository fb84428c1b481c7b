//! What a container uses, as its cgroups of version 1 count it: `cgroups/cpu` and `cgroups/mem`.

use linux::{Cgroup, parse_flat_keyed};
use proto::mesos::v1::ResourceStatistics;

/// `cgroups/cpu`: the time of all processes there ever were in it.
pub(crate) fn cpu(statistics: &mut ResourceStatistics, cpuacct: &Cgroup) {
    let ticks_per_sec = rustix::param::clock_ticks_per_second() as f64;
    let Ok(text) = cpuacct.read("cpuacct.stat") else { return };
    let stat = parse_flat_keyed(&text);
    if let (Some(user), Some(system)) = (stat.get("user"), stat.get("system")) {
        statistics.cpus_user_time_secs = Some(*user as f64 / ticks_per_sec);
        statistics.cpus_system_time_secs = Some(*system as f64 / ticks_per_sec);
    }
}

/// `cgroups/cpu` with a hard limit: how often it was held back.
pub(crate) fn throttling(statistics: &mut ResourceStatistics, cpu: &Cgroup) {
    let Ok(text) = cpu.read("cpu.stat") else { return };
    let stat = parse_flat_keyed(&text);
    let small = |name: &str| stat.get(name).map(|value| u32::try_from(*value).unwrap_or(u32::MAX));
    statistics.cpus_nr_periods = small("nr_periods");
    statistics.cpus_nr_throttled = small("nr_throttled");
    statistics.cpus_throttled_time_secs = stat.get("throttled_time").map(|nanos| *nanos as f64 / 1e9);
}

/// `--cgroups_cpu_enable_pids_and_tids_count`
pub(crate) fn counts(statistics: &mut ResourceStatistics, cpuacct: &Cgroup) {
    let lines = |file: &str| {
        let text = cpuacct.read(file).ok()?;
        u32::try_from(text.lines().count()).ok()
    };
    statistics.processes = lines("cgroup.procs");
    statistics.threads = lines("tasks");
}

/// `cgroups/mem`: what it holds, by kind.
pub(crate) fn memory(statistics: &mut ResourceStatistics, memory: &Cgroup, swap: bool) {
    let number = |file: &str| memory.read(file).ok()?.trim().parse().ok();
    statistics.mem_total_bytes = number("memory.usage_in_bytes");
    statistics.mem_kmem_usage_bytes = number("memory.kmem.usage_in_bytes");
    statistics.mem_kmem_tcp_usage_bytes = number("memory.kmem.tcp.usage_in_bytes");
    if swap {
        statistics.mem_total_memsw_bytes = number("memory.memsw.usage_in_bytes");
    }
    let Ok(text) = memory.read("memory.stat") else { return };
    let stat = parse_flat_keyed(&text);
    let get = |name: &str| stat.get(name).copied();
    // COMPAT(mesos): each of these has an old name and a new one.
    statistics.mem_file_bytes = get("total_cache");
    statistics.mem_cache_bytes = get("total_cache");
    statistics.mem_anon_bytes = get("total_rss");
    statistics.mem_rss_bytes = get("total_rss");
    statistics.mem_mapped_file_bytes = get("total_mapped_file");
    statistics.mem_swap_bytes = get("total_swap");
    statistics.mem_unevictable_bytes = get("total_unevictable");
}
