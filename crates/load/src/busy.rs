//! Clusters whose every slot is wanted at all times: how soon what came free is offered again (`latency`), how much of the
//! cluster is used (`churn`), and how soon one task more runs among hundreds of busy frameworks (`probe`).
//!
//! Tasks end open-loop, at times that do not depend on the master, and every time is measured from when it should have
//! begun.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::histogram::Histogram;
use crate::lifecycle::{Counts, Moment, START_PATIENCE, first_complaint, settle, start};
use crate::options::{BusyOptions, Options};
use crate::process::{self, Started};
use crate::settings::Length;

/// How long all slots may take to be filled, and all tasks to end.
const FILL_PATIENCE: Duration = Duration::from_secs(120);

/// Which of the three is measured, and what is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// G4: what came free is offered again, 5 ms at the median and 20 ms at p99.
    Latency,
    /// G4: tasks of one second use 98 % of the cluster.
    Churn,
    /// G5: a probe runs within 50 ms at p99, and at 50,000 agents within 1.5 times what 1,000 take.
    Probe,
}

/// What was found at one size.
#[derive(Debug)]
struct Found {
    agents: usize,
    frameworks: usize,
    offered: Histogram,
    probed: Histogram,
    probes_left: usize,
    /// Of the time of all slots, in thousandths.
    used_milli: u64,
    ended: u64,
    wall_us: u64,
    master_cpu_us: u64,
    generator_cpu_us: u64,
    stolen_us: u64,
    registration_us: u64,
    complaints: Vec<String>,
}

/// Runs it, prints JSON lines and a table, and says whether audits passed and goals were reached.
pub fn run(kind: Kind, options: &BusyOptions) -> anyhow::Result<(String, bool)> {
    let sizes: Vec<(usize, usize)> = match (kind, options.agents) {
        (Kind::Latency, agents) => vec![(agents.unwrap_or(10_000), options.frameworks.unwrap_or(100))],
        (Kind::Churn, agents) => vec![(agents.unwrap_or(1_000), options.frameworks.unwrap_or(10))],
        (Kind::Probe, Some(agents)) => vec![(agents, options.frameworks.unwrap_or(200))],
        (Kind::Probe, None) => {
            [1_000, 50_000].map(|agents| (agents, options.frameworks.unwrap_or(200))).into()
        }
    };
    let mut found = Vec::new();
    for (agents, frameworks) in sizes {
        found.push(one(kind, options, agents, frameworks)?);
    }
    Ok(told(kind, options, &found))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "positive and far from the bounds"
)]
fn one(kind: Kind, options: &BusyOptions, agents: usize, frameworks: usize) -> anyhow::Result<Found> {
    anyhow::ensure!((1..=60_000).contains(&agents), "--agents is from 1 to 60000");
    anyhow::ensure!((1..=5_000).contains(&frameworks), "--frameworks is from 1 to 5000");
    anyhow::ensure!((1..=600).contains(&options.seconds), "--seconds is from 1 to 600");
    anyhow::ensure!(options.warm_up_seconds <= 600, "--warm-up-seconds is at most 600");
    anyhow::ensure!(options.rate > 0.0 && options.probes > 0.0, "rates are positive");
    process::raise_files_max()?;
    // So many addresses take three times as many open files as one process may commonly have.
    let shared = options.listeners.or((agents > 5_000).then_some(16));
    let base = Options {
        agents,
        frameworks,
        slots: 1,
        batch: 1,
        listeners: shared,
        master_flag: options.master_flag.clone(),
        master_log: options.master_log.clone(),
        fault: options.fault,
        ..Options::default()
    };
    let own_master = match options.master {
        Some(_) => None,
        None => Some(Started::master(&base)?),
    };
    let address = own_master.as_ref().map(|master| master.address).or(options.master);
    let address = address.context("there is no master")?;
    let pid = own_master.as_ref().map(Started::pid).or(options.master_pid);
    let before = Counts::read(address)?;
    let mut cluster = Cluster::new(&base, address)?;
    let mean_us = match kind {
        Kind::Churn => 1_000_000,
        Kind::Latency | Kind::Probe => (agents as f64 * 1e6 / options.rate) as u64,
    };
    cluster.set_length(Length { mean_us, varies: kind != Kind::Churn });
    start(&mut cluster, &base)?;
    let registration_us = cluster.now_us();
    if kind == Kind::Probe {
        cluster.add_prober()?;
        if !cluster.run_until(START_PATIENCE, START_PATIENCE, Cluster::all_subscribed)? {
            bail!("the prober was not subscribed in time{}", first_complaint(&cluster));
        }
    }
    let slots = u64::try_from(agents)?;
    let now_us = cluster.now_us();
    cluster.ledger.open_window(u64::MAX / 2, None, now_us);
    // Some slots are between two tasks at any time.
    let full = |cluster: &Cluster| cluster.ledger.busy() * 100 >= slots * 97;
    if !cluster.run_until(FILL_PATIENCE, Duration::from_secs(15), full)? {
        bail!(
            "only {} of {slots} slots were in use after {} s{}",
            cluster.ledger.busy(),
            FILL_PATIENCE.as_secs(),
            first_complaint(&cluster)
        );
    }
    let warm_up = Duration::from_secs(options.warm_up_seconds);
    cluster.run_until(warm_up, warm_up * 2, |_| false)?;
    cluster.ledger.start_measuring();
    if kind == Kind::Probe {
        cluster.set_probes(Some((1e6 / options.probes) as u64));
    }
    let (began, began_us, ended) = (Moment::now(pid)?, cluster.now_us(), cluster.ledger.finished());
    let busy_us = cluster.ledger.busy_us(began_us);
    let time = Duration::from_secs(options.seconds);
    cluster.run_until(time, time * 2, |_| false)?;
    let over_us = cluster.now_us();
    let used_us = cluster.ledger.busy_us(over_us) - busy_us;
    let (master_cpu_us, generator_cpu_us, stolen_us, wall_us) = Moment::now(pid)?.since(&began);
    let ended = cluster.ledger.finished() - ended;
    cluster.set_probes(None);
    cluster.run_until(Duration::from_secs(2), Duration::from_secs(2), |cluster| {
        cluster.ledger.probes_left() == 0
    })?;
    let (offered, probed) = (cluster.ledger.offered().clone(), cluster.ledger.probed().clone());
    let probes_left = cluster.ledger.probes_left();
    // Everything ends, and then both sides' books must agree.
    cluster.ledger.close_window();
    cluster.end_all();
    let stall = Duration::from_secs(if base.fault.is_some() { 2 } else { 15 });
    let all = |cluster: &Cluster| cluster.ledger.done() == cluster.ledger.launched();
    let whole = cluster.run_until(FILL_PATIENCE, stall, all)?;
    let expected = cluster.ledger.launched();
    let mut complaints = cluster.ledger.audit(expected);
    if !whole {
        complaints.push("not every task came to its end".to_owned());
    }
    complaints.extend(settle(&mut cluster, &base, address, &before, expected)?);
    Ok(Found {
        agents,
        frameworks,
        offered,
        probed,
        probes_left,
        used_milli: used_us * 1000 / (slots * (over_us - began_us)).max(1),
        ended,
        wall_us,
        master_cpu_us: master_cpu_us.context("the master's CPU is known")?,
        generator_cpu_us,
        stolen_us,
        registration_us,
        complaints,
    })
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Churn => "churn",
            Self::Probe => "probe",
        }
    }

    /// What was missed at one size.
    fn missed(self, found: &Found) -> Vec<String> {
        let mut missed = Vec::new();
        let mut most = |what: &str, is_us: u64, goal_us: u64| {
            if is_us > goal_us {
                missed.push(format!("{what} is {}, goal {}", ms(is_us), ms(goal_us)));
            }
        };
        match self {
            Self::Latency => {
                most("p50", found.offered.permille(500), 5_000);
                most("p99", found.offered.permille(990), 20_000);
            }
            Self::Probe => most("p99", found.probed.permille(990), 50_000),
            Self::Churn => {
                if found.used_milli < 980 {
                    missed.push(format!("{} thousandths are used, goal 980", found.used_milli));
                }
            }
        }
        let measured = if self == Self::Probe { found.probed.total() } else { found.offered.total() };
        if measured == 0 || found.probes_left > 0 {
            missed.push(format!("{measured} measured, {} probes never ran", found.probes_left));
        }
        missed
    }
}

fn ms(us: u64) -> String {
    format!("{}.{:02} ms", us / 1000, us % 1000 / 10)
}

fn quantiles(histogram: &Histogram) -> Value {
    json!({
        "count": histogram.total(), "p50": histogram.permille(500), "p90": histogram.permille(900),
        "p99": histogram.permille(990), "max": histogram.max(),
    })
}

/// The lines of JSON and the table.
fn told(kind: Kind, options: &BusyOptions, found: &[Found]) -> (String, bool) {
    let (mut lines, mut table, mut good) = (String::new(), String::new(), true);
    for one in found {
        let missed = kind.missed(one);
        good &= missed.is_empty() && one.complaints.is_empty();
        let line = json!({
            "benchmark": kind.name(), "agents": one.agents, "frameworks": one.frameworks,
            "offered_us": quantiles(&one.offered), "probed_us": quantiles(&one.probed),
            "used_milli": one.used_milli, "ended": one.ended, "wall_us": one.wall_us,
            "master_cpu_us": one.master_cpu_us, "generator_cpu_us": one.generator_cpu_us, "stolen_us": one.stolen_us,
            "ready_us": one.registration_us, "fault": options.fault.map(|fault| format!("{fault:?}")),
            "missed": missed, "audit": if one.complaints.is_empty() { "passed" } else { "failed" },
            "complaints": one.complaints,
        });
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{line}");
        let _ = writeln!(
            table,
            "{} agents, {} frameworks: {} tasks ended in {}; registered and subscribed after {}",
            one.agents,
            one.frameworks,
            one.ended,
            ms(one.wall_us),
            ms(one.registration_us)
        );
        for (what, histogram) in
            [("freed to offered", &one.offered), ("probe due to known running", &one.probed)]
        {
            if histogram.total() > 0 {
                let _ = writeln!(
                    table,
                    "  {what:28} p50 {:>10}  p90 {:>10}  p99 {:>10}  most {:>10}  of {}",
                    ms(histogram.permille(500)),
                    ms(histogram.permille(900)),
                    ms(histogram.permille(990)),
                    ms(histogram.max()),
                    histogram.total()
                );
            }
        }
        let per_task = |us: u64| us / one.ended.max(1);
        let _ = writeln!(
            table,
            "  slots in use {}.{} %; for each task: master {} us of CPU, generator {} us; stolen {}",
            one.used_milli / 10,
            one.used_milli % 10,
            per_task(one.master_cpu_us),
            per_task(one.generator_cpu_us),
            ms(one.stolen_us)
        );
        for complaint in &one.complaints {
            let _ = writeln!(table, "  audit FAILED: {complaint}");
        }
        for miss in &missed {
            let _ = writeln!(table, "  MISSED: {miss}");
        }
    }
    if let (Kind::Probe, [small, large]) = (kind, found) {
        let (few, many) = (small.probed.permille(990), large.probed.permille(990));
        let reached = many * 2 <= few * 3;
        good &= reached;
        let _ = writeln!(
            table,
            "  p99 at {} agents against {}: {}.{:02} times, goal 1.5{}",
            large.agents,
            small.agents,
            many / few.max(1),
            many * 100 / few.max(1) % 100,
            if reached { "" } else { "  MISSED" }
        );
    }
    (lines + &table, good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(offered_us: &[u64]) -> Found {
        let mut offered = Histogram::default();
        offered_us.iter().for_each(|us| offered.record(*us));
        Found {
            agents: 1,
            frameworks: 1,
            offered,
            probed: Histogram::default(),
            probes_left: 0,
            used_milli: 979,
            ended: 1,
            wall_us: 1,
            master_cpu_us: 1,
            generator_cpu_us: 1,
            stolen_us: 0,
            registration_us: 1,
            complaints: Vec::new(),
        }
    }

    #[test]
    fn goals_are_held_against_what_was_found() {
        for (kind, offered, missed) in [
            (Kind::Latency, &[1000, 2000, 3000][..], 0),
            (Kind::Latency, &[6000, 6000, 6000], 1),
            (Kind::Latency, &[1000, 1000, 30_000], 1),
            (Kind::Latency, &[], 1),
            (Kind::Churn, &[1000], 1),
            (Kind::Probe, &[1000], 1),
        ] {
            assert_eq!(kind.missed(&found(offered)).len(), missed, "{kind:?} {offered:?}");
        }
    }
}
