//! G12: one container from nothing to nothing: ours, a bare clone and exec, crun and runc by turns.
//!
//! The same static program in the same three namespaces, with a cgroup in the same hierarchies (crun and runc make one in
//! every hierarchy, as does `cgroups/all`). Wall time of a launch; CPU of this process and of all its children.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use linux::Namespaces;
use serde_json::json;

use crate::containers::Options;
use crate::containers::bare::Bare;
use crate::containers::contestants::{ISOLATION, Ours, left_behind};
use crate::containers::runtimes::{Runtime, hide_unified};
use crate::measure::{Spread, float, process_cpu_us, round};
use crate::report::Report;

/// A static program that is on every machine that runs this.
pub(crate) const PROGRAM: &str = "/bin/busybox";

/// At most this part of what crun takes.
const CRUN_GOAL: f64 = 0.6;

/// At most this many times what a bare launch takes.
const BARE_GOAL: f64 = 2.0;

/// Runs rounds by turns, and compares within each.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    ensure!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing: install busybox-static");
    hide_unified()?;
    let home = tempfile::tempdir()?;
    let root = format!("mesos-bench-{}", std::process::id());
    let mut ours = Ours::new(ISOLATION, home.path(), &root, Path::new(PROGRAM))?;
    let namespaces = Namespaces { pid: true, ipc: true, mount: true, ..Namespaces::default() };
    let parents = ours.parents.iter().map(|parent| parent.with_file_name(format!("{root}-bare"))).collect();
    let bare = Bare::new(parents, namespaces, Path::new(PROGRAM))?;
    let others = ["crun", "runc"].map(|name| Runtime::new(name, home.path(), Path::new(PROGRAM)));
    let others = others.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let mut rounds: Vec<Round> = Vec::new();
    for at in 0..=options.rounds {
        let mut round = Round::default();
        let id = |who: &str, n: usize| format!("{who}-{at}-{n}");
        // Every other round the other way about, so that a machine that slows down slows all.
        let turns: Vec<usize> = if at % 2 == 0 { (0..4).collect() } else { (0..4).rev().collect() };
        for turn in turns {
            // The others take ten times as long.
            let launches = if turn < 2 { options.launches } else { options.launches.div_ceil(4) };
            let timed = timed(launches, |n| match turn {
                0 => ours.launch(&id("ours", n), &["cat"]),
                1 => bare.launch(&id("bare", n)).context("a bare launch"),
                _ => match &others[turn - 2] {
                    Some(runtime) => runtime.launch(&id(runtime.name, n)),
                    None => Ok(()),
                },
            })?;
            round.0[turn] = timed;
        }
        // The first warms up.
        if at > 0 {
            rounds.push(round);
        }
    }
    drop((ours, bare));
    let present = [true, true, others[0].is_some(), others[1].is_some()];
    tell(&rounds, present, report);
    let left = left_behind(&root, &home.path().to_string_lossy());
    let complaints: Vec<_> = left.iter().map(|(what, count)| format!("{count} {what} are left")).collect();
    report.audit("containers launch", &complaints);
    Ok(())
}

/// Wall and CPU microseconds of a launch, by contestant.
#[derive(Default)]
struct Round([(f64, f64); 4]);

const NAMES: [&str; 4] = ["ours", "bare clone and exec", "crun run", "runc run"];

fn timed(launches: usize, mut launch: impl FnMut(usize) -> anyhow::Result<()>) -> anyhow::Result<(f64, f64)> {
    let (began, cpu) = (Instant::now(), cpu_of_all_us());
    for n in 0..launches {
        launch(n)?;
    }
    let each = float(launches);
    Ok((began.elapsed().as_secs_f64() * 1e6 / each, (cpu_of_all_us() - cpu) / each))
}

fn tell(rounds: &[Round], present: [bool; 4], report: &mut Report) {
    report.line("");
    report.line("one container, from nothing to nothing (G12): wall ms, CPU ms; ours against it, by rounds");
    let of =
        |turn: usize, pick: fn((f64, f64)) -> f64| Spread::of(rounds.iter().map(|round| pick(round.0[turn])));
    let mut line = json!({"benchmark": "containers-launch", "rounds": rounds.len()});
    for (turn, name) in NAMES.iter().enumerate().filter(|(turn, _)| present[*turn]) {
        let (wall, cpu) = (of(turn, |timed| timed.0), of(turn, |timed| timed.1));
        let ratio = Spread::of(rounds.iter().map(|round| round.0[0].0 / round.0[turn].0));
        report.line(&format!(
            "  {name:22} {:>7.2} {:>7.2}   {:.2} ({:.2} to {:.2})",
            wall.median / 1e3,
            cpu.median / 1e3,
            ratio.median,
            ratio.min,
            ratio.max
        ));
        line[name] = json!({"wall_us": wall.json(), "cpu_us": cpu.json(), "ours_against_it": ratio.json()});
        let goal = match turn {
            1 => Some(BARE_GOAL),
            2 => Some(CRUN_GOAL),
            _ => None,
        };
        if let Some(goal) = goal {
            report.goal(ratio.median <= goal, || {
                format!("a launch is {} times {name}, goal {goal}", round(ratio.median))
            });
        }
    }
    report.json(&line);
}

/// CPU of this process and of its children that have ended, in microseconds.
fn cpu_of_all_us() -> f64 {
    process_cpu_us("self", 4).unwrap_or_default()
}
