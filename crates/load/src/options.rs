//! What a run is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// The settings of a `lifecycle` run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Emulated agents.
    #[arg(long, default_value_t = 1000)]
    pub agents: usize,
    /// Frameworks.
    #[arg(long, default_value_t = 10)]
    pub frameworks: usize,
    /// Life-cycles in all; they are shared among the pairs.
    #[arg(long, default_value_t = 100_000)]
    pub tasks: u64,
    /// Life-cycles before the first measured window.
    #[arg(long, default_value_t = 2000)]
    pub warm_up: u64,
    /// The most tasks in one ACCEPT.
    #[arg(long, default_value_t = 4)]
    pub batch: usize,
    /// Tasks that fit on one agent. Each takes a CPU and 32 MB.
    #[arg(long, default_value_t = 4)]
    pub slots: u32,
    /// Tasks that arrive per second over all frameworks. Without it there is always a task for every offer.
    #[arg(long)]
    pub rate: Option<f64>,
    /// The frameworks speak JSON.
    #[arg(long)]
    pub json: bool,
    /// Puts all agents behind this many listeners, as processes of their own; without it every agent has a loopback address.
    #[arg(long)]
    pub listeners: Option<usize>,
    /// Windows of life-cycles, each followed by one of the echo calibrator (A B A B).
    #[arg(long, default_value_t = 3)]
    pub pairs: u64,
    /// Leaves the echo calibrator out.
    #[arg(long)]
    pub no_echo: bool,
    /// Threads of the echo server.
    #[arg(long, default_value_t = 2)]
    pub echo_threads: usize,
    /// The master to load, on a loopback address; without it one is started from beside this program.
    #[arg(long)]
    pub master: Option<SocketAddr>,
    /// The process of --master, for its CPU time.
    #[arg(long, requires = "master")]
    pub master_pid: Option<u32>,
    /// The program `mesos`; without it the one beside this program.
    #[arg(long)]
    pub mesos: Option<PathBuf>,
    /// Labels of each task that agents report.
    #[arg(long, default_value_t = 0)]
    pub labels: u32,
    /// More flags for the master that is started.
    #[arg(long)]
    pub master_flag: Vec<String>,
    /// Where the log of the master that is started goes.
    #[arg(long)]
    pub master_log: Option<PathBuf>,
    /// Seconds without progress after which the run is given up and the audit fails.
    #[arg(long, default_value_t = 15)]
    pub stall_seconds: u64,
    /// Seconds after which the run is given up whatever its progress.
    #[arg(long, default_value_t = 900)]
    pub total_seconds: u64,
    /// Negative control: does something wrong, so that the audit must fail.
    #[arg(long)]
    pub fault: Option<Fault>,
}

/// What is done wrong to prove that the audit sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// An agent never sends the last update of one task.
    SwallowUpdate,
    /// An agent sends a second final update for one task.
    DoubleUpdate,
    /// The agents offer twice of what they have.
    OverOffer,
    /// One framework never acknowledges the last update of one task.
    ForgetAcknowledgement,
    /// Agents tell of the end of a task half a second late, as if a timer were in the path.
    LateUpdates,
}

/// The settings of a run in which every slot is always wanted.
#[derive(Args, Clone, Debug)]
pub struct BusyOptions {
    /// Emulated agents, each with room for one task.
    #[arg(long)]
    pub agents: Option<usize>,
    /// Frameworks that take whatever is offered.
    #[arg(long)]
    pub frameworks: Option<usize>,
    /// Tasks that end per second over all agents; their lengths follow from it.
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// How long to measure, after all slots are taken.
    #[arg(long, default_value_t = 15)]
    pub seconds: u64,
    /// How long the full cluster runs before anything counts.
    #[arg(long, default_value_t = 3)]
    pub warm_up_seconds: u64,
    /// Tasks that the probing framework launches per second.
    #[arg(long, default_value_t = 10.0)]
    pub probes: f64,
    /// Puts all agents behind this many listeners, as processes of their own.
    #[arg(long)]
    pub listeners: Option<usize>,
    /// The master to load, on a loopback address; without it one is started from beside this program.
    #[arg(long, requires = "master_pid")]
    pub master: Option<SocketAddr>,
    /// The process of --master, for its CPU time.
    #[arg(long, requires = "master")]
    pub master_pid: Option<u32>,
    /// More flags for the master that is started.
    #[arg(long)]
    pub master_flag: Vec<String>,
    /// Where the log of the master that is started goes.
    #[arg(long)]
    pub master_log: Option<PathBuf>,
    /// Negative control: does something wrong, so that the audit or a goal must fail.
    #[arg(long)]
    pub fault: Option<Fault>,
}

/// The settings of a run in which the master dies.
#[derive(Args, Clone, Debug, Default)]
pub struct FailoverOptions {
    /// Emulated agents; without it the benchmark's own sizes, one after the other.
    #[arg(long)]
    pub agents: Option<usize>,
    /// Frameworks.
    #[arg(long)]
    pub frameworks: Option<usize>,
    /// Tasks on each agent.
    #[arg(long)]
    pub tasks: Option<u32>,
    /// Labels of each task.
    #[arg(long)]
    pub labels: Option<u32>,
    /// How long the master is watched after everybody is back.
    #[arg(long)]
    pub idle_seconds: Option<u64>,
    /// Puts all agents behind this many listeners, as processes of their own; at most 4,000 by default, since each takes
    /// three open files here and two of the master's.
    #[arg(long)]
    pub listeners: Option<usize>,
    /// The registry's kind.
    #[arg(long, default_value = "local")]
    pub registry: String,
    /// The program `mesos`; without it the one beside this program.
    #[arg(long)]
    pub mesos: Option<PathBuf>,
    /// Negative control: an agent forgets one of its tasks, so that the audit must fail.
    #[arg(long)]
    pub forget_task: bool,
    /// More flags for the master.
    #[arg(long)]
    pub master_flag: Vec<String>,
    /// Where the log of the master goes.
    #[arg(long)]
    pub master_log: Option<PathBuf>,
}

impl Default for BusyOptions {
    fn default() -> Self {
        Self {
            agents: None,
            frameworks: None,
            rate: 500.0,
            seconds: 15,
            warm_up_seconds: 3,
            probes: 10.0,
            listeners: None,
            master: None,
            master_pid: None,
            master_flag: Vec::new(),
            master_log: None,
            fault: None,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            agents: 1000,
            frameworks: 10,
            tasks: 100_000,
            warm_up: 2000,
            batch: 4,
            slots: 4,
            rate: None,
            json: false,
            listeners: None,
            pairs: 3,
            labels: 0,
            mesos: None,
            no_echo: false,
            echo_threads: 2,
            master: None,
            master_pid: None,
            master_flag: Vec::new(),
            master_log: None,
            stall_seconds: 15,
            total_seconds: 900,
            fault: None,
        }
    }
}

impl Options {
    /// How long a run may stand still.
    pub(crate) fn stall(&self) -> Duration {
        Duration::from_secs(self.stall_seconds)
    }
}
