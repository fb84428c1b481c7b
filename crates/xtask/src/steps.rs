//! The steps of `test` and `bench`, each timed and named, so that a failure says where.

use std::io::Write;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::{floors, peers, root, tidy};

/// Runs everything that must pass before a change lands.
pub(crate) fn test(with_peers: bool) -> anyhow::Result<()> {
    step("tidy", tidy::check)?;
    step("floors", floors::check)?;
    step("format", || cargo(&["fmt", "--all", "--check"]))?;
    step("lints", || cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    step("build", || cargo(&["build", "--quiet", "--workspace", "--all-targets"]))?;
    if with_peers {
        step("peers: install", peers::install)?;
    }
    step("tests", || cargo(&["test", "--workspace", "--no-fail-fast"]))
}

/// A benchmark: its name, the program that runs it, and what it measures.
const BENCHES: &[(&str, &str, &str)] = &[
    (
        "allocator",
        "bench",
        "the allocator in one process: shapes beside Apache Mesos's figures, and slopes (G1, G2)",
    ),
    ("declines", "bench", "a storm of declines, and filters that expire (G3)"),
    ("latency", "load", "what came free is offered again, over the wire at 10,000 agents (G4)"),
    ("churn", "load", "how much of a cluster tasks of one second use (G4)"),
    ("probe", "load", "one task more among 200 busy frameworks, at 1,000 and 50,000 agents (G5)"),
    ("lifecycle", "load", "full task life-cycles over the real wire, and the master's CPU for each"),
];

/// Everything about allocation, in this order: benchmark, arguments.
const ALL_ALLOCATION: &[(&str, &[&str])] = &[
    ("allocator", &["--plot", "docs/allocation-scaling.svg"]),
    ("declines", &[]),
    ("latency", &[]),
    ("churn", &[]),
    ("probe", &[]),
];

/// Builds for speed and runs the benchmark `name`.
pub(crate) fn bench(name: &str, args: &[String]) -> anyhow::Result<()> {
    if name == "list" {
        for (name, _, what) in BENCHES {
            say(&format!("{name}: {what}"));
        }
        say("all-allocation: those of the allocator and of offers over the wire, one after the other");
        return Ok(());
    }
    if name == "all-allocation" {
        ensure!(args.is_empty(), "all-allocation takes no arguments");
        build_benches()?;
        // Every one runs, also after one that missed a goal.
        let outcomes: Vec<_> = ALL_ALLOCATION
            .iter()
            .map(|(name, args)| step(name, || run_bench(name, args.iter().copied())))
            .collect();
        return outcomes.into_iter().collect();
    }
    ensure!(BENCHES.iter().any(|(known, ..)| *known == name), "no benchmark '{name}'; try `list`");
    build_benches()?;
    run_bench(name, args.iter().map(String::as_str))
}

fn build_benches() -> anyhow::Result<()> {
    cargo(&["build", "--release", "--package", "cli", "--package", "load", "--package", "bench"])
}

fn run_bench<'a>(name: &str, args: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let program = BENCHES.iter().find(|(known, ..)| *known == name).map(|(_, program, _)| *program);
    let program = program.with_context(|| format!("no benchmark '{name}'"))?;
    // Cargo takes a relative directory from where it runs, which is the root.
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let status = Command::new(root().join(target).join("release").join(program))
        .arg(name)
        .args(args)
        .status()
        .with_context(|| format!("{program} does not start"))?;
    ensure!(status.success(), "{name}: {status}");
    Ok(())
}

/// Writes a line to the terminal.
pub(crate) fn say(line: &str) {
    // A closed terminal is no reason to stop a test run.
    let _ = writeln!(std::io::stderr(), "xtask: {line}");
}

fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let began = Instant::now();
    say(name);
    work().with_context(|| name.to_owned())?;
    say(&format!("{name}: ok in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

fn cargo(args: &[&str]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status =
        Command::new(cargo).args(args).current_dir(root()).status().context("cargo does not start")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", args.join(" "));
    }
    Ok(())
}
