//! What containers cost: one launch beside other runtimes (`launch`), a thousand through master and agent (`churn`),
//! and whether a neighbour is felt (`neighbour`).
//!
//! Everything runs on the real kernel, as root, with the program that is shipped.

mod bare;
mod churn;
mod contestants;
mod launch;
mod neighbour;
mod runtimes;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::report::Report;

/// What is measured. Containers are launched by the `mesos` beside this program.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Pairs of rounds of single launches.
    #[arg(long, default_value_t = 9)]
    pub(crate) rounds: usize,
    /// Launches in a round.
    #[arg(long, default_value_t = 40)]
    pub(crate) launches: usize,
    /// Containers through master and agent.
    #[arg(long, default_value_t = 1000)]
    pub(crate) containers: usize,
    /// Only this part: `launch`, `churn` or `neighbour`.
    #[arg(long)]
    pub(crate) only: Option<String>,
}

/// A part, and what runs it.
type Part = (&'static str, fn(&Options, &mut Report) -> anyhow::Result<()>);

const PARTS: &[Part] = &[("launch", launch::run), ("churn", churn::run), ("neighbour", neighbour::run)];

/// Runs the parts, each on its own.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "containers are made by root");
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    ensure!(PARTS.iter().any(|(name, _)| wanted(name)), "--only is launch, churn or neighbour");
    for (name, part) in PARTS.iter().filter(|(name, _)| wanted(name)) {
        part(options, report).with_context(|| format!("containers: {name}"))?;
    }
    Ok(())
}
