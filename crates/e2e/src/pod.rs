//! What runs because somebody keeps `mesos execute` running, and its processes on this machine.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Cluster, Options, binary, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// What `mesos execute` runs until it is dropped: a pod of tasks, or one task.
///
/// Its methods panic when the cluster does not do its part: they are for tests.
#[derive(Debug)]
pub struct Pod {
    /// Where it runs.
    pub cluster: Cluster,
    execute: Child,
}

impl Pod {
    /// Runs tasks, given as name, command and container, and waits until they run.
    #[must_use]
    pub fn run(agent_flags: &[String], tasks: &[(&str, &str, Value)]) -> Self {
        let resources = json!([
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ]);
        let task = |(name, command, container): &(&str, &str, Value)| {
            json!({
                "name": name, "task_id": {"value": name}, "agent_id": {"value": ""}, "resources": resources,
                "command": {"value": command}, "container": container,
            })
        };
        let group = json!({"tasks": tasks.iter().map(task).collect::<Vec<_>>()});
        Self::execute(agent_flags, &[format!("--task_group={group}")], tasks.len())
    }

    /// Runs what these flags of `mesos execute` say, and waits until so many tasks run.
    #[must_use]
    pub fn execute(agent_flags: &[String], flags: &[String], tasks: usize) -> Self {
        let options = Options { agent_flags: agent_flags.to_vec(), ..Options::default() };
        let cluster = Cluster::start(&options).expect("a cluster");
        let execute = Command::new(binary())
            .arg("execute")
            .arg(format!("--master={}", cluster.master.address))
            .args(["--checkpoint"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(cluster.home.path().join("execute.log")).expect("a file"))
            .spawn()
            .expect("it runs");
        let pod = Self { cluster, execute };
        eventually("all tasks run", PATIENCE, || {
            let list = pod.cluster.tool().prints(&["task", "list"]);
            (list.matches("TASK_RUNNING").count() == tasks).then_some(())
        });
        pod
    }

    /// Where its agent listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.cluster.agents[0].address
    }

    /// The container of a task.
    #[must_use]
    pub fn container(&self, task: &str) -> Value {
        let state = self.cluster.master.json("/state");
        let tasks = state["frameworks"].as_array().into_iter().flatten();
        let found =
            tasks.flat_map(|it| it["tasks"].as_array().into_iter().flatten()).find(|it| it["id"] == task);
        let statuses = found.expect("the task")["statuses"].as_array().expect("statuses").clone();
        let running =
            statuses.iter().rev().find(|it| it["container_status"].is_object()).expect("a container");
        running["container_status"]["container_id"].clone()
    }

    /// The tool, with the words of a verb first.
    #[must_use]
    pub fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(&arguments[..2]).arg(format!("--master={}", self.cluster.master.address));
        command.args(&arguments[2..]);
        command
    }

    /// Ends the framework, and with it all tasks; then nothing is left of any container.
    pub fn end(mut self) {
        self.stop();
        let home = self.cluster.home.path().to_owned();
        eventually("all processes are gone", PATIENCE, || processes_of(&home).is_empty().then_some(()));
        let marks = home.join("run-0/containers");
        eventually("all marks are gone", PATIENCE, || {
            (fs::read_dir(&marks).into_iter().flatten().count() == 0).then_some(())
        });
    }

    fn stop(&mut self) {
        // SIGTERM, on which it takes its framework down.
        if let Some(pid) = i32::try_from(self.execute.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.execute.wait();
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.execute.kill();
        let _ = self.execute.wait();
        for agent in &mut self.cluster.agents {
            agent.kill();
        }
        // What a failed test leaves running.
        for pid in processes_of(self.cluster.home.path()) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// The processes whose sandbox is below that directory, and the helpers beside them.
#[must_use]
pub fn processes_of(home: &Path) -> BTreeSet<i32> {
    let home = home.to_string_lossy().into_owned();
    let mentions = |path: String, text: &str| {
        fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let found = pids.filter(|pid| {
        let line = format!("/proc/{pid}/cmdline");
        mentions(format!("/proc/{pid}/environ"), &format!("MESOS_SANDBOX={home}"))
            || mentions(line.clone(), &format!("--status\0{home}"))
            || mentions(line, &format!("containerizer\0io\0--directory\0{home}"))
    });
    found.collect()
}

/// The I/O helpers among them.
#[must_use]
pub fn helpers_of(home: &Path) -> BTreeSet<i32> {
    let is_helper = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains("containerizer\0io\0"))
    };
    processes_of(home).into_iter().filter(is_helper).collect()
}

/// Whether there is a process of these words.
#[must_use]
pub fn has_process(command: &str) -> bool {
    let line = command.replace(' ', "\0") + "\0";
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path().join("cmdline"))
        .any(|path| fs::read(path).is_ok_and(|it| it == line.as_bytes()))
}
