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
    /// How soon what came free is offered again.
    Latency(load::BusyOptions),
    /// How much of the cluster tasks of one second use.
    Churn(load::BusyOptions),
    /// How soon one task more runs among many busy frameworks, at 1,000 and at 50,000 agents.
    Probe(load::BusyOptions),
    /// The master dies and comes back: how fast agents with their tasks register again, and whether it answers meanwhile.
    Failover(load::FailoverOptions),
    /// What a master holds in memory for 50,000 agents with 500,000 tasks of 10 labels.
    Memory(load::FailoverOptions),
    /// What 50,000 idle agents cost.
    Idle(load::FailoverOptions),
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
        Work::Latency(options) => busy(load::busy::Kind::Latency, &options),
        Work::Churn(options) => busy(load::busy::Kind::Churn, &options),
        Work::Probe(options) => busy(load::busy::Kind::Probe, &options),
        Work::Failover(options) => failover(load::failover::Kind::Failover, &options),
        Work::Memory(options) => failover(load::failover::Kind::Memory, &options),
        Work::Idle(options) => failover(load::failover::Kind::Idle, &options),
        Work::EchoServer { threads } => load::echo::serve(threads).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        // Without a terminal there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "load: {error:#}");
        ExitCode::FAILURE
    })
}

fn busy(kind: load::busy::Kind, options: &load::BusyOptions) -> anyhow::Result<ExitCode> {
    let (text, good) = load::busy::run(kind, options)?;
    write!(std::io::stdout().lock(), "{text}")?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn failover(kind: load::failover::Kind, options: &load::FailoverOptions) -> anyhow::Result<ExitCode> {
    let (text, good) = load::failover::run(kind, options)?;
    write!(std::io::stdout().lock(), "{text}")?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lifecycle(options: &load::Options) -> anyhow::Result<ExitCode> {
    let report = load::lifecycle::run(options)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", report.json(options))?;
    write!(out, "{}", report.table(options))?;
    Ok(if report.complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
