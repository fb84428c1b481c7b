//! Other processes: their CPU time, and starting and stopping those that a run needs. Only processes that this one started
//! are ever stopped.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::options::Options;

/// How long a process that was started may take to serve.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long a process may take to end before it is killed.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// A process that this one started. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Started {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Child,
    /// How it was started.
    command: Command,
}

impl Started {
    /// Starts `mesos master` from beside this program, on a free port of 127.0.0.1.
    pub(crate) fn master(options: &Options) -> anyhow::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let program = options.mesos.clone().map_or_else(|| beside("mesos"), Ok)?;
        let mut command = Command::new(&program);
        command.args(["master", "--ip=127.0.0.1", "--hostname=127.0.0.1"]);
        if !options.master_flag.iter().any(|flag| flag.starts_with("--registry=")) {
            command.arg("--registry=in_memory");
        }
        let log = match &options.master_log {
            Some(path) => std::fs::File::create(path).with_context(|| path.display().to_string())?.into(),
            None => Stdio::null(),
        };
        command
            .arg(format!("--port={}", address.port()))
            .args(&options.master_flag)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().with_context(|| format!("{} does not start", program.display()))?;
        let mut started = Self { address, child, command };
        started.until("/health")?;
        Ok(started)
    }

    /// Waits until it answers there with 200.
    fn until(&mut self, path: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        while !crate::lifecycle::answers(self.address, path) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the master ended with {status}; --master-log FILE keeps its log");
            }
            if began.elapsed() > START_PATIENCE {
                bail!("the master does not answer at {}; --master-log FILE keeps its log", self.address);
            }
            // A process gives no sign that it is about to listen, so it is asked now and then.
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Kills it without warning.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it once more, as before. Returns when it has read its registry.
    pub(crate) fn again(&mut self) -> anyhow::Result<()> {
        self.child = self.command.spawn().context("it was started once")?;
        self.until("/weights")
    }

    /// Starts the echo server: this very program, or the one beside it that has its name.
    pub(crate) fn echo(options: &Options) -> anyhow::Result<Self> {
        let program = beside("load")?;
        let mut command = Command::new(&program);
        command
            .arg("echo-server")
            .arg(format!("--threads={}", options.echo_threads))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{} does not start", program.display()))?;
        let out = child.stdout.take().context("the echo server has no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("the echo server said '{line}'"))?;
        Ok(Self { address, child, command })
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let began = Instant::now();
        while began.elapsed() < END_PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program in the directory of this one; for a test, in the directory above.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe().context("this program has no path")?;
    let mut places = me.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    places.find(|path| path.is_file()).with_context(|| format!("there is no {name} beside {}", me.display()))
}

/// The CPU time that a process has used, in microseconds.
pub(crate) fn cpu_us(pid: u32) -> anyhow::Result<u64> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    let ticks = stat_ticks(&text).with_context(|| format!("/proc/{pid}/stat is not understood"))?;
    Ok(ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

/// The memory that a process has now, and the most that it had, in kilobytes.
pub(crate) fn memory_kb(pid: u32) -> anyhow::Result<(u64, u64)> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
    };
    field("VmRSS").zip(field("VmHWM")).with_context(|| format!("/proc/{pid}/status is not understood"))
}

/// utime + stime. The name before them may contain anything, so what counts comes after its last bracket.
fn stat_ticks(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The time that the machine's hypervisor took from all processors, in microseconds; 0 where that is not told.
pub(crate) fn stolen_us() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text.lines().next().and_then(|line| line.split_whitespace().nth(8)?.parse::<u64>().ok());
    ticks.unwrap_or_default() * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// Takes as many open files as the machine grants.
pub(crate) fn raise_files_max() -> anyhow::Result<()> {
    let granted = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: granted.maximum, maximum: granted.maximum };
    setrlimit(Resource::Nofile, wanted).context("the limit of open files cannot be raised")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_odd_names() {
        let line = "77 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20 0 1 0 5 6";
        assert_eq!(stat_ticks(line), Some(42));
        assert_eq!(stat_ticks("77 (x) S 1"), None);
        assert!(cpu_us(std::process::id()).is_ok());
    }
}
