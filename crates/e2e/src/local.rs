//! A whole cluster in one process: `mesos local`.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::{binary, eventually};

/// `mesos local`, with a process of its own. Dropping it ends it and its tasks.
#[derive(Debug)]
pub struct Local {
    /// Where its master listens.
    pub master: SocketAddr,
    child: Child,
    /// Kept open: it may have more to say.
    _output: BufReader<ChildStdout>,
}

impl Local {
    /// Starts a cluster of this many agents and waits until it says that it is ready.
    pub fn start(agents: usize, flags: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(binary())
            .args(["local", &format!("--num_slaves={agents}"), "--port=0", "--ip=127.0.0.1"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("mesos local does not start")?;
        let mut output = BufReader::new(child.stdout.take().context("a pipe")?);
        let address = output.by_ref().lines().find_map(|line| {
            let line = line.ok()?;
            line.split_whitespace().find_map(|word| word.strip_prefix("http://").map(str::to_owned))
        });
        let master = address.context("it does not say where it is")?.parse()?;
        Ok(Self { master, child, _output: output })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        eventually("mesos local ends with its tasks", Duration::from_secs(30), || {
            self.child.try_wait().ok().flatten()
        });
    }
}
