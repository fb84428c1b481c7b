//! The process that launch helpers are forked from: whose children they are, what is shown of them, and that its death
//! ends nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use containerizer::{Config, Containerizer, Limits, Notice, Program, Spec};
use fetcher::Fetcher;
use proto::mesos::v1::CommandInfo;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc;
use types::ContainerId;

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    directory: TempDir,
    containerizer: Containerizer,
    notices: mpsc::Receiver<Notice>,
}

fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    let fetcher = Fetcher::new(fetcher::Config {
        cache_dir: directory.path().join("cache"),
        cache_bytes_max: 1 << 20,
        stall_timeout: Duration::from_secs(5),
        frameworks_home: String::new(),
        hadoop: None,
        limits: fetcher::Limits::default(),
    });
    let (sender, notices) = mpsc::channel(16);
    let launcher = PathBuf::from(env!("CARGO_BIN_EXE_mesos-containerizer"));
    let config = Config::posix(launcher, Arc::new(fetcher.unwrap()));
    World { directory, containerizer: Containerizer::new(config, sender), notices }
}

impl World {
    /// Launches a container; its first process.
    async fn launch(&mut self, container: &str, script: &str) -> u32 {
        let directory = self.directory.path().join(container);
        fs::create_dir_all(&directory).unwrap();
        let command = CommandInfo { value: Some(script.to_owned()), ..CommandInfo::default() };
        let sandbox = directory.to_str().unwrap().to_owned();
        self.containerizer.launch(Spec {
            container: ContainerId::root(container),
            directory,
            user: None,
            uris: Vec::new(),
            program: Program::of(&command).unwrap(),
            environment: vec![("MESOS_SANDBOX".to_owned(), sandbox)],
            resources: Vec::new(),
            limits: Limits::new(),
            volumes: Vec::new(),
            info: None,
            is_command_task: false,
            image: None,
            forked_pid_path: None,
            by_name: None,
        });
        match self.next().await {
            Notice::Launched { pid, .. } => pid,
            other => panic!("{container}: {other:?}"),
        }
    }

    async fn next(&mut self) -> Notice {
        tokio::time::timeout(PATIENCE, self.notices.recv()).await.unwrap().unwrap()
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Children of this process that are nurseries. This program has one test, so that they are this test's.
fn nurseries() -> Vec<u32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let own = Some(std::process::id());
    let is_one = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.ends_with(b"\0containerizer\0nursery\0") && parent_of(*pid) == own
    };
    pids.filter(is_one).collect()
}

/// The descriptors of a process.
fn open_in(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let mut open: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    open.sort();
    open
}

fn is_sleep(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\0"))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn helpers_are_forked_and_outlive_what_they_are_forked_from() {
    let mut world = world();
    assert_eq!(nurseries(), Vec::<u32>::new());
    let first = world.launch("first", "exec sleep 76101").await;
    until("the command begins", || is_sleep(first)).await;
    let [nursery] = nurseries()[..] else { panic!("{:?}", nurseries()) };
    assert_eq!(parent_of(first), Some(std::process::id()));
    // It leaves nothing of its own to the command: its files, its environment.
    let environment = fs::read(format!("/proc/{first}/environ")).unwrap();
    // That of the shell is the third.
    for variable in environment.split(|byte| *byte == 0).filter(|it| !it.is_empty()) {
        let known = [&b"MESOS_SANDBOX="[..], b"PATH=", b"PWD="].iter().any(|it| variable.starts_with(it));
        assert!(known, "{}", String::from_utf8_lossy(variable));
    }
    // Another one is forked from the same.
    let second = world.launch("second", "exec sleep 76102").await;
    until("the command begins", || is_sleep(second)).await;
    assert_eq!(nurseries(), [nursery]);
    // It is killed: those that it made live on, the next is made without it, and then there is another.
    kill_process(Pid::from_raw(nursery.cast_signed()).unwrap(), Signal::KILL).unwrap();
    until("it is dead", || nurseries().is_empty()).await;
    let by_exec = world.launch("third", "exec sleep 76103").await;
    let fourth = world.launch("fourth", "exec sleep 76104").await;
    for pid in [by_exec, fourth] {
        assert_eq!(parent_of(pid), Some(std::process::id()));
        until("the command begins", || is_sleep(pid)).await;
    }
    assert_eq!(open_in(first), open_in(by_exec));
    assert!(matches!(nurseries()[..], [another] if another != nursery));
    assert!(Path::new(&format!("/proc/{first}/cwd")).exists());
    for container in ["first", "second", "third", "fourth"] {
        assert!(world.containerizer.destroy(&ContainerId::root(container)));
        assert!(matches!(world.next().await, Notice::Exited { .. }), "{container}");
    }
    drop(world);
    until("it ends with the containerizer", || nurseries().is_empty()).await;
}
