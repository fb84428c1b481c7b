//! The events of `--perf_events`: their names, their numbers, and where their counts are told. Pure.

use linux::PerfEvent;
use proto::mesos::v1::PerfStatistics;

/// Tells a count.
type Tell = fn(&mut PerfStatistics, u64);

/// An event that can be counted.
#[derive(Clone, Copy, Debug)]
pub struct Countable {
    pub(crate) event: PerfEvent,
    pub(crate) tell: Tell,
}

const HARDWARE: u32 = 0;
const SOFTWARE: u32 = 1;
const CACHE: u32 = 3;

/// The kernel counts nanoseconds of clocks; `perf stat`, whose numbers these are, tells milliseconds.
const NANOS_PER_MILLI: f64 = 1e6;

/// By the names of `perf list`. The number of a cache's is the cache, the operation and the result, a byte each.
const EVENTS: &[(&str, u32, u64, Tell)] = &[
    ("cpu-clock", SOFTWARE, 0, |it, count| it.cpu_clock = Some(count as f64 / NANOS_PER_MILLI)),
    ("task-clock", SOFTWARE, 1, |it, count| it.task_clock = Some(count as f64 / NANOS_PER_MILLI)),
    ("page-faults", SOFTWARE, 2, |it, count| it.page_faults = Some(count)),
    ("context-switches", SOFTWARE, 3, |it, count| it.context_switches = Some(count)),
    ("cpu-migrations", SOFTWARE, 4, |it, count| it.cpu_migrations = Some(count)),
    ("minor-faults", SOFTWARE, 5, |it, count| it.minor_faults = Some(count)),
    ("major-faults", SOFTWARE, 6, |it, count| it.major_faults = Some(count)),
    ("alignment-faults", SOFTWARE, 7, |it, count| it.alignment_faults = Some(count)),
    ("emulation-faults", SOFTWARE, 8, |it, count| it.emulation_faults = Some(count)),
    ("cycles", HARDWARE, 0, |it, count| it.cycles = Some(count)),
    ("instructions", HARDWARE, 1, |it, count| it.instructions = Some(count)),
    ("cache-references", HARDWARE, 2, |it, count| it.cache_references = Some(count)),
    ("cache-misses", HARDWARE, 3, |it, count| it.cache_misses = Some(count)),
    ("branches", HARDWARE, 4, |it, count| it.branches = Some(count)),
    ("branch-misses", HARDWARE, 5, |it, count| it.branch_misses = Some(count)),
    ("bus-cycles", HARDWARE, 6, |it, count| it.bus_cycles = Some(count)),
    ("stalled-cycles-frontend", HARDWARE, 7, |it, count| it.stalled_cycles_frontend = Some(count)),
    ("stalled-cycles-backend", HARDWARE, 8, |it, count| it.stalled_cycles_backend = Some(count)),
    ("ref-cycles", HARDWARE, 9, |it, count| it.ref_cycles = Some(count)),
    ("L1-dcache-loads", CACHE, 0x0, |it, count| it.l1_dcache_loads = Some(count)),
    ("L1-dcache-load-misses", CACHE, 0x10000, |it, count| it.l1_dcache_load_misses = Some(count)),
    ("L1-dcache-stores", CACHE, 0x100, |it, count| it.l1_dcache_stores = Some(count)),
    ("L1-dcache-store-misses", CACHE, 0x10100, |it, count| it.l1_dcache_store_misses = Some(count)),
    ("L1-dcache-prefetches", CACHE, 0x200, |it, count| it.l1_dcache_prefetches = Some(count)),
    ("L1-dcache-prefetch-misses", CACHE, 0x10200, |it, count| it.l1_dcache_prefetch_misses = Some(count)),
    ("L1-icache-loads", CACHE, 0x1, |it, count| it.l1_icache_loads = Some(count)),
    ("L1-icache-load-misses", CACHE, 0x10001, |it, count| it.l1_icache_load_misses = Some(count)),
    ("L1-icache-prefetches", CACHE, 0x201, |it, count| it.l1_icache_prefetches = Some(count)),
    ("L1-icache-prefetch-misses", CACHE, 0x10201, |it, count| it.l1_icache_prefetch_misses = Some(count)),
    ("LLC-loads", CACHE, 0x2, |it, count| it.llc_loads = Some(count)),
    ("LLC-load-misses", CACHE, 0x10002, |it, count| it.llc_load_misses = Some(count)),
    ("LLC-stores", CACHE, 0x102, |it, count| it.llc_stores = Some(count)),
    ("LLC-store-misses", CACHE, 0x10102, |it, count| it.llc_store_misses = Some(count)),
    ("LLC-prefetches", CACHE, 0x202, |it, count| it.llc_prefetches = Some(count)),
    ("LLC-prefetch-misses", CACHE, 0x10202, |it, count| it.llc_prefetch_misses = Some(count)),
    ("dTLB-loads", CACHE, 0x3, |it, count| it.dtlb_loads = Some(count)),
    ("dTLB-load-misses", CACHE, 0x10003, |it, count| it.dtlb_load_misses = Some(count)),
    ("dTLB-stores", CACHE, 0x103, |it, count| it.dtlb_stores = Some(count)),
    ("dTLB-store-misses", CACHE, 0x10103, |it, count| it.dtlb_store_misses = Some(count)),
    ("dTLB-prefetches", CACHE, 0x203, |it, count| it.dtlb_prefetches = Some(count)),
    ("dTLB-prefetch-misses", CACHE, 0x10203, |it, count| it.dtlb_prefetch_misses = Some(count)),
    ("iTLB-loads", CACHE, 0x4, |it, count| it.itlb_loads = Some(count)),
    ("iTLB-load-misses", CACHE, 0x10004, |it, count| it.itlb_load_misses = Some(count)),
    ("branch-loads", CACHE, 0x5, |it, count| it.branch_loads = Some(count)),
    ("branch-load-misses", CACHE, 0x10005, |it, count| it.branch_load_misses = Some(count)),
    ("node-loads", CACHE, 0x6, |it, count| it.node_loads = Some(count)),
    ("node-load-misses", CACHE, 0x10006, |it, count| it.node_load_misses = Some(count)),
    ("node-stores", CACHE, 0x106, |it, count| it.node_stores = Some(count)),
    ("node-store-misses", CACHE, 0x10106, |it, count| it.node_store_misses = Some(count)),
    ("node-prefetches", CACHE, 0x206, |it, count| it.node_prefetches = Some(count)),
    ("node-prefetch-misses", CACHE, 0x10206, |it, count| it.node_prefetch_misses = Some(count)),
];

/// Other names of the same.
const ALIASES: &[(&str, &str)] = &[
    ("branch-instructions", "branches"),
    ("cpu-cycles", "cycles"),
    ("cs", "context-switches"),
    ("faults", "page-faults"),
    ("idle-cycles-backend", "stalled-cycles-backend"),
    ("idle-cycles-frontend", "stalled-cycles-frontend"),
    ("migrations", "cpu-migrations"),
];

/// The events of a list with commas. COMPAT(mesos): the refusal's text.
pub fn parse_perf_events(list: &str) -> Result<Vec<Countable>, String> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let found: Option<Vec<Countable>> = names.clone().map(named).collect();
    found.filter(|found| !found.is_empty()).ok_or_else(|| {
        let names: Vec<&str> = names.collect();
        format!("Invalid perf events: {{ {} }}", names.join(", "))
    })
}

fn named(name: &str) -> Option<Countable> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
    let found = EVENTS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(alias));
    found.map(|(_, kind, config, tell)| Countable {
        event: PerfEvent { kind: *kind, config: *config },
        tell: *tell,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_known_by_name() {
        let events = parse_perf_events("task-clock, cs,l1-dcache-load-misses,cycles").unwrap();
        let mut statistics = PerfStatistics::default();
        for (event, count) in events.iter().zip([2_500_000, 7, 8, 9]) {
            (event.tell)(&mut statistics, count);
        }
        assert_eq!((statistics.task_clock, statistics.context_switches), (Some(2.5), Some(7)));
        assert_eq!((statistics.l1_dcache_load_misses, statistics.cycles), (Some(8), Some(9)));
        assert_eq!(events[2].event, PerfEvent { kind: CACHE, config: 0x1_0000 });
        for broken in ["", "cycles,nosuch"] {
            assert!(parse_perf_events(broken).unwrap_err().starts_with("Invalid perf events: {"));
        }
    }

    #[test]
    fn every_event_tells_a_count_of_its_own() {
        let mut told = Vec::new();
        for (name, kind, config, tell) in EVENTS {
            let mut statistics = PerfStatistics::default();
            tell(&mut statistics, 1);
            let text = format!("{statistics:?}");
            assert!(!told.contains(&text), "{name}");
            told.push(text);
            let numbers = (*kind, *config);
            assert_eq!(EVENTS.iter().filter(|(_, kind, config, _)| (*kind, *config) == numbers).count(), 1);
        }
        assert_eq!(told.len(), 51);
    }
}
