//! What a change of the registry costs (G14): beside an fdatasync of as many bytes, and against the size of the cluster.
//!
//! One writer appends: an agent's entry changes and is on disk before the next. Each append has an fdatasync of an equal write
//! beside it, so that both meet the same disk. What is written is counted by the kernel (`wchar` of `/proc/self/io`).

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use coordination::{Change, Local, Store};

use crate::measure::{Spread, float, round, slope};
use crate::report::Report;

/// Sizes of the cluster.
const AGENTS: [usize; 4] = [100, 1_000, 10_000, 50_000];

/// Bytes of an agent's entry, about those of a real one.
const ENTRY: usize = 1_000;

/// An append may take so much of an fdatasync.
const GOAL: f64 = 1.25;

/// Bytes written may grow with the cluster's size to this power at most: pages are written whole, and the tree that leads to one
/// is a level higher in a cluster a hundred times the size.
const SLOPE_MAX: f64 = 0.15;

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Changes at each size.
    #[arg(long, default_value_t = 300)]
    changes: usize,
    /// Where the files are: the disk that is measured.
    #[arg(long, default_value = "/var/tmp")]
    directory: PathBuf,
}

pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    report.line("registry: one writer, a change is one agent's entry of 1 kB");
    report.line("  agents    append us   fdatasync us   ratio   bytes written per change");
    let (mut points, mut ratios) = (Vec::new(), Vec::new());
    for agents in AGENTS {
        let home = tempfile::tempdir_in(&options.directory)?;
        let mut store = Local::open(&home.path().join("registry"))?;
        let value = |n: usize| vec![u8::try_from(n % 251).unwrap_or_default(); ENTRY];
        let set = |n: usize, round: usize| Change {
            key: format!("agents/5f0c3a6e-0000-4000-8000-000000000000-S{n}"),
            value: Some(value(n + round)),
        };
        let all: Vec<Change> = (0..agents).map(|n| set(n, 0)).collect();
        store.commit(&all)?;
        let mut beside = File::create(home.path().join("beside"))?;
        let (mut appends, mut syncs, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..options.changes {
            // Spread over the keys, as agents that come and go are.
            let change = set(round * 7_919 % agents, round + 1);
            let before = bytes_written()?;
            let began = Instant::now();
            store.commit(&[change])?;
            appends.push(began.elapsed().as_secs_f64() * 1e6);
            written.push(float(bytes_written()? - before));
            let began = Instant::now();
            beside.write_all(&value(round))?;
            beside.sync_data()?;
            syncs.push(began.elapsed().as_secs_f64() * 1e6);
        }
        let (append, sync, bytes) = (Spread::of(appends), Spread::of(syncs), Spread::of(written));
        let ratio = append.median / sync.median;
        ratios.push(ratio);
        points.push((float(agents), bytes.median));
        report.json(&serde_json::json!({
            "bench": "registry", "agents": agents, "append_us": append.json(), "fdatasync_us": sync.json(),
            "ratio": round(ratio), "bytes": bytes.json(),
        }));
        report.line(&format!(
            "  {agents:>6}    {:>9.0}   {:>12.0}   {ratio:>5.2}   {:>8.0}",
            append.median, sync.median, bytes.median
        ));
        let complaints = audit(&mut store, agents)?;
        report.audit("registry", &complaints);
    }
    let growth = slope(&points);
    report.line(&format!("  bytes written grow as agents^{growth:.3}"));
    let worst = Spread::of(ratios.iter().copied()).max;
    report.goal(worst <= GOAL, || format!("an append is {worst:.2} of an fdatasync, {GOAL} wanted"));
    report.goal(growth <= SLOPE_MAX, || {
        format!("bytes written grow as agents^{growth:.2}, {SLOPE_MAX} allowed")
    });
    Ok(())
}

/// All is there that was written, and nothing else.
fn audit(store: &mut Local, agents: usize) -> anyhow::Result<Vec<String>> {
    let entries = store.read()?;
    let mut complaints = Vec::new();
    if entries.len() != agents {
        complaints.push(format!("{} entries of {agents} agents", entries.len()));
    }
    if let Some((key, value)) = entries.iter().find(|(_, value)| value.len() != ENTRY) {
        complaints.push(format!("{key} has {} bytes", value.len()));
    }
    Ok(complaints)
}

/// Bytes that this process has given to files so far.
fn bytes_written() -> anyhow::Result<usize> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(line.unwrap_or_default().parse()?)
}
