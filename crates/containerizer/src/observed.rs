//! What is known of containers' cgroups that no file of theirs says: net_cls handles, moments of memory pressure, samples
//! of perf. Gone with the agent, and found again or begun anew by the next one.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use launch_plan::{Isolator, NetClsHandles};
use linux::{Cgroup, PerfCounter, count_of, listen_pressure_v1, online_cpus};
use proto::mesos::v1::cgroup_info::NetCls;
use proto::mesos::v1::{CgroupInfo, PerfStatistics, ResourceStatistics};
use types::ContainerId;

use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::entries::Shared;
use crate::perf_events::Countable;
use crate::usage::now_secs;

/// `--perf_events`, `--perf_interval` and `--perf_duration`.
#[derive(Clone, Debug)]
pub struct PerfSettings {
    /// What is counted.
    pub events: Vec<Countable>,
    /// From one sample to the next.
    pub interval: Duration,
    /// How long one takes.
    pub duration: Duration,
}

/// All of it.
pub(crate) struct Observed {
    /// A lock, since containers begin and end beside readers of statistics; held for a look-up at a time.
    kept: Mutex<Kept>,
}

struct Kept {
    handles: Option<NetClsHandles>,
    containers: BTreeMap<ContainerId, Container>,
}

#[derive(Default)]
struct Container {
    class_id: Option<u32>,
    pressure: Vec<Pressure>,
    perf_cgroup: Option<Cgroup>,
    perf: Option<PerfStatistics>,
}

/// A level of memory pressure.
struct Pressure {
    event: OwnedFd,
    count: u64,
    tell: fn(&mut ResourceStatistics, u64),
}

type Level = (&'static str, fn(&mut ResourceStatistics, u64));

const LEVELS: &[Level] = &[
    ("low", |it, count| it.mem_low_pressure_counter = Some(count)),
    ("medium", |it, count| it.mem_medium_pressure_counter = Some(count)),
    ("critical", |it, count| it.mem_critical_pressure_counter = Some(count)),
];

impl Observed {
    pub(crate) fn new(config: &Config) -> Self {
        let has = config.settings.isolation.has(Isolator::CgroupsNetCls);
        let handles = config.settings.net_cls.clone().filter(|_| has).map(NetClsHandles::new);
        Self { kept: Mutex::new(Kept { handles, containers: BTreeMap::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing is left half done under this lock, so a panic elsewhere does not spoil it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a new container's packets a class, where that is for the agent to do.
    pub(crate) fn classify(
        &self,
        config: &Config,
        id: &ContainerId,
        cgroups: Option<&Cgroups>,
    ) -> Result<(), String> {
        let Some(cgroup) = cgroups.and_then(|cgroups| cgroups.with(config, "net_cls")) else { return Ok(()) };
        let class_id = {
            let mut kept = self.lock();
            let Some(handles) = &mut kept.handles else { return Ok(()) };
            let class_id = handles.take().map_err(|error| error.to_string())?;
            kept.containers.entry(id.clone()).or_default().class_id = Some(class_id);
            class_id
        };
        cgroup
            .write("net_cls.classid", &class_id.to_string())
            .map_err(|error| format!("Failed to assign a net_cls handle to the cgroup: {error}"))
    }

    /// Looks at a container that runs from now on. `is_adopted` if an earlier agent may have given it a class.
    pub(crate) fn begin(&self, config: &Config, id: &ContainerId, cgroups: &Cgroups, is_adopted: bool) {
        let isolation = &config.settings.isolation;
        let class_id = cgroups.with(config, "net_cls").filter(|_| is_adopted).and_then(|cgroup| {
            cgroup.read("net_cls.classid").ok()?.trim().parse().ok().filter(|class_id| *class_id != 0)
        });
        let memory = isolation.has(Isolator::CgroupsMem) && config.facts.unified.is_none();
        let memory = cgroups.memory(config).filter(|_| memory);
        let pressure = memory.map(|memory| pressure(&memory)).unwrap_or_default();
        let perf = isolation.has(Isolator::CgroupsPerfEvent) && config.perf.is_some();
        let perf_cgroup = match cgroups.unified(config) {
            Some(cgroup) => Some(cgroup.clone()),
            None => cgroups.with(config, "perf_event"),
        };
        let mut kept = self.lock();
        if let (Some(handles), Some(class_id)) = (&mut kept.handles, class_id) {
            handles.keep(class_id);
        }
        let container = kept.containers.entry(id.clone()).or_default();
        container.class_id = container.class_id.or(class_id);
        container.pressure = pressure;
        container.perf_cgroup = perf_cgroup.filter(|_| perf);
    }

    /// A container is over.
    pub(crate) fn forget(&self, id: &ContainerId) {
        let mut kept = self.lock();
        let class_id = kept.containers.remove(id).and_then(|container| container.class_id);
        if let (Some(handles), Some(class_id)) = (&mut kept.handles, class_id) {
            handles.give_back(class_id);
        }
    }

    /// What is told of its cgroups in its status.
    pub(crate) fn status(&self, id: &ContainerId) -> Option<CgroupInfo> {
        let class_id = self.lock().containers.get(id)?.class_id?;
        Some(CgroupInfo { net_cls: Some(NetCls { classid: Some(class_id) }) })
    }

    /// Adds to its statistics.
    pub(crate) fn fill(&self, id: &ContainerId, statistics: &mut ResourceStatistics) {
        let mut kept = self.lock();
        let Some(container) = kept.containers.get_mut(id) else { return };
        for level in &mut container.pressure {
            // A counter that cannot be read stays as it was.
            level.count += count_of(&level.event).unwrap_or(0);
            (level.tell)(statistics, level.count);
        }
        if container.perf_cgroup.is_some() {
            // COMPAT(mesos): before the first sample there is an empty one.
            let empty =
                || PerfStatistics { timestamp: now_secs(), duration: 0.0, ..PerfStatistics::default() };
            statistics.perf = Some(container.perf.unwrap_or_else(empty));
        }
    }

    fn sampled(&self) -> Vec<(ContainerId, Cgroup)> {
        let kept = self.lock();
        let of = |(id, it): (&ContainerId, &Container)| Some((id.clone(), it.perf_cgroup.clone()?));
        kept.containers.iter().filter_map(of).collect()
    }

    fn sample_of(&self, id: &ContainerId, sample: PerfStatistics) {
        if let Some(container) = self.lock().containers.get_mut(id) {
            container.perf = Some(sample);
        }
    }
}

fn pressure(memory: &Cgroup) -> Vec<Pressure> {
    let listen = |(level, tell): &Level| match listen_pressure_v1(memory, level) {
        Ok(event) => Some(Pressure { event, count: 0, tell: *tell }),
        Err(error) => {
            tracing::warn!(cgroup = %memory.path().display(), %error, level, "cannot listen for memory pressure");
            None
        }
    };
    LEVELS.iter().filter_map(listen).collect()
}

/// Samples what the containers do, again and again until the containerizer is gone.
pub(crate) async fn sample(shared: Weak<Shared>, settings: PerfSettings) {
    let mut ticks = tokio::time::interval(settings.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Some(containers) = shared.upgrade().map(|shared| shared.observed.sampled()) else { return };
        if containers.is_empty() {
            continue;
        }
        let events = settings.events.clone();
        let begin = move || containers.into_iter().map(|(id, cgroup)| (id, open(&cgroup, &events))).collect();
        let counters: Vec<(ContainerId, Vec<Counted>)> =
            tokio::task::spawn_blocking(begin).await.unwrap_or_default();
        let began = tokio::time::Instant::now();
        tokio::time::sleep(settings.duration).await;
        let Some(shared) = shared.upgrade() else { return };
        for (id, counters) in counters {
            let mut sample = PerfStatistics {
                timestamp: now_secs(),
                duration: began.elapsed().as_secs_f64(),
                ..PerfStatistics::default()
            };
            for counted in counters {
                let sum: Option<u64> = counted.counters.iter().map(|it| it.read().ok()).sum();
                if let Some(sum) = sum {
                    (counted.event.tell)(&mut sample, sum);
                }
            }
            shared.observed.sample_of(&id, sample);
        }
    }
}

/// An event's counters, one for each cpu.
struct Counted {
    event: Countable,
    counters: Vec<PerfCounter>,
}

/// Counters of what this machine can count: the others are not told, as `perf stat` does it.
fn open(cgroup: &Cgroup, events: &[Countable]) -> Vec<Counted> {
    let cpus = online_cpus().unwrap_or_default();
    let one = |event: &Countable| {
        let counters = cpus.iter().map(|cpu| PerfCounter::open(cgroup, event.event, *cpu));
        let counters: Vec<PerfCounter> = counters.collect::<Result<_, _>>().ok()?;
        Some(Counted { event: *event, counters }).filter(|counted| !counted.counters.is_empty())
    };
    events.iter().filter_map(one).collect()
}
