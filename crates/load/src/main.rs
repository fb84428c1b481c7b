//! `load`: puts a master under load and says what it cost.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "load",
    about = "Puts a Mesos master under load over the real wire, and audits what came of it"
)]
struct Args {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Full task life-cycles (accept, run, running, finished, acknowledged), and the master's CPU for each.
    Lifecycle(load::Options),
    /// The calibrator's server: answers every request with its own body. Prints its address.
    EchoServer {
        /// Threads that serve.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().work {
        Work::Lifecycle(options) => lifecycle(&options),
        Work::EchoServer { threads } => load::echo::serve(threads).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        // Without a terminal there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "load: {error:#}");
        ExitCode::FAILURE
    })
}

fn lifecycle(options: &load::Options) -> anyhow::Result<ExitCode> {
    let report = load::lifecycle::run(options)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", report.json(options))?;
    write!(out, "{}", report.table(options))?;
    Ok(if report.complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
