//! A master that dies by SIGKILL and begins again over its registry: how fast agents and their tasks are back (`failover`), what
//! it holds then (`memory`), and what it costs when nothing happens (`idle`).
//!
//! The agents and frameworks are first admitted by the master that dies, over the wire. Then the agents have tasks, as if
//! these had been launched long ago, and report them when they register again. The calibrator is a decoder that reads the very
//! bytes of these reports.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use proto::mesos::internal::ReregisterSlaveMessage;
use proto::wire;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::lifecycle::{Moment, START_PATIENCE, document, first_complaint, start};
use crate::options::{FailoverOptions, Options};
use crate::process::{self, Started};
use crate::pulse::{Answers, Pulse};

/// How long everybody may take to be back, and the master's books to say so.
const BACK_PATIENCE: Duration = Duration::from_secs(300);

/// The most listeners by default: each takes three open files here.
const LISTENERS_MAX: usize = 4_000;

/// Which of the three is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// G7: 10,000 agents a second for each core of the master, at most three times what decoding costs, health meanwhile.
    Failover,
    /// G16: 50,000 agents and 500,000 tasks in 4 GB.
    Memory,
    /// G17: 50,000 idle agents take at most 3 % of a core.
    Idle,
}

/// A size to measure at.
#[derive(Clone, Copy, Debug)]
struct Size {
    agents: usize,
    frameworks: usize,
    tasks: u32,
    labels: u32,
    idle: Duration,
}

/// What was found at one size. Times in microseconds.
#[derive(Debug)]
struct Found {
    size: Size,
    /// From the kill until the next master served.
    restart_us: u64,
    /// From then until all agents were registered and all frameworks subscribed.
    back_us: u64,
    master_cpu_us: u64,
    generator_cpu_us: u64,
    stolen_us: u64,
    report_bytes: u64,
    decode_cpu_us: u64,
    health: Answers,
    memory_kb: (u64, u64),
    /// CPU of the master, and time, while nothing happened.
    idle_us: (u64, u64),
    complaints: Vec<String>,
}

/// Runs it; JSON lines and a table, and whether audits passed and goals were reached.
pub fn run(kind: Kind, options: &FailoverOptions) -> anyhow::Result<(String, bool)> {
    process::raise_files_max()?;
    let found: Vec<Found> =
        kind.sizes(options).into_iter().map(|size| measure(size, options)).collect::<anyhow::Result<_>>()?;
    Ok(told(kind, options, &found))
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Memory => "memory",
            Self::Idle => "idle",
        }
    }

    fn sizes(self, options: &FailoverOptions) -> Vec<Size> {
        let (agents, tasks, labels, idle_seconds): (&[usize], _, _, _) = match self {
            Self::Failover => (&[5_000, 10_000, 20_000, 40_000], 10, 0, 0),
            Self::Memory => (&[50_000], 10, 10, 0),
            Self::Idle => (&[50_000], 0, 0, 60),
        };
        let agents = options.agents.map_or(agents.to_vec(), |agents| vec![agents]);
        let size = |agents| Size {
            agents,
            frameworks: options.frameworks.unwrap_or(if self == Self::Idle { 10 } else { 200 }),
            tasks: options.tasks.unwrap_or(tasks),
            labels: options.labels.unwrap_or(labels),
            idle: Duration::from_secs(options.idle_seconds.unwrap_or(idle_seconds)),
        };
        agents.into_iter().map(size).collect()
    }

    /// What was missed at one size.
    fn missed(self, found: &Found) -> Vec<String> {
        let agents = u64::try_from(found.size.agents).unwrap_or(u64::MAX);
        let mut missed = Vec::new();
        let mut most = |what: &str, is: u64, goal: u64| {
            if is > goal {
                missed.push(format!("{what}: {is}, goal {goal}"));
            }
        };
        match self {
            Self::Failover => {
                most("master CPU for each agent, us", found.master_cpu_us / agents.max(1), 100);
                most("percent of the decoder's CPU", found.percent_of_decoding(), 300);
                most("/health p99, us", found.health.times.permille(990), 50_000);
                most("/health not answered", found.health.failed, 0);
            }
            Self::Memory => most("memory at the most, kB", found.memory_kb.1, 4 << 20),
            Self::Idle => most("thousandths of a core when idle", found.idle_milli(), 30),
        }
        missed
    }
}

impl Found {
    fn percent_of_decoding(&self) -> u64 {
        self.master_cpu_us * 100 / self.decode_cpu_us.max(1)
    }

    fn idle_milli(&self) -> u64 {
        self.idle_us.0 * 1000 / self.idle_us.1.max(1)
    }
}

fn measure(size: Size, options: &FailoverOptions) -> anyhow::Result<Found> {
    let home = tempfile::tempdir()?;
    let mut flags =
        vec![format!("--registry={}", options.registry), format!("--work_dir={}", home.path().display())];
    flags.extend(options.master_flag.iter().cloned());
    let base = Options {
        agents: size.agents,
        frameworks: size.frameworks,
        slots: size.tasks.max(1),
        listeners: Some(options.listeners.unwrap_or(LISTENERS_MAX).min(size.agents)),
        labels: size.labels,
        mesos: options.mesos.clone(),
        master_flag: flags,
        master_log: options.master_log.clone(),
        ..Options::default()
    };
    let mut master = Started::master(&base)?;
    let mut cluster = Cluster::new(&base, master.address)?;
    start(&mut cluster, &base)?;
    cluster.fill_agents(size.tasks);
    if options.forget_task {
        cluster.forget_task();
    }
    let killed = Instant::now();
    master.kill()?;
    cluster.lose_master();
    master.again()?;
    let restart_us = micros(killed.elapsed());
    let pulse = Pulse::begin(master.address);
    let before = Moment::now(Some(master.pid()))?;
    cluster.come_back()?;
    let all = |cluster: &Cluster| cluster.back() == (size.agents, size.frameworks);
    if !cluster.run_until(BACK_PATIENCE, BACK_PATIENCE, all)? {
        bail!("{:?} agents and frameworks are back{}", cluster.back(), first_complaint(&cluster));
    }
    let (master_cpu_us, generator_cpu_us, stolen_us, back_us) =
        Moment::now(Some(master.pid()))?.since(&before);
    let health = pulse.end()?;
    let complaints = audit(&mut cluster, &master, size)?;
    let memory_kb = process::memory_kb(master.pid())?;
    let idle_us = idle(&mut cluster, &master, size.idle)?;
    let (report_bytes, decode_cpu_us) = decode(&cluster)?;
    Ok(Found {
        size,
        restart_us,
        back_us,
        master_cpu_us: master_cpu_us.context("the master's CPU is known")?,
        generator_cpu_us,
        stolen_us,
        report_bytes,
        decode_cpu_us,
        health,
        memory_kb,
        idle_us,
        complaints,
    })
}

/// Whether the master's books have everybody and every task; nobody was told to end anything.
fn audit(cluster: &mut Cluster, master: &Started, size: Size) -> anyhow::Result<Vec<String>> {
    let began = Instant::now();
    loop {
        cluster.run_until(Duration::from_millis(200), START_PATIENCE, |_| false)?;
        let metrics = document(master.address, "/metrics/snapshot")?;
        let tasks = u64::from(size.tasks) * u64::try_from(size.agents)?;
        let wanted = [
            ("slaves_active", u64::try_from(size.agents)?),
            ("recovery_slave_removals", 0),
            ("frameworks_active", u64::try_from(size.frameworks)?),
            ("tasks_running", tasks),
            ("tasks_lost", 0),
            ("tasks_unreachable", 0),
            ("tasks_killed", 0),
        ];
        let wrong = wanted.into_iter().filter_map(|(name, wanted)| {
            let is = metrics[format!("master/{name}")].as_f64()?;
            #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
            let differs = (is - wanted as f64).abs() > 0.001;
            differs.then(|| format!("the master's {name} is {is}, not {wanted}"))
        });
        let mut complaints = cluster.ledger.audit(0);
        complaints.extend(wrong);
        if complaints.is_empty() || began.elapsed() > Duration::from_secs(10) {
            return Ok(complaints);
        }
    }
}

/// The master's CPU while nothing happens but pings.
fn idle(cluster: &mut Cluster, master: &Started, time: Duration) -> anyhow::Result<(u64, u64)> {
    if time.is_zero() {
        return Ok((0, 0));
    }
    // What follows a registration is over by then.
    cluster.run_until(Duration::from_secs(5), START_PATIENCE, |_| false)?;
    let before = Moment::now(Some(master.pid()))?;
    cluster.run_until(time, time * 2, |_| false)?;
    let (cpu_us, _, _, wall_us) = Moment::now(Some(master.pid()))?.since(&before);
    Ok((cpu_us.unwrap_or_default(), wall_us))
}

/// The size of all reports, and the CPU that reading them costs, on this thread.
fn decode(cluster: &Cluster) -> anyhow::Result<(u64, u64)> {
    let reports: Vec<Vec<u8>> = cluster.registrations().collect();
    let before = process::cpu_us(std::process::id())?;
    for report in &reports {
        let message: ReregisterSlaveMessage = wire::decode_unchecked(&report[..])?;
        std::hint::black_box(&message);
    }
    let cpu_us = process::cpu_us(std::process::id())?.saturating_sub(before);
    Ok((reports.iter().map(|report| report.len()).sum::<usize>().try_into()?, cpu_us))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The lines of JSON and the table.
fn told(kind: Kind, options: &FailoverOptions, found: &[Found]) -> (String, bool) {
    let (mut lines, mut table, mut good) = (String::new(), String::new(), true);
    for one in found {
        let missed = kind.missed(one);
        good &= missed.is_empty() && one.complaints.is_empty();
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{}", line(kind, options, one, &missed));
        row(one, &mut table);
        for complaint in &one.complaints {
            let _ = writeln!(table, "  audit FAILED: {complaint}");
        }
        for miss in &missed {
            let _ = writeln!(table, "  MISSED: {miss}");
        }
    }
    if let (Kind::Failover, Some(slope)) = (kind, slope(found)) {
        good &= slope <= 1.05;
        let verdict = if slope <= 1.05 { "" } else { "  MISSED" };
        let _ = writeln!(table, "  master CPU against agents: slope {slope:.2}, goal 1.05{verdict}");
    }
    (lines + &table, good)
}

fn line(kind: Kind, options: &FailoverOptions, one: &Found, missed: &[String]) -> Value {
    let health = &one.health.times;
    json!({
        "benchmark": kind.name(), "agents": one.size.agents, "frameworks": one.size.frameworks,
        "tasks": one.size.tasks, "labels": one.size.labels, "registry": options.registry,
        "restart_us": one.restart_us, "back_us": one.back_us, "master_cpu_us": one.master_cpu_us,
        "generator_cpu_us": one.generator_cpu_us, "stolen_us": one.stolen_us,
        "report_bytes": one.report_bytes, "decode_cpu_us": one.decode_cpu_us,
        "health_us": {"count": health.total(), "p50": health.permille(500), "p99": health.permille(990), "max": health.max()},
        "health_failed": one.health.failed, "memory_kb": one.memory_kb.0, "memory_most_kb": one.memory_kb.1,
        "idle_cpu_us": one.idle_us.0, "idle_us": one.idle_us.1, "missed": missed,
        "audit": if one.complaints.is_empty() { "passed" } else { "failed" }, "complaints": one.complaints,
    })
}

fn row(one: &Found, table: &mut String) {
    let agents = u64::try_from(one.size.agents).unwrap_or(u64::MAX).max(1);
    let health = &one.health.times;
    let _ = writeln!(
        table,
        "{agents} agents with {} tasks, {} frameworks: served again after {} ms, all back {} ms later",
        one.size.tasks,
        one.size.frameworks,
        one.restart_us / 1000,
        one.back_us / 1000
    );
    let _ = writeln!(
        table,
        "  for each agent: master {} us of CPU, generator {}, decoding {} bytes {} us: {} % of decoding; stolen {} ms",
        one.master_cpu_us / agents,
        one.generator_cpu_us / agents,
        one.report_bytes / agents,
        one.decode_cpu_us / agents,
        one.percent_of_decoding(),
        one.stolen_us / 1000
    );
    let _ = writeln!(
        table,
        "  /health p50 {} us, p99 {} us, most {} us of {}; memory {} MB, most {} MB",
        health.permille(500),
        health.permille(990),
        health.max(),
        health.total(),
        one.memory_kb.0 / 1024,
        one.memory_kb.1 / 1024
    );
    if one.idle_us.1 > 0 {
        let milli = one.idle_milli();
        let _ = writeln!(table, "  idle: {}.{} % of a core", milli / 10, milli % 10);
    }
}

/// How the master's CPU grows with the number of agents: the least-squares slope of their logarithms.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn slope(found: &[Found]) -> Option<f64> {
    let points: Vec<(f64, f64)> = found
        .iter()
        .map(|one| ((one.size.agents as f64).ln(), (one.master_cpu_us.max(1) as f64).ln()))
        .collect();
    let count = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let across: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let along: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (points.len() > 1 && along > 0.0).then(|| across / along)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(agents: usize, master_cpu_us: u64) -> Found {
        Found {
            size: Size { agents, frameworks: 1, tasks: 1, labels: 0, idle: Duration::ZERO },
            restart_us: 0,
            back_us: 0,
            master_cpu_us,
            generator_cpu_us: 0,
            stolen_us: 0,
            report_bytes: 0,
            decode_cpu_us: 50_000,
            health: Answers::default(),
            memory_kb: (0, 5 << 20),
            idle_us: (31, 1000),
            complaints: Vec::new(),
        }
    }

    #[test]
    fn goals_are_held_against_what_was_found() {
        assert_eq!(Kind::Failover.missed(&found(1000, 100_000)), Vec::<String>::new());
        assert_eq!(
            Kind::Failover.missed(&found(1000, 160_000)),
            ["master CPU for each agent, us: 160, goal 100", "percent of the decoder's CPU: 320, goal 300"]
        );
        assert_eq!(Kind::Memory.missed(&found(1, 1)), ["memory at the most, kB: 5242880, goal 4194304"]);
        assert_eq!(Kind::Idle.missed(&found(1, 1)), ["thousandths of a core when idle: 31, goal 30"]);
    }

    #[test]
    fn the_slope_is_that_of_the_powers() {
        let square: Vec<Found> = [10, 20, 40].map(|agents| found(agents, (agents * agents) as u64)).into();
        assert!((slope(&square).unwrap() - 2.0).abs() < 1e-9);
        assert!(slope(&square[..1]).is_none());
    }
}
