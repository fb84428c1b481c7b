//! `mesos local`: a master and its agents in one process, and what `mesos execute --local` brings.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use agent::{Agent, AgentConfig, AgentFlags};
use anyhow::{Context, ensure};
use flags::{LoggingFlags, PathOrValue};
use master::{Master, MasterConfig, MasterFlags};
use proto::mesos::v1::master::call::Type;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::Operator;
use crate::tool::print;
use crate::{daemons, say};

flags::flags! {
    /// What `mesos local` is told, beside the flags of the master and of its agents.
    struct LocalFlags {
        "Local cluster" {
            /// How many agents to bring.
            num_slaves: u32 = "1";
        }
    }
}

/// More agents than this in one process are a mistake.
const AGENTS_MAX: u32 = 1000;

/// How long agents wait before they register, at most.
const REGISTRATION_BACKOFF: flags::Duration = flags::Duration::from_millis(20);

/// How long the greeting waits for agents to register.
const READY_PATIENCE: Duration = Duration::from_secs(5);

/// A master and its agents in this process.
pub(crate) struct LocalCluster {
    agents: Vec<agent::Running>,
    master: master::Running,
    /// Where the cluster keeps its files; deleted with it unless `--work_dir` names a place.
    _home: Option<TempDir>,
}

/// The flags of every part of a local cluster.
#[derive(Default)]
struct Parts {
    local: LocalFlags,
    master: MasterFlags,
    agent: AgentFlags,
    logging: LoggingFlags,
}

impl LocalCluster {
    /// The smallest cluster, on a free port, with nothing but what one task needs.
    pub(crate) async fn for_one_task() -> anyhow::Result<Self> {
        let home = home()?;
        let mut parts = Parts::default();
        parts.master.port = 0;
        parts.agent.work_dir = home.path().display().to_string();
        Self::start(parts, Some(home)).await
    }

    /// Where the master listens.
    pub(crate) fn master(&self) -> SocketAddr {
        self.master.address
    }

    /// Ends the agents with their tasks, and the master.
    pub(crate) async fn shutdown(self) {
        for agent in self.agents {
            if let Err(error) = agent.shutdown().await {
                say(&format!("an agent did not end well: {error:#}"));
            }
        }
        if let Err(error) = self.master.shutdown().await {
            say(&format!("the master did not end well: {error:#}"));
        }
    }

    async fn start(mut parts: Parts, home: Option<TempDir>) -> anyhow::Result<Self> {
        ensure!(parts.local.num_slaves <= AGENTS_MAX, "--num_slaves: {AGENTS_MAX} agents at most");
        // A cluster to try things on is nobody else's business, unless told otherwise.
        let ip = parts.master.ip.get_or_insert_with(|| Ipv4Addr::LOCALHOST.to_string()).clone();
        let hostname = parts.master.hostname.get_or_insert_with(|| ip.clone()).clone();
        let work_dir = PathBuf::from(&parts.agent.work_dir);
        parts.master.registry = "in_memory".to_owned();
        let config = MasterConfig::from_flags(&parts.master, &parts.logging)?;
        let master = Master::start(config).await.context("the master does not start")?;
        let mut agents = Vec::new();
        for n in 0..parts.local.num_slaves {
            let mut flags = parts.agent.clone();
            flags.ip = Some(ip.clone());
            flags.hostname = Some(hostname.clone());
            flags.master = Some(PathOrValue { value: master.address.to_string(), path: None });
            flags.port = 0;
            place(&mut flags, &work_dir, n);
            if flags.registration_backoff_factor == AgentFlags::default().registration_backoff_factor {
                // That default spreads thousands of agents; whoever tries a cluster waits for these few.
                flags.registration_backoff_factor = REGISTRATION_BACKOFF;
            }
            let config = AgentConfig::from_flags(&flags, &parts.logging)?;
            agents.push(Agent::start(config).await.with_context(|| format!("agent {n} does not start"))?);
        }
        Ok(Self { agents, master, _home: home })
    }
}

/// Gives agent `n` directories of its own below the cluster's.
fn place(flags: &mut AgentFlags, work_dir: &Path, n: u32) {
    let below = |name: &str| work_dir.join(format!("agents/{n}/{name}")).display().to_string();
    flags.work_dir = below("work");
    flags.runtime_dir = Some(below("run"));
    flags.fetcher_cache_dir = below("fetch");
}

/// A directory that goes with the cluster.
fn home() -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("mesos-local-")
        .tempdir()
        .context("cannot make a directory for the cluster")
}

/// Whether somebody chose where the cluster keeps its files.
fn has_work_dir(arguments: &[String]) -> bool {
    let named =
        |argument: &String| ["--work_dir=", "--work-dir="].iter().any(|flag| argument.starts_with(flag));
    arguments.iter().any(named) || std::env::var_os("MESOS_WORK_DIR").is_some()
}

/// Runs a local cluster until somebody stops it.
pub(crate) fn main(mut arguments: Vec<String>) -> anyhow::Result<ExitCode> {
    let home = if has_work_dir(&arguments) { None } else { Some(home()?) };
    if let Some(home) = &home {
        arguments.push(format!("--work_dir={}", home.path().display()));
    }
    let mut parts = Parts::default();
    let Parts { local, master, agent, logging } = &mut parts;
    if let Some(code) = daemons::load("mesos local", arguments, &mut [local, master, agent, logging])? {
        return Ok(code);
    }
    let runtime = daemons::runtime()?;
    runtime.block_on(async {
        let agents = parts.local.num_slaves;
        let _logging = daemon::Logging::start(&parts.logging, "mesos-local", 0)?;
        let cluster = LocalCluster::start(parts, home).await?;
        wait_for_agents(cluster.master(), agents).await;
        greet(cluster.master(), agents)?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
        cluster.shutdown().await;
        anyhow::Ok(())
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

/// Waits until the master knows all agents. A cluster that is slow is still a cluster, so this gives up quietly.
async fn wait_for_agents(master: SocketAddr, agents: u32) {
    let known = async {
        let mut operator = Operator::new(&master.to_string());
        while let Ok(answer) = operator.master(Type::GetAgents).await
            && answer.get_agents.is_none_or(|known| known.agents.len() < agents as usize)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(READY_PATIENCE, known).await.is_err() {
        tracing::warn!("not all agents have registered yet");
    }
}

/// Says where the cluster is and what to try. A reader that has seen enough is no error.
fn greet(master: SocketAddr, agents: u32) -> anyhow::Result<()> {
    let plural = if agents == 1 { "" } else { "s" };
    print(&format!(
        "A cluster of {agents} agent{plural} is ready at http://{master}\n\
         Try, in another terminal:\n  \
           mesos execute --master={master} --command='echo hello from $MESOS_SANDBOX'\n  \
           mesos agent list --master={master}\n  \
           mesos task list --all --master={master}\n\
         Ctrl-C ends it.\n"
    ))
}
