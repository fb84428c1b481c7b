//! The steps of `test` and `bench`, each timed and named, so that a failure says where.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::{figures, floors, peers, root, shipped, tidy};

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

/// The benchmark of what is shipped: how the program was built is much of what a launch costs.
const CONTAINERS: &str = "containers";

/// A benchmark: its name, the program that runs it, and what it measures.
const BENCHES: &[(&str, &str, &str)] = &[
    (
        "allocator",
        "bench",
        "the allocator in one process: shapes beside Apache Mesos's figures, and slopes (G1, G2)",
    ),
    ("all", "bench", "both of these, and a picture with --plot FILE"),
    ("declines", "bench", "a storm of declines, and filters that expire (G3)"),
    (
        CONTAINERS,
        "bench",
        "containers on the real kernel: a launch beside crun and runc, a thousand of them, a neighbour (G12, G13, G20-G22)",
    ),
    ("registry", "bench", "a change of the registry beside an fdatasync, and what it writes (G14)"),
    ("latency", "load", "what came free is offered again, over the wire at 10,000 agents (G4)"),
    ("churn", "load", "how much of a cluster tasks of one second use (G4)"),
    ("probe", "load", "one task more among 200 busy frameworks, at 1,000 and 50,000 agents (G5)"),
    ("failover", "load", "the master is killed: how fast 40,000 agents with 400,000 tasks are back (G7)"),
    ("memory", "load", "what 50,000 agents with 500,000 tasks take of the master's memory (G16)"),
    ("idle", "load", "what 50,000 idle agents cost the master (G17)"),
    ("lifecycle", "load", "full task life-cycles over the real wire, and the master's CPU for each"),
];

/// Everything about allocation, in this order: benchmark, arguments.
const ALL_ALLOCATION: &[(&str, &[&str])] =
    &[("all", &["--plot", "docs/allocation-scaling.svg"]), ("latency", &[]), ("churn", &[]), ("probe", &[])];

/// Builds for speed and runs the benchmark `name`.
pub(crate) fn bench(name: &str, args: &[String]) -> anyhow::Result<()> {
    if name == "list" {
        for (name, _, what) in BENCHES {
            say(&format!("{name}: {what}"));
        }
        say(
            "all-allocation: those of the allocator and of offers over the wire, one after the other; what they find",
        );
        say("  goes into docs/allocation.md and docs/allocation-scaling.svg");
        return Ok(());
    }
    if name == "all-allocation" {
        ensure!(args.is_empty(), "all-allocation takes no arguments");
        build_benches()?;
        let mut lines = Vec::new();
        // Every one runs, also after one that missed a goal.
        let outcomes: Vec<_> = ALL_ALLOCATION
            .iter()
            .map(|(name, args)| step(name, || run_bench(name, args.iter().copied(), &mut lines)))
            .collect();
        let found: Vec<_> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        figures::update(&found)?;
        return summed_up(outcomes);
    }
    ensure!(BENCHES.iter().any(|(known, ..)| *known == name), "no benchmark '{name}'; try `list`");
    match name {
        CONTAINERS => cargo_static(&["build", "--release", "--package", "cli", "--package", "bench"])?,
        _ => build_benches()?,
    }
    run_bench(name, args.iter().map(String::as_str), &mut Vec::new())
}

fn build_benches() -> anyhow::Result<()> {
    cargo(&["build", "--release", "--package", "cli", "--package", "load", "--package", "bench"])
}

/// Builds what is shipped, and says where it is.
pub(crate) fn dist() -> anyhow::Result<()> {
    cargo_static(&["build", "--profile", "dist", "--package", "cli"])?;
    say(&shipped::place(&cargo_directory(), "dist").join("mesos").display().to_string());
    Ok(())
}

/// Where cargo builds. It takes a relative directory from where it runs, which is the root.
fn cargo_directory() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Builds the simulation and runs it.
pub(crate) fn sim(args: &[String]) -> anyhow::Result<()> {
    let mut all = vec!["run", "--release", "--quiet", "--package", "sim", "--"];
    all.extend(args.iter().map(String::as_str));
    cargo(&all)
}

/// Tells of every run that failed, not only of the first.
fn summed_up(outcomes: Vec<anyhow::Result<()>>) -> anyhow::Result<()> {
    let failed: Vec<_> =
        outcomes.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(failed.is_empty(), "a goal was missed or an audit failed: {}", failed.join("; "));
    Ok(())
}

/// Runs one, and keeps the lines that it prints while it prints them.
fn run_bench<'a>(
    name: &str,
    args: impl Iterator<Item = &'a str>,
    lines: &mut Vec<String>,
) -> anyhow::Result<()> {
    let program = BENCHES.iter().find(|(known, ..)| *known == name).map(|(_, program, _)| *program);
    let program = program.with_context(|| format!("no benchmark '{name}'"))?;
    let place = match name {
        CONTAINERS => shipped::place(&cargo_directory(), "release"),
        _ => cargo_directory().join("release"),
    };
    let mut running = Command::new(place.join(program))
        .arg(name)
        .args(args)
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} does not start"))?;
    for line in running.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let line = line.with_context(|| format!("{program} prints no text"))?;
        // A closed terminal is no reason to stop a run.
        let _ = writeln!(std::io::stdout(), "{line}");
        lines.push(line);
    }
    let status = running.wait()?;
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
    run_cargo(args, None)
}

/// Static where that can be.
fn cargo_static(args: &[&str]) -> anyhow::Result<()> {
    let Some(target) = shipped::target() else { return cargo(args) };
    run_cargo(&[args, &["--target", target]].concat(), Some(&shipped::flags()))
}

fn run_cargo(args: &[&str], flags: Option<&str>) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    if let Some(flags) = flags {
        command.env("RUSTFLAGS", flags);
    }
    let status = command.args(args).current_dir(root()).status().context("cargo does not start")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", args.join(" "));
    }
    Ok(())
}
