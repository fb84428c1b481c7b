//! The project's own chores: `cargo xtask {test,ci,bench,dist,sim,tidy}`.
//!
//! `test` is what the README tells a newcomer to run and what CI runs: it
//! installs what the tests need, checks the house, and runs every test.

mod figures;
mod floors;
mod peers;
mod shipped;
mod steps;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The chores of mesos-rs")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Installs what the tests need, then formats-checks, lints and runs every test.
    Test {
        /// Skip the clients that come from package registries.
        #[arg(long)]
        no_peers: bool,
    },
    /// What CI runs: `test`, with the time each step took.
    Ci,
    /// Installs the clients that the end-to-end tests use, and nothing else.
    Peers,
    /// Checks the house: floors, file sizes, banned words.
    Tidy,
    /// Runs a benchmark: `cargo xtask bench lifecycle`.
    Bench {
        /// Which one; `list` names them.
        name: String,
        /// Passed on to it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Builds what is shipped: one static program.
    Dist,
    /// Runs the simulation of a cluster: `cargo xtask sim --seed 7 [--until EVENT]`, `cargo xtask sim --soak`.
    Sim {
        /// Passed on to it; `--help` names them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().chore {
        Chore::Test { no_peers } => steps::test(!no_peers),
        Chore::Ci => steps::test(true),
        Chore::Peers => peers::install(),
        Chore::Tidy => tidy::check().and_then(|()| floors::check()),
        Chore::Bench { name, args } => steps::bench(&name, &args),
        Chore::Dist => steps::dist(),
        Chore::Sim { args } => steps::sim(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            steps::say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The root of the checkout.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/xtask lies two folders deep")
        .to_owned()
}
