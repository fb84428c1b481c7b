//! A real ZooKeeper, one server or several.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{eventually, python};

/// Where Debian's package `zookeeper` puts it. `cargo xtask peers` installs it.
const JAR: &str = "/usr/share/java/zookeeper.jar";

/// How long servers may take to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often servers are started before their test fails.
const TRIES: u32 = 3;

/// One server's process. Dropping it kills the process.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    home: PathBuf,
    child: Child,
}

/// Servers that serve as one. Dropping it ends them.
#[derive(Debug)]
pub struct ZooKeeper {
    servers: Vec<Server>,
    _home: TempDir,
}

impl ZooKeeper {
    /// Starts this many servers and waits until they serve. Sessions end on a grid of their tick, 200 ms.
    ///
    /// # Panics
    /// When they do not come up in time.
    pub fn start(servers: usize) -> anyhow::Result<Self> {
        // Ports are free when they are chosen, and may be taken when they are used.
        for _ in 1..TRIES {
            let zookeeper = Self::try_start(servers)?;
            let deadline = Instant::now() + PATIENCE / TRIES;
            while Instant::now() < deadline {
                if zookeeper.servers.iter().all(Server::serves) {
                    return Ok(zookeeper);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let zookeeper = Self::try_start(servers)?;
        zookeeper.servers.iter().for_each(Server::wait_until_serving);
        Ok(zookeeper)
    }

    fn try_start(servers: usize) -> anyhow::Result<Self> {
        ensure!(Path::new(JAR).exists(), "{JAR} is missing: run `cargo xtask peers` first");
        let home = tempfile::tempdir()?;
        // All are held until all are chosen, so that none is chosen twice.
        let held: Vec<TcpListener> = (0..servers * 3)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<Result<_, _>>()?;
        let addresses: Vec<SocketAddr> =
            held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        drop(held);
        let mut group = String::new();
        if servers > 1 {
            for (number, ports) in addresses.chunks(3).enumerate() {
                group += &format!("server.{number}=127.0.0.1:{}:{}\n", ports[1].port(), ports[2].port());
            }
        }
        let mut started = Vec::new();
        for (number, ports) in addresses.chunks(3).enumerate() {
            let home = home.path().join(number.to_string());
            std::fs::create_dir_all(home.join("data"))?;
            std::fs::write(home.join("data/myid"), number.to_string())?;
            std::fs::write(
                home.join("zoo.cfg"),
                format!(
                    "tickTime=200\ninitLimit=50\nsyncLimit=25\ndataDir={}\nclientPort={}\n\
                     clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\n\
                     maxClientCnxns=0\n{group}",
                    home.join("data").display(),
                    ports[0].port()
                ),
            )?;
            started.push(Server { address: ports[0], child: spawn(&home)?, home });
        }
        Ok(Self { servers: started, _home: home })
    }

    /// The address of a directory, as `--zk` and `--master` take it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("zk://{}{path}", self.servers())
    }

    /// `host:port` of all servers.
    #[must_use]
    pub fn servers(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(|server| server.address.to_string()).collect();
        servers.join(",")
    }

    /// Runs Python with `z`, a connected client of kazoo, and gives what it prints.
    ///
    /// # Panics
    /// When it fails, with everything that it printed.
    #[must_use]
    pub fn kazoo(&self, script: &str) -> String {
        let begin = format!(
            "from kazoo.client import KazooClient\nz = KazooClient('{}')\nz.start(timeout=60)\n",
            self.servers()
        );
        let output = Command::new(python())
            .args(["-W", "ignore", "-c", &format!("{begin}{script}")])
            .output()
            .expect("Python starts");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
        printed
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
        server.child = spawn(&server.home)?;
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
        eventually("ZooKeeper has a leader", PATIENCE, || {
            self.servers.iter().position(|server| {
                server.ask("srvr").is_some_and(|answer| {
                    answer.contains("Mode: leader") || answer.contains("Mode: standalone")
                })
            })
        })
    }
}

impl Server {
    fn wait_until_serving(&self) {
        let what = format!("ZooKeeper serves at {} (log: {})", self.address, self.home.display());
        eventually(&what, PATIENCE, || self.serves().then_some(()));
    }

    fn serves(&self) -> bool {
        self.ask("srvr").is_some_and(|answer| answer.contains("Mode: "))
    }

    /// The answer to a command of four letters.
    fn ask(&self, word: &str) -> Option<String> {
        let mut connection = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        connection.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        Some(answer)
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

fn spawn(home: &Path) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(home.join("log"))?;
    Command::new("java")
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(format!("{}:{JAR}", home.display()))
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(home.join("zoo.cfg"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("java does not start: run `cargo xtask peers` first")
}
