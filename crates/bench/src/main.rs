//! `bench`: what decisions of the allocator cost, beside what Apache Mesos takes and against the size of the cluster; and
//! what containers cost.
//!
//! ```text
//! table (shapes beside Mesos), scaling, declines (slopes) -> world (an allocator) -> audit (a book kept apart)
//!                                            \--> report, plot
//! ```
//!
//! All of that runs in this process on one thread; what is measured is its own CPU time. `containers` is the other half:
//! real containers beside other runtimes.

mod audit;
mod containers;
mod declines;
mod measure;
mod plot;
mod quota;
mod registry;
mod report;
mod scaling;
mod shapes;
mod table;
mod world;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report::Report;
use crate::world::Control;

/// The allocator of memory of the program that is shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "bench", about = "Measures the allocator in this process, and containers")]
struct Args {
    #[command(subcommand)]
    work: Work,
    /// Negative control: does something wrong, so that an audit or a limit must fail.
    #[arg(long, global = true)]
    control: Option<Control>,
    /// Draws cost against size into this file.
    #[arg(long, global = true)]
    plot: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Work {
    /// The shapes of Apache Mesos's benchmarks, and how cost grows with the cluster.
    Allocator {
        /// How often each shape is run.
        #[arg(long, default_value_t = 3)]
        times: usize,
        /// Only shapes with this in their name, and no slopes.
        #[arg(long)]
        only: Option<String>,
        /// Only the slopes.
        #[arg(long)]
        slopes: bool,
    },
    /// A storm of declines, and filters that expire among filters that stay.
    Declines {
        /// Agents; a storm of 2,000 frameworks on 2,000 agents has four million declines.
        #[arg(long, default_value_t = declines::AGENTS)]
        agents: usize,
    },
    /// Containers on the real kernel: one launch beside other runtimes, a thousand through master and agent, a neighbour.
    Containers(containers::Options),
    /// A change of the registry on a disk, beside an fdatasync, at clusters of several sizes.
    Registry(registry::Options),
    /// All of the allocator, and one picture of it.
    All {
        /// How often each shape is run.
        #[arg(long, default_value_t = 3)]
        times: usize,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut report = Report::default();
    let mut series = Vec::new();
    match args.work {
        Work::Allocator { times, only, slopes } => {
            if !slopes {
                series.extend(table::run(times, only.as_deref(), args.control, &mut report));
            }
            if only.is_none() {
                series.push(scaling::change(args.control, &mut report));
                series.extend(scaling::full(args.control, &mut report));
            }
        }
        Work::Containers(options) => {
            if let Err(error) = containers::run(&options, &mut report) {
                // What was measured before is told all the same.
                report.audit("containers", &[format!("{error:#}")]);
            }
        }
        Work::Registry(options) => {
            if let Err(error) = registry::run(&options, &mut report) {
                report.audit("registry", &[format!("{error:#}")]);
            }
        }
        Work::Declines { agents } => series.push(declines::run(agents, args.control, &mut report)),
        Work::All { times } => {
            series.extend(table::run(times, None, args.control, &mut report));
            series.push(scaling::change(args.control, &mut report));
            series.extend(scaling::full(args.control, &mut report));
            series.push(declines::run(declines::AGENTS, args.control, &mut report));
        }
    }
    let passed = report.end();
    if let Some(path) = args.plot
        && let Err(error) = std::fs::write(&path, plot::svg(&series))
    {
        // Without a terminal there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "bench: {} cannot be written: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
