//! A real Docker daemon, in a network of its own.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use tempfile::TempDir;

use crate::eventually;

/// Debian's package `docker.io`. `cargo xtask peers` installs it.
const DAEMON: &str = "/usr/sbin/dockerd";

/// A program that is all of a small image. Of Debian's package `busybox-static`.
const BUSYBOX: &str = "/bin/busybox";

/// What the image can be asked for.
const APPLETS: &[&str] =
    &["cat", "dd", "echo", "env", "head", "httpd", "id", "ls", "mkdir", "sh", "sleep", "touch", "wget"];

/// The image that every daemon has.
pub const IMAGE: &str = "busybox:e2e";

const PATIENCE: Duration = Duration::from_secs(60);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A daemon with data, network and cgroups of its own. Dropping it ends it with all its containers.
#[derive(Debug)]
pub struct Docker {
    name: String,
    home: TempDir,
    child: Child,
}

impl Docker {
    /// Starts a daemon that has the image [`IMAGE`]. The calling thread moves into the daemon's network: what it starts
    /// from then on, and what it connects to, is there. None where that cannot be had, which is said.
    ///
    /// # Panics
    /// When the daemon does not come up in time.
    pub fn start(test: &str) -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED {test}: a Docker daemon needs root");
            return Ok(None);
        }
        for program in [DAEMON, BUSYBOX] {
            ensure!(Path::new(program).exists(), "{program} is missing: run `cargo xtask peers` first");
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mesos-e2e-docker-{}-{number}", std::process::id());
        let home = tempfile::tempdir()?;
        run(Command::new("ip").args(["netns", "add", &name]))?;
        run(Command::new("ip").args(["-n", &name, "link", "set", "lo", "up"]))?;
        let network = File::open(Path::new("/run/netns").join(&name))?;
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
        let child = spawn(home.path(), &name)?;
        let docker = Self { name, home, child };
        docker.wait_until_it_answers();
        docker.import()?;
        Ok(Some(docker))
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.path().join("docker.sock")
    }

    /// The flags of an agent that uses it.
    #[must_use]
    pub fn agent_flags(&self) -> Vec<String> {
        vec![
            "--containerizers=docker,mesos".to_owned(),
            format!("--docker_socket={}", self.socket().display()),
        ]
    }

    /// Asks its own tool, and gives what that prints.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn tool(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("docker starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The names of its containers, those that ended too.
    #[must_use]
    pub fn containers(&self) -> Vec<String> {
        self.tool(&["ps", "-a", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
    }

    /// Those that run.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.tool(&["ps", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
    }

    /// What it knows of a container.
    #[must_use]
    pub fn inspect(&self, container: &str) -> Value {
        let printed = self.tool(&["inspect", container]);
        serde_json::from_str::<Value>(&printed).expect("json")[0].take()
    }

    /// kill -9. Its containers go on.
    ///
    /// # Panics
    /// When the program below it does not end in time.
    pub fn kill(&mut self) {
        let below = fs::read_to_string(self.home.path().join("exec/containerd/containerd.pid"));
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // That dies with it a moment later, and a daemon that starts meanwhile would lean on it.
        let below = below.ok().and_then(|pid| pid.trim().parse::<u32>().ok());
        if let Some(pid) = below {
            let lives = || {
                fs::read_to_string(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.starts_with("containerd"))
            };
            eventually("containerd ends with dockerd", PATIENCE, || (!lives()).then_some(()));
            // It may not have been buried yet, and then the next daemon takes it for alive.
            let _ = fs::remove_file(self.home.path().join("exec/containerd/containerd.pid"));
        }
    }

    /// Starts it again over the same data.
    ///
    /// # Panics
    /// When it does not come up in time.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        // One that was killed cannot take it away.
        let _ = fs::remove_file(self.home.path().join("docker.pid"));
        self.child = spawn(self.home.path(), &self.name)?;
        self.wait_until_it_answers();
        Ok(())
    }

    /// Stops it in its tracks (SIGSTOP): connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the process is ours");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("-H").arg(format!("unix://{}", self.socket().display())).args(arguments);
        command
    }

    fn wait_until_it_answers(&self) {
        let what = format!("dockerd answers (log: {})", self.home.path().join("log").display());
        eventually(&what, PATIENCE, || {
            self.command(&["version"]).output().is_ok_and(|it| it.status.success()).then_some(())
        });
    }

    /// Makes the image, of a root with little more than one program.
    fn import(&self) -> anyhow::Result<()> {
        let root = self.home.path().join("root");
        let programs = root.join("bin");
        fs::create_dir_all(&programs)?;
        fs::create_dir_all(root.join("tmp"))?;
        fs::copy(BUSYBOX, programs.join("busybox"))?;
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", programs.join(applet))?;
        }
        let archive = self.home.path().join("root.tar");
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."))?;
        run(&mut self.command(&["import", &archive.to_string_lossy(), IMAGE]))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.thaw_if_it_lives();
        let containers = self.command(&["ps", "-aq"]).output().map(|it| it.stdout).unwrap_or_default();
        let containers = String::from_utf8_lossy(&containers).into_owned();
        let ids: Vec<&str> = containers.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = self.command(&["rm", "-f", "-v"]).args(&ids).output();
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It is a child that nobody waited for yet, so the number is its own.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
        self.clear();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

impl Docker {
    /// Ends what a daemon that was killed has left: all of it is in its cgroups or has its directory in its arguments.
    fn clear(&self) {
        let home = self.home.path().to_string_lossy().into_owned();
        let in_cgroups =
            self.cgroups().into_iter().filter_map(|path| fs::read_to_string(path.join("cgroup.procs")).ok());
        let mut pids: Vec<i32> = in_cgroups
            .flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
            .collect();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if line.starts_with(b"/usr/bin/containerd-shim") && String::from_utf8_lossy(&line).contains(&home)
            {
                pids.push(pid);
            }
        }
        for pid in pids.into_iter().filter_map(Pid::from_raw) {
            // One that ended meanwhile needs no signal.
            let _ = kill_process(pid, Signal::KILL);
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let places = mounts.lines().rev().filter_map(|line| line.split(' ').nth(4));
        for place in places.filter(|place| place.starts_with(&home)) {
            let _ = Command::new("umount").arg("--lazy").arg(place).output();
        }
        eventually("the daemon's cgroups are gone", PATIENCE, || {
            let gone = |path: &PathBuf| fs::remove_dir(path).is_ok() || !path.exists();
            self.cgroups().iter().rev().all(gone).then_some(())
        });
    }

    /// The cgroups of its own, and those of its containers below them.
    fn cgroups(&self) -> Vec<PathBuf> {
        let mut cgroups = Vec::new();
        for controller in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let own = controller.path().join(&self.name);
            if own.is_dir() {
                cgroups.push(own.clone());
                let below = fs::read_dir(&own).into_iter().flatten().flatten().map(|entry| entry.path());
                cgroups.extend(below.filter(|path| path.is_dir()));
            }
        }
        cgroups
    }

    fn thaw_if_it_lives(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.thaw();
        }
    }
}

fn spawn(home: &Path, name: &str) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(home.join("log"))?;
    Command::new(DAEMON)
        .arg(format!("--data-root={}", home.join("data").display()))
        .arg(format!("--exec-root={}", home.join("exec").display()))
        .arg(format!("--pidfile={}", home.join("docker.pid").display()))
        .arg(format!("--host=unix://{}", home.join("docker.sock").display()))
        .arg("--storage-driver=overlay2")
        .arg("--exec-opt=native.cgroupdriver=cgroupfs")
        .arg(format!("--cgroup-parent=/{name}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("{DAEMON} does not start"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
