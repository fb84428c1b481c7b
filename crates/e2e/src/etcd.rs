//! A real etcd, one server or several.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::eventually;

/// How long servers may take to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often servers are started before their test fails.
const TRIES: u32 = 3;

/// One server's process. Dropping it kills the process.
#[derive(Debug)]
struct Server {
    name: String,
    address: SocketAddr,
    peers: SocketAddr,
    home: PathBuf,
    /// All servers, as `--initial-cluster` has them.
    group: String,
    child: Child,
}

/// Servers that serve as one. Dropping it ends them.
#[derive(Debug)]
pub struct Etcd {
    servers: Vec<Server>,
    _home: TempDir,
}

impl Etcd {
    /// Starts this many servers and waits until they serve.
    ///
    /// # Panics
    /// When they do not come up in time.
    pub fn start(servers: usize) -> anyhow::Result<Self> {
        // Ports are free when they are chosen, and may be taken when they are used.
        for _ in 1..TRIES {
            let etcd = Self::try_start(servers)?;
            let deadline = Instant::now() + PATIENCE / TRIES;
            while Instant::now() < deadline {
                if etcd.servers.iter().all(Server::serves) {
                    return Ok(etcd);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let etcd = Self::try_start(servers)?;
        etcd.servers.iter().for_each(Server::wait_until_serving);
        Ok(etcd)
    }

    fn try_start(servers: usize) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        // All are held until all are chosen, so that none is chosen twice.
        let held: Vec<TcpListener> = (0..servers * 2)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<Result<_, _>>()?;
        let addresses: Vec<SocketAddr> =
            held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        drop(held);
        let named = |(number, ports): (usize, &[SocketAddr])| format!("e{number}=http://{}", ports[1]);
        let group = addresses.chunks(2).enumerate().map(named).collect::<Vec<_>>().join(",");
        let mut started = Vec::new();
        for (number, ports) in addresses.chunks(2).enumerate() {
            let home = home.path().join(number.to_string());
            std::fs::create_dir_all(&home)?;
            let name = format!("e{number}");
            let child = spawn(&home, &name, ports[0], ports[1], &group)?;
            started.push(Server {
                name,
                address: ports[0],
                peers: ports[1],
                home,
                group: group.clone(),
                child,
            });
        }
        Ok(Self { servers: started, _home: home })
    }

    /// The address of a directory, as `--zk` and `--master` take it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("etcd://{}{path}", self.servers())
    }

    /// `host:port` of all servers.
    #[must_use]
    pub fn servers(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(|server| server.address.to_string()).collect();
        servers.join(",")
    }

    /// What `etcdctl` prints.
    ///
    /// # Panics
    /// When it fails, with everything that it printed.
    #[must_use]
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let output =
            ctl(&self.servers()).args(arguments).output().expect("etcdctl starts: `cargo xtask peers`");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
        printed
    }

    /// Gives a key a value.
    ///
    /// # Panics
    /// When it does not work.
    pub fn put(&self, key: &str, value: &str) {
        let mut child = ctl(&self.servers())
            .args(["put", key])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("etcdctl starts: `cargo xtask peers`");
        // What it reads up to the end of its input is the value.
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(value.as_bytes()).expect("it reads");
        drop(input);
        assert!(child.wait().expect("it ends").success());
    }

    /// The names of the keys in a directory, in the order in which they were created.
    #[must_use]
    pub fn keys(&self, directory: &str) -> Vec<String> {
        let prefix = format!("{directory}/");
        let listed =
            self.ctl(&["get", &prefix, "--prefix", "--keys-only", "--sort-by=CREATE", "--order=ASCEND"]);
        listed.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
    }

    /// kill -9 of a server.
    pub fn kill(&mut self, number: usize) {
        self.servers[number].kill();
    }

    /// Starts a server again, over its data.
    ///
    /// # Panics
    /// When it does not come up in time.
    pub fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        let server = &mut self.servers[number];
        server.kill();
        server.child = spawn(&server.home, &server.name, server.address, server.peers, &server.group)?;
        server.wait_until_serving();
        Ok(())
    }

    /// Stops a server in its tracks (SIGSTOP): connections stay open and nothing is answered.
    pub fn freeze(&self, number: usize) {
        self.servers[number].signal(Signal::STOP);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self, number: usize) {
        self.servers[number].signal(Signal::CONT);
    }

    /// Which server leads the others.
    ///
    /// # Panics
    /// When none does in time.
    #[must_use]
    pub fn leader(&self) -> usize {
        eventually("etcd has a leader", PATIENCE, || self.servers.iter().position(Server::leads))
    }
}

impl Server {
    fn wait_until_serving(&self) {
        let what = format!("etcd serves at {} (log: {})", self.address, self.home.display());
        eventually(&what, PATIENCE, || self.serves().then_some(()));
    }

    /// Whether it answers, and agrees with enough others.
    fn serves(&self) -> bool {
        let asked = ctl(&self.address.to_string()).args(["--command-timeout=2s", "get", "/"]).output();
        asked.is_ok_and(|output| output.status.success())
    }

    fn leads(&self) -> bool {
        let asked = ctl(&self.address.to_string())
            .args(["--command-timeout=2s", "--write-out=fields", "endpoint", "status"])
            .output();
        let Ok(output) = asked else { return false };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("\"{name}\"")))?;
            line.rsplit_once(" : ").map(|(_, value)| value.to_owned())
        };
        field("Leader").is_some_and(|leader| field("MemberID") == Some(leader))
    }

    fn kill(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the process is ours");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn ctl(servers: &str) -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").arg(format!("--endpoints={servers}"));
    command
}

fn spawn(
    home: &Path,
    name: &str,
    address: SocketAddr,
    peers: SocketAddr,
    group: &str,
) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(home.join("log"))?;
    Command::new("etcd")
        .arg(format!("--name={name}"))
        .arg(format!("--data-dir={}", home.join("data").display()))
        .arg(format!("--listen-client-urls=http://{address}"))
        .arg(format!("--advertise-client-urls=http://{address}"))
        .arg(format!("--listen-peer-urls=http://{peers}"))
        .arg(format!("--initial-advertise-peer-urls=http://{peers}"))
        .arg(format!("--initial-cluster={group}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("etcd does not start: run `cargo xtask peers` first")
}
