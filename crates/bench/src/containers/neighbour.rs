//! G20 and G21: a neighbour that takes all it can get is not felt by a task that is isolated, and is by one that is not (the
//! control); and a task's own speed in a container against the same work outside.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::containers::Options;
use crate::containers::contestants::{ISOLATION, Ours};
use crate::containers::launch::PROGRAM;
use crate::measure::{Spread, process_cpu_us, round};
use crate::report::Report;

/// Processes of the neighbour that never wait.
const GREEDY: usize = 8;

/// How long two containers run beside each other.
const TIME: Duration = Duration::from_secs(4);

/// The part of its cpu that the isolated task gets at least.
const KEPT_GOAL: f64 = 0.9;

/// The part that it may get at most without isolation, or else the measure measures nothing.
const CONTROL_MOST: f64 = 0.6;

/// How much slower work may be in a container.
const SPEED_GOAL: f64 = 1.01;

const FOREVER: &str = "while :; do :; done";

/// Work of a second or so.
const WORK: &str = "i=0; while [ $i -lt 1500000 ]; do i=$((i+1)); done";

/// Pairs of that work.
const PAIRS: usize = 9;

pub(crate) fn run(_options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    ensure!(processors <= GREEDY, "{processors} processors are not kept busy by {GREEDY} processes");
    let isolated = kept("cgroups/cpu", processors)?;
    let control = kept("posix/cpu", processors)?;
    let speed = speed()?;
    report.line("");
    report.line(&format!(
        "one cpu of {processors}, beside {GREEDY} processes that take all they can get (G20)"
    ));
    report.line(&format!("  with cgroups/cpu    {:>5.1} % of it", isolated * 100.0));
    report.line(&format!("  without, control    {:>5.1} % of it", control * 100.0));
    report.line(&format!(
        "work in a container against the same outside: {:.3} times ({:.3} to {:.3}) the CPU time (G21)",
        speed.median, speed.min, speed.max
    ));
    report.json(&json!({
        "benchmark": "containers-neighbour", "isolated_kept": round(isolated), "control_kept": round(control),
        "container_speed": speed.json(),
    }));
    report.goal(isolated >= KEPT_GOAL, || {
        format!("an isolated task keeps {isolated:.2} of its cpu, goal {KEPT_GOAL}")
    });
    report.goal(control <= CONTROL_MOST, || format!("the control keeps {control:.2}: nothing is measured"));
    report.goal(speed.median <= SPEED_GOAL, || {
        format!("work takes {:.3} times as long in a container", speed.median)
    });
    Ok(())
}

/// How much of one cpu a task of one cpu gets beside a neighbour that asked for the rest.
fn kept(isolation: &str, processors: usize) -> anyhow::Result<f64> {
    let home = tempfile::tempdir()?;
    let root = format!("mesos-bench-{}-neighbour", std::process::id());
    let mut ours = Ours::new(isolation, home.path(), &root, Path::new(PROGRAM))?;
    // A session each: the kernel shares processors among sessions, which would be isolation of a kind.
    let greedy = format!("for i in $(seq {GREEDY}); do setsid sh -c '{FOREVER}' & done; wait");
    #[expect(clippy::cast_precision_loss, reason = "a machine has few processors")]
    let rest = (processors as f64 - 1.0).max(0.1);
    ours.start("greedy", &["sh", "-c", &greedy], rest)?;
    let task = ours.start("task", &["sh", "-c", FOREVER], 1.0)?.to_string();
    let cpu = || process_cpu_us(&task, 2).context("the task has ended");
    let (began, before) = (Instant::now(), cpu()?);
    std::thread::sleep(TIME);
    let used = (cpu()? - before) / (began.elapsed().as_secs_f64() * 1e6);
    ours.destroy("task")?;
    ours.destroy("greedy")?;
    Ok(used)
}

/// CPU time of the same work in a container and outside, by turns.
fn speed() -> anyhow::Result<Spread> {
    let home = tempfile::tempdir()?;
    let root = format!("mesos-bench-{}-speed", std::process::id());
    let mut ours = Ours::new(ISOLATION, home.path(), &root, Path::new(PROGRAM))?;
    let mut ratios = Vec::new();
    for pair in 0..PAIRS {
        let inside = spent(|| ours.launch(&format!("work-{pair}"), &["sh", "-c", WORK]))?;
        let outside = spent(|| {
            let mut bare = Command::new(PROGRAM);
            let status = bare.args(["sh", "-c", WORK]).stdin(Stdio::null()).status()?;
            ensure!(status.success(), "the work ended with {status}");
            Ok(())
        })?;
        ratios.push(inside / outside);
    }
    Ok(Spread::of(ratios))
}

/// CPU of this process and of its children over some work.
fn spent(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let all = || process_cpu_us("self", 4).context("this process has a stat file");
    let before = all()?;
    work()?;
    Ok(all()? - before)
}
