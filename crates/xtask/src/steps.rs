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

/// Builds for speed and runs the benchmark `name`.
pub(crate) fn bench(name: &str, args: &[String]) -> anyhow::Result<()> {
    const BENCHES: &[(&str, &str)] =
        &[("lifecycle", "full task life-cycles over the real wire, and the master's CPU for each")];
    if name == "list" {
        for (name, what) in BENCHES {
            say(&format!("{name}: {what}"));
        }
        return Ok(());
    }
    ensure!(BENCHES.iter().any(|(known, _)| *known == name), "no benchmark '{name}'; try `list`");
    cargo(&["build", "--release", "--package", "cli", "--package", "load"])?;
    // Cargo takes a relative directory from where it runs, which is the root.
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let status = Command::new(root().join(target).join("release/load"))
        .arg(name)
        .args(args)
        .status()
        .context("the load generator does not start")?;
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
