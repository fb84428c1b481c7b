//! A master and agents, each a process of the real binary.

use std::fmt::Display;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{eventually, request};

/// How long a daemon may take to answer or a cluster to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many agents.
    pub agents: usize,
    /// What each agent offers, in text form.
    pub resources: String,
    /// What keeps the registry: in_memory, or local to survive the master.
    pub registry: &'static str,
    /// More flags of the master.
    pub master_flags: Vec<String>,
    /// More flags of each agent.
    pub agent_flags: Vec<String>,
    /// Where agents listen: an address of this machine, or of the network namespace that the test runs in.
    pub agent_ip: Ipv4Addr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            agents: 1,
            resources: "cpus:4;mem:2048;disk:10240;ports:[31000-31099]".to_owned(),
            registry: "in_memory",
            master_flags: Vec::new(),
            agent_flags: Vec::new(),
            agent_ip: Ipv4Addr::LOCALHOST,
        }
    }
}

/// One daemon's process. Dropping it kills the process.
#[derive(Debug)]
pub struct Daemon {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its log.
    pub log: PathBuf,
    arguments: Vec<String>,
    child: Child,
}

impl Daemon {
    pub(crate) fn start(arguments: Vec<String>, address: SocketAddr, log: PathBuf) -> anyhow::Result<Self> {
        let child = spawn(&arguments, &log, None)?;
        let daemon = Self { address, log, arguments, child };
        daemon.wait_until_healthy();
        Ok(daemon)
    }

    /// Starts the agent number `n` of a cluster under `home`, for the master at `master`, or that is elected there.
    pub fn agent(home: &Path, n: usize, master: impl Display, options: &Options) -> anyhow::Result<Self> {
        let address = free_address_of(options.agent_ip)?;
        let mut arguments: Vec<String> = vec![
            "agent".to_owned(),
            format!("--master={master}"),
            format!("--ip={}", address.ip()),
            format!("--port={}", address.port()),
            format!("--hostname={}", address.ip()),
            format!("--resources={}", options.resources),
            format!("--work_dir={}", home.join(format!("agent-{n}")).display()),
            format!("--runtime_dir={}", home.join(format!("run-{n}")).display()),
            format!("--fetcher_cache_dir={}", home.join(format!("fetch-{n}")).display()),
            "--no-systemd_enable_support".to_owned(),
        ];
        // What a test leaves running when it fails has no cgroup to leave behind. Tests of cgroups say where theirs are.
        if !options.agent_flags.iter().any(|flag| flag.starts_with("--launcher=")) {
            arguments.push("--launcher=posix".to_owned());
        }
        arguments.extend(options.agent_flags.iter().cloned());
        Self::start(arguments, address, home.join(format!("agent-{n}.log")))
    }

    fn wait_until_healthy(&self) {
        eventually(&format!("{} answers (log: {})", self.address, self.log.display()), PATIENCE, || {
            request(self.address, "GET", "/health", &[], b"").ok().filter(|answer| answer.status == 200)
        });
    }

    /// Whether the process has ended by itself, and with which status.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, and nothing is cleaned up.
    pub fn kill(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits until the process has ended.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        eventually("it ends when it is told to", PATIENCE, || self.ended())
    }

    /// Stops the process in its tracks (SIGSTOP).
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the process is ours");
    }

    /// Starts the same daemon again, with the same flags.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        self.child = spawn(&self.arguments, &self.log, None)?;
        self.wait_until_healthy();
        Ok(())
    }

    /// Kills it and starts it again, and waits until it has ended by itself. None if it does not.
    pub fn try_restart(&mut self) -> Option<ExitStatus> {
        self.kill();
        self.child = spawn(&self.arguments, &self.log, None).ok()?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Kills it and starts it again, to die at that fail point; perhaps before it answers anybody.
    pub fn restart_to_die(&mut self, point: &str) -> anyhow::Result<()> {
        self.kill();
        self.child = spawn(&self.arguments, &self.log, Some(point))?;
        Ok(())
    }

    /// Another flag for its next start, in place of the one of that name.
    pub fn set_flag(&mut self, name: &str, value: &str) {
        let start = format!("--{name}=");
        self.arguments.retain(|argument| !argument.starts_with(&start));
        self.arguments.push(format!("{start}{value}"));
    }

    /// SIGUSR1: to leave.
    pub fn leave(&self) {
        self.signal(Signal::USR1);
    }

    /// A JSON document of the daemon, once it has read its registry.
    ///
    /// # Panics
    /// When the daemon does not answer 200 with JSON.
    #[must_use]
    pub fn json(&self, path: &str) -> Value {
        let answer = eventually(&format!("{} is recovered", self.address), PATIENCE, || {
            let answer = request(self.address, "GET", path, &[], b"").expect("the daemon answers");
            (answer.status != 503).then_some(answer)
        });
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("a JSON document")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(arguments: &[String], log: &Path, dying_at: Option<&str>) -> anyhow::Result<Child> {
    let output = File::options().create(true).append(true).open(log)?;
    Command::new(binary())
        .args(arguments)
        .envs(dying_at.map(|point| ("MESOS_FAIL_POINT", point)))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("{} does not start", binary().display()))
}

/// A master and its agents.
#[derive(Debug)]
pub struct Cluster {
    /// The agents. They end before the master and the directory.
    pub agents: Vec<Daemon>,
    /// The master.
    pub master: Daemon,
    /// Everything the cluster writes.
    pub home: TempDir,
}

impl Cluster {
    /// Starts a cluster and waits until every agent is registered.
    ///
    /// # Panics
    /// When it does not come up in time.
    pub fn start(options: &Options) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let master = free_address()?;
        let mut arguments: Vec<String> = vec![
            "master".to_owned(),
            "--ip=127.0.0.1".to_owned(),
            format!("--port={}", master.port()),
            format!("--registry={}", options.registry),
            format!("--work_dir={}", home.path().join("master").display()),
        ];
        arguments.extend(options.master_flags.iter().cloned());
        let master = Daemon::start(arguments, master, home.path().join("master.log"))?;
        let mut cluster = Self { agents: Vec::new(), master, home };
        for _ in 0..options.agents {
            cluster.add_agent(options)?;
        }
        cluster.wait_for_agents(options.agents);
        Ok(cluster)
    }

    /// Starts one more agent; it may not be registered yet.
    pub fn add_agent(&mut self, options: &Options) -> anyhow::Result<()> {
        let agent = Daemon::agent(self.home.path(), self.agents.len(), self.master.address, options)?;
        self.agents.push(agent);
        Ok(())
    }

    /// Waits until the master counts this many active agents.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_for_agents(&self, count: usize) {
        let count = u64::try_from(count).expect("a small number");
        eventually(&format!("{count} agents are registered"), PATIENCE, || {
            (self.master.json("/state")["activated_slaves"].as_f64()? >= count as f64).then_some(())
        });
    }
}

/// The `mesos` binary of this build: in the directory of the program that asks, or above that of a test.
///
/// # Panics
/// When it was not built: `cargo build --workspace` comes first.
#[must_use]
pub fn binary() -> PathBuf {
    let me = std::env::current_exe().expect("a program knows its own path");
    let mut places = me.ancestors().skip(1).take(2).map(|place| place.join("mesos"));
    let found = places.find(|binary| binary.is_file());
    found.unwrap_or_else(|| panic!("no mesos beside {}: run `cargo build --workspace` first", me.display()))
}

/// A port of 127.0.0.1 that nobody listens on now.
///
/// # Errors
/// When there is none.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    free_address_of(Ipv4Addr::LOCALHOST)
}

fn free_address_of(ip: Ipv4Addr) -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((ip, 0))?.local_addr()?)
}
