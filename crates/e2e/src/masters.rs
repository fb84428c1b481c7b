//! Several masters that elect their leader in ZooKeeper.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{Daemon, Options, free_address};
use crate::{eventually, request};

/// How long a cluster may take to settle on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Masters and their agents, which find each other in ZooKeeper.
#[derive(Debug)]
pub struct Masters {
    /// The agents. They end before the masters and the directory.
    pub agents: Vec<Daemon>,
    /// The masters, leading or not.
    pub masters: Vec<Daemon>,
    /// Everything they write.
    pub home: TempDir,
    url: String,
    flags: Vec<String>,
}

impl Masters {
    /// Starts masters and agents. Flags of masters and agents come from `options`, its registry is passed over.
    pub fn start(url: &str, masters: usize, options: &Options) -> anyhow::Result<Self> {
        let mut cluster = Self {
            agents: Vec::new(),
            masters: Vec::new(),
            home: tempfile::tempdir()?,
            url: url.to_owned(),
            flags: options.master_flags.clone(),
        };
        for _ in 0..masters {
            cluster.add_master()?;
        }
        for n in 0..options.agents {
            let agent = Daemon::agent(cluster.home.path(), n, &cluster.url, options)?;
            cluster.agents.push(agent);
        }
        Ok(cluster)
    }

    /// Starts one more master.
    pub fn add_master(&mut self) -> anyhow::Result<()> {
        let (address, number) = (free_address()?, self.masters.len());
        let mut arguments = vec![
            "master".to_owned(),
            "--ip=127.0.0.1".to_owned(),
            "--hostname=127.0.0.1".to_owned(),
            format!("--port={}", address.port()),
            format!("--zk={}", self.url),
            "--quorum=2".to_owned(),
        ];
        arguments.extend(self.flags.iter().cloned());
        let log = self.home.path().join(format!("master-{number}.log"));
        self.masters.push(Daemon::start(arguments, address, log)?);
        Ok(())
    }

    /// Which master leads and serves, once one does.
    ///
    /// # Panics
    /// When none does in time.
    #[must_use]
    pub fn leader(&self) -> usize {
        eventually("a master leads", PATIENCE, || self.serving())
    }

    /// Which master leads and serves now.
    #[must_use]
    pub fn serving(&self) -> Option<usize> {
        self.masters.iter().position(|master| {
            request(master.address, "GET", "/state", &[], b"").is_ok_and(|answer| answer.status == 200)
        })
    }

    /// The state of the master that leads.
    ///
    /// # Panics
    /// When none leads in time.
    #[must_use]
    pub fn state(&self) -> Value {
        eventually("a master shows its state", PATIENCE, || state_of(self.masters[self.leader()].address))
    }

    /// Waits until the leader counts this many active agents.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_for_agents(&self, count: usize) {
        let count = u64::try_from(count).expect("a small number");
        eventually(&format!("{count} agents are registered"), PATIENCE, || {
            (self.state()["activated_slaves"].as_f64()? >= count as f64).then_some(())
        });
    }
}

fn state_of(address: SocketAddr) -> Option<Value> {
    let answer = request(address, "GET", "/state", &[], b"").ok().filter(|answer| answer.status == 200)?;
    serde_json::from_slice(&answer.body).ok()
}
