//! `sim`: replays one seed, or runs many. `cargo xtask sim` builds and calls it.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use clap::Parser;
use sim::{Breakage, Journal, MILLI, Outcome, Plan, World};

#[derive(Parser)]
#[command(name = "cargo xtask sim", about = "The deterministic simulation of a cluster")]
struct Args {
    /// Replays this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints what happens, with the differences of state, up to this event.
    #[arg(long)]
    until: Option<u64>,
    /// Prints only from this event on.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Keeps only these faults of the seed, by number; `none` keeps none.
    #[arg(long)]
    faults: Option<String>,
    /// Keeps only so many agents.
    #[arg(long)]
    agents: Option<usize>,
    /// Keeps only so many frameworks.
    #[arg(long)]
    frameworks: Option<usize>,
    /// Lets frameworks launch for so long only, in milliseconds.
    #[arg(long)]
    busy_ms: Option<u64>,
    /// Runs the wide world: as many agents as `--agents` says, or 50,000.
    #[arg(long)]
    wide: bool,
    /// Runs many seeds, on all processors.
    #[arg(long)]
    soak: bool,
    /// Which ones.
    #[arg(long, default_value = "0..1000")]
    seeds: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.seed {
        Some(seed) if args.wide => run_wide(seed, args.agents.unwrap_or(AGENTS_WIDE)),
        Some(seed) => replay(&args, seed),
        None if args.soak => soak(&args.seeds),
        None => Err(anyhow::anyhow!("say --seed N or --soak")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    // A reader who is gone misses nothing.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn plan(args: &Args, seed: u64) -> anyhow::Result<Plan> {
    let mut plan = Plan::of_seed(seed);
    if let Some(kept) = &args.faults {
        let kept: Vec<usize> = kept
            .split(',')
            .filter(|word| *word != "none")
            .map(|word| word.parse().with_context(|| format!("'{word}' is no fault's number")))
            .collect::<anyhow::Result<_>>()?;
        let all = std::mem::take(&mut plan.faults).into_iter().enumerate();
        plan.faults = all.filter(|(index, _)| kept.contains(index)).map(|(_, fault)| fault).collect();
    }
    plan.agents = args.agents.unwrap_or(plan.agents);
    plan.guests.truncate(args.frameworks.unwrap_or(usize::MAX));
    plan.busy = args.busy_ms.map_or(plan.busy, |busy| busy * MILLI);
    Ok(plan)
}

fn replay(args: &Args, seed: u64) -> anyhow::Result<()> {
    let plan = plan(args, seed)?;
    say(&describe(&plan));
    if let Some(until) = args.until {
        let mut world = World::new(plan, Breakage::default(), Journal::with_lines());
        for event in 1..=until {
            if !world.step() || world.outcome().violation.is_some() {
                say(&world.take_lines());
                break;
            }
            let lines = world.take_lines();
            if event >= args.from {
                say(lines.trim_end());
            }
        }
        say(&format!("{:?}", world.outcome()));
        return Ok(());
    }
    let outcome = sim::run(&plan, Breakage::default());
    say(&format!("{outcome:?}"));
    match &outcome.violation {
        None => Ok(()),
        Some(violation) => {
            let (small, found) = sim::shrink(&plan, Breakage::default(), violation);
            bail!("{}\nshrunk: {}\n{found:?}", describe(&small), sim::recipe(&small))
        }
    }
}

/// Agents of a wide world.
const AGENTS_WIDE: usize = 50_000;

fn run_wide(seed: u64, agents: usize) -> anyhow::Result<()> {
    let outcome = sim::wide(seed, agents);
    say(&format!("{agents} agents, {outcome:?}"));
    anyhow::ensure!(outcome.violations.is_empty(), "a rule was broken");
    Ok(())
}

fn describe(plan: &Plan) -> String {
    let mut text =
        format!("seed {}: {} agents, busy for {} s", plan.seed, plan.agents, plan.busy / sim::SECOND);
    for guest in &plan.guests {
        text += &format!("\n  {guest:?}");
    }
    for (at, fault) in &plan.faults {
        text += &format!("\n  at {:.3} s {fault}", *at as f64 / 1e9);
    }
    text
}

/// What many runs came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    events: u64,
    tasks: usize,
    epochs: u64,
    commits: u64,
    failed: Vec<(u64, Outcome)>,
}

fn soak(seeds: &str) -> anyhow::Result<()> {
    let (first, end) = seeds.split_once("..").context("--seeds takes A..B")?;
    let (first, end): (u64, u64) = (first.parse()?, end.parse()?);
    let next = AtomicU64::new(first);
    // The threads share nothing else.
    let sum = Mutex::new(Sum::default());
    // What a core says when it gives up is in the outcome.
    std::panic::set_hook(Box::new(|_| {}));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = sim::run(&Plan::of_seed(seed), Breakage::default());
                    let Ok(mut sum) = sum.lock() else { return };
                    sum.seeds += 1;
                    sum.events += outcome.events;
                    sum.tasks += outcome.tasks;
                    sum.epochs += outcome.epochs;
                    sum.commits += outcome.commits;
                    if let Some(violation) = &outcome.violation {
                        say(&format!("seed {seed}: {}: {}", violation.checker, violation.what));
                        sum.failed.push((seed, outcome));
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().context("a thread panicked")?;
    say(&format!(
        "{} seeds, {} events, {} tasks ran, {} leaderships, {} commits",
        sum.seeds, sum.events, sum.tasks, sum.epochs, sum.commits
    ));
    if sum.failed.is_empty() {
        return Ok(());
    }
    bail!("{} of {} seeds broke a rule", sum.failed.len(), sum.seeds)
}
